"""Measuring in another process."""

import asyncio
import os
from pathlib import Path

import pytest

from roundsman.probe.ask import probe_apart
from roundsman.report.rules.exchange import Probe
from roundsman.site.rules.site import Manners
from tests.edges.conftest import origin

__all__ = ["origin"]

MANNERS = Manners(rate=500, timeout="20s")


def children():
    """Processes of ours that run a sampler."""
    here = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [pid for pid in here if "roundsman.probe.ask" in Path(f"/proc/{pid}/cmdline").read_text()]


async def ask(*urls):
    return await probe_apart([Probe(url) for url in urls], manners=MANNERS, user_agent="roundsman/test", connections=1)


async def test_what_comes_back_is_what_a_probe_sees(origin):
    one, other, nothing = await ask(f"{origin.url}/articles/apart/a", f"{origin.url}/404", "http://127.0.0.1:1/")
    assert (200, 404, "refused") == (one.status, other.status, nothing.error)
    assert "public, max-age=600" == one.header("cache-control")
    assert (False, True) == (one.reused, other.reused)
    assert "roundsman/test" == origin.asked("/articles/apart/a")[0].headers["user-agent"]


async def test_the_process_ends_when_nobody_waits_for_it_any_more(origin):
    with origin.hold("/articles/apart/held"):
        asking = asyncio.create_task(ask(f"{origin.url}/articles/apart/held"))
        await asyncio.to_thread(origin.wait_asked, "/articles/apart/held")
        assert 1 == len(children())
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert [] == children()


async def test_a_process_that_breaks_down_is_told():
    with pytest.raises(RuntimeError, match="ended with 1"):
        await probe_apart(
            [Probe("http://a.test", headers=(("Cache-Control", "no-cache"),))],
            manners=MANNERS,
            user_agent="x",
            connections=1,
        )
