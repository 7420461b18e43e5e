import re
import subprocess
import sys
import tracemalloc

import pytest
import trustme

from roundsman.probe.probe import Prober, probe
from roundsman.report.rules.exchange import Probe
from tests import hostile
from tests.hostile import answering, saying_once, serving
from tests.probe.asking import AGENT, ask, manners, tls


def seen_error(exchange):
    assert not exchange.answered
    assert (exchange.body_hash, exchange.body) == ("", None)
    return exchange.error, exchange.detail


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
        "import resource, sys; from tests.probe.asking import ask;"
        "ask('http://127.0.0.1:9/'); before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "assert ask(sys.argv[1]).error == 'too-large';"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    with serving(answering(body=payload, headers=["Content-Encoding: gzip"])) as server:
        said = subprocess.run([sys.executable, "-c", measure, server.url], capture_output=True, check=True, timeout=60)
    assert int(said.stdout) < 20_000  # kilobytes


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


@pytest.mark.parametrize(
    ("pieces", "after"),
    [
        (b"", "before an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "after 4 bytes of the body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "after 4 bytes of the body"),
    ],
)
def test_a_server_that_goes_without_the_goodbye_of_tls(pieces, after, authority):
    """As one that is started anew does; by plain HTTP it is the same error."""
    with serving(hostile.saying_once(pieces), tls(authority, "www.example.com")) as server:
        exchange = ask("https://www.example.com/", node=server.address)
    assert seen_error(exchange) == ("reset", f"the connection was closed {after}")


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


def test_a_batch_of_good_and_bad_leaves_each_its_own_error():
    """A failure stays with its probe, also on the handle that is used again."""
    dead = hostile.dead_port()
    with serving(answering(body=b"fine")) as good, serving(saying_once(b"")) as bad:
        probes = [Probe(url) for url in (good.url, f"http://127.0.0.1:{dead}/", bad.url, good.url)] * 5
        exchanges = probe(probes, manners=manners(), user_agent=AGENT, connections=2)
    assert [exchange.error for exchange in exchanges] == ["", "refused", "reset", ""] * 5
    assert {exchange.size for exchange in exchanges if exchange.answered} == {4}
