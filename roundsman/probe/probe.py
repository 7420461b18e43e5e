"""Ask the outside once or many times, and measure truthfully: libcurl's multi interface in a tight loop.

Why not httpx: with many connections in one event loop it reports its own queue as the server's response time. So
no module but this and `transfer` knows of pycurl. In a flow: `await asyncio.to_thread(probe, ...)`.
"""

import math
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Self

import certifi
import pycurl

from roundsman.probe.transfer import EPOCH, Transfer, where
from roundsman.report.rules.exchange import Exchange, Phases, Probe
from roundsman.site.rules.site import Manners

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
#: A cache that honours them would not do for a probe what it does for readers.
_REFUSED = frozenset(["cache-control", "pragma"])

_EVENTS = {
    pycurl.POLL_IN: select.POLLIN,
    pycurl.POLL_OUT: select.POLLOUT,
    pycurl.POLL_INOUT: select.POLLIN | select.POLLOUT,
}

#: When each host may next be asked, on the monotonic clock, for all batches and threads of this process.
_slots: dict[str, float] = {}
_slots_lock = threading.Lock()


def now() -> float:
    """The time in Unix seconds, on the clock of every exchange."""
    return EPOCH + time.monotonic()


def probe(
    probes: Sequence[Probe], *, manners: Manners, user_agent: str, connections: int = 8, patience: float = math.inf
) -> list[Exchange]:
    """Ask every probe once and return the exchanges in the order of the probes. Blocks until the last one is in.

    Args:
        probes: each is started at its due time (`at`, seconds from now) if a connection is free and the host's rate
            allows it, else as soon as they do: `phases.late` says how much later. What was due during a stall goes as
            quickly as connections are free, as visitors would; what has no due time never goes above the rate.
        manners: requests a second for one host (shared with all other batches of this process), seconds for one whole
            exchange, bytes of one decoded body.
        user_agent: names the project and a contact.
        connections: how many exchanges may be under way at once.
        patience: seconds after its due time from which on a probe is not sent any more, but counted: its error is
            `dropped`. None is left out otherwise.

    Raises:
        ValueError: a probe that must not be sent, such as one with a request Cache-Control. What the outside does is
            never raised: it is in `error` and `detail` of the exchange.
    """
    with Prober(manners, user_agent, connections) as prober:
        return prober.ask(probes, patience)


class Prober:
    """Keeps connections open from one batch to the next; for response times without the cost of connecting.

    To be used by one thread at a time. The certificates that are trusted are those of certifi, or of the file that
    SSL_CERT_FILE names.
    """

    def __init__(self, manners: Manners, user_agent: str, connections: int = 8) -> None:
        if connections < 1:
            raise ValueError(f"wanted at least one connection, not {connections}")
        self._manners = manners
        self._multi = pycurl.CurlMulti()
        self._sockets = select.poll()
        self._wake = math.inf
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, 4 * connections)
        trusted = os.environ.get("SSL_CERT_FILE") or certifi.where()
        transfers = [Transfer(manners, user_agent, trusted) for _ in range(connections)]
        self._transfers = {transfer.curl: transfer for transfer in transfers}
        self._idle = transfers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._multi.close()
        for curl in self._transfers:
            curl.close()

    def ask(self, probes: Sequence[Probe], patience: float = math.inf) -> list[Exchange]:
        """One batch; see `probe`."""
        for each in probes:
            _refuse(each)
        begun = time.monotonic()
        queue = deque(sorted(((begun + each.at, place) for place, each in enumerate(probes))))
        exchanges: dict[int, Exchange] = {}
        slot: float | None = None  # when the first of the queue has its turn at its host
        while len(exchanges) < len(probes):
            now = time.monotonic()
            started = False
            while queue and self._idle:
                due, place = queue[0]
                if now - due > patience:
                    queue.popleft()
                    exchanges[place] = _dropped(probes[place], due, now)
                    continue
                if slot is None and due <= now:
                    # What has a time of its own keeps it: else one hiccup would make all that follows late as well.
                    slot = _next_slot(probes[place].url, self._manners.rate, due if probes[place].at else now)
                if slot is None or slot > now:
                    break
                queue.popleft()
                slot, started = None, True
                transfer = self._idle.pop()
                transfer.take(place, probes[place], due)
                self._multi.add_handle(transfer.curl)
            if started:
                self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            # Before any waiting: an exchange can end while it is started, and then nothing may be left to wait for.
            if not self._collect(exchanges) and len(exchanges) < len(probes):
                turn = math.inf
                if queue and self._idle:
                    turn = queue[0][0] if slot is None else slot
                self._turn(min(turn, self._wake))
        return [exchanges[place] for place in range(len(probes))]

    def _turn(self, until: float) -> None:
        """Wait for the network, at most until a moment, and let libcurl do what is to be done."""
        pause = None if until == math.inf else max(0.0, until - time.monotonic()) * 1000
        action = self._multi.socket_action
        for fd, seen in self._sockets.poll(pause):
            # A broken connection is both: reading or writing tells what is the matter.
            readable = pycurl.CSELECT_IN if seen & ~select.POLLOUT else 0
            writable = pycurl.CSELECT_OUT if seen & ~select.POLLIN else 0
            action(fd, readable | writable)
        if self._wake <= time.monotonic():
            self._wake = math.inf
            action(pycurl.SOCKET_TIMEOUT, 0)

    def _collect(self, exchanges: dict[int, Exchange]) -> bool:
        """Take in what has ended; whether anything had."""
        before, left = len(exchanges), 1
        while left:
            left, done, failed = self._multi.info_read()
            for curl, code, message in [*((curl, pycurl.E_OK, "") for curl in done), *failed]:
                transfer = self._transfers[curl]
                self._multi.remove_handle(curl)
                exchanges[transfer.place] = transfer.exchange(code, message)
                self._idle.append(transfer)
        return len(exchanges) > before

    def _watch(self, wanted: int, fd: int, _multi: object, _data: object) -> None:
        if wanted == pycurl.POLL_REMOVE:
            self._sockets.unregister(fd)
        else:
            self._sockets.register(fd, _EVENTS[wanted])

    def _set_timer(self, milliseconds: int) -> None:
        self._wake = math.inf if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _dropped(probe: Probe, due: float, now: float) -> Exchange:
    """What became of a probe that was too late to be sent: at least so long somebody would have waited."""
    late = now - due
    said = f"not sent: {late:.1f} s after its time all connections were still waiting for answers"
    return Exchange(probe, EPOCH + due, EPOCH + now, Phases(late=late), error="dropped", detail=said)


def _refuse(probe: Probe) -> None:
    """ValueError for what must not or cannot be sent; never tells a header's value, which can be a secret."""
    if not _TOKEN.fullmatch(probe.method):
        raise ValueError(f"a probe's method is one word, not {probe.method!r}")
    if not _VALUE.fullmatch(probe.accept_encoding):
        raise ValueError("the probe's accept_encoding has characters that cannot be sent")
    for name, value in probe.headers:
        if name.lower() in _REFUSED:
            raise ValueError(f"a probe never sends a request {name}: it would change what the cache does")
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the value of the header {name} has characters that cannot be sent")


def _next_slot(url: str, rate: float, since: float) -> float:
    """Take the next turn at a URL's host from a moment on; when it may be used, on the monotonic clock."""
    end = url.find("/", len("https://"))
    host = _host(url if end < 0 else url[:end])
    with _slots_lock:
        slot = max(since, _slots.get(host, since))
        _slots[host] = slot + 1 / rate
    return slot


@lru_cache(maxsize=1024)
def _host(origin: str) -> str:
    """The host of a URL's beginning; taking each URL apart would cost as much as a tenth of its exchange."""
    return where(origin)[1]
