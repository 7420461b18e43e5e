"""Purges and webhooks out of the outbox, and what becomes of messages that can't be sent."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from flows.tasks.alerts import deliver
from roundsman.alerts.outbox import Delivered, dead_letters, replay, undelivered
from roundsman.batch.chunks import send
from roundsman.batch.rules import Outgoing
from roundsman.batch.target import prepare
from roundsman.ledger.rules.delivery import MOST_ATTEMPTS, MOST_ATTEMPTS_OF_WORDS, PURGE, WEBHOOK, PurgeMessage
from roundsman.ledger.transaction import writing
from tests.alerts.telling import keep_site, outbox, webhook, written
from tests.alerts.test_outbox import PAST, change, put
from tests.batch.work import opened
from tests.edges.asking import ask
from tests.edges.asking import told as answered
from tests.edges.conftest import nginx, origin, squid
from tests.vendor_api import TOKEN, VendorApi, served

__all__ = ["nginx", "origin", "squid"]


class Node(ThreadingHTTPServer):
    """A server that keeps what it was asked, and answers as it is told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.asked = []
        self.status = 200
        self.retry_after = ""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def seen(self):
        """Method and path of each request."""
        return [(method, path) for method, path, *_ in self.asked]


class Asked(BaseHTTPRequestHandler):
    def handle_one_request(self):
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path, self.headers, body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        if self.server.retry_after:
            self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()

    def log_message(self, *said):
        """Say nothing."""


@contextmanager
def node():
    with Node() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def edge():
    with node() as server:
        yield server


@pytest.fixture
def shield():
    with node() as server:
        yield server


@pytest.fixture
def target(url):
    """A batch job's own database, which is not the ledger."""
    engine = opened(url)
    prepare(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def site(edge, tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK", f"{edge.url}/hook/hush-hush")
    monkeypatch.setenv("HOOK_KEY", "hush-hush")
    blocks = {
        "varnish/shop": {"nodes": [edge.url]},
        "outgoing-webhook/shop": {"url": {"env": "HOOK"}, "headers": {"Authorization": {"env": "HOOK_KEY"}}},
        "custom-webhook/ops": webhook("ops", f"{edge.url}/ops"),
    }
    return keep_site(tmp_path, monkeypatch, written("ops", blocks=blocks) | {"edge": "varnish/shop"})


def enqueue(engine, *outgoing, origin="job/1"):
    with writing(engine) as connection:
        send(connection, outgoing, origin)


def a_purge(*routes, key="key", body=""):
    return Outgoing(PURGE, "varnish/shop", key, body or PurgeMessage(routes).as_body(), f"purge {key}", "shop")


def a_webhook(body='{"a": 1}', key="key"):
    return Outgoing(WEBHOOK, "outgoing-webhook/shop", key, body, "tell the shop", "shop")


async def test_a_purge_is_sent_by_the_site_s_edge_once(target, site, edge):
    enqueue(target, a_purge("/a", "/b"))
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert Delivered(0, 0) == await deliver.fn(target=target)
    assert [("PURGE", "/a"), ("PURGE", "/b")] == edge.seen()
    assert {"example.test"} == {headers["host"] for _, _, headers, _ in edge.asked}
    assert (0, 0) == undelivered(target)


async def test_the_shield_is_purged_before_the_edge(target, site, edge, shield, tmp_path, monkeypatch):
    """Else the edge fetches the old copy again."""
    blocks = {"varnish/shop": {"nodes": [edge.url]}, "varnish/shield": {"nodes": [shield.url]}}
    both = {"edge": "varnish/shop", "shield": "varnish/shield"}
    keep_site(tmp_path, monkeypatch, written(blocks=blocks) | both)
    shield.status = 503
    enqueue(target, a_purge("/a"))
    assert Delivered(0, 1) == await deliver.fn(target=target)
    assert ([("PURGE", "/a")], []) == (shield.seen(), edge.seen())
    shield.status = 200
    change(target, due_at=PAST)
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert [("PURGE", "/a")] == edge.seen()


async def test_a_node_in_trouble_is_left_alone_and_the_others_get_everything(
    target, site, edge, shield, tmp_path, monkeypatch
):
    """Or a node that is gone, at which each request takes seconds, would keep the others from being asked in time."""
    blocks = {"varnish/shop": {"nodes": [shield.url, edge.url]}}
    keep_site(tmp_path, monkeypatch, written(blocks=blocks) | {"edge": "varnish/shop"})
    shield.status = 503
    enqueue(target, a_purge("/a", "/b", "/c"))
    assert Delivered(0, 1) == await deliver.fn(target=target)
    assert [("PURGE", "/a")] == shield.seen()
    assert [("PURGE", "/a"), ("PURGE", "/b"), ("PURGE", "/c")] == edge.seen()


async def test_a_node_that_refuses_one_page_gets_the_others(target, site, edge):
    edge.status = 405
    enqueue(target, a_purge("/a", "/b"))
    await deliver.fn(target=target)
    assert [("PURGE", "/a"), ("PURGE", "/b")] == edge.seen()


async def test_behind_a_shield_that_is_not_done_the_edge_keeps_its_copy(target, edge, tmp_path, monkeypatch):
    """It would fetch the old one again, and its vendor would take the next attempt for the same order."""
    monkeypatch.setattr("roundsman.alerts.channels.PURGE_SECONDS", 2.0)
    monkeypatch.setenv("AWS", TOKEN)
    vendor, keys = VendorApi(), {"access_key_id": {"env": "AWS"}, "secret_access_key": {"env": "AWS"}}
    vendor.polls = 1000
    with served(vendor) as address:
        blocks = {
            "varnish/shop": {"nodes": [edge.url]},
            "cloudfront/shield": {"distribution": "E1", "api": address, **keys},
        }
        both = {"edge": "varnish/shop", "shield": "cloudfront/shield"}
        keep_site(tmp_path, monkeypatch, written(blocks=blocks) | both)
        enqueue(target, a_purge("/a"))
        assert Delivered(0, 1) == await deliver.fn(target=target)
        assert [] == edge.seen()
        vendor._open = dict.fromkeys(vendor._open, 0)
        change(target, due_at=PAST)
        assert Delivered(1, 0) == await deliver.fn(target=target)
        assert [("PURGE", "/a")] == edge.seen()


async def test_of_a_page_without_variants_one_purge_is_enough(target, origin, nginx, tmp_path, monkeypatch):
    """nginx drops one variant at a time, and there are seven ways to ask."""
    path = f"/articles/outbox-{target.dialect.name}"
    keep_site(tmp_path, monkeypatch, written(blocks={"nginx/shop": {}}) | {"edge": "nginx/shop", "base_url": nginx.url})
    first = ask(nginx, path)
    origin.bump(path)
    before = len(origin.asked(path))
    enqueue(target, Outgoing(PURGE, "nginx/shop", "key", PurgeMessage((path,)).as_body(), "purge", "shop"))
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert 1 == len(origin.asked(path)) - before
    assert answered(first) != answered(ask(nginx, path))


async def test_a_header_whose_values_nobody_wrote_down_holds_up_no_purge(target, origin, nginx, tmp_path, monkeypatch):
    content = written(blocks={"nginx/shop": {}}) | {"edge": "nginx/shop", "base_url": nginx.url}
    rule = content["rules"][0] | {"cache": {"by": "everyone", "vary": ["accept-encoding", "x-device"]}}
    keep_site(tmp_path, monkeypatch, content | {"rules": [rule]})
    enqueue(target, Outgoing(PURGE, "nginx/shop", "key", PurgeMessage(("/a",)).as_body(), "purge", "shop"))
    assert Delivered(1, 0) == await deliver.fn(target=target)


BROWSER = "gzip, deflate, br, zstd"


@pytest.mark.parametrize("first", ["identity", "gzip", BROWSER])
@pytest.mark.parametrize("kind", ["nginx", "squid"])
async def test_a_purge_drops_every_variant_whichever_was_stored_first(
    target, origin, nginx, squid, kind, first, tmp_path, monkeypatch
):
    """These edges drop one at a time; and once the first one is gone, they find the others no more until it is back."""
    cache, path = {"nginx": nginx, "squid": squid}[kind], f"/encoded/{kind}-{len(first)}-{target.dialect.name}"
    edge = f"{kind}/shop"
    keep_site(tmp_path, monkeypatch, written(blocks={edge: {}}) | {"edge": edge, "base_url": cache.url})

    def seen():
        codings = dict.fromkeys([first, "identity", "gzip", BROWSER])
        return [answered(ask(cache, path, extra=[("accept-encoding", one)])) for one in codings]

    before = [generation for _, generation in seen()]
    assert [("HIT", generation) for generation in before] == seen()
    origin.bump(path)
    enqueue(target, Outgoing(PURGE, edge, "key", PurgeMessage((path,)).as_body(), "purge", "shop"))
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert [generation + 1 for generation in before] == [generation for _, generation in seen()]


@pytest.fixture
def cloudfront(tmp_path, monkeypatch):
    """The API of the site's edge."""
    monkeypatch.setenv("AWS", TOKEN)
    api, keys = VendorApi(), {"access_key_id": {"env": "AWS"}, "secret_access_key": {"env": "AWS"}}
    with served(api) as address:
        blocks = {"cloudfront/shop": {"distribution": "E1", "api": address, **keys}}
        keep_site(tmp_path, monkeypatch, written(blocks=blocks) | {"edge": "cloudfront/shop"})
        yield api


def an_invalidation(key):
    return Outgoing(PURGE, "cloudfront/shop", key, PurgeMessage(("/a",)).as_body(), "purge", "shop")


async def test_a_purge_is_sent_once_the_vendor_has_taken_it(target, cloudfront):
    """It may take a quarter of an hour until it is done."""
    cloudfront.polls = 1000
    enqueue(target, an_invalidation("one"))
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert ["POST"] == [asked.method for asked in cloudfront.asked]


async def test_each_attempt_has_the_same_key_and_another_message_has_its_own(target, cloudfront):
    """So that a vendor that does an order only once can tell."""
    cloudfront.refuse = 503
    enqueue(target, an_invalidation("one"), an_invalidation("two"))
    await deliver.fn(target=target)
    cloudfront.refuse = 0
    change(target, due_at=PAST)
    assert Delivered(2, 0) == await deliver.fn(target=target)
    first, again, other = (re.search("<CallerReference>(.*)</", str(asked.body))[1] for asked in cloudfront.asked)
    assert first == again != other


async def test_a_purge_of_which_nobody_knows_whether_it_was_done_is_sent_again(target, site, edge):
    edge.status = 502
    enqueue(target, a_purge("/a"))
    assert Delivered(0, 1) == await deliver.fn(target=target)
    edge.status = 200
    assert Delivered(0, 0) == await deliver.fn(target=target)
    change(target, due_at=PAST)
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert [("PURGE", "/a")] * 2 == edge.seen()


async def test_a_webhook_carries_its_idempotency_key_and_the_same_one_again(target, site, edge):
    edge.status = 503
    enqueue(target, a_webhook(), origin="0123456789abcdef/7")
    assert Delivered(0, 1) == await deliver.fn(target=target)
    edge.status = 204
    change(target, due_at=PAST)
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert [("POST", "/hook/hush-hush")] * 2 == edge.seen()
    for _, _, headers, body in edge.asked:
        assert ("0123456789abcdef/7/key", "hush-hush") == (headers["idempotency-key"], headers["authorization"])
        assert ("application/json", {"a": 1}) == (headers["content-type"], json.loads(body))


@pytest.mark.parametrize(
    ("message", "status", "says"),
    [
        (a_purge("/a"), 405, "PurgeError: Varnish at http://127.0.0.1"),
        (a_purge(body="no purge"), 200, "JSONDecodeError: "),
        (a_purge(body='{"routes": ["/a*"]}'), 200, "ValueError: saw "),
        (a_purge(body='{"keys": ["a,b"]}'), 200, "ValueError: saw "),
        (a_webhook(), 404, "WebhookError: it answered 404, wanted 2xx"),
        (a_webhook(), 301, "WebhookError: it answered 301, wanted 2xx"),
    ],
)
async def test_what_would_be_refused_again_is_dead_at_once_and_holds_up_nothing(
    target, site, edge, message, status, says
):
    edge.status = status
    enqueue(target, message)
    assert Delivered(0, 1) == await deliver.fn(target=target)
    [dead] = dead_letters(target)
    assert (1, message.channel, message.subject, 1) == (dead.id, dead.channel, dead.subject, dead.attempts)
    assert dead.error.startswith(says)
    assert "hush" not in dead.error
    assert (0, 1) == undelivered(target)
    edge.status = 200
    enqueue(target, a_purge("/good", key="good"))
    assert Delivered(1, 0) == await deliver.fn(target=target)


@pytest.mark.parametrize("status", [401, 403, 407])
@pytest.mark.parametrize(
    "messages",
    [[a_purge("/a", key=f"{number}") for number in range(5)], [a_webhook(key=f"{number}") for number in range(5)]],
    ids=["purges", "webhooks"],
)
async def test_a_token_that_is_known_no_more_is_waited_for_and_the_channel_is_asked_once(
    target, site, edge, messages, status
):
    """Nothing is lost until somebody mends it, however long the queue."""
    edge.status = status
    enqueue(target, *messages)
    assert Delivered(0, 1) == await deliver.fn(target=target)
    assert ([], (5, 0), 1) == (dead_letters(target), undelivered(target), len(edge.asked))
    edge.status = 200
    change(target, due_at=PAST)
    assert Delivered(5, 0) == await deliver.fn(target=target)


@pytest.mark.parametrize(
    ("message", "status"), [(a_purge("/a"), 500), (a_purge("/a"), 429), (a_webhook(), 429), (a_webhook(), 500)]
)
async def test_trouble_of_the_other_side_kills_a_message_only_after_many_attempts(target, site, edge, message, status):
    edge.status = status
    enqueue(target, message)
    change(target, attempts=MOST_ATTEMPTS - 2)
    await deliver.fn(target=target)
    assert [] == dead_letters(target)
    change(target, due_at=PAST)
    await deliver.fn(target=target)
    assert [MOST_ATTEMPTS] == [dead.attempts for dead in dead_letters(target)]
    asked = len(edge.asked)
    change(target, due_at=PAST)
    assert Delivered(0, 0) == await deliver.fn(target=target)
    assert asked == len(edge.asked)


async def test_what_a_webhook_asks_to_wait_is_waited(target, site, edge):
    edge.status, edge.retry_after = 429, "600"
    enqueue(target, a_webhook())
    await deliver.fn(target=target)
    [row] = outbox(target)
    assert 590 < (row.due_at - row.created_at).total_seconds() < 610


async def test_a_purge_without_a_site_file_waits_for_one(target, edge, tmp_path, monkeypatch):
    monkeypatch.setattr("roundsman.site.site_file.SITES", tmp_path)
    enqueue(target, a_purge("/a"))
    assert Delivered(0, 1) == await deliver.fn(target=target)
    assert [] == dead_letters(target)
    assert outbox(target)[0].error.startswith("BlockError: varnish/shop: saw no site file of 'shop'")


async def test_a_site_that_is_handed_in_needs_no_file_of_the_project(target, site, edge, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("roundsman.site.site_file.SITES", tmp_path / "empty")
    enqueue(target, a_purge("/a"))
    assert Delivered(1, 0) == await deliver.fn(target=target, site=site)
    assert [("PURGE", "/a")] == edge.seen()


async def test_a_dead_message_is_sent_again_when_somebody_says_so(target, site, edge):
    edge.status = 405
    enqueue(target, a_purge("/a", key="one"), a_purge("/b", key="two"))
    await deliver.fn(target=target)
    two, one = dead_letters(target)
    edge.status = 200
    assert (0, 1) == (replay(target, 99), replay(target, one.id))
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert [two.id] == [dead.id for dead in dead_letters(target)]
    assert 1 == replay(target)
    assert Delivered(1, 0) == await deliver.fn(target=target)
    assert ([], 0, (0, 0)) == (dead_letters(target), replay(target), undelivered(target))


async def test_the_ledger_s_outbox_takes_purges_beside_its_messages(ledger, url, site, edge, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    enqueue(ledger, a_purge("/a"))
    put(ledger)
    assert Delivered(2, 0) == await deliver.fn()
    assert {("PURGE", "/a"), ("POST", "/ops")} == set(edge.seen())


async def test_a_recovery_does_not_wait_for_a_trouble_that_is_dead(ledger, url, site, edge, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    put(ledger)
    edge.status = 500
    change(ledger, attempts=MOST_ATTEMPTS_OF_WORDS - 1)
    await deliver.fn()
    assert (0, 1) == undelivered(ledger)
    edge.status = 200
    put(ledger, kind="resolved")
    assert Delivered(1, 0) == await deliver.fn()
    assert 1 == replay(ledger)
    assert Delivered(1, 0) == await deliver.fn()
