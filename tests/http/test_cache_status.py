"""Whose word counts for what a cache did, and what the ambiguous ones mean."""

from dataclasses import replace

import pytest

from roundsman.http import cache_status
from roundsman.http.cache_states import HIT, MISS, Tier
from roundsman.http.cache_status import CacheReport, CacheState, OriginContacted, cache_state, read
from roundsman.report.rules.exchange import TELLING, Phases
from roundsman.report.rules.redaction import exchange_json
from tests.make import exchange


def heard(edge="", status_header="", **headers):
    seen = exchange(**headers)
    return read(replace(seen, probe=replace(seen.probe, edge=edge, status_header=status_header)))


def said(state, contacted, *layers, node="", header=""):
    """What was told; one layer is the state itself."""
    state, contacted = CacheState(state), OriginContacted(contacted)
    tiers = layers or (Tier(state, contacted),)
    return CacheReport(state, contacted, node, tiers, header, header if state.from_store else "")


NOBODY = CacheReport(CacheState.UNKNOWN, OriginContacted.UNKNOWN)
EVERYBODY = {
    "cache_status": "shield; hit",
    "cf_cache_status": "DYNAMIC",
    "x_vercel_cache": "STALE",
    "cdn_cache": "EXPIRED",
    "x_cache_status": "BYPASS",
    "x_cache": "MISS",
    "x_varnish": "32776 32774",
    "via": "http/1.1 ats (ApacheTrafficServer/9.2 [uScSsNfUpSeN:t cCSp sS])",
    "server_timing": "cdn-cache; desc=MISS",
    "age": "7",
}
FIRST = [
    ("cloudflare", "cf-cache-status", "DYNAMIC"),
    ("vercel", "x-vercel-cache", "STALE"),
    ("bunny", "cdn-cache", "EXPIRED"),
    ("nginx", "x-cache-status", "BYPASS"),
    ("keycdn", "x-cache", "MISS"),
    ("fastly", "x-cache", "MISS"),
    ("squid", "x-cache", "MISS"),
    ("varnish", "x-varnish", "HIT"),
    ("traffic-server", "via", "REVALIDATED"),
    ("demo-edge", "cache-status", "HIT"),
    ("", "cache-status", "HIT"),
    ("an edge of tomorrow", "cache-status", "HIT"),
]


@pytest.mark.parametrize(("edge", "header", "state"), FIRST)
def test_the_sites_own_edge_is_the_outermost_layer(edge, header, state):
    found = heard(edge, **EVERYBODY)
    assert (header, state) == (found.header, found.layers[0].state)


def test_an_edge_that_says_nothing_leaves_the_word_to_others():
    assert said("MISS", "yes", header="x-cache") == heard("cloudflare", x_cache="MISS")


BY_RANK = ["cache-status", "cf-cache-status", "x-vercel-cache", "cdn-cache", "x-cache-status", "x-varnish", "via"]


def test_without_an_edge_the_most_exact_header_is_status_layout():
    headers, order = dict(EVERYBODY), []
    del headers["x_cache"]
    while (found := heard(**headers)).header:
        order.append(found.header)
        del headers[found.header.replace("-", "_")]
    assert [*BY_RANK, "server-timing", "age"] == order


UNMISTAKABLE = [
    ({"x_cache": "HIT", "x_azure_ref": "20261101T0000Z-r1"}, "HIT", ""),
    ({"x_cache": "Hit from cloudfront", "x_amz_cf_pop": "AMS1-C1"}, "HIT", "AMS1-C1"),
    ({"x_cache": "HIT", "x_served_by": "cache-lhr1-LHR, cache-ams2-AMS"}, "HIT", "cache-ams2-AMS"),
    ({"x_cache": "TCP_HIT from a2-16.example.net (AkamaiGHost/11) (-)"}, "HIT", "a2-16.example.net"),
    ({"x_cache": "TCP_REMOTE_HIT", "x_azure_ref": "20261101T0000Z-r1"}, "HIT", ""),
]


@pytest.mark.parametrize(("headers", "state", "node"), UNMISTAKABLE)
def test_a_cdn_that_cannot_be_mistaken_outranks_the_server_behind_it(headers, state, node):
    assert said(state, "no", node=node, header="x-cache") == heard(**headers, x_cache_status="MISS")


@pytest.mark.parametrize("value", ["HIT", "hit", " Hit "])
def test_a_header_that_the_site_names_is_heard_before_all_others(value):
    found = heard("cloudflare", "X-Front", **EVERYBODY, x_front=value)
    assert said("HIT", "no", header="x-front") == found


#: https://www.fastly.com/documentation/reference/vcl/variables/miscellaneous/fastly-info-state/
FASTLY_STATES = [
    ("NONE", "UNKNOWN", "unknown"),
    ("HIT", "HIT", "no"),
    ("HIT-CLUSTER", "HIT", "no"),
    ("HIT-WAIT", "HIT", "no"),
    ("HIT-WAIT-CLUSTER", "HIT", "no"),
    ("HIT-REMOTE", "HIT", "no"),
    ("HIT-STALE", "STALE", "background"),
    ("HIT-STALE-CLUSTER", "STALE", "background"),
    ("HIT-SYNTH", "DYNAMIC", "no"),
    ("HITPASS", "BYPASS", "yes"),
    ("MISS", "MISS", "yes"),
    ("MISS-CLUSTER", "MISS", "yes"),
    ("MISS-WAIT", "MISS", "yes"),
    ("HIT-REFRESH", "REVALIDATED", "yes"),
    ("MISS-CLUSTER-REFRESH", "REVALIDATED", "yes"),
    ("PASS", "BYPASS", "yes"),
    ("PASS-CLUSTER", "BYPASS", "yes"),
    ("UPGRADE", "DYNAMIC", "yes"),
    ("ERROR", "DYNAMIC", "unknown"),
    ("ERROR-LOSTHDR", "DYNAMIC", "unknown"),
    ("BG-ERROR-PASS", "STALE", "tried"),
    ("HIT-TOMORROW", "UNKNOWN", "unknown"),
]


@pytest.mark.parametrize(("word", "state", "contacted"), FASTLY_STATES)
def test_every_state_of_fastly_is_read_behind_the_header_of_a_site_s_own_vcl(word, state, contacted):
    """With the suffixes that say how a server of the data centre came by its answer."""
    for named in (word, word.lower()):
        found = heard("fastly", "X-State", x_state=named)
        assert (state, contacted) == (found.state, found.origin_contacted)
        written = heard("fastly", x_cache=named)
        assert (state, contacted) == (written.state, written.origin_contacted)


def test_a_named_header_that_is_absent_or_says_nothing_is_passed_over():
    assert said("MISS", "yes", header="x-cache") == heard("", "X-Front", x_cache="MISS")
    assert said("MISS", "yes", header="x-cache") == heard("", "X-Front", x_cache="MISS", x_front="what?")


def test_a_named_header_of_a_known_kind_is_read_as_that_kind():
    assert CacheState.HIT is heard("", "X-Varnish", x_varnish="32776 32774").state
    found = heard("cloudflare", "Cache-Status", cache_status="b; fwd=miss", cf_cache_status="HIT")
    assert (MISS, HIT) == found.layers


AMBIGUOUS = [
    # Vercel made the page anew; for others the copy was confirmed.
    ({"x_vercel_cache": "REVALIDATED"}, "EXPIRED", "yes"),
    ({"cf_cache_status": "REVALIDATED"}, "REVALIDATED", "yes"),
    ({"x_cache_status": "REVALIDATED"}, "REVALIDATED", "yes"),
    # Cloudflare could not reach the origin; nginx fetches behind the visitor's back.
    ({"cf_cache_status": "STALE"}, "STALE", "tried"),
    ({"cf_cache_status": "UPDATING"}, "STALE", "background"),
    ({"x_cache_status": "STALE"}, "STALE", "background"),
    ({"x_cache_status": "UPDATING"}, "STALE", "background"),
    ({"x_vercel_cache": "STALE"}, "STALE", "background"),
    # Traffic Server asked the origin and sent what it got; Akamai got nothing better.
    ({"x_cache": "hit-stale"}, "EXPIRED", "yes"),
    ({"x_cache": "hit-stale", "via": "http/1.1 ats (A/9 [uScSsNfUpSeN:t cCSp sS])"}, "REVALIDATED", "yes"),
    ({"x_cache": "hit-stale", "via": "http/1.1 ats (A/9 [uScSsSfUpSeN:t cCSp sS])"}, "EXPIRED", "yes"),
    ({"akamai_cache_status": "HitStale from child"}, "STALE", "tried"),
    # Squid calls a copy that was just confirmed a HIT; its age is then 0.
    ({"x_cache": "HIT from s", "x_cache_lookup": "HIT from s:80", "age": "3"}, "HIT", "no"),
    ({"x_cache": "HIT from s", "x_cache_lookup": "HIT from s:80", "age": "0"}, "HIT", "unknown"),
    ({"x_cache": "MISS from s", "x_cache_lookup": "HIT from s:80"}, "EXPIRED", "yes"),
    ({"x_cache": "MISS from s", "x_cache_lookup": "MISS from s:80"}, "MISS", "yes"),
    ({"x_cache": "MISS from s", "x_cache_lookup": "NONE from s:80"}, "UNKNOWN", "unknown"),
    ({"x_cache": "NONE from s", "x_cache_lookup": "NONE from s:80"}, "UNKNOWN", "unknown"),
    # A redirect or a function's answer is no copy, and neither is a refusal.
    ({"x_cache": "Redirect from cloudfront"}, "DYNAMIC", "no"),
    ({"x_cache": "Error from cloudfront"}, "UNKNOWN", "unknown"),
    ({"x_cache": "CapacityExceeded from cloudfront"}, "UNKNOWN", "no"),
    ({"x_cache": "OriginShieldHit from cloudfront"}, "HIT", "no"),
    ({"x_cache": "N/A", "x_azure_ref": "x"}, "UNKNOWN", "no"),
    ({"x_cache": "CONFIG_NOCACHE", "x_azure_ref": "x"}, "BYPASS", "yes"),
    ({"x_cache": "TCP_MISS from a", "x_check_cacheable": "NO"}, "DYNAMIC", "yes"),
    ({"x_cache": "TCP_MISS from a", "x_check_cacheable": "YES"}, "MISS", "yes"),
    ({"x_cache": "TCP_HIT from a", "x_check_cacheable": "NO"}, "HIT", "no"),
    ({"x_cache": "TCP_REFRESH_FAIL_HIT from a"}, "STALE", "tried"),
    ({"x_cache": "TCP_COOKIE_DENY from a"}, "UNKNOWN", "no"),
    ({"perma_cache": "HIT"}, "UNKNOWN", "unknown"),
    ({"x_cache": "TCP_CF_HIT from a"}, "HIT", "no"),
    ({"x_cache": "TCP_ASYNC_MISS from a"}, "MISS", "yes"),
    ({"akamai_cache_status": "NotCacheable from child"}, "DYNAMIC", "yes"),
    ({"akamai_cache_status": "Constructed from child"}, "DYNAMIC", "no"),
    # VCL knows a pass from a miss, and a graced copy is still a stored one.
    ({"x_cache": "pass uncacheable", "x_varnish": "32776"}, "BYPASS", "yes"),
    ({"x_cache": "HIT", "x_varnish": "32776"}, "MISS", "yes"),
    # Fastly's own word for it, where it is written out.
    ({"x_cache": "HIT-STALE", "x_served_by": "cache-ams2-AMS"}, "STALE", "background"),
    ({"x_cache": "skipped"}, "BYPASS", "yes"),
    ({"x_cache": "none"}, "UNKNOWN", "unknown"),
    ({"cdn_cache_status": "uncacheable", "via": "1.1 google"}, "DYNAMIC", "yes"),
    ({"cdn_cache_status": "disabled", "via": "1.1 google"}, "BYPASS", "yes"),
    ({"cdn_cache_status": "fetch, miss, hit"}, "HIT", "no"),
    ({"x_proxy_cache": "EXPIRED"}, "EXPIRED", "yes"),
    ({"x_cache_status": ""}, "UNKNOWN", "unknown"),
    ({"x_cache": "MISS TCP_REFRESH_MISS"}, "EXPIRED", "yes"),
    ({"x_cache": "HIT TCP_MEM_HIT dirn:-2:-2"}, "HIT", "no"),
    ({"x_cache": "HIT TCP_REFRESH_HIT dirn:10:1"}, "REVALIDATED", "yes"),
    ({"x_cache": "HIT-GRACE"}, "STALE", "background"),
    ({"x_cache": "a word of tomorrow"}, "UNKNOWN", "unknown"),
    ({"via": "1.1 google", "age": "0"}, "UNKNOWN", "unknown"),
    ({"age": ["3", "0"]}, "HIT", "no"),
    ({"age": ["0", "3"]}, "UNKNOWN", "unknown"),
    ({"age": "many"}, "UNKNOWN", "unknown"),
]


@pytest.mark.parametrize(("headers", "state", "contacted"), AMBIGUOUS)
def test_a_word_means_what_its_vendor_means(headers, state, contacted):
    found = heard(**headers)
    assert (state, contacted) == (found.state, found.origin_contacted)


LETTERS = [
    ("cHs f ", "HIT", "no"),
    ("cRs f ", "HIT", "no"),
    ("uIcHs f p eN:t cCNp s ", "HIT", "no"),
    ("cHsNfU", "HIT", "yes"),
    ("uScMsSfWpSeN:t cCMp sS", "MISS", "yes"),
    ("uScAsSfWpSeN:t cCMp sS", "MISS", "yes"),
    ("uScSsNfUpSeN:t cCSp sS", "REVALIDATED", "yes"),
    ("uScSsSfUpSeN:t cCSp sS", "EXPIRED", "yes"),
    ("uScSsEf pSeC:t cCSp sF", "STALE", "tried"),
    ("uSc sSf pSeN:t c  p sS", "BYPASS", "yes"),
    ("uSc s f p eN:t c  p s ", "UNKNOWN", "no"),
    ("uEc s f p eF:t c  p s ", "UNKNOWN", "no"),
]


@pytest.mark.parametrize(("letters", "state", "contacted"), LETTERS)
def test_the_letters_of_traffic_server_are_read_in_pairs(letters, state, contacted):
    value = f"1.1 inner (squid/5), http/1.1 edge-1[5f0c-uuid] (ApacheTrafficServer/9.2.9 [{letters}])"
    expected = said(state, contacted, node="edge-1[5f0c-uuid]", header="via")
    assert expected == heard("traffic-server", via=value) == heard(via=value)


TIERS = [
    ({"x_cache": "MISS, HIT"}, "HIT", "no", "MISS HIT"),
    ({"x_cache": "HIT, MISS"}, "HIT", "no", "HIT MISS"),
    ({"x_cache": ["MISS", "MISS"]}, "MISS", "yes", "MISS MISS"),
    ({"x_cache": "MISS, HIT, MISS"}, "HIT", "no", "MISS HIT MISS"),
    # What lies behind the edge, which is history once the edge has a copy of its own.
    ({"cdn_cache": "MISS", "perma_cache": "HIT"}, "HIT", "no", "HIT MISS"),
    ({"cdn_cache": "EXPIRED", "perma_cache": "MISS"}, "EXPIRED", "yes", "MISS EXPIRED"),
    ({"cdn_cache": "HIT", "perma_cache": "MISS"}, "HIT", "no", "HIT"),
    ({"x_cache": "TCP_MISS from a", "x_cache_remote": "TCP_HIT from b"}, "HIT", "no", "HIT MISS"),
    ({"x_cache": "TCP_HIT from a", "x_cache_remote": "TCP_MISS from b"}, "HIT", "no", "MISS HIT"),
    ({"akamai_cache_status": "Miss from child, Hit from parent"}, "HIT", "no", "HIT MISS"),
    ({"akamai_cache_status": "Hit from child, Miss from parent"}, "HIT", "no", "MISS HIT"),
    ({"x_varnish": "163970 163969, 6"}, "HIT", "no", "HIT MISS"),
    ({"x_varnish": "163976, 26 25"}, "HIT", "no", "MISS HIT"),
    ({"fastly_debug_ttl": "(M cache-ams1-AMS - - 9) (H cache-lhr2-LHR 1.0 60.0 9) "}, "HIT", "no", "HIT MISS"),
    ({"fastly_debug_ttl": "H cache-jfk1026-JFK 41733294.335 864000.000 2273"}, "HIT", "no", "HIT"),
    # The edge asked the shield whether its copy still holds, and the shield had one.
    ({"cache_status": "shield; hit, edge; fwd=stale; fwd-status=304"}, "REVALIDATED", "no", "HIT REVALIDATED"),
    ({"cache_status": "shield; fwd=miss, edge; fwd=stale; fwd-status=304"}, "REVALIDATED", "yes", "MISS REVALIDATED"),
    ({"cache_status": "shield; hit; ttl=-3, edge; fwd=bypass"}, "STALE", "no", "STALE BYPASS"),
    ({"cache_status": "shield; fwd=bypass, edge; fwd=miss"}, "MISS", "yes", "BYPASS MISS"),
    ({"cache_status": "shield; hit, edge; hit; ttl=-3"}, "STALE", "no", "HIT STALE"),
    ({"x_cache": "HIT, synth"}, "DYNAMIC", "no", "HIT DYNAMIC"),
    ({"via": "a (A [cHs f ]), b (A [cMsSfW])"}, "HIT", "no", "HIT MISS"),
    ({"via": "a (A [cMsSfW]), b (A [cHs f ])"}, "HIT", "no", "MISS HIT"),
    ({"x_cache": "what, HIT"}, "HIT", "no", "UNKNOWN HIT"),
    ({"x_cache": "HIT, what"}, "HIT", "no", "HIT UNKNOWN"),
]


@pytest.mark.parametrize(("headers", "state", "contacted", "layers"), TIERS)
def test_a_copy_in_any_tier_is_a_copy_unless_it_is_history(headers, state, contacted, layers):
    found = heard(**headers)
    seen = " ".join(layer.state for layer in reversed(found.layers))
    assert (state, contacted, layers) == (found.state, found.origin_contacted, seen)


STACKED = [
    # A host's own cache behind a CDN that keeps nothing.
    ({"cf_cache_status": "DYNAMIC", "x_vercel_cache": "HIT", "age": "128"}, "HIT", "DYNAMIC HIT", "x-vercel-cache"),
    ({"cf_cache_status": "BYPASS", "cache_status": '"Netlify Edge"; hit'}, "HIT", "HIT", "cache-status"),
    ({"x_cache": "MISS", "x_served_by": "cache-ams2-AMS", "x_proxy_cache": "HIT"}, "HIT", "MISS HIT", "x-proxy-cache"),
    ({"cf_cache_status": "MISS", "x_cache_status": "STALE"}, "STALE", "MISS STALE", "x-cache-status"),
    ({"cf_cache_status": "MISS", "x_cache_status": "MISS"}, "MISS", "MISS MISS", ""),
    ({"cf_cache_status": "EXPIRED", "x_cache_status": "BYPASS"}, "EXPIRED", "EXPIRED BYPASS", ""),
    # What lay behind is history once the edge has a copy.
    ({"cf_cache_status": "HIT", "x_vercel_cache": "MISS"}, "HIT", "HIT", "cf-cache-status"),
    ({"cf_cache_status": "HIT", "x_vercel_cache": "HIT", "age": "9"}, "HIT", "HIT", "cf-cache-status"),
    # Age alone shows a cache that says nothing.
    (
        {"x_cache": "Miss from cloudfront", "via": "1.1 a (CloudFront), 1.1 b (CloudFront)", "age": "68309"},
        "HIT",
        "MISS HIT",
        "age",
    ),
    ({"x_cache": "Error from cloudfront", "age": "260"}, "HIT", "UNKNOWN HIT", "age"),
    ({"cf_cache_status": "DYNAMIC", "age": "82"}, "HIT", "DYNAMIC HIT", "age"),
    ({"cf_cache_status": "MISS", "age": "82, 0"}, "HIT", "MISS HIT", "age"),
    ({"cf_cache_status": "MISS", "age": "9" * 400}, "HIT", "MISS HIT", "age"),
    ({"cf_cache_status": "MISS", "age": "0"}, "MISS", "MISS", ""),
    ({"cf_cache_status": "MISS", "age": "-82"}, "MISS", "MISS", ""),
    ({"x_cache": "synth", "age": "82"}, "DYNAMIC", "DYNAMIC", ""),
]


@pytest.mark.parametrize(("headers", "state", "layers", "held_by"), STACKED)
def test_a_cache_behind_a_cache_is_heard_and_named(headers, state, layers, held_by):
    found = heard(**headers)
    assert (state, layers, held_by) == (found.state, " ".join(one.state for one in found.layers), found.held_by)


OF_HOSTS = [
    # A copy that LiteSpeed keeps for one visitor is no shared one.
    ({"x_litespeed_cache": "hit"}, "HIT", "no"),
    ({"x_litespeed_cache": "hit,private"}, "DYNAMIC", "no"),
    ({"x_litespeed_cache": "hit, litemage"}, "HIT", "no"),
    ({"x_litespeed_cache": "miss"}, "MISS", "yes"),
    ({"x_litespeed_cache": "bkd"}, "DYNAMIC", "yes"),
    ({"x_litespeed_cache": "no-vary"}, "UNKNOWN", "unknown"),
    ({"x_lsadc_cache": "hit,private"}, "DYNAMIC", "no"),
    ({"x_qc_cache": "hit"}, "HIT", "no"),
    ({"x_kinsta_cache": "HIT"}, "HIT", "no"),
    ({"x_kinsta_cache": "BYPASS"}, "BYPASS", "yes"),
    ({"ki_cf_cache_status": "SAVING"}, "MISS", "yes"),
    ({"x_sucuri_cache": "EXPIRED"}, "EXPIRED", "yes"),
    # Each layer at Tencent adds a word, the origin's side first; the edge names whom it asked.
    ({"x_cache_lookup": "Cache Hit"}, "HIT", "no"),
    ({"x_cache_lookup": "Cache Miss"}, "MISS", "yes"),
    ({"x_cache_lookup": "Hit From MemCache"}, "HIT", "no"),
    ({"x_cache_lookup": "Hit From Disktank3, Hit From Inner Cluster"}, "HIT", "no"),
    ({"x_cache_lookup": ["Cache Miss", "Hit From Inner Cluster"]}, "MISS", "yes"),
    ({"x_cache_lookup": "Hit From Inner Cluster"}, "HIT", "no"),
    ({"x_cache_lookup": "Hit From Upstream, Cache Miss, Hit From Inner Cluster"}, "MISS", "yes"),
    ({"x_cache": "Cache Hit", "x_cache_lookup": "Cache Hit"}, "HIT", "no"),
    ({"eo_cache_status": "RefreshHit"}, "REVALIDATED", "yes"),
    ({"eo_cache_status": "Cache Hit"}, "HIT", "no"),
    ({"x_hcs_proxy_type": "1"}, "HIT", "no"),
    ({"x_hcs_proxy_type": "0", "x_ccdn_cachettl": "0"}, "MISS", "yes"),
    ({"x_bdcdn_cache_status": "TCP_MISS,TCP_MISS"}, "MISS", "yes"),
    ({"x_qnm_cache": "Hit"}, "HIT", "no"),
    ({"x_qnm_cache": "RawProxy"}, "BYPASS", "yes"),
    ({"x_iinfo": "9-49176764-0 0CNN RT(1426425483129 667) q(0 -1 -1 -1) r(0 -1)"}, "HIT", "no"),
    ({"x_iinfo": "4-152072-152074 PVNN RT(1415979066955 4498) q(0 0 0 -1) r(2 2)"}, "REVALIDATED", "yes"),
    ({"x_iinfo": "5-152772522-152772614 SNNN RT(1513979929 0)"}, "MISS", "yes"),
    ({"x_iinfo": "what?"}, "UNKNOWN", "unknown"),
    ({"x_77_cache": "HIT", "x_cache": "HIT", "x_77_age": "10"}, "HIT", "no"),
    ({"cache": "HIT", "x_id": "m9-up-e245"}, "HIT", "no"),
    ({"x_hcdn_cache_status": "DYNAMIC"}, "DYNAMIC", "yes"),
    ({"ddg_cache_status": "MISS"}, "MISS", "yes"),
    ({"x_gocache_cachestatus": "BYPASS"}, "BYPASS", "yes"),
    ({"x_cdn_cache_status": "HIT"}, "HIT", "no"),
    ({"s_cache": "HIT"}, "HIT", "no"),
    ({"ar_cache": "BYPASS"}, "BYPASS", "yes"),
    ({"x_ec_cache": "TCP_MISS from ECAcc (lac/55B8)", "x_ec_cache_remote": "TCP_HIT from ECAcc (ns/1)"}, "HIT", "no"),
    ({"x_gateway_cache_status": "HIT"}, "HIT", "no"),
    ({"x_fastly_cache_status": "HIT-STALE-CLUSTER"}, "STALE", "background"),
    ({"x_fastly_cache_status": "PASS", "x_cache": "MISS", "x_served_by": "cache-ams2-AMS"}, "MISS", "yes"),
    ({"x_hs_cf_cache_status": "REVALIDATED"}, "REVALIDATED", "yes"),
    ({"section_io_cache": "Miss"}, "MISS", "yes"),
    ({"fly_cache_status": "HIT"}, "HIT", "no"),
    ({"x_platform_cache": "BYPASS"}, "BYPASS", "yes"),
    ({"x_runcloud_cache": "HIT"}, "HIT", "no"),
    ({"x_srcache_fetch_status": "BYPASS"}, "BYPASS", "yes"),
    # A server's name and no word behind it says nothing.
    ({"x_ac": "3.dca_atomic_dca STALE"}, "STALE", "background"),
    ({"x_ac": "3.sea _atomic_bur MISS"}, "MISS", "yes"),
    ({"x_ac": "3.dfw _atomic_dfw"}, "UNKNOWN", "unknown"),
    ({"x_nc": "HIT ord 2"}, "HIT", "no"),
    ({"x_nananana": "Batcache-Hit"}, "HIT", "no"),
    ({"x_nananana": "Batcache-Set"}, "MISS", "yes"),
    ({"wp_super_cache": "Served supercache file from PHP"}, "HIT", "no"),
    ({"wpo_cache_status": "cached"}, "HIT", "no"),
    ({"wpo_cache_status": "saving to cache"}, "MISS", "yes"),
    ({"x_rocket_nginx_serving_static": "Yes"}, "HIT", "no"),
    ({"x_nitro_cache": "HIT"}, "HIT", "no"),
    ({"x_magento_cache_debug": "HIT-GRACE"}, "STALE", "background"),
    ({"x_magento_cache_debug": "UNCACHEABLE"}, "DYNAMIC", "yes"),
    ({"x_magento_cache_debug": "MISS"}, "MISS", "yes"),
    ({"x_nextjs_cache": "STALE"}, "STALE", "background"),
    ({"x_nextjs_cache": "REVALIDATED"}, "EXPIRED", "yes"),
    ({"x_opennext_cache": "HIT"}, "HIT", "no"),
    # What the dynamic page cache keeps is filled in for each visitor.
    ({"x_drupal_cache": "HIT", "x_drupal_dynamic_cache": "MISS"}, "HIT", "no"),
    ({"x_drupal_cache": "UNCACHEABLE (request policy)"}, "DYNAMIC", "yes"),
    ({"x_drupal_dynamic_cache": "HIT"}, "DYNAMIC", "yes"),
    ({"x_symfony_cache": "GET /a?b=1: miss, store; GET /menu: fresh"}, "MISS", "yes"),
    ({"x_symfony_cache": "GET /a: stale, valid, store"}, "REVALIDATED", "yes"),
    ({"x_symfony_cache": "stale/invalid/store"}, "EXPIRED", "yes"),
    ({"x_rack_cache": "fresh"}, "HIT", "no"),
    ({"x_rack_cache": "invalidate, pass"}, "BYPASS", "yes"),
    ({"x_rack_cache": "stale, stale-if-error"}, "STALE", "tried"),
    ({"x_rack_cache": "what?"}, "UNKNOWN", "unknown"),
    ({"x_discourse_cached": "true"}, "HIT", "no"),
    ({"x_discourse_cached": "store"}, "MISS", "yes"),
    ({"x_discourse_cached": "skip"}, "BYPASS", "yes"),
    ({"x_cache_detail": '"conditional cache hit: entity refreshed" from host'}, "REVALIDATED", "yes"),
    ({"x_cache_detail": '"cache hit" from host'}, "HIT", "no"),
    ({"x_cache_detail": '"cache miss: attempting entity save" from host'}, "MISS", "yes"),
    ({"x_cache": "REVALIDATE from host", "x_cache_detail": '"conditional cache hit: entity refreshed" from host'}, "REVALIDATED", "yes"),
    ({"x_cache": "HIT: 5"}, "HIT", "no"),
    # Wikimedia's servers before their words, and how often they used the copy behind them.
    ({"x_cache": "cp3066 miss, cp3067 hit/6"}, "HIT", "no"),
    ({"x_cache": "cp1053 hit(7), cp3039 miss(0)"}, "HIT", "no"),
    ({"x_cache": "cp3066 miss, cp3067 pass"}, "BYPASS", "yes"),
    ({"x_cache_status": "hit-front"}, "HIT", "no"),
    ({"x_cache_status": "int-front"}, "DYNAMIC", "no"),
    # Names and words that speak for themselves, where nobody else does.
    ({"x_acme_cache": "HIT"}, "HIT", "no"),
    ({"x_acme_cache_status": "miss; 3 ms"}, "MISS", "yes"),
    ({"x_cache_action": "HIT", "x_cache_hits": "295"}, "HIT", "no"),
    ({"x_acme_cache": "0f3c"}, "UNKNOWN", "unknown"),
    ({"x_object_cache": "HIT"}, "UNKNOWN", "unknown"),
    ({"x_acme_cache": "HIT", "x_cache": "MISS"}, "MISS", "yes"),
    ({"x_cache_hits": "3"}, "HIT", "no"),
    ({"x_cache_hits": "0, 2"}, "HIT", "no"),
    ({"x_cache_hits": "0"}, "MISS", "yes"),
    ({"x_cache_hits": "many"}, "UNKNOWN", "unknown"),
    ({"x_cache_hits": "9", "x_cache": "MISS"}, "MISS", "yes"),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "state", "contacted"), OF_HOSTS)
def test_a_host_or_content_system_is_read_in_its_own_words(headers, state, contacted):
    found = heard(**headers)
    assert (state, contacted) == (found.state, found.origin_contacted)


IN_LAYERS = [
    ({"cf_cache_status": "DYNAMIC", "x_kinsta_cache": "HIT", "x_drupal_cache": "MISS"}, "DYNAMIC HIT"),
    ({"cf_cache_status": "DYNAMIC", "x_litespeed_cache": "hit,private"}, "DYNAMIC DYNAMIC"),
    ({"x_hcdn_cache_status": "MISS", "x_litespeed_cache": "miss", "wpo_cache_status": "cached"}, "MISS MISS HIT"),
    ({"x_cache": "Miss from cloudfront", "x_nextjs_cache": "HIT"}, "MISS HIT"),
    ({"x_cache": "MISS", "x_served_by": "cache-ams2-AMS", "fly_cache_status": "HIT"}, "MISS HIT"),
    ({"x_cache": "MISS TCP_MISS dirn:-2:-2", "x_qnm_cache": "Hit"}, "MISS HIT"),
    ({"x_ac": "3.dca_atomic_dca MISS", "x_nananana": "Batcache-Hit"}, "MISS HIT"),
    ({"x_sucuri_cache": "HIT", "x_litespeed_cache": "miss"}, "HIT"),
    ({"eo_cache_status": "MISS", "x_vercel_cache": "HIT"}, "MISS HIT"),
    # Two headers of one cache are one layer.
    ({"x_77_cache": "MISS", "x_cache": "MISS"}, "MISS"),
    ({"x_drupal_cache": "MISS", "x_drupal_dynamic_cache": "MISS"}, "MISS"),
    ({"x_cache": "MISS from a", "x_cache_detail": '"cache miss: attempting entity save" from a'}, "MISS"),
    ({"x_varnish": "3", "x_varnish_cache": "MISS"}, "MISS"),
]


@pytest.mark.parametrize(("headers", "layers"), IN_LAYERS)
def test_a_cdn_is_outside_of_a_host_and_a_host_outside_of_its_content_system(headers, layers):
    assert layers == " ".join(layer.state for layer in heard(**headers).layers)


KINDS = [
    ({"eo_cache_status": "MISS", "x_vercel_id": "fra1::x"}, ("edgeone", "vercel")),
    ({"server": "Sucuri/Cloudproxy"}, ("sucuri",)),
    ({"cf_ray": "1-AMS", "x_kinsta_cache": "HIT"}, ("cloudflare", "kinsta")),
    ({"x_iinfo": "1-2-3 0CNN RT(1 2)"}, ("imperva",)),
    ({"server": "hcdn", "x_litespeed_cache": "hit"}, ("hostinger", "litespeed")),
    ({"x_ac": "3.dfw _atomic_dfw"}, ("wordpress-com",)),
    ({"x_nws_log_uuid": "1"}, ("tencent",)),
    ({"eagleid": "1"}, ("alibaba",)),
    ({"server": "nginx"}, ()),
]


@pytest.mark.parametrize(("headers", "kinds"), KINDS)
def test_headers_give_the_kind_of_edge_away(headers, kinds):
    assert kinds == cache_status.edges(exchange(**headers))


@pytest.mark.parametrize(("age", "state"), [("0", "MISS"), ("4", "MISS"), ("5", "HIT")])
def test_an_age_that_a_slow_answer_explains_shows_no_cache(age, state):
    """A cache may count the time that its own question took."""
    assert state == read(replace(exchange(cf_cache_status="MISS", age=age), phases=Phases(total=3.5))).state


def test_an_edge_that_writes_first_does_not_turn_varnish_around():
    """Two Varnishes whose VCL puts the edge's word before the shield's; the numbers still have the edge last."""
    found = heard("varnish", x_cache="HIT, MISS", x_varnish="163970, 6 5")
    assert said("HIT", "no", HIT, MISS, header="x-varnish") == found


def test_a_very_long_chain_of_tiers_is_read_like_a_short_one():
    assert CacheState.HIT is heard(x_cache="HIT" + ", MISS" * 20_000).state


FIELDS = [
    ("demo; hit", "HIT", "no"),
    ("Souin; hit; ttl=59; key=GET-https-x-/p?x=1; detail=DEFAULT", "HIT", "no"),
    ("Souin; hit; ttl=-2; key=GET-https-x-/p?x=1; detail=DEFAULT; fwd=stale", "STALE", "background"),
    ("Souin; fwd=uri-miss; stored; key=GET-https-x-/p,q?x=1", "MISS", "yes"),
    ('"Netlify Durable"; hit; ttl=90, "Netlify Edge"; fwd=miss', "HIT", "no"),
    ('"Netlify Edge"; fwd=stale', "EXPIRED", "yes"),
    ("10.0.0.1;hit", "HIT", "no"),
    ("Edge; HIT", "HIT", "no"),
    ("edge ; Fwd = Bypass", "BYPASS", "yes"),
    ("edge; hit,", "HIT", "no"),
    ('"a,b;hit;c"; fwd=miss; key="x, y; hit"; É', "MISS", "yes"),
    ("nginx;hit;detail=UPDATING", "STALE", "background"),
    ("nginx;hit;detail=REVALIDATED", "REVALIDATED", "yes"),
    ("squid;hit;detail=match", "HIT", "no"),
    ("squid;hit;detail=miss", "HIT", "no"),
    ("edge; fwd=partial", "MISS", "yes"),
    ("edge; fwd=method", "BYPASS", "yes"),
    ("edge; fwd=request", "BYPASS", "yes"),
    ("edge; fwd=stale; fwd-status=200", "EXPIRED", "yes"),
    ("edge; fwd=tomorrow", "MISS", "yes"),
    ("edge; hit=?0", "MISS", "yes"),
    ("edge; hit=false; fwd=bypass", "BYPASS", "yes"),
    ("HIT", "HIT", "no"),
    ("expired", "EXPIRED", "yes"),
    ("MISS, HIT", "HIT", "no"),
    ("HIT, MISS", "HIT", "no"),
    ("edge; ttl=5", "UNKNOWN", "unknown"),
    ("edge", "UNKNOWN", "unknown"),
    (";", "UNKNOWN", "unknown"),
    (",;hit", "UNKNOWN", "unknown"),
    ("", "UNKNOWN", "unknown"),
]


@pytest.mark.parametrize(("value", "state", "contacted"), FIELDS)
def test_cache_status_is_read_even_where_it_is_no_structured_field(value, state, contacted):
    found = heard(cache_status=value)
    assert (state, contacted) == (found.state, found.origin_contacted)


def test_the_node_of_cache_status_is_the_last_cache_that_says_something():
    assert "edge 7" == heard(cache_status='shield; fwd=miss, "edge 7"; hit, signature').node


NODES = [
    ({"cf_cache_status": "HIT", "cf_ray": "8a1f00c0ffee-AMS"}, "AMS"),
    ({"cf_cache_status": "HIT", "cf_ray": "8a1f00c0ffee"}, ""),
    ({"x_vercel_cache": "HIT", "x_vercel_id": "fra1::iad1::b7xkq-17"}, "fra1"),
    ({"cdn_cache": "HIT", "server": "BunnyCDN-DE1-755"}, "DE1-755"),
    ({"x_cache": "HIT", "x_edge_location": " nlam "}, "nlam"),
    ({"cdn_cache_status": "hit", "": "a header without a name"}, ""),
    ({"x_cache": "MISS from inner-1, HIT from child-3", "x_cache_lookup": "x"}, "child-3"),
    ({"fastly_debug_ttl": "(H cache-ams1-AMS - - 9) (M cache-lhr2-LHR - - 9)"}, "cache-ams1-AMS"),
    ({"server_timing": "cdn-cache-refresh, cdn-pop;desc=X", "x_amz_cf_pop": "AMS1-C1"}, "AMS1-C1"),
]


@pytest.mark.parametrize(("headers", "node"), NODES)
def test_the_node_that_answered_is_named_where_a_vendor_names_it(headers, node):
    assert node == heard(**headers).node


TIMINGS = [
    ("cdn-cache; desc=HIT, edge; dur=1", "HIT"),
    ('edge;dur=1, cfCacheStatus;desc="EXPIRED"', "EXPIRED"),
    ('cache;desc="hit-front", host;desc="cp3066"', "HIT"),
    ("cdn-cache-hit,cdn-pop;desc=AMS", "HIT"),
    ("cdn-cache-miss", "MISS"),
    ("db;dur=3, cache;dur=2", "UNKNOWN"),
    ("uncached;desc=HIT", "UNKNOWN"),
]


@pytest.mark.parametrize(("value", "state"), TIMINGS)
def test_a_timing_counts_when_it_speaks_of_the_cache(value, state):
    assert state == heard(server_timing=value).state


def test_what_differs_from_answer_to_answer_does_not_make_a_new_shape():
    """Each would else be read from scratch, which costs twenty times as much."""
    cache_status._summary.cache_clear()
    for number in range(10, 60):
        told_by = {"age": str(number), "x_varnish": f"{number} {number - 1}", "cf_ray": f"8a{number}-AMS"}
        heard(
            **told_by,
            cache_status=f"edge; hit; ttl={number}",
            x_azure_ref=str(number),
            server_timing=f"db;dur={number}",
            via=f"cache{number}.l2hk1[0,304-0,H], cache9.de1[{number},0]",
            x_cache=f"HIT TCP_MEM_HIT dirn:{number}:1 mlen:{number}, cp{6} hit/{number}, HIT: {number}",
            x_cache_hits=f"{number}, 0",
            x_iinfo=f"9-{number}-0 0CNN RT({number} 667)",
            x_symfony_cache=f"GET /{number}: miss, store; GET /menu/{number}: fresh",
            x_acme_cache=f"HIT; {number} ms",
        )
    assert 1 == cache_status._summary.cache_info().misses


def test_the_headers_that_explain_a_state_are_kept_as_evidence():
    # An application writes what it likes there, or the addresses that it asked itself for.
    assert {"server-timing", "x-symfony-cache"} == set(cache_status._STATUS_HEADERS) - TELLING
    seen = exchange(x_front="HIT", x_true_cache_key="/a?token=secret", cache_tag="user-7", server_timing="u;desc=ada")
    named = replace(seen, probe=replace(seen.probe, status_header="X-Front"))
    assert [["x-front", "HIT"]] == exchange_json(named)["headers"]
    assert [] == exchange_json(seen)["headers"]
    risky = exchange(set_cookie="sid=secret")
    assert "secret" not in str(exchange_json(replace(risky, probe=replace(risky.probe, status_header="Set-Cookie"))))


def test_an_edge_that_says_nothing_may_have_had_the_copy_that_age_shows():
    assert "HIT (age)" == cache_status.in_words(exchange(x_cache="Error from cloudfront", age="260"))
    assert "HIT behind MISS (age)" == cache_status.in_words(exchange(x_cache="Miss from cloudfront", age="260"))


def test_the_state_alone_is_the_state_that_was_summary():
    seen = exchange(x_cache="HIT")
    assert cache_state(seen) is read(seen).state is CacheState.HIT
    assert NOBODY == read(exchange())
