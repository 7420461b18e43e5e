"""Where the proof of a purge looks."""

import pytest

from blocks.azure_front_door import AzureFrontDoor
from blocks.nginx import Nginx
from blocks.varnish import Varnish
from roundsman.purge.rules.plan import PurgeRequest, plan_purge
from roundsman.purge.rules.proof import (
    MAX_NEIGHBOURS,
    USUAL_CODINGS,
    View,
    ViewKind,
    scene,
    servers,
    unasked,
    without_unkept,
)
from roundsman.report.rules.exchange import Probe
from tests.make import exchange, hit, miss, site

BASE = "http://example.test"
FAR = {"name": "far", "paths": ["/far"], "examples": {"cached": ["/far"]}}
VARNISH = Varnish().powers("varnish/shop")
NGINX = Nginx().powers("nginx/shop")
AZURE = AzureFrontDoor(subscription="s", resource_group="r", profile="p", endpoint="e", token="x")


def shop(*others, base=None, **rule):
    return site(
        {"examples": {"cached": ["/a", "/a/b", "/a/c", "/a/d"]}, **rule}, *others, edge="varnish/shop", **(base or {})
    )


def seen_in(place, tiers=(VARNISH,), routes=("/a/b",), seen=None, **asked):
    planned = plan_purge(place, PurgeRequest(routes, **asked), tiers)
    assert planned.refusals == ()
    return scene(place, planned, tiers, seen or {}, "n")


def kinds(found):
    return {(view.kind, view.path) for view in found.others}


def test_a_page_has_neighbours_of_every_kind_and_a_far_control():
    assert {
        (ViewKind.SIBLING, "/a"),
        (ViewKind.SIBLING, "/a/c"),
        (ViewKind.QUERY, "/a/b?roundsman=n"),
        (ViewKind.CHILD, "/a/b/roundsman-n"),
        (ViewKind.CASE, "/a/B"),
        (ViewKind.SLASH, "/a/b/"),
        (ViewKind.CONTROL, "/far"),
    } == kinds(seen_in(shop(FAR)))


def test_a_path_with_a_query_or_a_slash_keeps_what_it_has():
    wanted = {"/a/x/?p=1&roundsman=n", "/a/x/roundsman-n", "/a/x?p=1"}
    found = kinds(seen_in(shop(), routes=("/a/x/?p=1",)))
    assert wanted == {path for kind, path in found if kind in {ViewKind.QUERY, ViewKind.CHILD, ViewKind.SLASH}}
    assert not any(kind is ViewKind.CASE for kind, _ in found)


def test_another_name_of_the_site_is_asked_at_its_own_address():
    found = seen_in(shop(cache={"by": "everyone", "key": {"apart": ["host m.example.test"]}}))
    [alias] = [view for view in found.others if view.kind is ViewKind.ALIAS]
    assert ("http://m.example.test/a/b", "example.test:80") == (alias.url, alias.node)


def test_what_the_rule_calls_the_same_copy_is_no_neighbour():
    found = kinds(seen_in(shop(cache={"by": "everyone", "key": {"same": ["case", "slash"]}})))
    assert {ViewKind.SIBLING, ViewKind.QUERY, ViewKind.CHILD} == {kind for kind, _ in found}


def test_what_the_vendor_takes_along_by_its_own_word_is_no_neighbour():
    """Neither another query nor another spelling, and no example that is one."""
    azure = AZURE.powers("azure-front-door/shop")
    place = shop(examples={"cached": ["/a/b", "/a/B", "/a/b?x=1", "/a/c"]})
    found = kinds(seen_in(place, (azure,), accept=frozenset({"case", "query"})))
    assert {(ViewKind.SIBLING, "/a/c"), (ViewKind.CHILD, "/a/b/roundsman-n"), (ViewKind.SLASH, "/a/b/")} == found


def test_a_target_is_nobody_s_neighbour_and_neighbours_are_few():
    """Each target in turn gets one, until there are enough."""
    routes = tuple(f"/a/{number}x" for number in range(15))
    found = seen_in(shop(), routes=(*routes, "/a", "/a/b"))
    assert not {view.url for view in found.others} & {view.url for view in found.targets}
    assert len(found.others) == MAX_NEIGHBOURS
    assert {view.of for view in found.others} == {f"{BASE}{route}" for route in (*routes, "/a", "/a/b")}


def test_a_control_is_of_another_rule_than_every_target():
    far = {**FAR, "examples": {"cached": ["/far", "/far2"]}, "paths": ["/far", "/far2"]}
    assert not any(kind is ViewKind.CONTROL for kind, _ in kinds(seen_in(shop(far), routes=("/a", "/far"))))


@pytest.mark.parametrize(
    ("nodes", "base", "wanted"),
    [
        ([], {}, ("",)),
        (["http://10.0.0.1:81", "http://10.0.0.2"], {}, ("", "10.0.0.1:81", "10.0.0.2:80")),
        (["http://example.test"], {}, ("example.test:80",)),
        (["http://10.0.0.1"], {"servers": ["http://10.0.0.9"]}, ("", "10.0.0.9:80")),
        (["http://10.0.0.1", "https://10.0.0.2"], {"base_url": "https://example.test"}, ("", "10.0.0.2:443")),
    ],
)
def test_every_server_is_asked_by_name_and_by_address(nodes, base, wanted):
    """One that speaks another scheme than the site answers another question."""
    place = (
        site(edge="varnish/shop", **base)
        if "base_url" not in base
        else site(edge="varnish/shop").model_copy(update=base)
    )
    tiers = (Varnish(nodes=nodes).powers("varnish/shop"),)
    assert wanted == servers(place, tiers)
    assert unasked(place, tiers) == (("http://10.0.0.1",) if "base_url" in base else ())


def variants(found):
    return [dict(view.headers) for view in found.targets]


def test_declared_variants_are_looked_at_each():
    place = shop(
        cache={"by": "everyone", "encodings": ["identity", "br"]},
        purge={"canary": "/a", "variants": {"Accept-Language": ["de", "en"]}},
    )
    assert [
        {"accept-language": "de", "accept-encoding": "identity"},
        {"accept-language": "de", "accept-encoding": "br"},
        {"accept-language": "en", "accept-encoding": "identity"},
        {"accept-language": "en", "accept-encoding": "br"},
    ] == variants(seen_in(place))


def test_where_one_variant_is_purged_at_a_time_each_is_looked_at_if_answers_differ():
    same = {f"{BASE}/a/b": [exchange("/a/b")]}
    differing = {f"{BASE}/a/b": [exchange("/a/b", vary="Accept-Encoding")]}
    assert [{}] == variants(seen_in(shop(), (NGINX,), seen=same))
    assert 7 == len(variants(seen_in(shop(), (NGINX,), seen=differing)))


@pytest.mark.parametrize(
    ("vary", "unlooked"), [("Accept-Encoding", ()), ("Accept-Language, X-B", ("accept-language", "x-b")), ("*", ())]
)
def test_headers_of_which_no_values_are_named_are_told(vary, unlooked):
    seen = {f"{BASE}/a/b": [exchange("/a/b", vary=vary)]}
    assert {f"{BASE}/a/b": unlooked} == seen_in(shop(), seen=seen).unlooked


def test_a_view_is_a_plain_request_of_its_variant():
    """With the coding where the prober says it."""
    view = View(f"{BASE}/a", "/a", ViewKind.TARGET, "", (("Accept-Encoding", "br"), ("accept-language", "de")), "n1:80")
    wanted = Probe(f"{BASE}/a", (("accept-language", "de"),), accept_encoding="br", node="n1:80", keep_body=True)
    assert wanted == view.probe
    assert "n1:80, Accept-Encoding: br, accept-language: de" == view.which
    bare = View(f"{BASE}/a", "/a", ViewKind.TARGET, "", (("accept-encoding", ""), ("accept-language", "")))
    assert (Probe(f"{BASE}/a", accept_encoding="", keep_body=True), "accept-encoding: none, accept-language: none") == (
        bare.probe,
        bare.which,
    )


def codings(found):
    return [dict(view.headers).get("accept-encoding") for view in found.targets]


CODINGS = [
    ({}, {"vary": "Accept-Encoding"}, list(USUAL_CODINGS)),
    ({}, {}, [None]),
    ({"cache": {"by": "everyone", "encodings": ["gzip"]}}, {"vary": "Accept-Encoding"}, ["gzip"]),
    ({"purge": {"canary": "/a", "variants": {"accept-encoding": ["br"]}}}, {"vary": "Accept-Encoding"}, ["br"]),
]


@pytest.mark.parametrize(("rule", "headers", "wanted"), CODINGS)
def test_each_usual_coding_of_a_page_that_varies_by_it_is_looked_at(rule, headers, wanted):
    assert wanted == codings(seen_in(shop(**rule), seen={f"{BASE}/a/b": [exchange("/a/b", **headers)]}))


def test_a_coding_that_nobody_promised_and_the_edge_does_not_keep_is_left_out():
    place = shop()
    found = seen_in(place, seen={f"{BASE}/a/b": [exchange("/a/b", vary="Accept-Encoding")]})
    gzip, brotli, identity = found.targets
    warm = {gzip: [miss(), miss()], brotli: [miss(), miss()], identity: [miss(), hit(), hit()]}
    assert ["gzip", "identity"] == codings(without_unkept(place, found, warm))
    promised = shop(cache={"by": "everyone", "encodings": ["gzip", "br", "identity"]})
    assert 3 == len(without_unkept(promised, found, warm).targets)
