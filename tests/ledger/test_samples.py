"""What is kept of each answer as a sample."""

from dataclasses import replace
from itertools import pairwise

import pytest

from roundsman.ledger.rules.samples import (
    DAY_SECONDS,
    EDGE,
    FIVE_MINUTES_SECONDS,
    HOUR_SECONDS,
    ORIGIN,
    SPANS,
    Sample,
    SampleKey,
    start_of,
)
from roundsman.timing.rules.sampling import samples_of
from tests.make import NOW, exchange, hit, miss, site

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
    cold = replace(seen.probe, new_connection=True)
    phases = seen.phases._replace(waiting=0.01, body=0.01, total=0.03, late=0.5)
    seen = replace(seen, probe=cold, started=NOW + 0.5, reused=False, phases=phases)
    key = SampleKey("shop", "articles", "/a", EDGE, "hit", warm=False)
    assert [Sample(key, NOW + 0.5, 0.02, 0.03, 0.5, "abc")] == samples_of(
        "shop", site().rules[0], "/a", [seen], release="abc"
    )


def test_a_connection_that_had_to_be_opened_is_no_part_of_what_an_open_one_takes():
    seen = hit(first_byte=0.02)
    seen = replace(seen, reused=False, phases=seen.phases._replace(waiting=0.01, body=0.005, total=0.025, late=0.5))
    key = SampleKey("shop", "articles", "/a", EDGE, "hit")
    (sample,) = samples_of("shop", site().rules[0], "/a", [seen])
    assert (key, 0.01, pytest.approx(0.015), 0.5) == (sample.key, sample.first_byte, sample.total, sample.late)


def test_what_the_origin_itself_answers_is_a_series_of_its_own():
    seen = hit()
    seen = replace(seen, probe=replace(seen.probe, node="10.0.0.5:8080"))
    (sample,) = samples_of("shop", site().rules[0], "/a", [seen])
    assert SampleKey("shop", "articles", "/a", ORIGIN, "") == sample.key


def test_who_broke_down_is_no_sample():
    assert [] == samples_of("shop", site().rules[0], "/a", [exchange(error="refused")])


@pytest.mark.parametrize(("error", "late", "total"), [("timeout", 0.0, 2.0), ("dropped", 2.5, 0.0)])
@pytest.mark.parametrize(("path", "state"), [("/a", "hit"), ("/a?roundsman=1", "miss")])
def test_who_waited_until_the_time_was_up_took_at_least_so_long(error, late, total, path, state):
    seen = exchange(path, error=error)
    seen = replace(seen, reused=False, phases=seen.phases._replace(first_byte=0.0, total=total, late=late))
    (sample,) = samples_of("shop", site().rules[0], "/a", [seen])
    assert (SampleKey("shop", "articles", "/a", EDGE, state), total, late) == (
        sample.key,
        sample.first_byte,
        sample.late,
    )


@pytest.mark.parametrize(
    ("start", "at", "span"),
    [
        (MIDNIGHT, NOW, DAY_SECONDS),
        (NOW, NOW + 299.999999, FIVE_MINUTES_SECONDS),
        (NOW + 300, NOW + 300, FIVE_MINUTES_SECONDS),
        (NOW, NOW + 1, HOUR_SECONDS),
    ],
)
def test_a_span_holds_its_beginning_and_not_its_end(start, at, span):
    assert start == start_of(at, span)


def test_every_span_is_made_of_whole_ones_of_the_one_before():
    assert [(12, 0), (24, 0)] == [divmod(longer, shorter) for shorter, longer in pairwise(SPANS)]
