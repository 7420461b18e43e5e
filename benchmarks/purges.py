"""False verdicts: honest purges of real caches that fail, and broken ones that pass.

It takes some twenty minutes, so it is run by its name: `python -m benchmarks purges`.
Each purge is proven as in a round, on pages of its own, in lanes side by side. Half of the pages change their content
with the purge, the other half do not. ROUNDSMAN_PURGES says how many of each kind there are (200).
"""

import asyncio
import math
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count

BY_NAME = True
MANY = int(os.environ.get("ROUNDSMAN_PURGES", "200"))
#: Purges under way at once.
LANES = 24

#: What can go wrong, as the tests' vendor API does it before two Varnishes, and as caches that are wrong do.
BROKEN = (
    "dropped",
    "late",
    "one server only",
    "a neighbour as well",
    "prefix ban",
    "no purge at all",
    "edges without shield",
    "a fetch under way, purged once",
)
#: Instead of an outcome.
NO_RACE = "no race"
HONEST = ("varnish", "nginx", "traffic_server", "squid", "a fetch under way, purged twice")


def rows() -> list[tuple[str, str, str, bool]]:
    """A row for each cache, and one for each way to be broken."""
    return asyncio.run(table(MANY))


async def table(many: int) -> list[tuple[str, str, str, bool]]:
    found = []
    with ExitStack() as stack:
        lab = _Lab(stack)
        for kind in (*HONEST, *BROKEN):
            begun = time.monotonic()
            outcomes = await _purges(lab, kind, many)
            honest = kind in HONEST
            wrong = outcomes["fail" if honest else "pass"]
            said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
            what = f"{many} honest purges, {kind}" if honest else f"{many} broken purges: {kind}"
            measured = f"{said} ({time.monotonic() - begun:.0f} s)"
            found.append((what, measured, "no fail" if honest else "no pass", not wrong))
            sys.stderr.write(f"{what}: {measured}\n")
    return found


async def _purges(lab: "_Lab", kind: str, many: int) -> Counter[str]:
    """The outcomes of so many purges."""
    outcomes: Counter[str] = Counter()
    waiting, pages = iter(range(many)), count()

    async def lane() -> None:
        for _ in waiting:
            # A fetch that was over before the purge is no race: another page is tried in its place.
            while (outcome := await lab.purge(kind, next(pages))) == NO_RACE:
                pass
            outcomes[outcome] += 1

    await asyncio.gather(*(lane() for _ in range(LANES)))
    return outcomes


class _Lab:
    """Caches that are honest and caches that are not."""

    def __init__(self, stack: ExitStack) -> None:
        from tests.edges import lab
        from tests.vendor_api import VendorApi, served

        start = stack.enter_context
        self.origin = start(lab.Origin())
        #: When the fetch of a page that was under way was over, in Unix seconds.
        self.over: dict[str, float] = {}
        self.caches = {
            "varnish": start(lab.Varnish("varnish.vcl", self.origin)),
            "nginx": start(lab.Nginx("nginx.conf", self.origin)),
            "traffic_server": start(lab.TrafficServer("trafficserver", self.origin)),
            "squid": start(lab.Squid("squid.conf", self.origin)),
            "prefix ban": start(lab.Varnish("varnish-prefix-ban.vcl", self.origin)),
            "no purge at all": start(lab.Varnish("varnish-noop-purge.vcl", self.origin)),
        }
        self.caches |= dict.fromkeys((HONEST[-1], BROKEN[-1]), self.caches["varnish"])
        shield = start(lab.Varnish("varnish.vcl", self.origin))
        self.caches["edges without shield"] = start(lab.Varnish("varnish-tier.vcl", shield))
        self.nodes = [start(lab.Varnish("varnish.vcl", self.origin)) for _ in range(2)]
        at = {"caches": [one.url for one in self.nodes], "site": self.nodes[0].url}
        self.apis = {kind: VendorApi(**at) for kind in BROKEN[:4]}
        self.apis["dropped"].drop = True
        self.apis["late"].polls = 1
        self.apis["one server only"].only = 0
        self.addresses = {kind: start(served(api)) for kind, api in self.apis.items()}

    async def purge(self, kind: str, number: int) -> str:
        """The outcome of one purge of a page of its own."""
        from tests.edges.proof import purged, shop

        name = f"{kind.replace(' ', '-').replace(',', '')}-{number}"
        path, races = f"/articles/{name}/one", kind in {HONEST[-1], BROKEN[-1]}
        changes = races or number % 2 == 0
        # So slow that the purge comes before it ends, also when the machine is busy; or over before the second one.
        touch = partial(self.race, path, 3.0 if kind in BROKEN else 0.8) if races else partial(self.origin.bump, path)
        if kind in self.addresses:
            settings = {"service": "s", "token": "hush-4711", "api": self.addresses[kind]}
            servers = [one.url for one in self.nodes]
            place = shop(servers[0], "fastly", name, settings=settings, servers=servers)
            if kind == "a neighbour as well":
                # One API for all lanes: it takes a neighbour of each page that is under way.
                self.apis[kind].also = (*self.apis[kind].also, f"{servers[0]}/articles/{name}/two")
        else:
            place = shop(self.caches[kind].url, kind if kind in HONEST[:-1] else "varnish", name)
        place = place.model_copy(update={"manners": place.manners.model_copy(update={"rate": 5000.0, "timeout": 20.0})})
        with _touching(path, touch):
            again = kind != BROKEN[-1]
            found = await purged(place, touch=("touch", path) if changes else (), patience=0, again=again)
        purges = found.proof.purges
        if kind == BROKEN[-1] and purges and self.over.get(path, math.inf) < purges[0].started:
            return NO_RACE
        return found.verdict.outcome.value

    def race(self, path: str, seconds: float) -> None:
        """Somebody fetches the page, which is dropped just then, and its content changes meanwhile."""
        from roundsman.probe.probe import now
        from tests.edges.asking import ask, purge

        varnish, gzip = self.caches["varnish"], {"accept-encoding": "gzip"}
        purge(varnish, path)
        self.origin.delay(path, seconds)
        before = len(self.origin.asked(path))

        def fetch() -> None:
            ask(varnish, path, extra=gzip)
            self.over[path] = now()

        threading.Thread(target=fetch).start()
        self.origin.wait_asked(path, before + 1)
        self.origin.delay(path, 0)
        self.origin.bump(path)


#: What happens to a page between the last look before a purge and the purge.
_touches: dict[str, Callable[[], object]] = {}


@contextmanager
def _touching(path: str, what: Callable[[], object]) -> Iterator[None]:
    """Instead of a program that would have to be started two thousand times."""
    from roundsman.purge import prove

    async def run(argv: tuple[str, ...], **_: object) -> str:
        await asyncio.to_thread(_touches[argv[-1]])
        return ""

    prove.run = run
    _touches[path] = what
    try:
        yield
    finally:
        del _touches[path]
