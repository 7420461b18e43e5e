"""Asking a site politely: only its own hosts, at its own pace, and once more where nobody answered.

Measuring in a process of its own: what else this one does, and its one interpreter lock, would be in the times.
"""

import asyncio
import math
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from roundsman.probe.probe import probe
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.site.rules.host_names import aliases
from roundsman.site.rules.site import Manners, Site
from roundsman.version import VERSION

_ROOT = Path(__file__).parents[2]


async def probe_apart(
    probes: Sequence[Probe], *, manners: Manners, user_agent: str, connections: int, patience: float = math.inf
) -> list[Exchange]:
    """As `roundsman.probe.probe.probe`, in another process, which ends with this call however it ends.

    Raises:
        RuntimeError: the process broke down.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, cwd=_ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        answer, _ = await child.communicate(pickle.dumps((list(probes), manners, user_agent, connections, patience)))
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise RuntimeError(f"the process that measures ended with {child.returncode}")
    exchanges: list[Exchange] = pickle.loads(answer)  # noqa: S301 - our own child's
    return exchanges


def main() -> None:
    """Read a batch from standard input and write what came of it to standard output."""
    probes, manners, user_agent, connections, patience = pickle.load(sys.stdin.buffer)  # noqa: S301 - our parent's
    seen = probe(probes, manners=manners, user_agent=user_agent, connections=connections, patience=patience)
    pickle.dump(seen, sys.stdout.buffer)


if __name__ == "__main__":
    main()


#: Errors that a second look may not meet again. A timeout is not one: it has had its time.
PASSING = frozenset({"refused", "reset", "dns"})


@dataclass
class Clock:
    """How many seconds of a round went into the outside."""

    seconds: float = 0.0


looking: ContextVar[Clock | None] = ContextVar("looking", default=None)


@contextmanager
def outside() -> Iterator[None]:
    """Count what is done in a block as looking: it waits for the outside."""
    begun = time.monotonic()
    try:
        yield
    finally:
        if (clock := looking.get()) is not None:
            clock.seconds += time.monotonic() - begun


async def ask(site: Site, probes: Sequence[Probe], *, connections: int = 8, again: bool = True) -> list[Exchange]:
    """Ask a batch, and answer in its order. `again=False` for measurements, which are taken as they come.

    Raises:
        ValueError: a probe goes to a host that is not the site's; another name of the site is asked at its own address.
    """
    probes = _addressed(site, probes)
    seen = await _batch(site, probes, connections)
    silent = [index for index, exchange in enumerate(seen) if exchange.error in PASSING] if again else []
    if silent:
        await pause(0.5)
        for index, exchange in zip(
            silent, await _batch(site, [probes[index] for index in silent], connections), strict=True
        ):
            seen[index] = exchange
    return seen


async def ask_apart(site: Site, probes: Sequence[Probe], *, connections: int) -> list[Exchange]:
    """Ask a batch from a process of its own, in which nothing else is in the times; one that is too late is dropped.

    Raises:
        ValueError: as for `ask`.
        RuntimeError: the process broke down.
    """
    probes, manners = _addressed(site, probes), site.manners
    with outside():
        return await probe_apart(
            probes,
            manners=manners,
            user_agent=user_agent(site),
            connections=connections,
            patience=manners.timeout,
        )


async def pause(seconds: float) -> None:
    """Wait for the outside, such as for a copy to age."""
    if seconds > 0:
        with outside():
            await asyncio.sleep(seconds)


def _addressed(site: Site, probes: Sequence[Probe]) -> list[Probe]:
    """The probes, with what is known of the site's edge; ValueError for one that goes elsewhere."""
    names = aliases(site)
    for one in probes:
        host = urlsplit(one.url).netloc
        if host != site.host and (not one.node or one.node != names.get(host)):
            raise ValueError(f"saw a probe to {one.url}, wanted only {site.base_url}: load goes to the site's own host")
    kind, header = (site.edge or "").partition("/")[0], site.status_header or ""
    return [replace(one, edge=kind, status_header=header) for one in probes]


async def _batch(site: Site, probes: Sequence[Probe], connections: int) -> list[Exchange]:
    with outside():
        return await asyncio.to_thread(
            probe, probes, manners=site.manners, user_agent=user_agent(site), connections=connections
        )


def user_agent(site: Site) -> str:
    """Names the project, and the site's owner as a contact."""
    contact = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in site.owner)
    return f"roundsman/{VERSION} (contact: {contact})"
