"""A place to send messages to: keeps the JSON of every POST and when it came, and answers as it is told to."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    url: str
    messages: list[dict] = field(default_factory=list)
    status: int = 200
    """What the next message is answered with."""

    def about(self, words):
        """The messages in which some words stand."""
        return [message for message in self.messages if words in json.dumps(message)]


@contextmanager
def receiving():
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.messages.append(message | {"received": time.time()})
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/messages")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def webhook(url):
    """A notification block that posts subject and body to an address; save it under a name."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    return CustomWebhookNotificationBlock(
        name="receiver", url=url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
    )
