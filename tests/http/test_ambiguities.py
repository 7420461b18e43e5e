"""Headers that caches read in more than one way."""

import pytest

from roundsman.cache.rules.judge import judge
from roundsman.http.freshness import ambiguities, lifetime, storable
from roundsman.report.rules.visitor import STRANGER
from tests.make import exchange, hit, miss, site

CLEAR = [
    "",
    "max-age=60",
    "max-age=60, max-age=60",
    'public, max-age="60", s-maxage=600, stale-while-revalidate=5',
    'private="set-cookie", no-cache="x, y", ext="a;b"',
    "no-store,, max-age=0,",
    "x=1, x=2, community=UCI",
    "no-store, no-cache, must-revalidate, post-check=0, pre-check=0",
    "max-age=60, channel-maxage=10, must-understand, no-transform, immutable",
]


@pytest.mark.parametrize("said", CLEAR)
def test_what_reads_in_one_way_is_not_told(said):
    assert [] == list(ambiguities(exchange(cache_control=said, expires="0"), ("cdn-cache-control",)))


TROUBLED = [
    ("max-age =60", "`max-age =60` is no directive"),
    ("private; max-age=60", "`private; max-age=60` is no directive"),
    ("public max-age=60", "`public max-age=60` is no directive"),
    ("max-age=1h", "`max-age=1h` names no seconds"),
    ("s-maxage", "`s-maxage=` names no seconds"),
    ("max-age=60, MAX-AGE=5", "max-age is said twice, and differs"),
    ("max-age=60, max-age=soon", "`max-age=soon` names no seconds; max-age is said twice, and differs"),
    ("privat", "no cache knows `privat`; did you mean private?"),
    ("public, s-max-age=600", "no cache knows `s-max-age`; did you mean s-maxage?"),
    ("no-check, no-store", "no cache knows `no-check`; did you mean no-cache?"),
    ("no_cache", "no cache knows `no_cache`; did you mean no-cache?"),
    ("must-revalidation, max-age=5", "no cache knows `must-revalidation`; did you mean must-revalidate?"),
    ("max-age=60, " + "é" * 50, f"`{'é' * 40}...` is no directive"),
]


@pytest.mark.parametrize(("said", "saw"), TROUBLED)
def test_what_caches_read_each_in_their_own_way_is_told(said, saw):
    assert [("warn", saw)] == [(str(one.outcome), one.saw) for one in ambiguities(exchange(cache_control=said))]


FIELDS = [
    ("max-age = 60", ("cdn-cache-control",), "cdn-cache-control can't be read, so it does not count"),
    ('max-age="60"', ("cdn-cache-control",), "cdn-cache-control can't be read, so it does not count"),
    ("max-age=60", ("cdn-cache-control",), None),
    (" ", ("cdn-cache-control",), None),
    # Nobody is asked to obey it.
    ("max-age = 60", (), None),
]


@pytest.mark.parametrize(("said", "targeted", "saw"), FIELDS)
def test_a_field_that_the_edge_can_not_read_is_told(said, targeted, saw):
    seen = exchange(cache_control="max-age=9", cdn_cache_control=said)
    assert ([saw] if saw else []) == [one.saw for one in ambiguities(seen, targeted)]


def test_a_field_with_a_grammar_of_its_own_is_never_called_broken():
    assert [] == list(ambiguities(exchange(surrogate_control='content="ESI/1.0"'), ("surrogate-control",)))


def test_two_ends_that_differ_are_told():
    end = "Thu, 01 Jan 2026 00:10:00 GMT"
    assert [] == list(ambiguities(exchange(expires=[end, end])))
    assert ["two Expires, and they differ"] == [one.saw for one in ambiguities(exchange(expires=[end, "0"]))]


@pytest.mark.parametrize("by", ["everyone", "member", "nobody", "unsaid"])
def test_it_is_told_of_every_page_once(by):
    shop = site({"cache": {"by": by}, "examples": {"cached" if by == "everyone" else "not_cached": ["/a"]}})
    said = {"cache_control": "max-age=600, max-age=60"}
    verdict = judge(shop, shop.rules[0], "/a", [miss(**said), hit(**said), hit(**said)], STRANGER)
    assert 1 == sum(one.claim == "cache-headers/clear" for one in verdict.findings)


ACCEL = [("180", 180, True), ("0", 0, False), ("off", 0, False), ("@1790000000", 0, False)]


@pytest.mark.parametrize(("said", "seconds", "kept"), ACCEL)
def test_a_field_of_nginx_s_own_opens_what_browsers_must_not_store(said, seconds, kept):
    seen, targeted = exchange(cache_control="no-store", x_accel_expires=said), ("x-accel-expires",)
    assert (seconds, kept) == (lifetime(seen, targeted=targeted), storable(seen, targeted=targeted).yes)
