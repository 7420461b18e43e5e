"""What the cache-header check says of real caches."""

import itertools

import pytest

from flows.tasks.cache import examine, look_again
from roundsman.cache.rules.judge import judge_rule
from roundsman.report.rules.visitor import STRANGER
from tests.make import site


async def verdicts(edge, kind, name, family="articles", *, late=False, **rule):
    """The verdicts on a page of this test's own."""
    written = {"paths": [f"/{family}/{name}/**"], "examples": {"cached": [f"/{family}/{name}/One"]}, **rule}
    lab = site(written, base_url=edge.url, edge=f"{kind}/lab", manners={"rate": 500, "timeout": "5s"})
    rule = lab.rules[0]
    looks = [await examine.fn(lab, rule, STRANGER)]
    if late:
        looks = await look_again.fn(lab, [rule], looks)
    return judge_rule(lab, rule, looks[0], STRANGER)


def told(found, *claims):
    """Outcome and sight of the claims that are named, or of all that are no pass."""
    return {
        one.claim.removeprefix("cache-headers/"): (str(one.outcome), one.saw)
        for verdict in found
        for one in verdict.findings
        if (one.claim.removeprefix("cache-headers/") in claims if claims else one.outcome != "pass")
    }


@pytest.fixture(params=["varnish", "nginx"])
def kind(request):
    return request.param


@pytest.fixture
def edge(kind, request):
    return request.getfixturevalue(kind)


@pytest.fixture
def name(kind, request):
    """A folder that no other test asks for."""
    return f"{request.node.name.partition('[')[0].replace('_', '-')}-{kind}"


def cached(**promise):
    return {"by": "everyone", **promise}


def bypass(when):
    return [{"when": when, "because": "it greets by name"}]


async def test_a_page_that_is_as_it_should_be_has_no_trouble(edge, kind, name):
    found = await verdicts(
        edge, kind, name, "encoded", cache=cached(encodings=["identity", "gzip", "br"], edge_ttl="5m..1h")
    )
    assert {} == told(found)
    [verdict] = found
    assert verdict.by_rfc.startswith("storable: ")
    assert verdict.observed.startswith("MISS, HIT, HIT")
    assert "probe hit rate 67% (2 of 3 visits" in told(found, "probe-hit-rate")["probe-hit-rate"][1]
    assert {"head": ("pass", "the same"), "validator": ("pass", "304 to If-None-Match")} == told(
        found, "head", "validator"
    )


async def test_a_cookie_that_the_edge_does_not_heed_is_found(edge, kind, name):
    """As shipped, Varnish passes whoever has a cookie, and nginx does not look at it."""
    wanted = {
        "varnish": {"bypass": ("pass", "MISS, MISS with cookie sessionid"), "copy-kept": ("pass", "HIT, the same copy after a visit with cookie sessionid")},
        "nginx": {"bypass": ("fail", "HIT, HIT with cookie sessionid"), "copy-kept": ("pass", "HIT, the same copy after a visit with cookie sessionid")},
    }  # fmt: skip
    found = await verdicts(edge, kind, name, bypass=bypass("cookie sessionid"))
    assert wanted[kind] == told(found, "bypass", "copy-kept")


async def test_a_bypass_that_overwrites_the_shared_copy_is_found(nginx):
    found = await verdicts(nginx, "nginx", "overwritten", "stamped", bypass=bypass("header x-lab-refresh"))
    assert {
        "bypass": ("pass", "BYPASS, BYPASS with header x-lab-refresh"),
        "copy-kept": ("fail", "HIT, another body after a visit with header x-lab-refresh"),
    } == told(found, "bypass", "copy-kept")


@pytest.mark.parametrize("part", ["query utm_source", "order", "case", "slash", "host www.lab.test"])
async def test_no_cache_as_shipped_brings_two_spellings_together(edge, kind, name, part):
    name = f"{name}-{part.partition(' ')[0]}"
    same = await verdicts(edge, kind, f"{name}-same", "search", cache=cached(key={"same": [part]}))
    apart = await verdicts(edge, kind, f"{name}-apart", "search", cache=cached(key={"apart": [part]}))
    assert "fail" == told(same, "key-same")["key-same"][0]
    assert "pass" == told(apart, "key-apart")["key-apart"][0]


async def test_a_port_in_the_host_is_no_other_page_to_nginx_and_one_to_varnish(edge, kind, name):
    """The alias is the address without its port; the connection still goes to the cache."""
    promise = cached(key={"same": ["host 127.0.0.1:80"]})
    found = told(await verdicts(edge, kind, name, cache=promise), "key-same")["key-same"]
    saw = {"nginx": ("pass", "HIT, the same copy"), "varnish": ("fail", "MISS, fetched anew")}[kind]
    assert (saw[0], f"host 127.0.0.1:80: {saw[1]}") == found


async def test_two_names_that_should_be_apart_and_share_a_copy_are_found(nginx):
    found = await verdicts(nginx, "nginx", "together", cache=cached(key={"apart": ["host 127.0.0.1:80"]}))
    assert {"key-apart": ("fail", "host 127.0.0.1:80: HIT, the same copy")} == told(found)


async def test_a_copy_in_a_coding_that_the_client_can_not_read_is_found(edge, kind, name):
    """The page says nothing of it; Varnish unpacks it for such a client and adds the Vary, nginx does neither."""
    wanted = {
        "varnish": {},
        "nginx": {
            "encoding": ("fail", "asked for identity, got gzip"),
            "vary-sane": ("warn", "gzip without Vary: Accept-Encoding"),
        },
    }
    found = await verdicts(edge, kind, name, "encoded-blindly", cache=cached(encodings=["identity"]))
    assert wanted[kind] == told(found)


MISSING = [
    ("404-kept", "varnish", "fail", "10m; observed MISS, HIT"),
    ("404-kept", "nginx", "fail", "10m; observed MISS, HIT"),
    ("404", "varnish", "fail", "no lifetime; observed MISS, HIT"),
    ("404", "nginx", "pass", "no lifetime; observed MISS, MISS"),
    ("nothing", "varnish", "pass", "not storable (`no-store`"),
    ("nothing", "nginx", "pass", "not storable (`no-store`"),
]


@pytest.mark.parametrize(("family", "kind", "outcome", "saw"), MISSING)
async def test_what_is_not_there_is_kept_as_the_cache_keeps_it(family, kind, outcome, saw, edge, name):
    paths = [f"/{family}/{name}/**", f"/articles/{name}/**"]
    found = await verdicts(edge, kind, name, cache=cached(missing="<=1m"), paths=paths)
    told_missing = told(found, "missing")["missing"]
    assert outcome == told_missing[0]
    assert saw in told_missing[1]


STATUSES = [
    (301, "301-kept", "varnish", set()),
    (301, "301-kept", "nginx", set()),
    (404, "404-kept", "varnish", set()),
    (410, "410-kept", "nginx", set()),
    (302, "302", "varnish", {"storable", "hit"}),
    (302, "302", "nginx", {"storable", "hit"}),
]


@pytest.mark.parametrize(("status", "family", "kind", "wanted"), STATUSES)
async def test_a_redirect_or_an_absence_is_kept_as_its_rule_says(status, family, kind, wanted, edge, name):
    found = told(await verdicts(edge, kind, f"{name}-{family}", family, status=status, cache=cached(edge_ttl="10m")))
    assert wanted == set(found)


async def test_a_cookie_keeps_a_page_out_of_the_store_and_is_told(edge, kind, name):
    found = told(await verdicts(edge, kind, name, "visitor"), "hit", "set-cookie")
    assert ("fail", "MISS, MISS, MISS") == found["hit"]
    assert ("warn", "visit; by the RFC a cache may keep it, observed MISS, MISS, MISS") == found["set-cookie"]


async def test_a_cookie_that_is_replayed_is_a_failure(leaky_varnish):
    found = told(await verdicts(leaky_varnish, "varnish", "replayed", "visitor"))
    assert ("fail", "visit with the same value again, from the store: MISS, HIT, HIT") == found["set-cookie"]


async def test_a_copy_that_wants_to_be_confirmed_is_found_where_the_edge_does_not_ask(leaky_varnish, squid):
    """Squid says HIT as well, and has asked."""
    saw = "by the RFC `no-cache`, RFC 9111 5.2.2.4; observed MISS, HIT, HIT: the edge does not ask"
    found = told(await verdicts(leaky_varnish, "varnish", "unasked", "nocache"), "confirmed")
    assert {"confirmed": ("warn", saw)} == found
    [asked] = await verdicts(squid, "squid", "asked", "nocache")
    assert asked.observed.startswith("MISS, HIT, HIT")
    assert {} == told([asked], "confirmed")


async def test_an_age_that_grows_is_seen_two_seconds_later(varnish):
    found = told(await verdicts(varnish, "varnish", "grows", late=True), "age-grows")
    outcome, saw = found["age-grows"]
    assert "pass" == outcome
    assert saw.startswith("Age 0, and ")


async def test_a_cache_that_sends_no_age_is_not_waited_for(nginx):
    assert {} == told(await verdicts(nginx, "nginx", "ageless", late=True), "age-grows")


@pytest.mark.parametrize(("kind", "outcome"), [("varnish", "pass"), ("nginx", "fail")])
async def test_a_server_error_that_is_kept_is_found_beside_its_status(kind, outcome, edge, name):
    found = told(await verdicts(edge, kind, name, "500-kept"), "status", "error-kept")
    assert ("fail", "500") == found["status"]
    assert outcome == found["error-kept"][0]


async def test_what_else_is_asked_is_asked_one_after_another(varnish, origin):
    origin.delay("/articles/in-turn/One", 0.05)
    promise = {"cache": cached(key={"apart": ["order"]}), "bypass": bypass("query preview")}
    rule = {"paths": ["/articles/in-turn/**"], "examples": {"cached": ["/articles/in-turn/One"]}, **promise}
    lab = site(rule, base_url=varnish.url, edge="varnish/lab", manners={"rate": 5000, "timeout": "5s"})
    look = await examine.fn(lab, lab.rules[0], STRANGER)
    made = sorted(
        (one for step in look.extra["/articles/in-turn/One"].values() for one in step), key=lambda one: one.started
    )
    assert 10 == len(made)
    assert all(one.ended <= later.started for one, later in itertools.pairwise(made))
