"""Every cache starts unprivileged, ends cleanly, and the faulty ones have the faults that they are there for."""

import contextlib
import os
from pathlib import Path

import httpx
import pytest

from tests.edges.asking import ask, purge, told
from tests.edges.lab import MEMBERS, Nginx, Origin, Squid, TrafficServer, Varnish

EVERY_EDGE = [
    (Varnish, "varnish.vcl"),
    (Varnish, "varnish-leaky.vcl"),
    (Varnish, "varnish-prefix-ban.vcl"),
    (Varnish, "varnish-noop-purge.vcl"),
    (Nginx, "nginx.conf"),
    (TrafficServer, "trafficserver"),
    (Squid, "squid.conf"),
]


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

    @pytest.mark.parametrize(
        ("program", "name"), [(Varnish, "broken.vcl"), (Nginx, "broken.conf"), (Squid, "squid.conf")]
    )
    def test_failure_shows_the_output(self, origin, tmp_path, program, name):
        """A cache that cannot start says why."""
        (tmp_path / name).write_text("no such directive;\n")
        with pytest.raises(RuntimeError, match=r"(?s)does not answer.*(VCL version|unknown directive|unrecognized)"):
            program(tmp_path / name, origin).__enter__()

    @pytest.mark.parametrize("death", ["fail", "stop"])
    @pytest.mark.parametrize(("program", "config"), [EVERY_EDGE[0], *EVERY_EDGE[4:]])
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
