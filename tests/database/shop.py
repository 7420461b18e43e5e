"""A shop that has sitemaps: it answers what a test says, and for its articles what a well-kept site would."""

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


class Shop(ThreadingHTTPServer):
    """`pages` says what a path answers: status, headers, and a body or its pieces. `asked` is what was asked for.

    What is `first` is answered before, once.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages, self.asked, self.sent, self.begins = {}, [], 0, {}
        self.url = f"http://127.0.0.1:{self.server_port}"

    def first(self, path, *answers):
        self.begins[path] = list(answers)

    def robots(self, *lines):
        self.pages["/robots.txt"] = (200, {}, "\n".join(lines).encode())

    def urls(self, path, *paths, packed=False, **headers):
        inner = "".join(f"<url><loc>{one if '://' in one else self.url + one}</loc></url>" for one in paths)
        body = f"<urlset {SPACE}>{inner}</urlset>".encode()
        self.pages[path] = (200, {"ETag": '"1"', **headers}, gzip.compress(body) if packed else body)

    def index(self, path, *paths):
        inner = "".join(f"<sitemap><loc>{one if '://' in one else self.url + one}</loc></sitemap>" for one in paths)
        self.pages[path] = (200, {}, f"<sitemapindex {SPACE}>{inner}</sitemapindex>".encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        self.server.asked.append(self.path)
        article = (
            (200, {"Cache-Control": "public, max-age=600"}, b"page") if self.path.startswith("/articles/") else None
        )
        status, headers, body = self.server.pages.get(self.path, article or (404, {}, b""))
        if first := self.server.begins.get(self.path):
            status, headers, body = first.pop(0)
        if status == 200 and headers.get("ETag", "-") == self.headers.get("If-None-Match"):
            status, body = 304, b""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        pieces = [body] if isinstance(body, bytes) else body
        if isinstance(body, bytes) and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        try:
            for piece in pieces:
                self.wfile.write(piece)
                if piece is not body:
                    self.wfile.flush()
                self.server.sent += len(piece)
        except OSError:
            self.close_connection = True

    def log_message(self, *said):
        """Say nothing."""


@contextmanager
def serving():
    with Shop() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
