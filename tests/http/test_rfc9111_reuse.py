"""What the vectors leave out: whether a cache may keep a response, and answer the next request from it."""

import pytest

from roundsman.http.freshness import lifetime, storable
from roundsman.http.rfc9111_reuse import HttpRequest, HttpResponse, judge
from roundsman.site.rules.site_edge import targeted_of
from tests.make import exchange, site

URL = "https://www.example.com/a"
DATE = ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")
START = 1767225600.0


def decide(
    *headers, status=200, method="GET", asked=(), url=URL, following=(), next_method="GET", after=10, delay=0.0, **cache
):
    """Judge a response with a Date to a request for URL, and the next one; a string is a Cache-Control."""
    lines = tuple(("Cache-Control", line) if isinstance(line, str) else line for line in headers)
    return judge(
        HttpRequest(URL, method, tuple(asked)),
        HttpResponse(status, (DATE, *lines), START, delay),
        HttpRequest(url, next_method, tuple(following)),
        after=after,
        **cache,
    )


STORED = [
    (["private"], {}, "not storable: `private` without field names, RFC 9111 5.2.2.7"),
    (['private="set-cookie"'], {}, "storable: nothing forbids it and 200 may be kept heuristically, RFC 9111 4.2.2"),
    (['private=""'], {}, "not storable: `private`"),
    (['private="x, max-age=60'], {}, "not storable: `private`"),
    (['ext="x, no-store'], {}, "not storable: `no-store`"),
    (["private"], {"shared": False}, "storable: `private`"),
    (["no-store, must-understand, max-age=60"], {}, "storable: `max-age`"),
    (["must-understand, max-age=60"], {"status": 299}, "not storable: `must-understand`"),
    (["max-age=60"], {"status": 299}, "storable: `max-age`"),
    (["max-age=60"], {"status": 103}, "not storable: 103 is no final answer"),
    (["max-age=60"], {"status": 304}, "not storable: 304"),
    (["public"], {"status": 500}, "storable: `public`"),
    (["must-revalidate"], {"status": 500}, "not storable: no lifetime"),
    (["max-age=soon"], {"status": 500}, "storable: `max-age`"),
    ([("Expires", "")], {"status": 500}, "storable: `Expires`"),
    (["max-age=60"], {"method": "POST"}, "not storable: a POST"),
    (["max-age=60", ("Content-Location", "/a")], {"method": "POST"}, "storable: `max-age`"),
    (["max-age=60", ("Content-Location", "/b")], {"method": "POST"}, "not storable: a POST"),
    (["public", ("Content-Location", "/a")], {"method": "POST"}, "not storable: a POST"),
    (["max-age=60"], {"method": "PUT"}, "not storable: the answer to a PUT"),
    (["max-age=60"], {"method": "HEAD"}, "storable: `max-age`"),
    (["max-age=60"], {"asked": [("Cache-Control", "No-Store")]}, "not storable: the request said `no-store`"),
    (["max-age=60"], {"asked": [("authorization", "")]}, "not storable: the request had Authorization"),
    (["max-age=60"], {"asked": [("Authorization", "x")], "shared": False}, "storable: `max-age`"),
    (["max-age=60", ("CDN-Cache-Control", "no-store")], {}, "storable: `max-age`"),
    (["max-age=60", ("CDN-Cache-Control", "no-store")], {"targeted": ("cdn-cache-control",)}, "not storable: `no-store` in cdn-cache-control, RFC 9213 2.2 and RFC 9111 5.2.2.5"),
    *((["no-store", ("CDN-Cache-Control", said)], {"targeted": ("cdn-cache-control",)}, "not storable: `no-store`, RFC 9111")
      for said in ('max-age="60"', "max-age=60.5", "max-age", "max-age=60, s-maxage=x", "public, stale-if-error=?1", "max-age=(60)", "max-age= 60", "max-age=60, &&&", "MAX-AGE=60", "  ", "max-age=1234567890123456")),
    (["no-store", ("CDN-Cache-Control", "max-age=-60")], {"targeted": ("cdn-cache-control",)}, "storable: `max-age` in cdn-cache-control"),
    (["no-store", ("CDN-Cache-Control", "max-age=60, no-store=?0, s-maxage=?0")], {"targeted": ("cdn-cache-control",)}, "storable: `max-age` in cdn-cache-control"),
    (["max-age=60", ("CDN-Cache-Control", 'private="", max-age=60')], {"targeted": ("cdn-cache-control",)}, "not storable: `private`"),
    (["max-age=60", ("CDN-Cache-Control", "private=(), max-age=60")], {"targeted": ("cdn-cache-control",)}, "not storable: `private`"),
    ([("Expires", "Thu, 01 Jan 2026 00:10:00 GMT"), ("CDN-Cache-Control", "no-transform")], {"status": 500, "targeted": ("cdn-cache-control",)}, "not storable: no lifetime"),
    (["no-store", ("Surrogate-Control", "max-age=60")], {"targeted": ("surrogate-control",)}, "storable: `max-age` in surrogate-control"),
    (["no-store", ("Surrogate-Control", 'content="ESI/1.0"')], {"targeted": ("surrogate-control",)}, "not storable: `no-store`"),
    (["no-store", ("Edge-Control", "!no-store, cache-maxage=2h")], {"targeted": ("edge-control",)}, "storable: `max-age` in edge-control"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "more", "why"), STORED)
def test_whether_a_response_may_be_kept_comes_with_the_reason(headers, more, why):
    decision = decide(*headers, **more)
    assert why in decision.why_storable
    assert decision.storable == why.startswith("storable")


EXPIRES = "Thu, 01 Jan 2026 00:10:00 GMT"
REUSED = [
    (["max-age=60"], {}, "hit"),
    (["max-age=60"], {"after": 59.5}, "hit"),
    (["max-age=60"], {"after": 60}, "validate"),
    (["max-age=60"], {"after": 55, "delay": 5}, "validate"),
    (["max-age=60", ("Age", "50")], {}, "validate"),
    (["max-age=60", ("Age", "-50")], {}, "hit"),
    (["max-age=60", ("Age", "50;x=1")], {}, "hit"),
    (["max-age=60", ("Age", "50"), ("Age", "0")], {}, "validate"),
    (["max-age=60", ("Age", "9" * 5000)], {}, "validate"),
    (["max-age=" + "9" * 5000], {}, "hit"),
    (['max-age="60"'], {}, "hit"),
    (["max-age=60.0"], {}, "validate"),
    (["max-age= 60"], {}, "validate"),
    (["s-maxage=x, max-age=60"], {}, "validate"),
    (["s-maxage=60, max-age=0"], {"shared": False}, "validate"),
    (["max-age=60", "max-age=60"], {}, "hit"),
    (["max-age=60", "max-age=5"], {}, "may"),
    (["max-age=5", "max-age=60"], {}, "validate"),
    ([("Expires", EXPIRES)], {}, "hit"),
    ([("Expires", "Thursday, 01-Jan-26 00:10:00 GMT")], {}, "hit"),
    # A year of two digits that would be more than 50 years ahead has passed (RFC 9110 section 5.6.7).
    ([("Expires", "Wednesday, 01-Jan-76 00:00:00 GMT")], {}, "hit"),
    ([("Expires", "Friday, 01-Jan-77 00:00:00 GMT")], {}, "validate"),
    ([("Expires", "Thu Jan  1 00:10:00 2026")], {}, "hit"),
    ([("Expires", "thu, 01 jan 2026 00:10:00 gmt")], {}, "hit"),
    ([("Expires", "Thu, 01 Jan 2026 00:10:00 AEST")], {}, "validate"),
    ([("Expires", "Thu, 01 Jan 26 00:10:00 GMT")], {}, "validate"),
    ([("Expires", "Thu, 1 Jan 2026 00:10:00 GMT")], {}, "validate"),
    ([("Expires", "Thu, 01  Jan 2026 00:10:00 GMT")], {}, "validate"),
    ([("Expires", "Thu, 01 Jan 2026 00.10.00 GMT")], {}, "validate"),
    ([("Expires", "Thu, 32 Jan 2026 00:10:00 GMT")], {}, "validate"),
    ([("Expires", "-1")], {}, "validate"),
    ([("Expires", DATE[1])], {"after": 0}, "validate"),
    ([("Expires", EXPIRES), ("Expires", "0")], {}, "may"),
    ([("Expires", "0"), ("Expires", EXPIRES)], {}, "validate"),
    (["no-cache, max-age=60"], {}, "validate"),
    (['no-cache="set-cookie", max-age=60'], {}, "hit"),
    (["no-cache"], {"status": 204}, "validate"),
    (["public"], {"status": 500}, "may"),
    (["max-age=5, stale-while-revalidate=60"], {}, "stale-while-revalidate"),
    (["max-age=5, stale-while-revalidate=60"], {"after": 66}, "validate"),
    (["max-age=0, stale-while-revalidate=60"], {"after": 0}, "stale-while-revalidate"),
    (["max-age=0"], {"after": 0}, "validate"),
    (["max-age=5, stale-while-revalidate=soon"], {}, "validate"),
    (["s-maxage=5, stale-while-revalidate=60"], {}, "validate"),
    (["s-maxage=5, stale-while-revalidate=60", ("CDN-Cache-Control", "max-age=5, stale-while-revalidate=60")], {"targeted": ("cdn-cache-control",)}, "stale-while-revalidate"),
    ([("Expires", EXPIRES), ("CDN-Cache-Control", "public")], {"targeted": ("cdn-cache-control",)}, "may"),
    (["max-age=0", ("Surrogate-Control", "max-age=5+60")], {"targeted": ("surrogate-control",)}, "stale-while-revalidate"),
    (["max-age=5, stale-if-error=60"], {}, "stale-if-error"),
    (["max-age=5, stale-if-error=60, proxy-revalidate"], {}, "validate"),
    (["max-age=5, stale-if-error=60, proxy-revalidate"], {"shared": False}, "stale-if-error"),
    (["max-age=5, stale-if-error=60, must-revalidate"], {"shared": False}, "validate"),
    (["max-age=5"], {"following": [("Cache-Control", "stale-if-error=60")]}, "stale-if-error"),
    (["max-age=5"], {"following": [("Cache-Control", "max-stale")]}, "may"),
    (["max-age=5"], {"following": [("Cache-Control", "max-stale=4")]}, "validate"),
    (["s-maxage=5"], {"following": [("Cache-Control", "max-stale=60")]}, "validate"),
    (["max-age=5, stale-while-revalidate=60"], {"following": [("Cache-Control", "max-age=60")]}, "validate"),
    (["max-age=60"], {"following": [("Cache-Control", "max-age=10")]}, "hit"),
    (["max-age=60"], {"following": [("Cache-Control", "max-age=9")]}, "validate"),
    (["max-age=60"], {"following": [("Cache-Control", "min-fresh=50")]}, "hit"),
    (["max-age=60"], {"following": [("Cache-Control", "min-fresh=51")]}, "validate"),
    (["max-age=60"], {"following": [("Cache-Control", "no-cache")]}, "validate"),
    (["max-age=60"], {"following": [("Cache-Control", "no-store")]}, "hit"),
    (["max-age=60"], {"following": [("Pragma", "no-cache"), ("Cache-Control", "max-age=60")]}, "hit"),
    (["max-age=60"], {"following": [("Pragma", "no-cache"), ("Pragma", "x")]}, "may"),
    (["max-age=60"], {"following": [("Cache-Control", "only-if-cached")]}, "hit"),
    (["max-age=5"], {"following": [("Cache-Control", "only-if-cached")]}, "gateway-timeout"),
    (["no-store"], {"following": [("Cache-Control", "only-if-cached")]}, "gateway-timeout"),
    ([], {"following": [("Cache-Control", "max-age=0")]}, "validate"),
    ([], {}, "may"),
    (["max-age=60"], {"method": "HEAD"}, "miss"),
    (["max-age=60"], {"method": "HEAD", "next_method": "HEAD"}, "hit"),
    (["max-age=60", ("Content-Location", URL)], {"method": "POST"}, "hit"),
    (["max-age=60"], {"next_method": "DELETE"}, "miss"),
    (["max-age=60"], {"status": 206, "asked": [("Range", "bytes=0-9")]}, "miss"),
    (["max-age=60"], {"status": 206, "asked": [("Range", "bytes=0-9")], "following": [("range", "bytes=0-9")]}, "hit"),
    (["max-age=60", ("Vary", "*")], {}, "miss"),
    (["max-age=60", ("Vary", "Foo, *")], {}, "miss"),
    (["max-age=60", ("Vary", "Foo"), ("Vary", "*")], {}, "miss"),
    (["max-age=60", ("Vary", "FOO")], {"asked": [("foo", "a, b")], "following": [("Foo", "a"), ("Foo", "b")]}, "hit"),
    (["max-age=60", ("Vary", "Foo")], {"asked": [("Foo", "a")]}, "miss"),
    (["max-age=60", ("Vary", "Foo")], {"asked": [("Foo", "")]}, "miss"),
    (["max-age=60", ("Vary", "Foo")], {"asked": [("Foo", '"a, b"')], "following": [("Foo", '"a,b"')]}, "miss"),
    (["max-age=60", ("Vary", "Foo")], {"asked": [("Foo", '"a')], "following": [("Foo", '"b')]}, "miss"),
    (["max-age=60", ("Vary", "")], {"asked": [("Foo", "a")]}, "hit"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "more", "reuse"), REUSED)
def test_the_next_request_is_answered_from_a_copy_only_where_the_standards_say_so(headers, more, reuse):
    decision = decide(*headers, **more)
    assert reuse == decision.reuse, decision.why_reuse


TARGETS = [
    ("https://WWW.Example.COM/a", "hit"),
    ("HTTPS://www.example.com/a", "hit"),
    ("https://www.example.com:443/a", "hit"),
    ("https://www.example.com:8443/a", "miss"),
    ("http://www.example.com/a", "miss"),
    ("https://example.com/a", "miss"),
    ("https://www.example.com/a#part", "hit"),
    ("https://www.example.com/b/../a", "hit"),
    ("https://www.example.com/./a", "hit"),
    ("https://www.example.com/%61", "hit"),
    ("https://www.example.com/A", "miss"),
    ("https://www.example.com/a?", "miss"),
    ("https://www.example.com//a", "miss"),
    ("https://[", "miss"),
]


@pytest.mark.parametrize(("url", "reuse"), TARGETS)
def test_a_copy_is_for_all_equivalent_addresses_and_no_other(url, reuse):
    assert reuse == decide("max-age=60", url=url).reuse


STALE = [
    ("max-stale=10", 70, "may"),
    ("max-stale=9", 70, "validate"),
    ("max-stale", 7000, "may"),
    ("max-stale=soon", 70, "validate"),
    ("max-stale=soon", 61, "validate"),
    ("max-stale=10, max-age=70", 70, "may"),
    ("max-stale=10, max-age=69", 70, "validate"),
    ("stale-if-error=11", 70, "stale-if-error"),
    ("stale-if-error=10", 70, "validate"),
]


@pytest.mark.parametrize(("asked", "after", "reuse"), STALE)
def test_a_request_says_how_stale_a_copy_may_be(asked, after, reuse):
    assert reuse == decide("max-age=60", following=[("Cache-Control", asked)], after=after).reuse


@pytest.mark.parametrize(
    ("asked", "reuse"),
    [("max-age=90", "validate"), ("min-fresh=1", "validate"), ("max-age=90, max-stale", "stale-while-revalidate")],
)
def test_who_wants_a_young_copy_gets_no_stale_one_meanwhile(asked, reuse):
    following = [("Cache-Control", asked)]
    assert reuse == decide("max-age=60, stale-while-revalidate=30", following=following, after=70).reuse


REASONS = [
    (["max-age=60"], {}, "fresh: 10 s old of 60 s, RFC 9111 4.2"),
    (["max-age=60"], {"after": 70}, "stale: 70 s old of 60 s, RFC 9111 4.2"),
    (["max-age=60", "max-age=90"], {}, "two lifetimes: the first counts, or none, RFC 9111 4.2.1"),
    (["no-store"], {}, "nothing is stored: `no-store`, RFC 9111 5.2.2.5"),
    (["max-age=60"], {"next_method": "PUT"}, "a PUT goes to the origin, RFC 9111 4"),
    (["max-age=60"], {"url": f"{URL}/b"}, "another target URI, RFC 9111 2"),
    (["max-age=60"], {"method": "HEAD"}, "what answered a HEAD has no content, RFC 9110 9.3.2"),
    (["max-age=60", ("Vary", "*")], {}, "`Vary: *` matches no request, RFC 9111 4.1"),
    (["max-age=60", ("Vary", "X-A")], {"asked": [("X-A", "1")]}, "it varies on x-a, and that differs, RFC 9111 4.1"),
    (["max-age=60"], {"status": 206, "following": [("Range", "bytes=0-1")]}, "a part answers no request but for that part, RFC 9111 3.3"),
    (["no-cache, max-age=60"], {}, "`no-cache`, RFC 9111 5.2.2.4"),
    (["max-age=60"], {"following": [("Cache-Control", "no-cache")]}, "the request said `no-cache`, RFC 9111 5.2.1.4"),
    (["max-age=60"], {"following": [("Pragma", "no-cache")]}, "the request said `Pragma: no-cache`, which need not be obeyed, RFC 9111 5.4"),
    (["max-age=60"], {"following": [("Cache-Control", "max-age=9")]}, "10 s old, and the request wants at most 9 s, RFC 9111 5.2.1.1"),
    (["max-age=60"], {"following": [("Cache-Control", "min-fresh=51")]}, "the request wants it fresh for 51 s more, RFC 9111 5.2.1.3"),
    (["public"], {}, "no lifetime: how long it is used is for the cache to choose, RFC 9111 4.2.2"),
    (["private"], {"status": 500, "shared": False}, "no lifetime, and none may be made up, RFC 9111 4.2.2"),
    (["max-age=60, must-revalidate"], {"after": 70}, "stale: 70 s old of 60 s, RFC 9111 4.2, and `must-revalidate` forbids a stale copy, RFC 9111 4.2.4"),
    (["max-age=60, stale-while-revalidate=11"], {"after": 70}, "stale: 70 s old of 60 s, RFC 9111 4.2, `stale-while-revalidate=11`, RFC 5861 3"),
    (["max-age=60, stale-if-error=11"], {"after": 70}, "stale: 70 s old of 60 s, RFC 9111 4.2, `stale-if-error=11`, RFC 5861 4"),
    (["max-age=60"], {"after": 70, "following": [("Cache-Control", "max-stale")]}, "stale: 70 s old of 60 s, RFC 9111 4.2, and the request takes a stale copy, RFC 9111 5.2.1.2"),
    (["max-age=60"], {"after": 70, "following": [("Cache-Control", "only-if-cached")]}, "the request said `only-if-cached`, RFC 9111 5.2.1.7, and stale: 70 s old of 60 s, RFC 9111 4.2"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "more", "why"), REASONS)
def test_each_decision_has_its_reason(headers, more, why):
    assert why == decide(*headers, **more).why_reuse


KEPT = [
    (["public"], {"status": 500}, "storable: `public`, RFC 9111 3"),
    (["s-maxage=9"], {}, "storable: `s-maxage`, RFC 9111 3"),
    ([("Expires", EXPIRES)], {"status": 500}, "storable: `Expires`, RFC 9111 3"),
    ([], {"status": 500}, "not storable: no lifetime, and 500 may not be kept without one, RFC 9111 3"),
    ([], {"status": 304}, "not storable: 304 only refreshes a copy, RFC 9111 4.3.4"),
    (["max-age=60"], {"method": "POST"}, "not storable: a POST without both a lifetime and its own address in Content-Location, RFC 9110 9.3.3"),
    (["max-age=60"], {"method": "PUT"}, "not storable: the answer to a PUT may not be kept, RFC 9110 9.2.3"),
    (["max-age=60"], {"asked": [("Cache-Control", "no-store")]}, "not storable: the request said `no-store`, RFC 9111 5.2.1.5"),
    (["must-understand, max-age=60"], {"status": 299}, "not storable: `must-understand`, RFC 9111 5.2.2.3, and nothing says how a 299 is cached"),
    (["max-age=60"], {"asked": [("Authorization", "x")]}, "not storable: the request had Authorization, RFC 9111 3.5"),
    (["public, max-age=60"], {"asked": [("Authorization", "x")]}, "storable: `max-age`, RFC 9111 3"),
    (["must-revalidate, max-age=60"], {"asked": [("Authorization", "x")]}, "storable: `max-age`, RFC 9111 3"),
    ([("Content-Location", "/a"), ("Expires", EXPIRES)], {"method": "POST"}, "storable: `Expires`, RFC 9111 3"),
    (["max-age=60", ("Content-Location", "http://[")], {"method": "POST"}, "not storable: a POST without both a lifetime and its own address in Content-Location, RFC 9110 9.3.3"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "more", "why"), KEPT)
def test_each_yes_and_no_has_its_reason(headers, more, why):
    assert why == decide(*headers, **more).why_storable


@pytest.mark.parametrize(
    ("headers", "status", "allowed"),
    [([], 200, True), (["public"], 500, True), (["public"], 200, True), (["max-age=60"], 200, False), ([("Expires", EXPIRES)], 200, False), (["no-cache"], 200, False), (["no-store"], 200, False), ([], 500, False), (["must-revalidate"], 500, False)],
)  # fmt: skip
def test_a_cache_makes_up_a_lifetime_only_where_none_is_named(headers, status, allowed):
    assert allowed is decide(*headers, status=status).heuristic_allowed


def test_the_next_request_comes_at_once_when_nothing_else_is_said():
    decision = judge(HttpRequest(URL), HttpResponse(200, (("Cache-Control", "max-age=1"),), START), HttpRequest(URL))
    assert (0, "hit") == (decision.age, decision.reuse)


def test_where_date_and_age_disagree_the_reason_names_both():
    old = ("Date", "Wed, 31 Dec 2025 23:58:20 GMT")
    decision = judge(
        HttpRequest(URL), HttpResponse(200, (old, ("Cache-Control", "max-age=60")), START), HttpRequest(URL), after=1
    )
    assert "stale: 101 s (by Date; 1 s by Age) old of 60 s, RFC 9111 4.2" == decision.why_reuse


EDGES = [
    ({"edge": "cloudflare/shop"}, ("cloudflare-cdn-cache-control", "cdn-cache-control")),
    ({"edge": "fastly/shop"}, ("surrogate-control",)),
    ({"edge": "varnish/shop"}, ()),
    ({}, ()),
    ({"edge": "varnish/shop", "targeted_fields": ["CDN-Cache-Control"]}, ("cdn-cache-control",)),
    ({"edge": "cloudflare/shop", "targeted_fields": []}, ()),
]


@pytest.mark.parametrize(("said", "fields"), EDGES)
def test_an_edge_obeys_the_fields_that_the_site_file_names_or_its_maker_documents(said, fields):
    assert fields == targeted_of(site(**said))


@pytest.mark.parametrize(("first", "seconds"), [("max-age=1", 1), ("max-age = 1", 600)])
def test_the_first_targeted_field_that_can_be_read_counts(first, seconds):
    fields = targeted_of(site(edge="cloudflare/shop"))
    seen = exchange(cache_control="no-store", cloudflare_cdn_cache_control=first, cdn_cache_control="max-age=600")
    assert (True, seconds, 0) == (storable(seen, targeted=fields).yes, lifetime(seen, targeted=fields), lifetime(seen))
