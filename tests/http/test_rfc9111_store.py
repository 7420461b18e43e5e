"""Reading Cache-Control and the words that caches use."""

import pytest

from roundsman.http.cache_status import cache_state
from roundsman.http.freshness import birth, lifetime, storable
from tests.make import NOW, exchange

STORABLE = [
    ("max-age=60", 200, False, True, "`max-age`"),
    ("", 200, False, True, "heuristically"),
    ("", 500, False, False, "no lifetime"),
    ("No-StOrE, max-age=60", 200, False, False, "`no-store`"),
    ("private, max-age=60", 200, False, False, "`private`"),
    ('private="set-cookie", max-age=60', 200, False, True, "`max-age`"),
    ('ext="a, no-store", max-age=60', 200, False, True, "`max-age`"),
    ("max-age=60", 200, True, False, "Authorization"),
    ("s-maxage=60", 200, True, True, "`s-maxage`"),
]


@pytest.mark.parametrize(("said", "status", "authorized", "yes", "why"), STORABLE)
def test_a_shared_cache_may_store_what_the_rfc_lets_it(said, status, authorized, yes, why):
    answer = storable(exchange(cache_control=said, status=status), authorized=authorized)
    assert yes == answer.yes
    assert why in answer.why


def test_these_statuses_may_be_kept_without_a_lifetime():
    """RFC 9110 section 15.1."""
    kept = {status for status in range(200, 600) if storable(exchange(status=status)).yes}
    assert {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501} == kept


def test_these_statuses_are_understood():
    """RFC 9110 section 15: each that it defines, but for 306, which is unused, and 304, which only refreshes."""
    said = "must-understand, no-store, max-age=60"
    kept = {status for status in range(200, 600) if storable(exchange(cache_control=said, status=status)).yes}
    defined = {*range(200, 207), *range(300, 304), 305, 307, 308, *range(400, 418), 421, 422, 426, *range(500, 506)}
    assert defined == kept


def test_a_final_answer_begins_at_200():
    assert "199 is no final answer, RFC 9111 3" == storable(exchange(cache_control="max-age=60", status=199)).why
    assert storable(exchange(cache_control="max-age=60", status=200)).yes


LIFETIME = [
    ("max-age=60, s-maxage=600", {}, 600, 60),
    ("max-age=60, max-age=5", {}, 60, 60),
    ("max-age=soon", {}, 0, 0),
    ("no-cache, max-age=60", {}, 0, 0),
    ("private, max-age=60", {}, 0, 60),
    ('private="set-cookie", max-age=60', {}, 60, 60),
    ("", {"expires": "Thu, 01 Jan 2026 00:10:00 GMT", "date": "Thu, 01 Jan 2026 00:00:00 GMT"}, 600, 600),
    ("", {"expires": "0"}, 0, 0),
    # No zone but GMT is one, so it is a date in the past.
    ("", {"expires": "Thu, 01 Jan 2050 00:00:00 UTC"}, 0, 0),
    ("", {"expires": "Thu, 01 Jan 2050 00:00:00 +0000"}, 0, 0),
    ("", {}, None, None),
]


@pytest.mark.parametrize(("said", "headers", "shared", "browser"), LIFETIME)
def test_a_lifetime_is_the_first_that_counts(said, headers, shared, browser):
    seen = exchange(cache_control=said, **headers)
    assert (shared, browser) == (lifetime(seen), lifetime(seen, shared=False))


def test_birth_is_the_moment_of_the_answer_less_its_age():
    assert NOW + 0.001 - 7 == birth(exchange(age="7"))
    assert birth(exchange()) is None
    assert birth(exchange(age="-1")) is None


STATES = [
    ({"cache_status": "demo; hit"}, "HIT"),
    ({"cache_status": "origin; fwd=miss, edge; hit; ttl=5"}, "HIT"),
    ({"cache_status": "shield; hit, edge; fwd=uri-miss; stored"}, "HIT"),
    ({"cache_status": "edge; fwd=stale; fwd-status=304"}, "REVALIDATED"),
    ({"cache_status": "edge; fwd=bypass"}, "BYPASS"),
    ({"cache_status": "nginx;hit;detail=STALE"}, "STALE"),
    ({"cache_status": "not ; a = list,,", "x_cache": "HIT"}, "HIT"),
    ({"x_cache_status": "EXPIRED"}, "EXPIRED"),
    ({"x_cache_status": "UPDATING"}, "STALE"),
    ({"x_cache": "HIT, MISS"}, "HIT"),
    ({"x_cache": "TCP_HIT from edge"}, "HIT"),
    ({"cache_status": "edge; hit=?0"}, "MISS"),
    ({"cache_status": "edge; hit=?0; fwd=bypass"}, "BYPASS"),
    ({"x_cache": "TCP_MEM_HIT from edge"}, "HIT"),
    ({"x_cache": "TCP_REFRESH_HIT"}, "REVALIDATED"),
    ({"x_cache": "TCP_REFRESH_MISS"}, "EXPIRED"),
    ({"x_cache": "TCP_REFRESH_UNMODIFIED"}, "REVALIDATED"),
    ({"x_cache": "TCP_REFRESH_FAIL_HIT"}, "STALE"),
    ({"x_cache": "TCP_IMS_HIT"}, "HIT"),
    ({"x_cache": "TCP_NEGATIVE_HIT"}, "HIT"),
    ({"x_cache": "TCP_REMOTE_HIT"}, "HIT"),
    ({"x_cache": "TCP_MISS from hit.example.com"}, "MISS"),
    ({"x_cache": "Hit from cloudfront"}, "HIT"),
    ({"x_cache": "RefreshHit from cloudfront"}, "REVALIDATED"),
    ({"x_cache": "Miss from cloudfront"}, "MISS"),
    ({"x_cache": "Error from cloudfront"}, "UNKNOWN"),
    ({"x_cache": "PRIVATE_NOSTORE"}, "DYNAMIC"),
    ({"x_cache": "CONFIG_NOCACHE"}, "BYPASS"),
    ({"x_cache": "PASS"}, "BYPASS"),
    ({"x_vercel_cache": "PRERENDER"}, "HIT"),
    ({"x_vercel_cache": "REVALIDATED"}, "EXPIRED"),
    ({"cf_cache_status": "REVALIDATED"}, "REVALIDATED"),
    ({"cf_cache_status": "DYNAMIC"}, "DYNAMIC"),
    ({"x_varnish": "32776 32774"}, "HIT"),
    ({"x_varnish": "32776"}, "MISS"),
    ({"x_varnish": "163970 163969, 6"}, "HIT"),
    ({"age": "4"}, "HIT"),
    ({"age": "0"}, "UNKNOWN"),
    ({}, "UNKNOWN"),
]


@pytest.mark.parametrize(("headers", "state"), STATES)
def test_every_cache_is_read_in_one_vocabulary(headers, state):
    assert state == cache_state(exchange(**headers))
