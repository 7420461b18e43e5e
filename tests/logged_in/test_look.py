"""Members and strangers before real caches: what leaks is found, what does not is not, and it is purged again."""

import pytest

from flows.tasks.blocks import edges_of
from roundsman.logged_in.look import visit
from roundsman.logged_in.rules.judge import judge
from roundsman.logged_in.rules.private_key import NAME
from roundsman.logged_in.rules.unkeyed_headers import HEADERS
from roundsman.report.rules.verdict import Severity
from roundsman.report.rules.visitor import Visitor
from roundsman.site.rules.site import Site
from tests.alerts.test_outbox_machines import node
from tests.edges.conftest import leaky_varnish, nginx, origin, squid, traffic_server, varnish
from tests.edges.lab import MEMBERS

__all__ = ["leaky_varnish", "nginx", "origin", "squid", "traffic_server", "varnish"]

BY_COOKIE = [Visitor(who, (("Cookie", f"sessionid={who}"),), (says,)) for who, says in MEMBERS.items()]
BY_TOKEN = [Visitor(who, (("Authorization", f"Bearer {who}"),), (says,)) for who, says in MEMBERS.items()]
#: The edges that a block can purge.
KINDS = {"varnish": "varnish/lab", "leaky_varnish": "varnish/lab", "nginx": "nginx/lab"}


def rule(path, **more):
    shared = more.pop("shared", False)
    return {
        "name": "page",
        "paths": ["/**"],
        "cache": {"by": "everyone" if shared else "member"},
        "examples": {"cached" if shared else "not_cached": [path]},
        "expected_result": "It keeps its promise.",
        "rollback": {"note": "kept beside it", "command": ["true"]},
        **more,
    }


def site(edge, path, kind="varnish/lab", **more):
    return Site.model_validate(
        {
            "site": "lab",
            "base_url": edge.url,
            "owner": "web <web@example.com>",
            **({"edge": kind, "blocks": {kind: {}}} if kind else {}),
            "manners": {"rate": 2000, "timeout": "5s"},
            "rules": [rule(path, **more)],
        }
    )


async def look(written, members=BY_COOKIE):
    """The visits to the only route, and the verdict."""
    (only,) = written.rules
    ((path, seen),) = (await visit(written, only, members, edges_of)).items()
    return seen, judge(written, only, path, seen, members)


def found(verdict, *outcomes):
    """Claims and what was seen."""
    wanted = outcomes or ("fail", "unknown")
    return {f.claim.partition("/")[2]: f.saw for f in verdict.findings if f.outcome in wanted}


async def test_what_a_leaky_cache_keeps_is_seen_by_all_and_no_member_asks_on(leaky_varnish, origin):
    seen, verdict = await look(site(leaky_varnish, "/inbox/leaky-walk"))
    saw = found(verdict)
    assert "ben got a page of ada; stranger got a page of ada" == saw["leak"]
    assert {"leak", "stored", "not-from-store", "set-cookie"} == set(saw)
    assert "the edge keeps queries apart; under a random one" == found(verdict, "pass")["own-key"]
    assert "AABNN" == "".join(who for who, _ in seen.steps)
    assert () == seen.disguises
    # The purge comes by, as a stranger: this cache takes it for a GET.
    assert not any("cookie" in request.headers for request in origin.asked("/inbox/leaky-walk"))
    severities = {f.claim.partition("/")[2]: f.severity for f in verdict.findings}
    assert (Severity.CRITICAL, Severity.STORED) == (severities["leak"], severities["stored"])
    assert "not storable: `no-store`" in verdict.by_rfc
    assert verdict.observed.startswith("MISS, HIT, HIT")
    assert "by the RFC not storable: `no-store`" in saw["stored"]


async def test_a_purge_that_is_refused_is_told_with_the_url_and_how_long_the_copy_stays(leaky_varnish):
    _, verdict = await look(site(leaky_varnish, "/profile/refused"))
    (saw, *_) = [f.saw for f in verdict.findings if f.outcome == "warn" and f.claim.endswith("/cleaned")]
    assert saw.startswith(f"/profile/refused?{NAME}=<random>: not purged (Varnish at http://127.0.0.1:")
    assert saw.endswith("; it may stay for 10m")


async def test_a_cache_that_says_it_purged_and_did_not_is_told(leaky_varnish):
    """It answers a PURGE with the copy itself, and 200."""
    _, verdict = await look(site(leaky_varnish, "/welcome/unpurged"))
    saw = [f.saw for f in verdict.findings if f.outcome == "warn" and f.claim.endswith("/cleaned")]
    assert [f"/welcome/unpurged?{NAME}=<random>: purged, and still there; it may stay for 10m"] == saw


@pytest.mark.parametrize("family", ["inbox", "profile", "token", "token-shared"])
async def test_a_cache_that_passes_sessions_keeps_none(varnish, family):
    """Varnish as shipped asks the origin for whoever has a cookie or an Authorization header."""
    members = BY_TOKEN if family.startswith("token") else BY_COOKIE
    _, verdict = await look(site(varnish, f"/{family}/sane"), members)
    assert {} == found(verdict)
    tried = found(verdict, "pass")
    assert "12 names tried, 10 lead to the member's page, none leaked" == tried["deception"]


async def test_a_personal_page_that_is_wrongly_public_leaks_from_nginx_and_is_purged(nginx):
    _, verdict = await look(site(nginx, "/profile/wrong", "nginx/lab"))
    saw = found(verdict)
    assert "ben got a page of ada; stranger got a page of ada" == saw["leak"]
    assert saw["stored"].startswith("the member's copy as a HIT; by the RFC storable: ")
    cleaned = [f.saw for f in verdict.findings if f.outcome == "pass" and f.claim.endswith("/cleaned")]
    assert [f"/profile/wrong?{NAME}=<random>: purged", "/profile/wrong: purged"] == cleaned


@pytest.mark.parametrize(("cache", "kind"), [("nginx", "nginx/lab"), ("squid", "squid/lab")])
async def test_a_members_copy_is_purged_in_its_own_encoding_where_an_edge_drops_one_variant(cache, kind, request):
    """The members ask for gzip; a purge without it would leave their pages to everyone."""
    edge = request.getfixturevalue(cache)
    seen, verdict = await look(site(edge, f"/profile-encoded/{cache}", kind))
    assert seen.cleanup.urls
    assert not any(name.encode() in after.body for after in seen.cleanup.after for name in MEMBERS.values())
    assert {"pass"} == {f.outcome for f in verdict.findings if f.claim.endswith("/cleaned")}


async def test_what_no_rule_speaks_of_and_what_varies_by_a_cookie_is_purged_as_well(nginx):
    narrow = {"paths": ["/account/narrow"], "cache": {"by": "member", "vary": ["cookie", "accept-encoding"]}}
    seen, verdict = await look(site(nginx, "/account/narrow", "nginx/lab", **narrow))
    assert ("", True) == (seen.cleanup.problem, any(".css" in url for url in seen.cleanup.urls))
    assert {"pass"} == {f.outcome for f in verdict.findings if f.claim.endswith("/cleaned")}


async def test_a_members_copy_is_purged_from_the_shield_first(nginx):
    """Or the edge fetches it from there again."""
    with node() as shield:
        written = site(nginx, "/profile/shielded", "nginx/lab")
        tiers = {"shield": "varnish/shield", "blocks": {"nginx/lab": {}, "varnish/shield": {"nodes": [shield.url]}}}
        seen, _ = await look(written.model_copy(update=tiers))
    assert [("PURGE", url.removeprefix(nginx.url)) for url in seen.cleanup.urls] == shield.seen()


@pytest.mark.parametrize("cache", ["nginx", "traffic_server", "varnish", "squid"])
async def test_headers_alone_call_a_bearers_page_safe_and_two_caches_serve_it_to_strangers(cache, request):
    """Plain max-age with Authorization: not storable by RFC 9111 3.5; nginx and Traffic Server store it as shipped."""
    edge = request.getfixturevalue(cache)
    _, verdict = await look(site(edge, f"/token/{cache}-bearer", KINDS.get(cache)), BY_TOKEN)
    saw = found(verdict)
    assert "not storable: the request had Authorization, RFC 9111 3.5" in verdict.by_rfc
    if cache in {"varnish", "squid"}:
        assert {} == saw
    else:
        assert "stranger got a page of " in saw["leak"]
        assert "as a HIT; by the RFC not storable: the request had Authorization, RFC 9111 3.5" in saw["stored"]


async def test_an_account_under_a_files_name_is_kept_by_a_rule_for_files(nginx, origin):
    seen, verdict = await look(site(nginx, "/account/deceived", "nginx/lab"))
    saw = found(verdict)
    assert {"deception"} == set(saw)
    assert "/account/deceived/<random>.css: stranger got a page of ada, HIT" == saw["deception"]
    assert 1 == len(seen.disguises)
    assert 2 == len(seen.cleanup.after)
    assert not any(MEMBERS["ada"].encode() in after.body for after in seen.cleanup.after)
    assert {"pass"} == {f.outcome for f in verdict.findings if f.claim.endswith("/cleaned")}


@pytest.mark.parametrize("cache", ["nginx", "traffic_server", "squid", "varnish"])
async def test_a_made_up_host_that_stays_in_the_copy_is_found_under_a_key_of_our_own(cache, request, origin):
    edge = request.getfixturevalue(cache)
    path = f"/reflected/{cache}"
    seen, verdict = await look(site(edge, path, KINDS.get(cache), shared=True))
    assert "X-Forwarded-Host: the next visitor got what it said, HIT" == found(verdict)["unkeyed-header"]
    assert 1 == len(seen.injections)
    assert [] == origin.asked(path)
    purged = f"{path}?{NAME}=<random>: purged"
    if cache in KINDS:
        assert b".invalid" not in seen.cleanup.after[0].body
        assert purged == found(verdict, "pass")["cleaned"]
    else:
        unpurged = f"{path}?{NAME}=<random>: not purged (the site names no edge); it may stay for 10m"
        assert unpurged == found(verdict, "warn")["cleaned"]


async def test_a_page_that_repeats_nothing_passes(varnish, origin):
    seen, verdict = await look(site(varnish, "/articles/plain-walk", shared=True))
    assert {} == found(verdict, "fail", "unknown", "warn")
    assert f"{len(HEADERS)} headers tried, none stayed" == found(verdict, "pass")["unkeyed-header"]
    assert [] == origin.asked("/articles/plain-walk")
    assert seen.cleanup is None


BYPASS = {"shared": True, "bypass": [{"when": "cookie sessionid", "because": "it greets by name"}]}


@pytest.mark.parametrize(("cache", "fails"), [("varnish", set()), ("nginx", {"bypass"}), ("leaky_varnish", {"bypass"})])
async def test_a_warm_copy_is_handed_to_a_member_only_by_a_cache_without_a_bypass(cache, fails, request, origin):
    edge = request.getfixturevalue(cache)
    path = f"/articles/{cache}-bypass"
    _, verdict = await look(site(edge, path, KINDS.get(cache), **BYPASS))
    assert fails == set(found(verdict))
    assert [] == origin.asked(path)


async def test_by_token_too(varnish, nginx):
    bypass = {"shared": True, "bypass": [{"when": "header Authorization", "because": "it greets by name"}]}
    _, sane = await look(site(varnish, "/articles/token-bypass", **bypass), BY_TOKEN)
    _, wrong = await look(site(nginx, "/articles/token-bypass", "nginx/lab", **bypass), BY_TOKEN)
    assert (set(), {"bypass"}) == (set(found(sane)), set(found(wrong)))


async def test_nothing_secret_is_in_the_verdict(leaky_varnish):
    """Neither in its words nor in its evidence, though the page has a member's name in body, ETag and cookie."""
    members = [Visitor(who, (("Cookie", f"sessionid={who}"),), (says, who)) for who, says in MEMBERS.items()]
    seen, verdict = await look(site(leaky_varnish, "/inbox/secret"), members)
    assert any(MEMBERS["ada"].encode() in (exchange.body or b"") for _, exchange in seen.steps)
    exchanges = [exchange for finding in verdict.findings for exchange in finding.evidence]
    assert exchanges
    assert all(exchange.body is None and not exchange.probe.headers for exchange in exchanges)
    text = repr([(exchange.headers, exchange.probe) for exchange in exchanges]) + repr(seen)
    cookies = {value for _, exchange in seen.steps for value in exchange.all("set-cookie")}
    assert cookies
    secrets = (MEMBERS["ada"], MEMBERS["ben"], "sessionid", *cookies)
    assert [] == [secret for secret in secrets if secret in text]
    assert not any(MEMBERS["ada"] in f.saw + f.wanted for f in verdict.findings)
