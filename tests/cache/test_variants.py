"""Codings, Vary, validators and HEAD."""

from dataclasses import replace

import pytest

from roundsman.cache.rules.variants import findings, steps
from tests.make import exchange, hit, site

CODED = {"cache": {"by": "everyone", "encodings": ["identity", "gzip", "br"]}}
LONG = b"page" * 500
CONFIRMED = {"conditional": [hit(status=304)]}


def troubles(rule, seen, extra):
    shop = site(rule)
    return {
        one.claim.removeprefix("cache-headers/"): (one.outcome.value, one.saw)
        for one in findings(shop.rules[0], seen, extra)
        if one.outcome != "pass"
    }


def coded(coding="", body=LONG, **more):
    headers = {"content_encoding": coding} if coding else {}
    return hit(body=body, vary="Accept-Encoding", last_modified="Thu", **{**headers, **more})


ASKED = [
    ({}, hit(), [("HEAD", "gzip", ())]),
    ({}, hit(etag='W/"1"', last_modified="Thu"), [("HEAD", "gzip", ()), ("GET", "gzip", (("If-None-Match", 'W/"1"'),))]),
    ({}, hit(last_modified="Thu"), [("HEAD", "gzip", ()), ("GET", "gzip", (("If-Modified-Since", "Thu"),))]),
    ({}, hit(etag='"a\x01b"'), [("HEAD", "gzip", ())]),
    ({"status": 404}, hit(etag='"1"', status=404), [("HEAD", "gzip", ())]),
    (CODED, hit(), [("HEAD", "gzip", ()), ("GET", "identity", ()), ("GET", "gzip", ()), ("GET", "br", ())]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "last", "wanted"), ASKED)
def test_one_head_one_conditional_request_and_each_promised_coding(rule, last, wanted):
    shop = site(rule)
    made = [
        (one.probe.method, one.probe.accept_encoding, one.probe.headers)
        for one in steps(shop, shop.rules[0], "/a", last)
    ]
    assert wanted == made


PLAIN = [coded("gzip"), coded("gzip")]
THREE = {"identity": coded(), "gzip": coded("gzip"), "br": coded("br")}
CODINGS = [
    ({}, {}),
    ({"identity": coded("gzip")}, {"encoding": ("fail", "asked for identity, got gzip")}),
    ({"br": coded("gzip")}, {"encoding": ("fail", "asked for br, got gzip")}),
    ({"br": coded("br", LONG[:-1])}, {"encoding": ("fail", "asked for br, got br with other content than in gzip (HIT)")}),
    ({"identity": coded(status=404)}, {"encoding": ("fail", "asked for identity, got identity with other content than in gzip (HIT)")}),
    ({"br": replace(exchange(error="protocol"), detail="the body cannot be decompressed: Error")}, {"encoding": ("fail", "asked for br: the body cannot be decompressed: Error")}),
    ({"br": exchange(error="protocol")}, {"encoding": ("unknown", "asked for br: no answer: protocol it was")}),
    ({"br": exchange(error="timeout")}, {"encoding": ("unknown", "asked for br: no answer: timeout it was")}),
    ({"br": hit(status=503)}, {"encoding": ("unknown", "asked for br: 503")}),
    ({"br": coded()}, {"compressed": ("warn", "identity, 0 bytes for 2000")}),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "wanted"), CODINGS)
def test_each_coding_brings_the_same_page_and_nobody_gets_one_that_they_can_not_read(changed, wanted):
    extra = {coding: [answer] for coding, answer in {**THREE, **changed}.items()}
    assert wanted == troubles(CODED, PLAIN, extra | CONFIRMED)


def test_a_small_page_need_not_be_compressed():
    extra = {coding: [coded(body=b"small")] for coding in THREE}
    assert {} == troubles(CODED, [coded(body=b"small")], extra | CONFIRMED)


VARY = [
    ({}, [hit(vary="Accept-Encoding")], {}),
    ({}, [hit()], {}),
    ({}, [hit(vary="*")], {"vary-any": ("fail", "Vary: *")}),
    ({}, [hit(vary="Accept, *")], {"vary-any": ("fail", "Vary: *")}),
    ({}, [hit(vary="Cookie")], {"vary-sane": ("warn", "Vary: cookie")}),
    ({}, [hit(vary="User-Agent, Origin")], {"vary-sane": ("warn", "Vary: origin; Vary: user-agent")}),
    ({}, [hit(vary="Accept-Language")], {"vary-sane": ("warn", "Vary: accept-language")}),
    ({"cache": {"by": "everyone", "vary": ["accept-language"]}}, [hit(vary="Accept-Language")], {}),
    ({}, [hit(content_encoding="gzip")], {"vary-sane": ("warn", "gzip without Vary: Accept-Encoding")}),
    ({}, [hit(content_encoding="gzip", vary="accept-encoding")], {}),
    ({}, [hit(vary="Accept"), hit(vary="Accept, Accept-Encoding")], {}),
    ({}, [hit(vary="Accept"), hit()], {"vary-sane": ("warn", "Vary differs: accept against nothing")}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "seen", "wanted"), VARY)
def test_a_vary_that_no_cache_can_use_is_found(rule, seen, wanted):
    assert wanted == troubles(rule, seen, {})


def test_a_vary_that_differs_from_coding_to_coding_is_found():
    extra = {
        "identity": [coded()],
        "gzip": [coded("gzip")],
        "br": [replace(coded("br"), headers=(("content-encoding", "br"), ("vary", "accept-encoding, origin")))],
    }
    assert {"vary-sane": ("warn", "Vary: origin; Vary differs: nothing against origin")} == troubles(CODED, PLAIN, extra | CONFIRMED)  # fmt: skip


TAGS = [
    ('"1"', '"1"', "one strong ETag for gzip, identity"),
    ('"1"', '"1-gzip"', None),
    ('W/"1"', 'W/"1"', None),
    ('"1"', 'W/"1"', None),
]


@pytest.mark.parametrize(("identity", "gzip", "wanted"), TAGS)
def test_two_codings_do_not_share_a_strong_etag(identity, gzip, wanted):
    extra = {"identity": [coded(etag=identity)], "gzip": [coded("gzip", etag=gzip)]}
    seen = [coded("gzip", etag=gzip)]
    found = troubles(CODED, seen, extra | {"conditional": [coded("gzip", status=304, etag=gzip)], "head": seen})
    assert ({} if wanted is None else {"etag-by-encoding": ("warn", wanted)}) == found


LAST = hit(etag='"1"', content_type="text/html", content_length="4")
CONDITIONAL = [
    (LAST, [hit(status=304, etag='"1"')], {}),
    (LAST, [hit(status=304)], {"not-modified": ("warn", "304 without etag")}),
    (LAST, [exchange(status=304, etag='"1"')], {"not-modified": ("warn", "304 without cache-control")}),
    (hit(etag='"1"', vary="x-part"), [hit(status=304, etag='"1"')], {"not-modified": ("warn", "304 without vary")}),
    (hit(etag='"1"', vary="Accept-Encoding"), [hit(status=304, etag='"1"')], {}),
    (LAST, [hit(status=304, etag='"1"', cache_control="public, max-age=86400")], {"not-modified": ("warn", "304 with public, max-age=86400, where the 200 has public, max-age=600")}),
    (LAST, [hit(status=304, etag='"1"', cache_control="no-cache")], {"not-modified": ("warn", "304 with no-cache, where the 200 has public, max-age=600")}),
    (LAST, [hit(status=304, etag='"1"', cache_control="max-age=570, public")], {}),
    (LAST, [hit(status=304, etag='W/"1"')], {}),
    (LAST, [hit(etag='"1"')], {"validator": ("warn", "200 to If-None-Match")}),
    (LAST, [hit(etag='"2"')], {"validator": ("warn", "200 to If-None-Match, with another ETag")}),
    (LAST, [hit(status=304, etag='"2"')], {"validator": ("warn", "304 to If-None-Match, with another ETag")}),
    (LAST, [hit(status=502)], {"validator": ("unknown", "502")}),
    (hit(last_modified="Thu"), [hit(status=200)], {"validator": ("warn", "200 to If-Modified-Since")}),
    (hit(), [], {"validator": ("warn", "no ETag and no Last-Modified")}),
]  # fmt: skip


@pytest.mark.parametrize(("last", "conditional", "wanted"), CONDITIONAL)
def test_who_has_a_copy_is_told_that_it_is_still_good(last, conditional, wanted):
    assert wanted == troubles({}, [last], {"conditional": conditional, "head": [last]})


def test_a_page_that_is_no_200_needs_no_validator():
    assert {} == troubles({"status": 404}, [hit(status=404)], {"head": [hit(status=404)]})


HEAD = [
    (LAST, {}),
    (hit(content_type="text/html"), {}),
    (replace(LAST, headers=(*LAST.headers, ("age", "5"))), {}),
    (hit(cache_control="no-store", content_type="text/html"), {"head": ("warn", "another cache-control")}),
    (hit(cache_control="", content_type="text/html"), {"head": ("warn", "another cache-control")}),
    (hit(etag='"2"'), {"head": ("warn", "another content-type, etag")}),
    (hit(content_type="text/html", content_length="0"), {"head": ("warn", "another content-length")}),
    (hit(status=405), {"head": ("warn", "405 where GET got 200")}),
    (hit(status=500), {"head": ("warn", "500")}),
    (exchange(error="reset"), {"head": ("unknown", "no answer: reset it was")}),
]  # fmt: skip


@pytest.mark.parametrize(("head", "wanted"), HEAD)
def test_head_says_what_get_says(head, wanted):
    assert wanted == troubles({}, [LAST], {"head": [head], "conditional": [hit(status=304, etag='"1"')]})
