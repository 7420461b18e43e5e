"""Which requests a purge is made of, and which purges are refused."""

import pytest

from blocks.akamai import Akamai
from blocks.azure_front_door import AzureFrontDoor
from blocks.bunny import Bunny
from blocks.cloudflare import Cloudflare
from blocks.cloudfront import CloudFront
from blocks.google_cdn import GoogleCDN
from blocks.netlify import Netlify
from blocks.nginx import Nginx
from blocks.squid import Squid
from blocks.traffic_server import TrafficServer
from blocks.varnish import Varnish
from roundsman.purge.rules.plan import BROWSERS, MAX_URLS, PurgeRequest, plan_purge, unguarded_request
from tests.make import site

BASE = "http://example.test"
SHOP = site({"examples": {"cached": ["/a", "/a/b", "/a/B", "/a/b?x=1"]}})


def powers(edge, name="edge/shop"):
    return edge.powers(name)


VARNISH = powers(Varnish(nodes=["http://one:81", "http://two:81"]))
NGINX = powers(Nginx(nodes=["http://one:81"]), "nginx/shop")
CLOUDFLARE = powers(Cloudflare(zone="abc", token="x"), "cloudflare/shop")
CLOUDFRONT = powers(CloudFront(distribution="E1", access_key_id="x", secret_access_key="x"), "cloudfront/shop")
BUNNY = powers(Bunny(zone="1", token="x"), "bunny/shop")
AKAMAI = powers(Akamai(api="https://a.example", client_token="x", client_secret="x", access_token="x"), "akamai/shop")
NETLIFY = powers(Netlify(site="s", token="x"), "netlify/shop")
TAGGED = powers(Netlify(site="s", token="x", route_tag="page:{path}"), "netlify/shop")
GOOGLE = powers(GoogleCDN(project="p", url_map="m", token="x"), "google-cdn/shop")
AZURE = powers(AzureFrontDoor(subscription="s", resource_group="r", profile="p", endpoint="e", token="x"), "azure/shop")


def plan(*tiers, shop=SHOP, **asked):
    return plan_purge(shop, PurgeRequest(**{"routes": ("/a/b",), **asked}), tiers or (VARNISH,))


def lines(planned):
    assert planned.refusals == ()
    return [str(order) for order in planned.orders]


def test_each_node_is_asked_for_each_url():
    assert lines(plan(routes=("/a", "/a/b"))) == [
        "edge/shop at http://one:81: purge by url: http://example.test/a",
        "edge/shop at http://one:81: purge by url: http://example.test/a/b",
        "edge/shop at http://two:81: purge by url: http://example.test/a",
        "edge/shop at http://two:81: purge by url: http://example.test/a/b",
    ]


def test_a_vendor_s_api_is_asked_in_batches_and_a_url_twice_is_one():
    planned = plan(CLOUDFLARE, routes=(*(f"/a/{number}" for number in range(140)), f"{BASE}/a/1"), max_urls=140)
    assert [100, 40] == [len(order.items) for order in planned.orders]
    assert {""} == {order.node for order in planned.orders}
    assert planned.settles_within == 5.0


def test_keys_come_after_urls_and_softly_where_it_is_wished():
    [*_, last] = lines(plan(keys=("article-1", "article-2"), soft=True))
    assert last == "edge/shop at http://two:81: soft purge by surrogate key: article-1, article-2"


def test_the_query_and_the_letters_of_a_route_stay_as_they_were_written():
    planned = plan(routes=("/a/../B//%C3%a9?b=1&a=", "HTTP://EXAMPLE.test/a/X", "/%61/é"))
    assert (f"{BASE}/a/../B//%C3%a9?b=1&a=", f"{BASE}/a/X", f"{BASE}/%61/é") == planned.urls


def test_shields_are_purged_before_edges_and_the_origin_s_side_first():
    """Or an edge fetches the old copy from its shield again."""
    own = powers(Varnish(nodes=["http://edge:81"], shields=["http://shield:81"]), "varnish/shop")
    planned = plan(own, CLOUDFLARE)
    assert [
        ("varnish/shop", "http://shield:81", 0),
        ("varnish/shop", "http://edge:81", 1),
        ("cloudflare/shop", "", 2),
    ] == [(order.edge, order.node, order.tier) for order in planned.orders]


def test_both_ends_of_a_redirect_are_purged():
    """A purge of the address that redirects leaves the page that it leads to."""
    planned = plan(routes=("/a/old",), redirects={"/a/old": "/a/new", f"{BASE}/a/new": "b"})
    assert (f"{BASE}/a/old", f"{BASE}/a/new", f"{BASE}/a/b") == planned.urls


def test_redirects_in_a_circle_end():
    planned = plan(routes=("/a/x",), redirects={"/a/x": "/a/y", "/a/y": "/a/x"})
    assert (f"{BASE}/a/x", f"{BASE}/a/y") == planned.urls


@pytest.mark.parametrize("to", ["/a/new#comments", "new#a*b", f"{BASE}/a/new#", "#comments"])
def test_a_fragment_of_a_redirect_is_no_part_of_what_is_purged(to):
    """RFC 9110 section 10.2.2: a Location may have one, and no request has."""
    planned = plan(CLOUDFRONT, routes=("/a/old",), redirects={"/a/old": to})
    assert planned.refusals == ()
    assert planned.urls == ((f"{BASE}/a/old",) if to == "#comments" else (f"{BASE}/a/old", f"{BASE}/a/new"))
    assert not [note for note in planned.notes if "another site" in note]


def test_a_permalink_with_a_fragment_is_a_wish_for_its_page():
    planned = plan(CLOUDFRONT, routes=("/a/b#comment-7", f"{BASE}/a/b?x=1#end", "/a/b#comment-8"))
    assert planned.refusals == ()
    assert (f"{BASE}/a/b", f"{BASE}/a/b?x=1") == planned.urls


def test_a_redirect_to_another_site_is_told_and_not_purged():
    planned = plan(redirects={"/a/b": "https://elsewhere.example/a"})
    assert (f"{BASE}/a/b",) == planned.urls
    assert f"{BASE}/a/b: leads to https://elsewhere.example/a, which is another site and is not purged" in planned.notes


@pytest.mark.parametrize(
    ("cache", "values", "wanted"),
    [
        ({}, {}, [{"accept-encoding": value} for value in (*BROWSERS[1:], "identity", "")]),
        ({"vary": []}, {}, [{}]),
        ({"vary": ["Accept-Language"]}, {"accept-language": ["de", "en"]}, [{"accept-language": "de"}, {"accept-language": "en"}, {"accept-language": ""}]),
        ({"vary": []}, {"X-Device": ["phone"]}, [{"x-device": "phone"}, {"x-device": ""}]),
        ({"vary": ["x-device"]}, {"X-Device": ["phone"]}, [{"x-device": "phone"}, {"x-device": ""}]),
    ],
)  # fmt: skip
def test_every_variant_is_purged_where_the_edge_drops_one_at_a_time(cache, values, wanted):
    """The plain ones last: one of them is likely the first one stored, and hides the others once it is gone."""
    shop = site({"cache": {"by": "everyone", **cache}})
    planned = plan(NGINX, shop=shop, values=values)
    assert wanted == [dict(order.headers) for order in planned.orders]
    assert planned.rounds == (len(wanted) + 1 if len(wanted) > 1 else 1)


def test_encodings_that_the_rule_names_are_purged_too_and_variants_multiply():
    shop = site({"cache": {"by": "everyone", "vary": ["accept-language"], "encodings": ["gzip"]}})
    planned = plan(powers(Squid(nodes=["http://one:81"])), shop=shop, values={"accept-language": ["de", "en"]})
    assert 3 * (len(BROWSERS) + 1) == len(planned.orders)


def test_a_program_s_own_purge_is_not_held_up_by_the_guards_of_one_by_hand():
    """Nor by a URL that no rule speaks of, whose variants are those of browsers."""
    many = [f"/a/{number}" for number in range(MAX_URLS + 1)]
    assert MAX_URLS + 1 == len(lines(plan_purge(SHOP, unguarded_request(many), (VARNISH,)))) / 2
    assert 2 == len(lines(plan_purge(SHOP, unguarded_request(["/a/b", "/b"]), (GOOGLE,))))
    assert len(BROWSERS) + 1 == len(lines(plan_purge(SHOP, unguarded_request(["/b"]), (NGINX,))))
    assert "wanted a route without `*`" in str(plan_purge(SHOP, unguarded_request(["/a/*"]), (VARNISH,)).refusals[0])


def test_an_edge_that_drops_all_variants_is_asked_once():
    assert [()] == [order.headers for order in plan(powers(TrafficServer(nodes=["http://one:81"]))).orders]


def test_a_request_has_the_key_of_what_it_does_in_this_run():
    """The same again is a repetition; another run, node, route or edge is not."""
    keys = [order.key for order in plan(run="1").orders]
    assert keys == [order.key for order in plan(run="1").orders]
    others = [
        plan(run="2"),
        plan(run="1", routes=("/a",)),
        plan(run="1", soft=True),
        plan(powers(Varnish(), "b/c"), run="1"),
    ]
    assert 2 + 7 == len({*keys, *(order.key for other in others for order in other.orders)})


def test_a_planned_order_is_one_that_a_block_takes():
    [order] = plan(powers(Varnish(nodes=["http://one:81"]))).orders
    assert ("edge/shop", 0) == (order.edge, order.tier)
    asked = Varnish(nodes=["http://one:81"]).request(order)
    assert ("PURGE", "http://one:81/a/b") == (asked.method, str(asked.url))


@pytest.mark.parametrize("route", ["", "*", "/*", "/**", "everything", "all", "#top", "/*#top"])
def test_everything_is_refused(route):
    planned = plan(routes=("/a", route))
    assert planned.orders == ()
    assert "a whole site is not purged here; name its routes" in str(planned.refusals[0])


@pytest.mark.parametrize(
    ("edge", "asked", "says"),
    [
        (VARNISH, {"routes": ()}, "saw no routes and no keys"),
        (VARNISH, {"routes": ("/a/*",)}, "wildcards take more than they say"),
        (VARNISH, {"routes": ("/a/b?x=*",)}, "wildcards take more than they say"),
        (VARNISH, {"routes": ("example.test/a",)}, "a prefix, a host or another site is not purged here"),
        (VARNISH, {"routes": ("example.test",)}, "a prefix, a host or another site is not purged here"),
        (VARNISH, {"routes": ("http://example.test.evil.example/a",)}, "another site is not purged here"),
        (VARNISH, {"routes": ("https://example.test/a",)}, "another site is not purged here"),
        (VARNISH, {"routes": ("/elsewhere",)}, "correct the route, or add a rule for it"),
        (VARNISH, {"redirects": {"/a/b": "/elsewhere"}}, "'http://example.test/elsewhere', where http://example.test/a/b leads"),
        (VARNISH, {"routes": ("/a b", "/a")}, "saw '/a b', wanted a route that a rule"),
        (VARNISH, {"routes": ("/a/b c",)}, "one exact url, without `*`, blanks"),
        (VARNISH, {"keys": ("everything",)}, "saw the key 'everything', wanted a surrogate key"),
        (VARNISH, {"keys": ("a*",)}, "saw 'a*' for edge/shop, wanted one exact surrogate key"),
        (VARNISH, {"keys": ("a,b",)}, "one surrogate key without a comma"),
        (VARNISH, {"accept": frozenset({"everything"})}, "saw accept: everything, wanted one of case, query"),
        (NGINX, {"keys": ("article-1",)}, "an edge that can purge by surrogate key; it can purge by url"),
        (NGINX, {"soft": True}, "saw a soft purge by url at nginx/shop (nginx), wanted a hard one"),
        (AKAMAI, {"keys": ("type:article",)}, "saw 'type:article' for akamai/shop, wanted a tag as Akamai takes it: at most 128 bytes, letters, digits"),
        (NETLIFY, {}, "saw 'http://example.test/a/b' for netlify/shop (Netlify), wanted an edge that can purge by url; it can purge by surrogate key, everything; tag every page with its path"),
        (TAGGED, {}, "netlify/shop (Netlify), which does not tell case or query apart"),
        (TAGGED, {"routes": ("/a/" + "b" * 1024,), "accept": frozenset({"case", "query"})}, "wanted a tag as Netlify takes it: at most 1024 bytes"),
        (GOOGLE, {"routes": ("/a/b?x=1",), "accept": frozenset({"query"})}, "a URL without its query"),
    ],
)  # fmt: skip
def test_what_could_drop_more_than_was_named_is_refused(edge, asked, says):
    """With what was seen, what was wanted and what to do, and nothing is sent for the good routes beside it."""
    planned = plan(edge, **asked)
    assert says in "\n".join(map(str, planned.refusals))
    assert planned.orders == ()


def test_more_urls_than_the_guard_allows_are_refused_and_redirects_count():
    routes = tuple(f"/a/{number}" for number in range(MAX_URLS))
    assert plan(routes=routes).refusals == ()
    planned = plan(routes=routes, redirects={"/a/1": "/a/other"})
    assert "saw 101 URLs, wanted at most 100; purge in parts, or raise the guard on purpose" == str(planned.refusals[0])
    assert plan(routes=routes, redirects={"/a/1": "/a/other"}, max_urls=101).refusals == ()
    assert "saw 101 keys" in str(plan(routes=(), keys=tuple(map(str, range(101)))).refusals[0])


@pytest.mark.parametrize(
    ("edge", "gone", "accept"),
    [
        (AZURE, "http://example.test/a/B, http://example.test/a/b?x=1, every spelling of them in upper and lower case, every query of these paths", {"case", "query"}),
        (GOOGLE, "http://example.test/a/b?x=1, every query of these paths", {"query"}),
    ],
)  # fmt: skip
def test_an_edge_that_would_take_neighbours_is_refused_and_says_which(edge, gone, accept):
    """Only who accepts that by its name gets the purge, and then these are no neighbours to watch."""
    planned = plan(edge)
    [refusal] = planned.refusals
    assert f"these go as well: {gone}; accept {', '.join(sorted(accept))} if they may go" in str(refusal)
    assert plan(edge, accept=frozenset({"case"})).orders == ()
    accepted = plan(edge, accept=frozenset(accept))
    assert accepted.refusals == ()
    assert {f"{BASE}/a/b"} == {item for order in accepted.orders for item in order.items}
    assert f"{BASE}/a/b?x=1" in accepted.expected


def test_a_blind_edge_behind_a_seeing_one_still_counts():
    """Every edge in the way is held against the request."""
    assert plan(VARNISH, AZURE).orders == ()


def test_values_that_nobody_said_are_not_guessed():
    """A page that varies on a language would keep a copy in each that is not purged."""
    shop = site({"cache": {"by": "everyone", "vary": ["accept-language"]}})
    [refusal] = plan(NGINX, shop=shop).refusals
    assert "of which there is a copy for each accept-language" in str(refusal)
    assert plan(VARNISH, shop=shop).refusals == ()


def test_no_edge_is_a_refusal():
    assert "add `edge: TYPE/NAME` to the site" in str(plan_purge(SHOP, PurgeRequest(("/a",)), ()).refusals[0])


@pytest.mark.parametrize(
    ("edge", "cache", "note"),
    [
        (VARNISH, {"by": "nobody"}, "its rule says that no shared cache keeps it"),
        (VARNISH, {"by": "everyone", "browser_ttl": "<=5m"}, "browsers that have it keep it up to 5m; no purge reaches them"),
        (VARNISH, {"by": "everyone", "browser_ttl": ">=1h"}, "keep it for as long as its header says"),
        (VARNISH, {"by": "everyone", "key": {"apart": ["host www.example.test"]}}, "the copy under www.example.test is another one, and stays"),
        (CLOUDFRONT, {"by": "everyone"}, "cloudfront/shop: the same path goes from every host of it"),
        (BUNNY, {"by": "everyone"}, "bunny/shop: one copy answers every query of a path, and goes (set `queries_apart`"),
        (NGINX, {"by": "everyone"}, "look after each round, and purge again what is still old"),
    ],
)  # fmt: skip
def test_a_plan_tells_what_no_request_can_change(edge, cache, note):
    shop = site({"cache": cache, "examples": {"not_cached": ["/a"]}})
    assert [told for told in plan(edge, shop=shop).notes if note in told]


@pytest.mark.parametrize("route", ["/a/", "/a/deep/"])
def test_a_page_with_a_slash_at_its_end_is_purged_at_bunny_with_its_queries(route):
    """`exactPath` is sent, and a zone that ignores queries has one copy for all of them, so that nothing else goes."""
    shop = site({"examples": {"cached": [route, f"{route}?x=1", f"{route}below"]}})
    planned = plan(BUNNY, shop=shop, routes=(route,))
    assert [f"bunny/shop: purge by url: {BASE}{route}"] == lines(planned)
    assert (f"{BASE}{route}?x=1",) == planned.expected
    assert () == plan(powers(Bunny(zone="1", token="x", queries_apart=True)), shop=shop, routes=(route,)).expected


def test_a_plain_plan_has_nothing_to_tell():
    assert () == plan(VARNISH).notes
