"""Small servers on 127.0.0.1 that misbehave as the outside does."""

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.ports import free_port

#: What a server does with one connection; what it leaves open is closed after it.
Behaviour = Callable[["Visit"], None]


@dataclass
class Server:
    """Where it listens, and what it was sent: one text of request line, headers and what was read of the body each."""

    port: int
    requests: list[str] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    connections: int = 0
    names: list[str | None] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}/"


@dataclass
class Visit:
    """One connection, from the server's side."""

    server: Server
    socket: socket.socket
    stopped: threading.Event

    def request(self) -> str:
        """Read the next request up to its empty line; an empty text when the client is gone."""
        text = b""
        while b"\r\n\r\n" not in text:
            if not (piece := self.socket.recv(65536)):
                return ""
            text += piece
        self.server.arrivals.append(time.monotonic())
        self.server.requests.append(text.decode("latin-1"))
        return self.server.requests[-1]

    def body(self) -> str:
        """Read what is still missing of the body of the last request, by its Content-Length, and keep it with it."""
        head, _, body = self.server.requests[-1].partition("\r\n\r\n")
        length = re.search(r"(?im)^content-length: *(\d+)", head)
        while length and len(body) < int(length[1]) and (piece := self.socket.recv(65536)):
            body += piece.decode("latin-1")
        self.server.requests[-1] = f"{head}\r\n\r\n{body}"
        return body

    def send(self, *pieces: bytes) -> None:
        self.socket.sendall(b"".join(pieces))

    def reset(self) -> None:
        """Close with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@contextmanager
def serving(behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server that treats every connection, each in its own thread, as told."""
    stopped = threading.Event()
    threads: list[threading.Thread] = []
    visits: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        server = Server(port=listener.getsockname()[1])
        if tls:
            tls.sni_callback = lambda _socket, name, _context: server.names.append(name)

        def one(visit: socket.socket) -> None:
            # The client goes when it has seen enough.
            with contextlib.suppress(OSError), contextlib.closing(visit):
                if tls:
                    visit = tls.wrap_socket(visit, server_side=True)
                with contextlib.closing(visit):
                    behaviour(Visit(server, visit, stopped))

        def accept() -> None:
            while True:
                try:
                    visit, _ = listener.accept()
                except OSError:
                    return
                server.connections += 1
                visits.append(visit)
                threads.append(threading.Thread(target=one, args=(visit,), daemon=True))
                threads[-1].start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield server
        finally:
            stopped.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join(5)
            for visit in visits:
                with contextlib.suppress(OSError):
                    visit.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(5)


def dead_port() -> int:
    """A port on which nobody listens."""
    return free_port()


def answering(head: str = "HTTP/1.1 200 OK", body: bytes = b"", headers: Sequence[str] = ()) -> Behaviour:
    """Answers every request on a connection alike, with a Content-Length."""
    lines = [head, f"Content-Length: {len(body)}", *headers, "", ""]
    return saying("\r\n".join(lines).encode("latin-1") + body)


def saying(*pieces: bytes) -> Behaviour:
    """Sends these very bytes to every request."""

    def behave(visit: Visit) -> None:
        while visit.request():
            visit.send(*pieces)

    return behave


def saying_once(*pieces: bytes, reset: bool = False) -> Behaviour:
    """Sends these very bytes to the first request, and is gone."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(*pieces)
        if reset:
            time.sleep(0.05)  # a RST overtakes what was sent just before
            visit.reset()

    return behave


def silent(visit: Visit) -> None:
    """Takes a request and never answers."""
    visit.request()
    visit.stopped.wait(30)


def endless(pause: float) -> Behaviour:
    """A body that never ends, a piece every `pause` seconds."""

    def behave(visit: Visit) -> None:
        visit.request()
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while not visit.stopped.is_set():
            visit.send(b"more " * 2000)
            visit.stopped.wait(pause)

    return behave


def bomb(megabytes: int) -> bytes:
    """Zeros that gzip makes a thousand times smaller."""
    press = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(1_000_000)
    return b"".join([press.compress(zeros) for _ in range(megabytes)]) + press.flush()
