"""Connections to the board: so many at once, and so long for each part of a request. Slow ones make room for others.

uvicorn bounds neither: whoever sends a request byte by byte keeps a connection for as long as they like, and with as
many of them as the process may have open files nobody else is answered (the attack called Slowloris).
"""

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections at once, if the process may have twice as many files open.
MAX_CONNECTIONS = 256
#: Connections that the system keeps until they are taken, and that are taken in one go.
BACKLOG = 128
#: Seconds for the head of a request, and for all that follows: its body, and an answer that is taken off the wire.
HEAD_SECONDS, REST_SECONDS = 10.0, 30.0


def room() -> int:
    """How many connections there may be, by what this process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else max(8, min(MAX_CONNECTIONS, files // 2))


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a deadline for each part of a request.

    When there are too many connections, the one is cut off that has kept the board waiting longest: for a request, for
    the rest of one, or for an answer to be read. One whose request is being worked on is not; when there is no other,
    the new connection is.
    """

    since: float
    """When the other side began to keep us waiting."""
    _deadline: asyncio.TimerHandle | None = None
    _in_head: bool = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for a connection, and wait for its first request."""
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)
        if len(self.connections) > room():
            others: Any = self.connections
            waiting = [one for one in others if one is not self and not one.at_work]
            min(waiting, key=lambda one: one.since, default=self).cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        if self._deadline:
            self._deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hold the other side to the deadline of the part that it is sending."""
        if not self._in_head and self.idle:
            self._in_head = True
            self._wait(HEAD_SECONDS)
        super().data_received(data)
        if self._in_head and self.conn.their_state is not h11.IDLE:
            self._in_head = False
            self._wait(REST_SECONDS)

    def on_response_complete(self) -> None:
        """Give the next part its own time: the rest of a body, or a request that was sent ahead."""
        super().on_response_complete()
        if not self._in_head and not self.transport.is_closing():
            self._wait(REST_SECONDS)

    @property
    def idle(self) -> bool:
        """Whether everything that was asked is answered, and the answer was taken."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.conn.their_state is h11.IDLE and not self.transport.get_write_buffer_size()

    @property
    def at_work(self) -> bool:
        """Whether we, and not the other side, are to do the next thing."""
        complete = self.cycle is not None and self.conn.their_state in {h11.DONE, h11.MUST_CLOSE}
        return complete and not self.cycle.response_complete and not self.transport.get_write_buffer_size()

    def cut_off(self) -> None:
        """End the connection at once, whatever is still to be sent or read."""
        self.connections.discard(self)
        self.transport.abort()

    def _wait(self, seconds: float) -> None:
        self.since = self.loop.time()
        if self._deadline:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        # One that is idle between two requests ends by uvicorn's own, shorter deadline.
        if self._in_head or not self.idle:
            self.cut_off()
