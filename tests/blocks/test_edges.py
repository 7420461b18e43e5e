"""What the edges spell, and what they refuse to send."""

import asyncio
import base64
import json
import logging
import re
import socket

import httpx
import pytest
from pydantic import ValidationError

from blocks.cloudflare import Cloudflare
from blocks.demo_edge import DemoEdge
from blocks.edge import Edge
from blocks.nginx import Nginx
from blocks.registry import edges
from blocks.varnish import Varnish
from roundsman.purge.rules.order import By, Order, PurgeError
from tests.blocks.vendors import SECRET, VENDORS, good, secrets_of, shown, slug
from tests.blocks.wire import Wire

NODE = "http://127.0.0.1:6081"
PAGE, HOST = "http://h.example", {"host": "h.example"}
MANY = {
    By.URL: [f"https://www.example.com/p/{number}" for number in range(300)],
    By.KEY: [f"article-{number}" for number in range(300)],
    By.PREFIX: [f"www.example.com/p/{number}" for number in range(300)],
    By.HOST: [f"www{number}.example.com" for number in range(300)],
    By.EVERYTHING: ["everything"],
}


def items_in(request):
    """How many items a request names, counted in what goes over the wire."""
    if request.content.startswith(b"<?xml"):
        return request.content.count(b"<Path>")
    if request.content:
        body = json.loads(request.content)
        return max(len(value) if isinstance(value, list) else 1 for value in body.values())
    return len(request.headers.get("xkey-purge", "one").split())


def test_every_vendor_is_in_the_list():
    """A new vendor that nobody tests is noticed."""
    assert set(edges().values()) == {type(vendor) for vendor in VENDORS}


@pytest.mark.parametrize(
    ("vendor", "by"),
    [(vendor, by) for vendor in VENDORS for by in vendor.limits],
    ids=lambda case: case if isinstance(case, By) else slug(case),
)
async def test_many_items_go_in_requests_within_the_limit(vendor, by):
    """Three hundred items arrive exactly once each, and no request holds more than the vendor takes."""
    asked = []
    async with good(asked) as client:
        receipts = await vendor.purge(MANY[by], by, client)
        assert not client.is_closed
    sizes = [items_in(request) for request in asked]
    assert max(sizes) == min(vendor.limits[by], len(MANY[by]))
    assert [item for receipt in receipts for item in receipt.items] == MANY[by]
    assert sum(sizes) == len(MANY[by])
    assert {receipt.status for receipt in receipts} <= {200, 201, 202, 204}
    assert all(receipt.seconds >= 0 and not receipt.absent for receipt in receipts)


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS if secrets_of(vendor)], ids=slug)
@pytest.mark.parametrize(
    "wire",
    [
        Wire(403, f"no rights for {SECRET}"),
        Wire(429, f"{SECRET} is too fast"),
        Wire(500, f"{SECRET} broke"),
        Wire(trouble=httpx.ConnectError(f"no route for {SECRET}")),
        Wire(trouble=httpx.ReadTimeout(f"{SECRET} is late")),
        Wire(trouble=httpx.LocalProtocolError(f"Illegal header value b'Bearer {SECRET}'")),
    ],
    ids=["403", "429", "500", "unreachable", "lost", "illegal header"],
)
async def test_a_secret_is_nowhere_to_be_read(vendor, wire, caplog):
    """Neither the block, nor a receipt, nor an error, nor a log shows the token, even when the answer quotes it."""
    caplog.set_level(logging.DEBUG)
    told = [repr(vendor), str(vendor), f"{vendor}", str(vendor.model_dump())]
    async with wire.client() as client:
        with pytest.raises(PurgeError) as error:
            await vendor.purge(["https://www.example.com/a"], client=client)
    told += [str(error.value), repr(error.value), caplog.text]
    assert not [text for text in told if SECRET in text]
    assert SECRET in shown(wire.asked[0]), "the vendor was not given its secret"


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS if secrets_of(vendor)], ids=slug)
async def test_an_answer_that_quotes_the_request_is_told_without_what_signed_it(vendor):
    """Basic hides a key from the eye only, and a signature is good for some minutes."""

    def quotes(request):
        return httpx.Response(403, text=f"bad: {request.headers.get('authorization', SECRET)}")

    async with httpx.AsyncClient(transport=httpx.MockTransport(quotes)) as client:
        with pytest.raises(PurgeError, match="bad: ") as error:
            await vendor.purge(["https://www.example.com/a"], client=client)
    assert SECRET not in str(error.value)
    assert base64.b64encode(f"{SECRET}:".encode()).decode() not in str(error.value)
    assert not re.search("[Ss]ignature=[^*]", str(error.value))


@pytest.mark.parametrize("token", [f"{SECRET}\n", f"{SECRET}é"])
async def test_a_token_that_no_header_can_carry_is_not_quoted(token):
    """A line break from a secret's file, or a stray letter, is told without the secret."""
    # It accepts a connection and is silent; the request must not get further than that.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(PurgeError, match="correct it") as error:
            await Cloudflare(zone="abc", token=token, api=api).purge(["https://www.example.com/"])
    assert error.value.permanent
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("edge", "by", "items", "line", "sent"),
    [
        (Varnish(nodes=[NODE]), By.URL, ["https://H.example/a?b=1"], f"PURGE {NODE} /a?b=1", HOST),
        (Varnish(), By.URL, ["http://h.example:8080"], "PURGE http://h.example:8080 /", {"host": "h.example:8080"}),
        (Varnish(nodes=[NODE]), By.KEY, ["a", "b"], f"PURGE {NODE} /", {"xkey-purge": "a b"}),
        (DemoEdge(), By.URL, ["http://h.example/p"], "PURGE http://h.example /p", HOST),
        (Nginx(nodes=[f"{NODE}/"]), By.URL, [f"{PAGE}/../%C3%A9?x=%2a"], f"GET {NODE} /__purge/../%C3%A9?x=%2a", HOST),
        (Nginx(nodes=[NODE], purge_prefix="/gone"), By.URL, [f"{PAGE}?é"], f"GET {NODE} /gone/?%C3%A9", HOST),
    ],
)  # fmt: skip
async def test_proxies_are_asked_in_their_own_form(edge, by, items, line, sent):
    """Method, node, Host, and the path and query byte for byte."""
    wire = Wire()
    async with wire.client() as client:
        await edge.purge(items, by, client)
    [request] = wire.asked
    target = request.extensions.get("target", request.url.raw_path).decode()
    assert f"{request.method} {request.url.scheme}://{request.url.netloc.decode()} {target}" == line
    assert sent.items() <= dict(request.headers).items()


@pytest.mark.parametrize(
    ("by", "items", "body"),
    [
        (By.URL, ["https://www.example.com/a"], {"files": ["https://www.example.com/a"]}),
        (By.KEY, ["a", "b"], {"tags": ["a", "b"]}),
        (By.PREFIX, ["www.example.com/a"], {"prefixes": ["www.example.com/a"]}),
        (By.HOST, ["www.example.com"], {"hosts": ["www.example.com"]}),
        (By.EVERYTHING, ["everything"], {"purge_everything": True}),
    ],
)
def test_cloudflare_is_asked_in_its_documented_form(by, items, body):
    """POST /zones/{zone}/purge_cache with a bearer token."""
    request = Cloudflare(zone="abc123", token=SECRET).request(Order(by, tuple(items)))
    assert (request.method, str(request.url)) == (
        "POST",
        "https://api.cloudflare.com/client/v4/zones/abc123/purge_cache",
    )
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert json.loads(request.content) == body


async def test_the_target_arrives_byte_for_byte():
    """What a client library would tidy up reaches a real socket as it was written."""
    lines, done = [], asyncio.Event()

    async def answer(reader, writer):
        lines.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 Purged\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        done.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = "https://www.example.com/a/./../b//%7Ec;d|e?f=[g]&h"
        [receipt] = await Varnish(nodes=[f"http://127.0.0.1:{port}"]).purge([url])
        await done.wait()
    assert lines[0].splitlines()[0] == "PURGE /a/./../b//%7Ec;d|e?f=[g]&h HTTP/1.1"
    assert "\r\nHost: www.example.com\r\n" in lines[0]
    assert (receipt.node, receipt.answer) == (f"http://127.0.0.1:{port}", "Purged")


async def test_every_node_is_asked_once():
    """A second node, named twice, gets one request for each URL."""
    wire = Wire()
    async with wire.client() as client:
        receipts = await Varnish(nodes=[NODE, "http://b.example", "http://b.example"]).purge(
            ["http://h.example/1", "http://h.example/2", "http://h.example/1"], client=client
        )
    assert [(receipt.node, receipt.items[0][-1]) for receipt in receipts] == [
        (NODE, "1"),
        (NODE, "2"),
        ("http://b.example", "1"),
        ("http://b.example", "2"),
    ]


async def test_an_edge_says_what_it_can_when_it_cannot():
    """Widening is never silent: what is not in the limits is refused."""
    wire = Wire()
    async with wire.client() as client:
        with pytest.raises(PurgeError) as error:
            await Varnish(nodes=[NODE]).purge(["everything"], By.EVERYTHING, client)
    assert str(error.value) == "Varnish cannot purge by everything; it can purge by url, surrogate key"
    assert error.value.permanent
    assert not wire.asked


async def test_keys_need_a_node():
    """A surrogate key names no host that could be asked."""
    with pytest.raises(PurgeError, match="set `nodes`"):
        await Varnish().purge(["a"], By.KEY)


@pytest.mark.parametrize(
    ("by", "item"),
    [
        (By.URL, ""),
        (By.URL, "/articles"),
        (By.URL, "ftp://h.example/"),
        (By.URL, "https://"),
        (By.URL, "https:///a"),
        (By.URL, "https://h.example/*"),
        (By.URL, "https://h.example/a#b"),
        (By.URL, "https://u:p@h.example/"),
        (By.URL, "https://h.example/a b"),
        (By.URL, "https://h.example/a\r\nX: y"),
        (By.URL, "https://h.example:99999/"),
        (By.KEY, "a b"),
        (By.KEY, "a,b"),
        (By.KEY, "a*"),
        (By.PREFIX, "www.example.com"),
        (By.PREFIX, "www.example.com/"),
        (By.PREFIX, "https://www.example.com/a"),
        (By.HOST, "*.example.com"),
        (By.HOST, "www.example.com/a"),
        (By.EVERYTHING, "https://www.example.com/"),
    ],
)
async def test_an_item_that_could_drop_more_than_it_says_is_refused(by, item):
    """Nothing is sent, not even for the good items beside it."""
    wire = Wire()
    async with wire.client() as client:
        with pytest.raises(ValueError, match=r"wanted .*nothing was purged"):
            await Cloudflare(zone="abc123", token=SECRET).purge([*MANY[by][:1], item], by, client)
    assert not wire.asked


@pytest.mark.parametrize(
    ("items", "kind", "says"), [([], ValueError, "saw no items"), ("https://h.example/", TypeError, "put it in a list")]
)
async def test_items_are_a_list_with_something_in_it(items, kind, says):
    """An empty purge, or a string taken for its letters, is a mistake of the caller."""
    with pytest.raises(kind, match=says):
        await DemoEdge().purge(items)


@pytest.mark.parametrize("node", ["127.0.0.1:6081", "http://h.example/path", "http://u:p@h.example", "ftp://h.example"])
def test_a_node_is_scheme_and_host(node):
    """Anything else would end up in another request than meant."""
    with pytest.raises(ValidationError, match="scheme and host of a node"):
        Varnish(nodes=[node])


@pytest.mark.parametrize("kind", [type(vendor) for vendor in VENDORS])
def test_every_edge_has_limits_within_the_words(kind):
    """The limits are the vendor's powers."""
    assert issubclass(kind, Edge)
    assert kind.limits[By.URL] >= 1
    assert set(kind.limits) <= set(By)
