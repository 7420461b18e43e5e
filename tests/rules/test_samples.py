"""What is kept of each answer as a sample."""

from dataclasses import replace
from itertools import pairwise

import pytest

from flows.rules.samples import DAY, EDGE, FIVE_MINUTES, HOUR, ORIGIN, SPANS, Sample, SampleKey, samples_of, start_of
from tests.rules.make import NOW, exchange, hit, miss, site

#: Of the day that NOW lies in.
MIDNIGHT = 1_799_971_200
MEMBER = {"cache": {"by": "member"}, "examples": {"not_cached": ["/a"]}}


@pytest.mark.parametrize(
    ("state", "rule", "kind"),
    [
        ("hit", {}, hit),
        ("miss", {}, miss),
        ("", {}, exchange),
        ("miss", MEMBER, exchange),
        ("miss", MEMBER, miss),
        ("hit", MEMBER, hit),
    ],
)
def test_a_sample_goes_with_what_the_cache_did(state, rule, kind):
    shop = site(rule)
    assert [SampleKey("shop", "articles", "/a", EDGE, state)] == [
        one.key for one in samples_of("shop", shop.rules[0], "/a", [kind()])
    ]


def test_a_sample_has_the_times_of_its_exchange():
    seen = hit(first_byte=0.02)
    seen = replace(seen, started=NOW + 0.5, reused=False, phases=replace(seen.phases, total=0.03, late=0.5))
    key = SampleKey("shop", "articles", "/a", ORIGIN, "hit", warm=False)
    assert [Sample(key, NOW + 0.5, 0.02, 0.03, 0.5, "abc")] == samples_of(
        "shop", site().rules[0], "/a", [seen], series=ORIGIN, release="abc"
    )


def test_who_did_not_answer_is_no_sample():
    assert [] == samples_of("shop", site().rules[0], "/a", [exchange(error="timeout")])


@pytest.mark.parametrize(
    ("start", "at", "span"),
    [
        (MIDNIGHT, NOW, DAY),
        (NOW, NOW + 299.999999, FIVE_MINUTES),
        (NOW + 300, NOW + 300, FIVE_MINUTES),
        (NOW, NOW + 1, HOUR),
    ],
)
def test_a_span_holds_its_beginning_and_not_its_end(start, at, span):
    assert start == start_of(at, span)


def test_every_span_is_made_of_whole_ones_of_the_one_before():
    assert [(12, 0), (24, 0)] == [divmod(longer, shorter) for shorter, longer in pairwise(SPANS)]
