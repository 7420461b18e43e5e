import asyncio
import gzip
import hashlib
import re
import threading
import time

import pytest

from roundsman.probe.probe import Prober, now, probe
from roundsman.report.rules.exchange import Probe
from tests import hostile
from tests.hostile import answering, saying, serving
from tests.probe.asking import AGENT, ask, manners, tls


def test_a_whole_exchange_is_filled_in():
    """Status, headers, sizes, hash, times and node are those of the response."""
    before = now()
    packed = gzip.compress(b"hello " * 1000)
    with serving(answering(body=packed, headers=["Content-Encoding: gzip", "ETag: one"])) as server:
        exchange = ask(server.url, keep_body=True)
    assert (exchange.status, exchange.error, exchange.detail) == (200, "", "")
    assert exchange.body == b"hello " * 1000
    assert (exchange.size, exchange.wire_size) == (6000, len(packed))
    assert exchange.body_hash == hashlib.sha256(b"hello " * 1000).hexdigest()
    assert exchange.header("etag") == "one"
    assert exchange.node == server.address
    # By the clock of the probe, which a step of the machine's does not move.
    assert before <= exchange.due <= exchange.started < exchange.ended <= now()
    phases = exchange.phases
    assert phases.connect > 0
    assert phases.tls == 0
    parts = phases.dns + phases.connect + phases.waiting + phases.body
    assert parts <= phases.total + 1e-6
    assert phases.dns + phases.connect + phases.waiting <= phases.first_byte + 1e-6
    assert phases.first_byte <= phases.total


def test_the_body_is_kept_only_when_asked_for():
    """A hash tells bodies apart; the body itself stays where it was."""
    with serving(answering(body=b"private")) as server:
        exchange = ask(server.url)
    assert (exchange.body, exchange.size) == (None, 7)
    assert exchange.body_hash == hashlib.sha256(b"private").hexdigest()


def test_exchanges_come_in_the_order_of_the_probes():
    """Whatever the order in which they were due or ended."""

    def behave(visit):
        while request := visit.request():
            path = request.split()[1].encode()
            visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + path)

    with serving(behave) as server:
        probes = [Probe(f"{server.url}{n}", at=(9 - n) / 100, keep_body=True) for n in range(10)]
        exchanges = probe(probes, manners=manners(), user_agent=AGENT)
    assert [exchange.body for exchange in exchanges] == [b"/%d" % n for n in range(10)]
    assert [exchange.probe for exchange in exchanges] == probes


def test_what_is_sent():
    """The request is the probe's, with a user agent, and without a word that would change the cache's mind."""
    with serving(answering()) as server:
        ask(f"{server.url}a/../b?q=%20#part", headers=(("Cookie", "a=b"), ("X-Two", "1"), ("X-Two", "2"), ("X-No", "")))
    lines = server.requests[0].splitlines()
    assert lines[0] == "GET /a/../b?q=%20 HTTP/1.1"
    assert {f"Host: {server.address}", f"User-Agent: {AGENT}", "Accept-Encoding: gzip", "Cookie: a=b"} <= set(lines)
    assert [line for line in lines if line.startswith("X-")] == ["X-Two: 1", "X-Two: 2", "X-No:"]
    assert not re.search(r"(?im)^(cache-control|pragma)\s*:", server.requests[0])


@pytest.mark.parametrize(
    ("accepted", "line"), [("gzip", "gzip"), ("identity", "identity"), ("br, gzip", "br, gzip"), ("", None)]
)
def test_accept_encoding_is_the_probes_own(accepted, line):
    """What a cache keeps apart by Accept-Encoding is asked for by name; an empty one is not sent."""
    with serving(answering()) as server:
        ask(server.url, accept_encoding=accepted)
    assert re.findall(r"(?m)^Accept-Encoding: (.*)\r$", server.requests[0]) == ([line] if line else [])


def test_a_head_has_no_body_to_wait_for():
    """Content-Length of a HEAD speaks of another response."""
    with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")) as server:
        exchange = ask(server.url, method="HEAD")
    assert (exchange.status, exchange.error, exchange.size) == (200, "", 0)
    assert server.requests[0].startswith("HEAD / HTTP/1.1")


def test_settings_of_one_probe_do_not_stick_to_the_next():
    """One easy handle serves them all in turn."""
    with serving(answering(body=b"")) as server, serving(answering()) as other:
        asked = [
            Probe(server.url, method="HEAD", headers=(("Cookie", "a=b"),), accept_encoding="br"),
            Probe(server.url),
            Probe("http://www.example.com/", node=other.address),
            Probe(server.url, method="PURGE", accept_encoding=""),
            Probe(server.url),
        ]
        exchanges = probe(asked, manners=manners(), user_agent=AGENT, connections=1)
    assert [exchange.status for exchange in exchanges] == [200] * 5
    first, second, fourth, fifth = server.requests
    (third,) = other.requests
    assert first.startswith("HEAD") and "Cookie" in first  # noqa: PT018 (one request, one line)
    assert second == fifth
    assert second.startswith("GET") and "Cookie" not in second  # noqa: PT018 (one request, one line)
    assert "Host: www.example.com\r\n" in third
    assert fourth.startswith("PURGE") and "Accept-Encoding" not in fourth  # noqa: PT018 (one request, one line)


def test_nothing_asked_is_nothing_seen():
    """An empty batch ends at once."""
    assert probe([], manners=manners(), user_agent=AGENT) == []


def test_an_address_as_people_write_it():
    """What is not printable ASCII is sent percent-encoded."""
    with serving(answering()) as server:
        exchange = ask(f"{server.url}straße/a b\0c")
    assert (exchange.status, server.requests[0].split("\r\n")[0]) == (200, "GET /stra%C3%9Fe/a%20b%00c HTTP/1.1")


def test_a_redirect_loop_is_seen_and_not_followed():
    """The redirect itself is what a cache keeps."""
    with serving(answering("HTTP/1.1 302 Found", headers=["Location: /"])) as server:
        exchange = ask(server.url)
    assert (exchange.status, exchange.header("location"), exchange.error) == (302, "/", "")
    assert len(server.requests) == 1


def test_headers_are_as_received():
    """Order, case, repeats and bytes beyond ASCII; what is around the final response is not in it."""
    raw = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nVary: A\r\nset-cookie: b=2; Path=/\r\nVary: B\r\nX-Caf\xe9: \xa0\xe9\xa0 \r\n"
        b"Empty:\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: late\r\n\r\n"
    )
    with serving(saying(raw)) as server:
        exchange = ask(server.url)
    assert exchange.headers == (
        ("Set-Cookie", "a=1"),
        ("Vary", "A"),
        ("set-cookie", "b=2; Path=/"),
        ("Vary", "B"),
        ("X-Caf\xe9", "\xa0\xe9\xa0"),
        ("Empty", ""),
        ("Transfer-Encoding", "chunked"),
    )
    assert exchange.all("set-cookie") == ("a=1", "b=2; Path=/")
    assert (exchange.status, exchange.size) == (200, 3)


def test_a_pinned_node_sees_the_urls_own_host_and_sni(authority):
    """One node behind the name is asked as a reader would ask it."""
    with serving(answering(body=b"hi"), tls(authority, "www.example.com")) as server:
        exchange = ask("https://www.example.com/", node=server.address)
    assert (exchange.status, exchange.error, exchange.node) == (200, "", server.address)
    assert server.names == ["www.example.com"]
    assert "Host: www.example.com\r\n" in server.requests[0]
    assert exchange.phases.tls > 0


def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    """It would be measured instead of the site."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{hostile.dead_port()}")
    with serving(answering()) as server:
        assert ask(server.url).status == 200


def test_connections_stay_warm_from_batch_to_batch():
    """A response time on an open connection has no share of connecting in it."""
    with serving(answering(body=b"x")) as server, Prober(manners(), AGENT, connections=2) as prober:
        cold = prober.ask([Probe(server.url)])[0]
        warm = prober.ask([Probe(server.url), Probe(server.url, at=0.05)])[1]
    assert (cold.reused, warm.reused) == (False, True)
    assert cold.phases.connect > 0
    assert (warm.phases.dns, warm.phases.connect, warm.phases.tls) == (0, 0, 0)
    assert server.connections <= 2


def test_a_new_connection_is_new_and_kept_by_nobody():
    """Neither does it take an open one, nor leave one."""
    with serving(answering(body=b"x")) as server, Prober(manners(), AGENT, connections=1) as prober:
        asked = [Probe(server.url), Probe(server.url, new_connection=True), Probe(server.url, new_connection=True)]
        exchanges = prober.ask([*asked, Probe(server.url)])
    assert [exchange.reused for exchange in exchanges] == [False, False, False, True]
    assert server.connections == 3
    with serving(answering(body=b"x")) as server, Prober(manners(), AGENT, connections=1) as prober:
        exchanges = prober.ask([Probe(server.url, new_connection=True), Probe(server.url)])
    assert [exchange.reused for exchange in exchanges] == [False, False]


def test_due_times_are_kept():
    """Each is started when it is due, and its lateness is told."""
    with serving(answering()) as server:
        probes = [Probe(server.url, at=n * 0.05) for n in range(6)]
        exchanges = probe(probes, manners=manners(), user_agent=AGENT)
    first = exchanges[0].due
    assert [round(exchange.due - first, 3) for exchange in exchanges] == [0.0, 0.05, 0.1, 0.15, 0.2, 0.25]
    for exchange in exchanges:
        assert exchange.started - exchange.due == pytest.approx(exchange.phases.late, abs=1e-5)
        assert exchange.started >= exchange.due


def test_a_stalled_server_makes_probes_late_and_loses_none():
    """Open loop: who was due during the stall is asked after it, and says how late that was."""
    stall = 0.5

    def behave(visit):
        while visit.request():
            if len(visit.server.requests) == 1:
                time.sleep(stall)
            visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with serving(behave) as server:
        probes = [Probe(server.url, at=n * 0.05) for n in range(8)]
        exchanges = probe(probes, manners=manners(), user_agent=AGENT, connections=1)
    assert [exchange.status for exchange in exchanges] == [200] * 8
    assert len(server.requests) == 8
    assert exchanges[0].phases.waiting >= 0.99 * stall
    for place, exchange in enumerate(exchanges[1:], start=1):
        assert exchange.phases.late >= stall - place * 0.05 - 0.01
        assert exchange.phases.first_byte < stall


def test_only_what_was_due_in_a_stall_is_late_although_all_is_due_at_the_very_rate():
    stall, rate = 0.4, 100

    def behave(visit):
        while visit.request():
            if len(visit.server.requests) <= 2:
                time.sleep(stall)
            visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with serving(behave) as server:
        probes = [Probe(server.url, at=n / rate) for n in range(120)]
        exchanges = probe(probes, manners=manners(rate=rate), user_agent=AGENT, connections=2)
    assert exchanges[2].phases.late > stall / 2
    assert max(exchange.phases.late for exchange in exchanges[-20:]) < stall / 2


def test_the_rate_holds_for_a_host_across_batches_and_threads():
    """Two batches at once together stay below it."""
    rate, each = 100, 15
    with serving(answering()) as server:

        async def both():
            batch = [Probe(server.url)] * each
            one = asyncio.to_thread(probe, batch, manners=manners(rate=rate), user_agent=AGENT)
            two = asyncio.to_thread(probe, batch, manners=manners(rate=rate), user_agent=AGENT)
            return [exchange for exchanges in await asyncio.gather(one, two) for exchange in exchanges]

        started = sorted(exchange.started for exchange in asyncio.run(both()))
    assert len(started) == len(server.requests) == 2 * each
    for place, moment in enumerate(started):
        assert moment - started[0] >= place / rate - 0.015
    assert started[-1] - started[0] < 3 * 2 * each / rate


def test_many_at_once_end():
    """More probes than connections, most of them answered at once: none is waited for in vain."""
    with serving(answering(body=b"x" * 100)) as server:
        exchanges = probe([Probe(server.url)] * 2000, manners=manners(), user_agent=AGENT, connections=8)
    assert {(exchange.status, exchange.size) for exchange in exchanges} == {(200, 100)}
    assert len(server.requests) == 2000
    assert server.connections <= 8


def test_nothing_is_left_behind():
    """No thread, no socket: a worker lives for months."""
    threads = threading.active_count()
    with serving(answering()) as server:
        ask(server.url)
        with Prober(manners(), AGENT) as prober:
            prober.ask([Probe(server.url)] * 3)
    assert threading.active_count() == threads


def test_a_repr_holds_no_header_and_no_body():
    """Those of a member's page belong to the member."""
    with serving(answering(body=b"my-page", headers=["Set-Cookie: my-token"])) as server:
        exchange = ask(server.url, headers=(("Cookie", "my-session"),), keep_body=True)
    assert exchange.body == b"my-page"
    assert repr(exchange) == f"Exchange(GET {server.url} -> 200)"
    assert repr(exchange.probe) == f"Probe(GET {server.url})"
