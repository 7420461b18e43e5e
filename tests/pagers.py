"""Doubles of pagers: PagerDuty's Events API v2, and the alert API of Opsgenie and Jira Service Management.

They refuse what the real ones refuse, and keep which alerts are open.
"""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

SEVERITIES = {"critical", "error", "warning", "info"}
ROUTING_KEY, API_KEY = "0123456789abcdef0123456789abcdef", "a1b2c3d4-opsgenie-key"


class Pagers(ThreadingHTTPServer):
    """`events` are those that were taken, in their order; `alerts` the open ones by key; `refusals` the others."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events, self.alerts, self.refusals, self.status = [], {}, [], 202

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def take(self, event, key, alert):
        self.events.append(event)
        if alert is None:
            self.alerts.pop(key, None)
        else:
            self.alerts[key] = alert

    def pagerduty(self, asked):
        """What is wrong with an event, by the vendor's reference; empty when it was taken."""
        action, key, payload = asked.get("event_action"), asked.get("dedup_key", ""), asked.get("payload") or {}
        wrong = [
            asked.get("routing_key") != ROUTING_KEY and "routing_key",
            action not in {"trigger", "acknowledge", "resolve"} and "event_action",
            (len(key) > 255 or (action != "trigger" and not key)) and "dedup_key",
        ]
        if action == "trigger":
            wrong += [not payload.get(name) and name for name in ("summary", "source")]
            wrong += [len(payload.get("summary", "")) > 1024 and "summary"]
            wrong += [payload.get("severity") not in SEVERITIES and "severity"]
        if not any(wrong):
            self.take(asked, key or object(), payload if action == "trigger" else None)
        return ", ".join(filter(None, wrong))

    def opsgenie(self, path, query, asked):
        """As for `pagerduty`; closing what is not open is taken, and does nothing."""
        if path.endswith("/close"):
            alias = unquote(path.split("/")[-2])
            wrong = query.get("identifierType") != ["alias"] and "identifierType"
            if not wrong:
                self.take({"action": "close", "alias": alias, **asked}, alias, None)
            return wrong or ""
        wrong = [
            not 0 < len(asked.get("message", "")) <= 130 and "message",
            len(asked.get("alias", "")) > 512 and "alias",
            asked.get("priority", "P3") not in {"P1", "P2", "P3", "P4", "P5"} and "priority",
        ]
        if not any(wrong):
            self.take({"action": "create", **asked}, asked.get("alias") or object(), asked)
        return ", ".join(filter(None, wrong))


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        address, pagers = urlsplit(self.path), self.server
        status = pagers.status
        if status == 202:
            if address.path == "/v2/enqueue":
                wrong, refused = pagers.pagerduty(asked), 400
            elif self.headers["authorization"] != f"GenieKey {API_KEY}":
                wrong, refused = "key", 401
            else:
                wrong, refused = pagers.opsgenie(address.path, parse_qs(address.query), asked), 422
            if wrong:
                pagers.refusals.append(wrong)
                status = refused
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *said):
        """Say nothing."""


@contextmanager
def pagers(monkeypatch):
    """The doubles, in the place of the vendors' addresses."""
    from apprise.plugins import jira, opsgenie, pagerduty

    with Pagers() as server:
        monkeypatch.setattr(pagerduty, "PAGERDUTY_API_LOOKUP", dict.fromkeys(("us", "eu"), server.url("/v2/enqueue")))
        monkeypatch.setattr(opsgenie, "OPSGENIE_API_LOOKUP", dict.fromkeys(("us", "eu"), server.url("/v2/alerts")))
        monkeypatch.setattr(jira, "JIRA_API_LOOKUP", dict.fromkeys(("us", "eu"), server.url("/jsm/v2/alerts")))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
