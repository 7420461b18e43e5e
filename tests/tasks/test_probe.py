import asyncio
import gzip
import hashlib
import re
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc

import pytest
import trustme

from flows.rules.exchange import Exchange, Probe
from flows.rules.site import Manners
from flows.tasks.probe import Prober, probe
from tests import hostile
from tests.hostile import answering, saying, saying_once, serving

AGENT = "roundsman-test (tests@example.com)"


def manners(rate=5000, timeout="2s", max_body=1_000_000):
    return Manners(rate=rate, timeout=timeout, max_body=max_body)


def ask(url, *, rules=None, **settings) -> Exchange:
    return probe([Probe(url, **settings)], manners=rules or manners(), user_agent=AGENT)[0]


def seen_error(exchange):
    assert not exchange.answered
    assert (exchange.body_hash, exchange.body) == ("", None)
    return exchange.error, exchange.detail


def test_a_whole_exchange_is_filled_in():
    """Status, headers, sizes, hash, times and node are those of the response."""
    before = time.time()
    packed = gzip.compress(b"hello " * 1000)
    with serving(answering(body=packed, headers=["Content-Encoding: gzip", "ETag: one"])) as server:
        exchange = ask(server.url, keep_body=True)
    assert (exchange.status, exchange.error, exchange.detail) == (200, "", "")
    assert exchange.body == b"hello " * 1000
    assert (exchange.size, exchange.wire_size) == (6000, len(packed))
    assert exchange.body_hash == hashlib.sha256(b"hello " * 1000).hexdigest()
    assert exchange.header("etag") == "one"
    assert exchange.node == server.address
    assert before - 1 < exchange.due <= exchange.started < exchange.ended < time.time() + 1
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
    with serving(answering(body=b"")) as server:
        asked = [
            Probe(server.url, method="HEAD", headers=(("Cookie", "a=b"),), accept_encoding="br"),
            Probe(server.url),
            Probe("http://www.example.com/", node=server.address),
            Probe(server.url, method="PURGE", accept_encoding=""),
            Probe(server.url),
        ]
        exchanges = probe(asked, manners=manners(), user_agent=AGENT, connections=1)
    assert [exchange.status for exchange in exchanges] == [200] * 5
    first, second, third, fourth, fifth = server.requests
    assert first.startswith("HEAD") and "Cookie" in first  # noqa: PT018 (one request, one line)
    assert second == fifth
    assert second.startswith("GET") and "Cookie" not in second  # noqa: PT018 (one request, one line)
    assert "Host: www.example.com\r\n" in third
    assert fourth.startswith("PURGE") and "Accept-Encoding" not in fourth  # noqa: PT018 (one request, one line)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"headers": (("Cache-Control", "no-cache"),)},
            "a probe never sends a request Cache-Control: it would change what the cache does",
        ),
        (
            {"headers": (("pragma", "no-cache"),)},
            "a probe never sends a request pragma: it would change what the cache does",
        ),
        (
            {"headers": (("Cookie", "secret\r\nX-Evil: 1"),)},
            "the value of the header Cookie has characters that cannot be sent",
        ),
        ({"headers": (("Co okie", "x"),)}, "'Co okie' is not the name of a header"),
        ({"accept_encoding": "gzip\r\nX-Evil: 1"}, "the probe's accept_encoding has characters that cannot be sent"),
        ({"method": "GET /x"}, "a probe's method is one word, not 'GET /x'"),
    ],
)
def test_a_probe_that_must_not_be_sent_is_refused(settings, words):
    """And nothing of its batch is sent, and no secret is told."""
    with serving(answering()) as server, pytest.raises(ValueError, match=f"^{re.escape(words)}$") as refused:
        probe([Probe(server.url), Probe(server.url, **settings)], manners=manners(), user_agent=AGENT)
    assert "secret" not in str(refused.value)
    assert server.requests == []


def test_no_connection_is_not_enough():
    """A batch needs at least one."""
    with pytest.raises(ValueError, match=r"^wanted at least one connection, not 0$"):
        Prober(manners(), AGENT, connections=0)


def test_nothing_asked_is_nothing_seen():
    """An empty batch ends at once."""
    assert probe([], manners=manners(), user_agent=AGENT) == []


def test_a_dead_port():
    """Nobody listens."""
    port = hostile.dead_port()
    exchange = ask(f"http://127.0.0.1:{port}/")
    assert seen_error(exchange) == ("refused", f"connection refused at 127.0.0.1:{port}")
    assert (exchange.status, exchange.reused, exchange.node, exchange.phases.first_byte) == (0, False, "", 0)


def test_a_name_without_an_address():
    """The resolver knows it not."""
    assert seen_error(ask("http://nowhere.invalid/")) == ("dns", "no address for nowhere.invalid")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://127.0.0.1/", "only http and https are asked, not ftp"),
        ("file:///etc/passwd", "only http and https are asked, not file"),
        ("http://[::1/", "this is not an address: bad ipv6 address"),
        ("http://", "this is not an address: no host present"),
    ],
)
def test_an_address_that_is_none(url, words):
    """It may come from a page of the site, so it is an error and no exception."""
    assert seen_error(ask(url)) == ("other", words)


def test_an_address_as_people_write_it():
    """What is not printable ASCII is sent percent-encoded."""
    with serving(answering()) as server:
        exchange = ask(f"{server.url}straße/a b\0c")
    assert (exchange.status, server.requests[0].split("\r\n")[0]) == (200, "GET /stra%C3%9Fe/a%20b%00c HTTP/1.1")


def test_no_answer_in_time():
    """A server that takes the request and says nothing."""
    with serving(hostile.silent) as server:
        exchange = ask(server.url, rules=manners(timeout="300ms"))
    assert seen_error(exchange) == ("timeout", "no answer after 300ms")
    assert 0.3 <= exchange.phases.total < 1


def test_a_body_that_never_ends_by_time():
    """The timeout bounds the whole exchange, not only the wait for its start."""
    with serving(hostile.endless(pause=0.02)) as server:
        exchange = ask(server.url, rules=manners(timeout="400ms"))
    assert seen_error(exchange) == ("timeout", "no end after 400ms")
    assert exchange.status == 200
    assert exchange.size > 0
    assert 0.4 <= exchange.phases.total < 1.2


def test_a_body_that_never_ends_by_bytes():
    """No more is taken than the site's manners say."""
    with serving(hostile.endless(pause=0)) as server:
        exchange = ask(server.url, rules=manners(timeout="20s", max_body=100_000), keep_body=True)
    assert seen_error(exchange) == ("too-large", "the body is larger than 100000 bytes")
    assert 0 < exchange.size <= 100_000
    assert exchange.phases.total < 10


def test_a_gzip_bomb():
    """It is stopped while it unpacks: memory stays near the bound, not near the bomb."""
    payload = hostile.bomb(200)
    with serving(answering(body=payload, headers=["Content-Encoding: gzip"])) as server:
        tracemalloc.start()
        exchange = ask(server.url, keep_body=True)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seen_error(exchange) == ("too-large", "the body is larger than 1000000 bytes after decompression")
    assert exchange.size <= 1_000_000
    assert peak < 4_000_000


def test_a_gzip_bomb_does_not_grow_the_process():
    """What libcurl itself takes is bounded too; tracemalloc cannot see that."""
    payload = hostile.bomb(400)
    measure = (
        "import resource, sys; from tests.tasks.test_probe import ask;"
        "ask('http://127.0.0.1:9/'); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "assert ask(sys.argv[1]).error == 'too-large';"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    with serving(answering(body=payload, headers=["Content-Encoding: gzip"])) as server:
        said = subprocess.run([sys.executable, "-c", measure, server.url], capture_output=True, check=True, timeout=60)
    assert int(said.stdout) < 20_000  # kilobytes


def test_a_redirect_loop_is_seen_and_not_followed():
    """The redirect itself is what a cache keeps."""
    with serving(answering("HTTP/1.1 302 Found", headers=["Location: /"])) as server:
        exchange = ask(server.url)
    assert (exchange.status, exchange.header("location"), exchange.error) == (302, "/", "")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("raw", "error", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "protocol", "the answer is not HTTP: Header without colon"),
        (b"HTTP/1.1 200 OK\r\nA: x\0y\r\n\r\n", "protocol", "the answer is not HTTP: NUL byte in header"),
        (b"hello, is it me\r\n\r\n", "protocol", "the answer is not HTTP: Received HTTP/0.9 when not allowed"),
        (b"HTTP/7.1 200 OK\r\n\r\n", "protocol", "the answer is not HTTP: Unsupported HTTP version in response"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "protocol",
            "the answer is not HTTP: Invalid Content-Length: value",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "protocol",
            "the answer is not HTTP: chunk hex-length char not a hex digit: 0x7a",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            "protocol",
            "the body cannot be decompressed: incorrect header check",
        ),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 60_000, "too-large", "the headers are larger than any client takes"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 400_000, "too-large", "the headers are larger than any client takes"),
        (b"", "reset", "the connection was closed before an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "reset", "the connection was closed in the middle of the headers"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
            "reset",
            "the connection was closed after 3 bytes of the body",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
            "reset",
            "the connection was closed after 3 bytes of the body",
        ),
    ],
)
def test_an_answer_that_is_none(raw, error, words):
    """Whatever bytes come, an operator reads what is the matter with them."""
    with serving(saying_once(raw)) as server:
        assert seen_error(ask(server.url)) == (error, words)


def test_a_connection_reset_half_way():
    """Half a page is no answer."""
    with serving(saying_once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", reset=True)) as server:
        assert seen_error(ask(server.url)) == ("reset", "the connection was reset after 3 bytes of the body")


def test_a_connection_reset_before_an_answer():
    """Nor is silence."""
    with serving(saying_once(reset=True)) as server:
        assert seen_error(ask(server.url)) == ("reset", "the connection was reset before an answer")


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


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A certificate authority that the probe trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def tls(authority, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def test_a_pinned_node_sees_the_urls_own_host_and_sni(authority):
    """One node behind the name is asked as a reader would ask it."""
    with serving(answering(body=b"hi"), tls(authority, "www.example.com")) as server:
        exchange = ask("https://www.example.com/", node=server.address)
    assert (exchange.status, exchange.error, exchange.node) == (200, "", server.address)
    assert server.names == ["www.example.com"]
    assert "Host: www.example.com\r\n" in server.requests[0]
    assert exchange.phases.tls > 0


def test_a_dead_node_is_told_by_its_own_address():
    """The name's other nodes may be well."""
    port = hostile.dead_port()
    exchange = ask("https://www.example.com/", node=f"127.0.0.1:{port}")
    assert seen_error(exchange) == ("refused", f"connection refused at 127.0.0.1:{port}")


def test_a_certificate_for_another_name(authority):
    """The reader's browser would refuse it too."""
    with serving(answering(), tls(authority, "other.example.com")) as server:
        exchange = ask("https://www.example.com/", node=server.address)
    assert seen_error(exchange) == ("tls", "the certificate does not name www.example.com")


def test_a_certificate_nobody_trusts(authority):
    """Another authority has signed it."""
    with serving(answering(), tls(trustme.CA(), "www.example.com")) as server:
        error, detail = seen_error(ask("https://www.example.com/", node=server.address))
    assert error == "tls"
    assert detail == "the certificate is not trusted: unable to get local issuer certificate"


def test_no_tls_at_the_other_end():
    """Plain HTTP on the port of HTTPS."""

    def behave(visit):
        visit.socket.recv(65536)
        visit.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with serving(behave) as server:
        assert seen_error(ask(f"https://{server.address}/")) == ("tls", "no TLS connection: wrong version number")


def test_a_missing_file_of_trusted_certificates_is_told_by_name(monkeypatch):
    """It is this machine's mistake, not the site's."""
    monkeypatch.setenv("SSL_CERT_FILE", "missing.pem")
    with serving(answering()) as server:
        exchange = ask(f"https://{server.address}/")
    assert seen_error(exchange) == ("tls", "the file of trusted certificates cannot be read: missing.pem")


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
    assert exchanges[0].phases.waiting >= stall
    for place, exchange in enumerate(exchanges[1:], start=1):
        assert exchange.phases.late >= stall - place * 0.05 - 0.01
        assert exchange.phases.first_byte < stall


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


def test_a_batch_of_good_and_bad_leaves_each_its_own_error():
    """A failure stays with its probe, also on the handle that is used again."""
    dead = hostile.dead_port()
    with serving(answering(body=b"fine")) as good, serving(saying_once(b"")) as bad:
        probes = [Probe(url) for url in (good.url, f"http://127.0.0.1:{dead}/", bad.url, good.url)] * 5
        exchanges = probe(probes, manners=manners(), user_agent=AGENT, connections=2)
    assert [exchange.error for exchange in exchanges] == ["", "refused", "reset", ""] * 5
    assert {exchange.size for exchange in exchanges if exchange.answered} == {4}


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
