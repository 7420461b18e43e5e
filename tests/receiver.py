"""A server that messages are sent to: it keeps what was posted, and answers as it is told."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(ThreadingHTTPServer):
    """`got` are the bodies that were posted to each path, in their order; `statuses` says what a path answers."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got = {}
        #: When each of them came, in Unix seconds.
        self.at = {}
        self.statuses = {}
        #: A path in here answers when its event is set.
        self.waits = {}
        #: Set by each request, before it is answered.
        self.asked = threading.Event()

    def url(self, path="/", scheme="http"):
        return f"{scheme}://127.0.0.1:{self.server_port}{path}"

    @property
    def messages(self):
        """Every body, and when it came."""
        got = [(body, at) for path, every in self.got.items() for body, at in zip(every, self.at[path], strict=False)]
        return [body | {"received": at} for body, at in got]

    def about(self, words):
        """The messages in which some words stand."""
        return [message for message in self.messages if words in json.dumps(message)]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.set()
        if wait := self.server.waits.get(self.path):
            wait.wait(30)
        status = self.server.statuses.get(self.path, 200)
        if status < 300:
            self.server.at.setdefault(self.path, []).append(time.time())
            self.server.got.setdefault(self.path, []).append(json.loads(body))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *said):
        """Say nothing."""


@contextmanager
def receiver():
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            for wait in server.waits.values():
                wait.set()
            server.shutdown()
            thread.join()


def webhook(url):
    """A notification block that posts subject and body to an address; save it under a name."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    return CustomWebhookNotificationBlock(
        name="receiver", url=url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
    )
