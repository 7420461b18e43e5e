"""The lab does what the real caches were seen to do: otherwise nothing that is proved in it is worth anything."""

import contextlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.edges.lab import MEMBERS, Nginx, Origin, Varnish

PURGED_ABSENT = {"varnish": 200, "nginx": 404}
PURGE_REFUSED = {"varnish": 405, "nginx": 403}
EVERY_EDGE = [
    (Varnish, "varnish.vcl"),
    (Varnish, "varnish-leaky.vcl"),
    (Varnish, "varnish-prefix-ban.vcl"),
    (Varnish, "varnish-noop-purge.vcl"),
    (Nginx, "nginx.conf"),
]


def ask(site, target, *, method="GET", member="", address="127.0.0.1", data=None, extra=()):
    """One exchange on a connection of its own, with nobody's cookies but those named."""
    headers = {"accept-encoding": "identity", **dict(extra)}
    if member:
        headers["cookie"] = f"sessionid={member}"
    # Nothing here speaks TLS, and reading the certificates takes longer than the exchange.
    transport = httpx.HTTPTransport(local_address=address, verify=False)
    with httpx.Client(transport=transport, trust_env=False) as client:
        return client.request(method, site.url + target, headers=headers, data=data)


def purge(edge, target, address="127.0.0.1"):
    if isinstance(edge, Nginx):
        return ask(edge, f"/__purge{target}", address=address).status_code
    return ask(edge, target, method="PURGE", address=address).status_code


def told(response):
    """The cache's own word, and the generation it served."""
    label = response.headers.get("x-cache") or response.headers["x-cache-status"]
    return label, int(response.headers["x-origin-gen"])


@pytest.fixture(params=["varnish", "nginx"])
def kind(request):
    return request.param


@pytest.fixture
def edge(kind, request):
    return request.getfixturevalue(kind)


@pytest.fixture
def page(kind, request):
    """A path that no other test asks for."""
    return f"/articles/{request.function.__name__}-{kind}"


class TestOrigin:
    @pytest.mark.parametrize(
        ("target", "member", "status", "cache_control"),
        [
            ("/articles/families", "", 200, "public, max-age=600"),
            ("/guides/families", "", 200, "public, max-age=600"),
            ("/short/families", "", 200, "public, max-age=5"),
            ("/nostore", "", 200, "no-store"),
            ("/health", "", 200, "no-store"),
            ("/error", "", 500, "public, max-age=600"),
            ("/inbox", "ada", 200, "private, no-store"),
            ("/inbox", "", 302, "no-store"),
            ("/profile", "ada", 200, "public, max-age=600"),
            ("/profile", "", 302, "no-store"),
            ("/account/anything.css", "ben", 200, "private, no-store"),
            ("/account/anything.css", "mallory", 302, "no-store"),
            ("/unheard-of", "", 404, "no-store"),
        ],
    )
    def test_family(self, origin, target, member, status, cache_control):
        """Each family of paths answers as its name says."""
        response = ask(origin, target, member=member)
        assert (status, cache_control) == (response.status_code, response.headers["cache-control"])
        assert "vary" not in response.headers

    @pytest.mark.parametrize("family", ["inbox", "profile", "account/x"])
    @pytest.mark.parametrize("member", MEMBERS)
    def test_personal_page_names_its_member_only(self, origin, family, member):
        """A member's page holds that member's name and address, and nobody else's."""
        body = ask(origin, f"/{family}", member=member).text
        assert [member] == [name for name, person in MEMBERS.items() if person in body]

    def test_each_visit_sets_its_own_cookie(self, origin):
        """No two visits of the inbox get the same cookie."""
        assert len({ask(origin, "/inbox", member="ada").headers["set-cookie"] for _ in range(3)}) == 3

    def test_bump_changes_every_marker(self, origin):
        """A new generation has a new ETag, Last-Modified, header and body; the next page keeps its own."""
        before, next_page = ask(origin, "/articles/bump"), ask(origin, "/articles/bump-next")
        assert origin.bump("/articles/bump") == 2
        after = ask(origin, "/articles/bump")
        for marker in ("etag", "last-modified", "x-origin-gen"):
            assert before.headers[marker] != after.headers[marker]
        assert "generation 1" in before.text
        assert "generation 2" in after.text
        assert next_page.headers["etag"] == ask(origin, "/articles/bump-next").headers["etag"]

    def test_known_page_is_not_sent_again(self, origin):
        """A validator that still holds is answered 304 without a body; an old one gets the page."""
        page = ask(origin, "/articles/validate")
        for header, marker in (("if-none-match", "etag"), ("if-modified-since", "last-modified")):
            known = httpx.get(
                f"{origin.url}/articles/validate", headers={header: page.headers[marker]}, trust_env=False
            )
            assert (known.status_code, known.content) == (304, b"")
        origin.bump("/articles/validate")
        assert ask(origin, "/articles/validate", extra={"if-none-match": page.headers["etag"]}).status_code == 200

    def test_login(self, origin):
        """The form gives a member a session that opens the inbox; a stranger gets none."""
        welcome = ask(origin, "/login", method="POST", data={"user": "ben"})
        assert (welcome.status_code, welcome.headers["location"]) == (303, "/inbox")
        assert MEMBERS["ben"] in ask(origin, "/inbox", member=welcome.cookies["sessionid"]).text
        refused = ask(origin, "/login", method="POST", data={"user": "mallory"})
        assert refused.status_code == 403
        assert "set-cookie" not in refused.headers

    def test_redirect_loop(self, origin):
        """The loop leads to itself."""
        response = ask(origin, "/redirect-loop")
        assert (response.status_code, response.headers["location"]) == (302, "/redirect-loop")

    def test_requests_are_written_down(self, origin):
        """What arrived is known by method, full target and headers."""
        ask(origin, "/articles/seen?page=2", method="HEAD", member="ada")
        (seen,) = origin.asked("/articles/seen?page=2")
        assert (seen.method, seen.headers["cookie"]) == ("HEAD", "sessionid=ada")
        assert origin.asked("/articles/seen") == []

    @pytest.mark.parametrize(("path", "seconds"), [("/articles/delayed", 0.3), ("/slow/page", 1)])
    def test_late_answers(self, origin, path, seconds):
        """A delayed page and a slow one come as late as they were told to."""
        if path.startswith("/articles/"):
            origin.delay(path, seconds)
        began = time.monotonic()
        assert ask(origin, path).status_code == 200
        assert seconds <= time.monotonic() - began

    def test_keeps_connections(self, origin):
        """Two requests share a connection, and neither waits for a delayed acknowledgement."""
        with httpx.Client(base_url=origin.url, trust_env=False) as client:
            streams = {id(client.get("/health").extensions["network_stream"]) for _ in range(2)}
            began = time.monotonic()
            for _ in range(50):
                client.get("/health")
            assert time.monotonic() - began < 50 * 0.02
        assert len(streams) == 1

    def test_fails_after(self):
        """It answers as many more requests as it was told, then hangs up."""
        with Origin() as mortal:
            mortal.fail(after=2)
            assert [ask(mortal, "/health").status_code for _ in range(2)] == [200, 200]
            with pytest.raises(httpx.RemoteProtocolError):
                ask(mortal, "/health")

    def test_stop_hangs_up_and_closes_the_port(self):
        """A stopped origin drops the request in flight and refuses the next; stopping twice is once."""
        with Origin() as mortal, ThreadPoolExecutor() as pool:
            mortal.delay("/articles/late", 60)
            late = pool.submit(ask, mortal, "/articles/late")
            mortal.wait_asked("/articles/late")
            mortal.stop()
            with pytest.raises(httpx.TransportError):
                late.result(timeout=10)
            with pytest.raises(httpx.ConnectError):
                ask(mortal, "/health")

    def test_stop_hangs_up_on_idle_connections(self):
        """A connection that a cache keeps for later neither delays the stop nor outlives it."""
        client = httpx.Client(trust_env=False)
        with ThreadPoolExecutor() as pool, Origin() as mortal, client:
            client.get(f"{mortal.url}/health")
            pool.submit(mortal.stop).result(timeout=5)
            with pytest.raises(httpx.TransportError):
                client.get(f"{mortal.url}/health")

    def test_wait_asked_gives_up(self, origin):
        """Waiting for a request that never comes ends in an error."""
        with pytest.raises(TimeoutError, match="was asked for 0 times"):
            origin.wait_asked("/articles/never", seconds=0.01)


class TestPrograms:
    @pytest.mark.parametrize(("program", "config"), EVERY_EDGE)
    def test_nothing_is_left(self, origin, program, config):
        """A cache runs unprivileged, and leaves neither process nor folder nor listener when the block fails."""
        with contextlib.suppress(ZeroDivisionError), program(config, origin) as edge:
            group, process = edge.pid, Path(f"/proc/{edge.pid}")
            folder = (process / "cwd").readlink()
            assert process.stat().st_uid != 0
            assert folder.stat().st_mode & 0o077 == 0
            assert ask(edge, "/health").status_code == 200
            raise ZeroDivisionError
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
        assert not folder.exists()
        with pytest.raises(httpx.ConnectError):
            ask(edge, "/health")

    @pytest.mark.parametrize(("program", "name"), [(Varnish, "broken.vcl"), (Nginx, "broken.conf")])
    def test_failure_shows_the_output(self, origin, tmp_path, program, name):
        """A cache that cannot start says why."""
        (tmp_path / name).write_text("no such directive;\n")
        with pytest.raises(RuntimeError, match=r"(?s)does not answer.*(VCL version|unknown directive)"):
            program(tmp_path / name, origin).__enter__()


class TestCaches:
    def test_miss_then_hit(self, edge, origin, kind, page):
        """The second request is answered from the cache; Varnish tells the age, nginx never does."""
        first, second = ask(edge, page), ask(edge, page)
        assert [told(first), told(second)] == [("MISS", 1), ("HIT", 1)]
        assert ("age" in second.headers) is (kind == "varnish")
        assert len(origin.asked(page)) == 1

    def test_head_warms(self, edge, origin, page):
        """A HEAD stores the whole page."""
        warm = [ask(edge, page, method="HEAD") for _ in range(2)]
        assert [told(response) for response in warm] == [("MISS", 1), ("HIT", 1)]
        assert told(ask(edge, page)) == ("HIT", 1)
        assert [seen.method for seen in origin.asked(page)] == ["GET"]

    def test_purge_takes_one_url(self, edge, origin, page):
        """A purge renews its target, and leaves sibling, child, query and a far page as old as they were."""
        others = [f"{page}-sibling", f"{page}/child", f"{page}?page=2", page.replace("/articles", "/guides")]
        for target in (page, *others):
            ask(edge, target)
        for target in (page, *others):
            origin.bump(target.removesuffix("?page=2"))
        assert told(ask(edge, page)) == ("HIT", 1)
        assert purge(edge, page) == 200
        assert told(ask(edge, page)) == ("MISS", 3)
        assert told(ask(edge, page)) == ("HIT", 3)
        assert {told(ask(edge, target)) for target in others} == {("HIT", 1)}

    def test_purge_of_what_is_absent(self, edge, kind, page):
        """Varnish says 200 for a page it never had; nginx says 404."""
        assert purge(edge, page) == PURGED_ABSENT[kind]

    def test_stranger_may_not_purge(self, edge, origin, kind, page):
        """A purge from another address is refused, and the page stays."""
        ask(edge, page)
        origin.bump(page)
        assert purge(edge, page, address="127.0.0.2") == PURGE_REFUSED[kind]
        assert told(ask(edge, page)) == ("HIT", 1)

    def test_fetch_in_flight_survives_the_purge(self, edge, origin, kind, page):
        """The old page that was on its way during the purge is stored after it, and served as a hit."""
        with ThreadPoolExecutor() as pool:
            with origin.hold(page):
                flight = pool.submit(ask, edge, page)
                origin.wait_asked(page)
                origin.bump(page)
                assert purge(edge, page) == PURGED_ABSENT[kind]
            assert told(flight.result(timeout=10)) == ("MISS", 1)
        assert told(ask(edge, page)) == ("HIT", 1)

    def test_six_readers_make_one_fetch(self, edge, origin, page):
        """Readers who come together wait for one fetch."""
        with ThreadPoolExecutor(6) as pool:
            with origin.hold(page):
                readers = [pool.submit(ask, edge, page) for _ in range(6)]
                origin.wait_asked(page)
            labels = sorted(told(reader.result(timeout=30))[0] for reader in readers)
        assert labels == ["HIT"] * 5 + ["MISS"]
        assert len(origin.asked(page)) == 1

    @pytest.mark.parametrize("target", ["/nostore", "/inbox", "/account/mine"])
    def test_private_and_no_store_are_not_kept(self, edge, origin, kind, target):
        """What the origin forbids to store is fetched each time."""
        target += f"?{kind}"
        for _ in range(2):
            assert told(ask(edge, target, member="ada"))[0] == "MISS"
        assert len(origin.asked(target)) == 2

    def test_personal_page_wrongly_public(self, edge, kind):
        """Varnish passes whoever has a cookie; nginx gives Ada's profile to Ben and to a stranger."""
        ask(edge, "/profile?wrongly", member="ada")
        bens = ask(edge, "/profile?wrongly", member="ben").text
        strangers = ask(edge, "/profile?wrongly").text
        assert (MEMBERS["ada"] in bens, MEMBERS["ada"] in strangers) == (kind == "nginx", kind == "nginx")

    @pytest.mark.parametrize(("suffix", "leaks"), [("deceived.css", True), ("deceived.html", False)])
    def test_deception(self, nginx, suffix, leaks):
        """An account page under a style sheet's name is stored by nginx, and anyone can fetch it."""
        ask(nginx, f"/account/{suffix}", member="ada")
        assert (MEMBERS["ada"] in ask(nginx, f"/account/{suffix}").text) is leaks

    @pytest.mark.parametrize("death", ["fail", "stop"])
    @pytest.mark.parametrize(("program", "config"), [(Varnish, "varnish.vcl"), (Nginx, "nginx.conf")])
    def test_dead_origin(self, program, config, death):
        """What is cached outlives the origin; what is not cannot be had."""
        with Origin() as mortal, program(config, mortal) as edge:
            ask(edge, "/articles/cached")
            getattr(mortal, death)()
            assert told(ask(edge, "/articles/cached")) == ("HIT", 1)
            assert ask(edge, "/articles/uncached").status_code in {502, 503}


class TestFaultyCaches:
    @pytest.mark.parametrize("family", ["inbox", "profile", "account"])
    def test_leaky_serves_a_member_to_everyone(self, leaky_varnish, family):
        """Ben and a stranger get Ada's page, with the cookie of Ada's visit."""
        adas = ask(leaky_varnish, f"/{family}/leak", member="ada")
        assert MEMBERS["ada"] in adas.text
        for member in ("ben", ""):
            theirs = ask(leaky_varnish, f"/{family}/leak", member=member)
            assert ("HIT", adas.text) == (told(theirs)[0], theirs.text)
            assert theirs.headers.get("set-cookie") == adas.headers.get("set-cookie")
        assert ("set-cookie" in adas.headers) is (family != "profile")

    def test_noop_purge_keeps_the_old_page(self, noop_varnish, origin):
        """It says 200, and serves the old page as before."""
        ask(noop_varnish, "/articles/noop")
        origin.bump("/articles/noop")
        assert purge(noop_varnish, "/articles/noop") == 200
        assert told(ask(noop_varnish, "/articles/noop")) == ("HIT", 1)

    def test_prefix_ban_takes_the_siblings(self, prefix_ban_varnish, origin):
        """The purge of one article takes every article; a guide stays."""
        family = [f"/articles/ban{rest}" for rest in ("", "-sibling", "/child", "?page=2")]
        for target in (*family, "/guides/ban"):
            ask(prefix_ban_varnish, target)
        assert {told(ask(prefix_ban_varnish, target)) for target in family} == {("HIT", 1)}
        assert purge(prefix_ban_varnish, "/articles/ban") == 200
        assert {told(ask(prefix_ban_varnish, target)) for target in family} == {("MISS", 1)}
        assert told(ask(prefix_ban_varnish, "/guides/ban")) == ("HIT", 1)
