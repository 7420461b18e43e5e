"""False verdicts of whole rounds: honest caches that fail in bad moments, and broken purges of rarer kinds that pass.

It is run by its name, `python -m benchmarks honest`. ROUNDSMAN_ROUNDS says how many honest rounds are made (1000), on
four real caches in turn, and ROUNDSMAN_BROKEN how many broken purges (200), on edges made up for it. Each round has
pages of its own, and makes the checks of cache headers, logged-in traffic and the targeted purge.
"""

import asyncio
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from math import comb
from typing import Any

BY_NAME = True
ROUNDS = int(os.environ.get("ROUNDSMAN_ROUNDS", "1000"))
BROKEN = int(os.environ.get("ROUNDSMAN_BROKEN", "200"))
#: Rounds under way at once.
LANES = 12
#: Broken purges that may pass.
MOST_PASSES = 2
HOUR_SECONDS = 3600.0
CACHES = ("varnish", "nginx", "traffic_server", "squid")
#: What is going on during an honest round.
MOMENTS = (
    "cold",
    "expiring copies",
    "a rolling deploy",
    "a slow origin",
    "a clock an hour ahead",
    "a clock an hour late",
)

Row = tuple[str, str, str, bool]


def rows() -> list[Row]:
    """A row for each kind of moment, one for all honest rounds, one for each kind of broken purge, one for all."""
    return [*asyncio.run(_honest(ROUNDS)), *asyncio.run(_broken(BROKEN))]


async def _honest(many: int) -> list[Row]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * LANES))
    table: list[Row] = []
    failed = 0
    with ExitStack() as stack:
        lab = _Lab(stack)
        for place, moment in enumerate(MOMENTS):
            mine = many // len(MOMENTS) + (place < many % len(MOMENTS))
            begun = time.monotonic()
            with _clock({"a clock an hour ahead": HOUR_SECONDS, "a clock an hour late": -HOUR_SECONDS}.get(moment, 0)):
                told = await _in_lanes([partial(lab.round, moment, number) for number in range(mine)])
            red = [one for one, _ in told if one]
            failed += len(red)
            said = f"{len(red)} failed{f': {Counter(red).most_common(3)}' if red else ''}"
            unknown = Counter(claim for _, claims in told for claim in claims)
            said += f", {sum(bool(claims) for _, claims in told)} with something unknown"
            said += f": {dict(unknown.most_common(4))}" if unknown else ""
            table.append((f"{mine} honest rounds, {moment}", f"{said} ({_since(begun)})", "none", not red))
            sys.stderr.write(f"{table[-1][0]}: {table[-1][1]}\n")
    bound = upper_bound(failed, many)
    said = f"{failed} failed; at most {bound:.2%} do (95 % upper bound)"
    return [*table, (f"{many} honest rounds", said, "none", not failed)]


async def _broken(many: int) -> list[Row]:
    from tests.incidents.broken_purges import KINDS, proven

    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * LANES))
    kinds = [list(KINDS)[number % len(KINDS)] for number in range(many)]

    async def one(kind: str, number: int) -> tuple[str, str]:
        return kind, await proven(kind, changes=number // len(KINDS) % 2 == 0)

    told = await _in_lanes([partial(one, kind, number) for number, kind in enumerate(kinds)])
    table: list[Row] = []
    passed = 0
    for kind in KINDS:
        outcomes = Counter(outcome for each, outcome in told if each == kind)
        wrong = outcomes["pass"] + outcomes["warn"]
        passed += wrong
        said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
        table.append((f"{outcomes.total()} broken purges: {kind}", said, "no pass", wrong <= MOST_PASSES))
    return [*table, (f"{many} broken purges", f"{passed} passed", f"at most {MOST_PASSES}", passed <= MOST_PASSES)]


def upper_bound(count: int, many: int) -> float:
    """The share that is not exceeded with a confidence of 95 %, one-sided (Clopper and Pearson 1934)."""
    low, high = 0.0, 1.0
    for _ in range(60):
        share = (low + high) / 2
        fewer = sum(comb(many, each) * share**each * (1 - share) ** (many - each) for each in range(count + 1))
        low, high = (share, high) if fewer > 0.05 else (low, share)
    return high


async def _in_lanes(made: Sequence[Callable[[], Any]]) -> list[Any]:
    """The results of many coroutines, of which some are under way at once."""
    waiting, found = iter(made), []

    async def lane() -> None:
        for one in waiting:
            found.append(await one())  # noqa: PERF401 - the lanes take turns

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return found


class _Lab:
    """Four honest caches before one origin."""

    def __init__(self, stack: ExitStack) -> None:
        from tests.edges import lab

        start = stack.enter_context
        self.origin = start(lab.Origin())
        self.caches = {
            "varnish": start(lab.Varnish("varnish.vcl", self.origin)),
            "nginx": start(lab.Nginx("nginx.conf", self.origin)),
            "traffic_server": start(lab.TrafficServer("trafficserver", self.origin)),
            "squid": start(lab.Squid("squid.conf", self.origin)),
        }

    async def round(self, moment: str, number: int) -> tuple[str, set[str]]:
        """The claims that fail in one round, empty when none does; and those of which nothing is known."""
        from roundsman.site.rules.site import Site
        from tests.incidents.play import look, wrong
        from tests.jobs.conftest import articles, control, inbox, site

        cache = CACHES[number % len(CACHES)]
        name = f"{moment.replace(' ', '-')}-{number}"
        family = {"expiring copies": "short" if number % 8 < len(CACHES) else "ending"}.get(moment, "articles")
        pages = [f"/{family}/{name}/{page}" for page in ("one", "two", "three")]
        rule = articles(
            name,
            paths=[f"/{family}/{name}/**"],
            cache={"by": "everyone", "edge_ttl": "1s..1h"},
            examples={"cached": pages},
            purge={"canary": pages[0], "marker": {"header": "x-origin-gen"}},
        )
        block = f"{cache.replace('_', '-')}/lab"
        place = site(self.caches[cache].url, [rule, inbox(name), control(name)], block)
        place["manners"] = {"rate": 5000, "timeout": "20s"}
        with self._during(moment, [*pages, f"/guides/{name}/far"], number):
            seen = wrong(await look(Site.model_validate(place)))
        for one in seen:
            if one.outcome == "fail":
                sys.stderr.write(f"{moment}, {cache}: {one}\n")
        red = sorted({f"{one.claim} ({cache})" for one in seen if one.outcome == "fail"})
        return ", ".join(red), {one.claim for one in seen if one.outcome == "unknown"}

    @contextmanager
    def _during(self, moment: str, pages: Sequence[str], number: int) -> Iterator[None]:
        """What goes on at the origin while a round is under way."""
        over = threading.Event()
        if moment == "a slow origin":
            for page in pages:
                self.origin.delay(page, 0.5)
                self.origin.jitter(page, 1.0)
        if moment == "a rolling deploy":
            chance = random.Random(number)

            def deploy() -> None:
                while not over.wait(chance.uniform(0, 0.3)):
                    self.origin.bump(chance.choice(pages))

            threading.Thread(target=deploy).start()
        try:
            yield
        finally:
            over.set()


@contextmanager
def _clock(seconds: float) -> Iterator[None]:
    """The prober's clock, so many seconds from that of everybody else."""
    from roundsman.probe import probe, transfer

    kept = transfer.EPOCH
    transfer.EPOCH = probe.EPOCH = kept + seconds
    try:
        yield
    finally:
        transfer.EPOCH = probe.EPOCH = kept


def _since(begun: float) -> str:
    return f"{time.monotonic() - begun:.0f} s"
