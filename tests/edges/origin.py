"""The site behind the caches: a small server whose content a test can change, delay, hold or kill."""

import contextlib
import random
import socket
import socketserver
import sys
import threading
import time
from collections import defaultdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from tests.edges.pages import MEMBERS, Answer, Request, answer

__all__ = ["MEMBERS", "Answer", "Origin", "Request"]


class Origin:
    """A small web site with its own threads, on a free port of 127.0.0.1; `with Origin() as origin`.

    Every path has a generation, which is in `X-Origin-Gen`, the ETag, Last-Modified and the body. `requests` holds
    what reached the origin, in order of arrival.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._generations: defaultdict[str, int] = defaultdict(lambda: 1)
        self._delays: dict[str, float] = {}
        self._jitters: dict[str, tuple[float, random.Random]] = {}
        self._stalls: dict[str, tuple[float, float, float]] = {}
        self._holds: dict[str, threading.Event] = {}
        self._left: int | None = None
        self._news = threading.Condition()
        self._stopping = threading.Event()
        self._server = _Server(self)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.02], name="origin")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def bump(self, path: str) -> int:
        """Change a page's content, whatever its query; returns its new generation. The first one is 1."""
        with self._news:
            self._generations[path] += 1
            return self._generations[path]

    def delay(self, path: str, seconds: float) -> None:
        """From now on answer this path so much later. The content is that of the moment the request came in."""
        self._delays[path] = seconds

    def jitter(self, path: str, seconds: float) -> None:
        """From now on answer this path later by anything up to so much, on top of its delay; the same on every run."""
        self._jitters[path] = (seconds, random.Random(path))

    def stall(self, path: str, seconds: float, every: float) -> None:
        """From now on leave this path unanswered for the first so many seconds of every so many."""
        self._stalls[path] = (seconds, every, time.monotonic())

    @contextlib.contextmanager
    def hold(self, path: str):
        """Leave requests of this path unanswered until the block ends: a fetch in flight, without guessing at time."""
        released = self._holds[path] = threading.Event()
        try:
            yield
        finally:
            del self._holds[path]
            released.set()

    def asked(self, target: str) -> list[Request]:
        """The requests of exactly this target (path and query) that have come in."""
        return [request for request in list(self.requests) if request.target == target]

    def wait_asked(self, target: str, times: int = 1, seconds: float = 10) -> None:
        """Return once the target was asked for so many times; TimeoutError when it is not in time."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.asked(target)) >= times, seconds):
                raise TimeoutError(f"{target} was asked for {len(self.asked(target))} times, not {times}")

    def fail(self, after: int = 0) -> None:
        """Answer `after` more requests, then hang up on every one; for good, so use an origin of your own."""
        with self._news:
            self._left = after

    def stop(self) -> None:
        """Die: hang up on everybody and close the port. A second time does nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        for released in list(self._holds.values()):
            released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def respond(self, request: Request) -> Answer | None:
        """Note the request and answer it; None hangs up. Called by the server's threads."""
        path = request.path
        with self._news:
            self.requests.append(request)
            generation = self._generations[path]
            delay = self._delays.get(path, 1 if path.startswith("/slow/") else 0)
            delay += self._more(path)
            dead = self._left == 0
            if self._left:
                self._left -= 1
            self._news.notify_all()
        if dead:
            return None
        if hold := self._holds.get(path):
            hold.wait(60)
        self._stopping.wait(delay)
        return None if self._stopping.is_set() else answer(request, generation)

    def _more(self, path: str) -> float:
        """What jitter and a stall add to an answer's delay."""
        upto, chance = self._jitters.get(path, (0.0, random))
        seconds, every, since = self._stalls.get(path, (0.0, 1.0, 0.0))
        return chance.uniform(0, upto) + max(0.0, seconds - (time.monotonic() - since) % every)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing the server waits for its threads
    request_queue_size = 128

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the machine's name, which can take seconds.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: socket.socket, client_address: object) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: socket.socket, client_address: object) -> None:
        # A cache that hangs up is no error of the origin's.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together
    server: _Server

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        said = self.server.origin.respond(Request(self.command, self.path, headers, body))
        if said is None:
            self.close_connection = True
            return
        self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        if said.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(said.body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass
