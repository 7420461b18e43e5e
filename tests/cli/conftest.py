import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Pages:
    """A small site whose answers a test writes down: `pages["/a"] = {"Cache-Control": "max-age=60"}`."""

    def __init__(self):
        self.headers, self.statuses, self.bodies, self.asked = {}, {}, {}, []
        pages = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                pages.asked.append((self.path, dict(self.headers)))
                body = pages.bodies.get(self.path, b"<h1>A page</h1>")
                self.send_response(pages.statuses.get(self.path, 200 if self.path in pages.headers else 404))
                for name, value in {"Content-Type": "text/html", **pages.headers.get(self.path, {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}"

    def __setitem__(self, path, headers):
        self.headers[path] = headers


@pytest.fixture
def pages():
    found = Pages()
    thread = threading.Thread(target=found.server.serve_forever, args=[0.02])
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()
