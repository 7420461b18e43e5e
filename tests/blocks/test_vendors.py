"""What each vendor's API is asked, held to the examples in its documentation, and how its answers are read."""

import hashlib
import hmac
import json
import logging
import re
import sys
import uuid

import httpx
import pytest

from blocks.akamai import Akamai
from blocks.azure_front_door import AzureFrontDoor
from blocks.bunny import Bunny
from blocks.cloudflare import Cloudflare
from blocks.cloudfront import CloudFront, SigV4
from blocks.edgegrid import EdgeGrid
from blocks.fastly import Fastly
from blocks.google_cdn import GoogleCDN
from blocks.keycdn import KeyCDN
from blocks.nginx import NginxRefresh
from blocks.purge import By, Order, PurgeError
from blocks.squid import Squid
from blocks.varnish import Varnish
from tests.blocks.vendors import AZURE, NODE, SECRET, VENDORS, hosted, slug
from tests.blocks.wire import Wire
from tests.vendor_api import VendorApi

CLOUDFLARE, FASTLY, CLOUDFRONT, AKAMAI, BUNNY, KEYCDN, GOOGLE, AZURE_FD = hosted()
WWW = "https://www.example.com"
FAST = "https://api.fastly.com"
ZONE = "https://api.cloudflare.com/client/v4/zones/abc123/purge_cache"
CCU = "https://akab-x.luna.akamaiapis.net/ccu/v3"
MAP = "https://compute.googleapis.com/compute/v1/projects/p/global/urlMaps/m/invalidateCache"
AFD = (
    "https://management.azure.com/subscriptions/subid/resourceGroups/RG/providers/Microsoft.Cdn/profiles/profile1"
    "/afdEndpoints/endpoint1/purge?api-version=2023-05-01"
)
SOFT = {"fastly-soft-purge": "1"}


def order(by, *items, **more):
    return Order(by, items, **more)


@pytest.mark.parametrize(
    ("vendor", "wanted", "line", "headers", "body"),
    [
        (CLOUDFLARE, order(By.URL, f"{WWW}/a"), f"POST {ZONE}", {"authorization": f"Bearer {SECRET}"}, {"files": [f"{WWW}/a"]}),
        (CLOUDFLARE, order(By.URL, f"{WWW}/a", headers=(("CF-Device-Type", "mobile"),)), f"POST {ZONE}", {}, {"files": [{"url": f"{WWW}/a", "headers": {"CF-Device-Type": "mobile"}}]}),
        (FASTLY, order(By.URL, "https://www.example.com/image.jpg"), f"POST {FAST}/purge/www.example.com/image.jpg", {"fastly-key": SECRET, "accept": "application/json"}, None),
        (FASTLY, order(By.URL, f"{WWW}/a/../b?c=%2a", soft=True), f"POST {FAST}/purge/www.example.com/a/../b?c=%2a", SOFT, None),
        (FASTLY, order(By.KEY, "key_1", "key_2"), f"POST {FAST}/service/SU1Z0isxPaozGVKXdv0eY/purge", {"fastly-key": SECRET}, {"surrogate_keys": ["key_1", "key_2"]}),
        (FASTLY, order(By.KEY, "key_1", soft=True), f"POST {FAST}/service/SU1Z0isxPaozGVKXdv0eY/purge", SOFT, {"surrogate_keys": ["key_1"]}),
        (FASTLY, order(By.EVERYTHING, "everything"), f"POST {FAST}/service/SU1Z0isxPaozGVKXdv0eY/purge_all", {}, None),
        (AKAMAI, order(By.URL, "https://foo1.bar.com/some/path", "http://foo2.bar.com/some/other/path", soft=True), f"POST {CCU}/invalidate/url/production", {"content-type": "application/json"}, {"objects": ["https://foo1.bar.com/some/path", "http://foo2.bar.com/some/other/path"]}),
        (AKAMAI, order(By.KEY, "black-friday"), f"POST {CCU}/delete/tag/production", {}, {"objects": ["black-friday"]}),
        (BUNNY, order(By.URL, "https://shop.b-cdn.net/css/a.css?x=1&y"), "POST https://api.bunny.net/purge?url=https%3A%2F%2Fshop.b-cdn.net%2Fcss%2Fa.css%3Fx%3D1%26y&async=false&exactPath=true", {"accesskey": SECRET}, None),
        (BUNNY, order(By.KEY, "product-123"), "POST https://api.bunny.net/pullzone/42/purgeCache", {"accesskey": SECRET, "content-type": "application/json"}, {"CacheTag": "product-123"}),
        (BUNNY, order(By.EVERYTHING, "everything"), "POST https://api.bunny.net/pullzone/42/purgeCache", {}, None),
        (KEYCDN, order(By.URL, f"{WWW}/lorem.css", f"{WWW}/lorem.jpg?a"), "DELETE https://api.keycdn.com/zones/purgeurl/42.json", {"content-type": "application/json"}, {"urls": ["demo-1.kxcdn.com/lorem.css", "demo-1.kxcdn.com/lorem.jpg?a"]}),
        (KEYCDN, order(By.KEY, "tag1"), "DELETE https://api.keycdn.com/zones/purgetag/42.json", {}, {"tags": ["tag1"]}),
        (KEYCDN, order(By.EVERYTHING, "everything"), "GET https://api.keycdn.com/zones/purge/42.json", {}, None),
        (GOOGLE, order(By.URL, f"{WWW}/images/a.jpg"), f"POST {MAP}", {"authorization": f"Bearer {SECRET}"}, {"path": "/images/a.jpg", "host": "www.example.com"}),
        (GOOGLE, order(By.KEY, "a", "b", key="run-1"), f"POST {MAP}?requestId={uuid.uuid5(uuid.NAMESPACE_URL, 'run-1')}", {}, {"cacheTags": ["a", "b"]}),
        (AZURE_FD, order(By.URL, f"{WWW}/folder1", f"{WWW}/b"), f"POST {AFD}", {"authorization": f"Bearer {SECRET}"}, {"contentPaths": ["/folder1", "/b"], "domains": ["www.example.com"]}),
        (Varnish(nodes=[NODE]), order(By.URL, f"{WWW}/a", node=NODE, soft=True), f"SOFTPURGE {NODE}/a", {"host": "www.example.com"}, None),
        (Varnish(nodes=[NODE], method="BAN"), order(By.URL, f"{WWW}/a", node=NODE), f"BAN {NODE}/a", {"host": "www.example.com"}, None),
        (Varnish(nodes=[NODE]), order(By.KEY, "a", "b", node=NODE, soft=True), f"PURGE {NODE}/", {"xkey-softpurge": "a b"}, None),
        (Squid(nodes=[NODE]), order(By.URL, f"{WWW}/a", node=NODE, headers=(("accept-encoding", "gzip"),)), f"PURGE {NODE}/a", {"host": "www.example.com", "accept-encoding": "gzip"}, None),
        (NginxRefresh(value=SECRET), order(By.URL, f"{WWW}/a", node=NODE, headers=(("accept-language", "de"),)), f"GET {NODE}/a", {"x-refresh": SECRET, "accept-language": "de", "host": "www.example.com"}, None),
    ],
)  # fmt: skip
def test_a_vendor_is_asked_as_its_documentation_says(vendor, wanted, line, headers, body):
    request = vendor.request(wanted)
    target = request.extensions.get("target", request.url.raw_path).decode()
    assert line == f"{request.method} {request.url.scheme}://{request.url.netloc.decode()}{target}"
    assert headers.items() <= dict(request.headers).items()
    assert body == (json.loads(request.content) if request.content else None)


@pytest.mark.parametrize(
    ("by", "items", "paths"),
    [
        (By.URL, [f"{WWW}/image1.jpg", f"{WWW}/a?b=1&c=<é>"], ["/image1.jpg", "/a?b=1&amp;c=&lt;%C3%A9&gt;"]),
        (By.KEY, ["blog"], ["#blog"]),
        (By.EVERYTHING, ["everything"], ["/*"]),
    ],
)
def test_cloudfront_is_asked_in_xml(by, items, paths):
    request = CLOUDFRONT.request(Order(by, tuple(items), key="run-1"))
    listed = "".join(f"<Path>{path}</Path>" for path in paths)
    assert request.method == "POST"
    assert request.url == "https://cloudfront.amazonaws.com/2020-05-31/distribution/EDFDVBD6EXAMPLE/invalidation"
    assert request.content.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">'
        f"<CallerReference>run-1</CallerReference><Paths><Items>{listed}</Items>"
        f"<Quantity>{len(paths)}</Quantity></Paths></InvalidationBatch>"
    )


async def test_keycdn_takes_its_key_for_the_user():
    """`curl -u sk_prod_...:` in its documentation."""
    wire = Wire(text='{"status": "success"}')
    async with wire.client() as client:
        await KEYCDN.purge([f"{WWW}/a"], client=client)
    assert wire.asked[0].headers["authorization"] == "Basic " + "aHVzaC00NzExOg=="


def signature(request, secret):
    """AWS's own recipe, written out (Signature Version 4)."""
    authorization = request.headers["authorization"]
    names = re.search("SignedHeaders=([^,]*)", authorization)[1].split(";")
    scope = re.search("Credential=[^/]*/([^,]*)", authorization)[1]
    host = {"host": request.url.netloc.decode()}
    headers = "".join(f"{name}:{ {**request.headers, **host}[name] }\n" for name in names)
    body = hashlib.sha256(request.content).hexdigest()
    canonical = "\n".join([request.method, request.url.path, "", headers, ";".join(names), body])
    at = request.headers["x-amz-date"]
    signed = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in [*scope.split("/"), signed]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return scope, key.hex()


def test_cloudfront_is_signed_for_its_service_in_its_one_region(caplog):
    """And what is signed is not logged: a session's token is among it."""
    caplog.set_level(logging.DEBUG)
    request = CLOUDFRONT.request(order(By.URL, f"{WWW}/a"))
    next(SigV4("AKID", "secret", "token-4711").auth_flow(request))
    scope, wanted = signature(request, "secret")
    assert scope.endswith("/us-east-1/cloudfront/aws4_request")
    assert wanted == re.search("Signature=(.*)", request.headers["authorization"])[1]
    assert request.headers["x-amz-security-token"] == "token-4711"
    assert "token-4711" not in caplog.text


async def test_without_botocore_cloudfront_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    async with Wire().client() as client:
        with pytest.raises(PurgeError, match=r"install roundsman\[cloudfront\]") as error:
            await CLOUDFRONT.purge([f"{WWW}/a"], client=client)
    assert error.value.permanent


# Published with the signers (akamai/AkamaiOPEN-edgegrid-python, akamai/edgegrid/test/testdata.json).
AKAA = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net"
LARGE = 2048 * "d"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "wanted"),
    [
        ("GET", "/", {}, "", "tL+y4hxyHxgWVD30X3pWnGKHcPzmrIF+LThiAOhMxYU="),
        ("GET", "/testapi/v1/t1?p1=1&p2=2", {}, "", "hKDH1UlnQySSHjvIcZpDMbQHihTQ0XyVAKZaApabdeA="),
        ("POST", "/testapi/v1/t3", {}, 8 * "data", "hXm4iCxtpN22m4cbZb4lVLW5rhX8Ca82vCFqXzSTPe4="),
        ("POST", "/testapi/v1/t3", {}, LARGE, "6Q6PiTipLae6n4GsSIDTCJ54bEbHUBp+4MUXrbQCBoY="),
        ("POST", "/testapi/v1/t3", {}, LARGE + "d", "6Q6PiTipLae6n4GsSIDTCJ54bEbHUBp+4MUXrbQCBoY="),
        ("POST", "/testapi/v1/t6", {}, "", "1gEDxeQGD5GovIkJJGcBaKnZ+VaPtrc4qBUHixjsPCQ="),
        ("GET", "/testapi/v1/t4", {"X-Test2": "t2", "X-Test1": "t1", "X-Test3": "t3"}, "", "Wus73Nx8jOYM+kkBFF2q8D1EATRIMr0WLWwpLBgkBqY="),
        ("GET", "/testapi/v1/t4", {"X-Test1": '"     test-header-with-spaces     "'}, "", "ucq2AbjCNtobHfCTuS38fdkl5UDdWHZhQX46fYR8CqI="),
        ("GET", "/testapi/v1/t5", {"X-Test2": "t2", "X-Test1": "t1", "X-Test3": "t3", "X-Extra": "e"}, "", "Knd/jc0A5Ghhizjayr0AUUvl2MZjBpS3FDSzvtq4Ixc="),
        ("PUT", "/testapi/v1/t6", {}, 31 * "P", "GNBWEYSEWOLtu+7dD52da2C39aX/Jchpon3K/AmBqBU="),
    ],
)  # fmt: skip
def test_edgegrid_signs_as_the_published_signers_do(method, path, headers, body, wanted):
    """POST bodies are hashed up to a length; the headers are signed in the order that was agreed on."""
    client, access = "akab-client-token-xxx-xxxxxxxxxxxxxxxx", "akab-access-token-xxx-xxxxxxxxxxxxxxxx"
    signer = EdgeGrid(client, 43 * "x" + "=", access, 2048, ("X-Test1", "X-Test2", "X-Test3"))
    request = httpx.Request(method, AKAA + path, headers=headers, content=body)
    at, nonce = "20140321T19:34:21+0000", "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
    start = f"EG1-HMAC-SHA256 client_token={client};access_token={access};timestamp={at};nonce={nonce};"
    assert f"{start}signature={wanted}" == signer.signed(request, at, nonce)


async def test_akamai_s_requests_are_signed_anew_each_time():
    """By the present time, with another nonce."""
    wire = Wire(201, '{"httpStatus": 201}')
    async with wire.client() as client:
        await AKAMAI.purge([f"{WWW}/a"], client=client)
        await AKAMAI.purge([f"{WWW}/a"], client=client)
    said = [request.headers["authorization"] for request in wire.asked]
    assert all(
        re.search(r";timestamp=20\d{6}T\d\d:\d\d:\d\d\+0000;nonce=[0-9a-f-]{36};signature=.{44}$", one) for one in said
    )
    assert said[0] != said[1]


@pytest.mark.parametrize("vendor", [vendor for vendor in hosted() if slug(vendor) != "bunny"], ids=slug)
async def test_a_good_status_that_means_no_is_a_refusal_for_good_or_fails_when_it_is_done(vendor):
    api = VendorApi()
    api.unsuccessful = True

    async def purge(client):
        [receipt] = await vendor.purge([f"{WWW}/a"], client=client)
        await vendor.settled(receipt, client)

    async with api.client() as client:
        with pytest.raises(PurgeError) as error:
            await purge(client)
    assert error.value.permanent or slug(vendor) == "azure-front-door"


@pytest.mark.parametrize(
    ("vendor", "by", "text"),
    [
        *((vendor, By.URL, "<html>proxy</html>") for vendor in hosted() if slug(vendor) not in {"bunny", "azure-front-door"}),
        *((vendor, By.URL, "[]") for vendor in (FASTLY, AKAMAI, KEYCDN, GOOGLE)),
        (FASTLY, By.KEY, '{"a": "108-1"}'),
        (NginxRefresh(value=SECRET), By.URL, "a page from the store"),
    ],
)  # fmt: skip
async def test_an_answer_in_other_words_is_a_refusal(vendor, by, text):
    """A proxy's page, a list, or one key of two."""
    async with Wire(200, text).client() as client:
        with pytest.raises(PurgeError, match="refused the purge with status 200") as error:
            await vendor.purge(["a", "b"] if by is By.KEY else [f"{WWW}/a"], by, client)
    assert error.value.permanent


@pytest.mark.parametrize("vendor", [CLOUDFRONT, GOOGLE, AZURE_FD], ids=slug)
async def test_a_purge_that_is_done_later_says_when(vendor):
    """Asked twice it is not yet through, and then it is."""
    api = VendorApi()
    api.polls = 2
    async with api.client() as client:
        [receipt] = await vendor.purge([f"{WWW}/a"], client=client)
        said = [await vendor.settled(receipt, client) for _ in range(3)]
    assert [False, False, True] == said
    assert vendor.settles_within > 0


async def test_who_says_nothing_of_the_end_is_waited_for_and_who_needs_no_end_is_done():
    api = VendorApi()
    async with api.client() as client:
        [receipt] = await AKAMAI.purge([f"{WWW}/a"], client=client)
        assert await AKAMAI.settled(receipt, client) is None
    async with Wire().client() as client:
        edge = Varnish(nodes=[NODE])
        [receipt] = await edge.purge([f"{WWW}/a"], client=client)
        assert await edge.settled(receipt, client) is True


async def test_azure_s_token_goes_to_azure_only():
    """Where an answer says to ask is what anybody on the way can write."""
    wire = Wire(202, "", {"azure-asyncoperation": "https://elsewhere.example/operations/1"})
    async with wire.client() as client:
        [receipt] = await AZURE_FD.purge([f"{WWW}/a"], client=client)
        with pytest.raises(PurgeError, match=r"operation is at elsewhere\.example"):
            await AZURE_FD.settled(receipt, client)
    assert len(wire.asked) == 1


async def test_the_same_order_twice_is_one_purge_where_the_vendor_knows_it_again():
    """And the next purge of the same page is another one."""
    for vendor in (CLOUDFRONT, GOOGLE):
        api = VendorApi()
        async with api.client() as client:
            wanted = [order(By.URL, f"{WWW}/a", key=key) for key in ("one", "one", "two")]
            tickets = [(await vendor.send(each, client)).ticket for each in wanted]
        assert vendor.once
        assert tickets[0] == tickets[1] != tickets[2]


@pytest.mark.parametrize("vendor", hosted(), ids=slug)
async def test_a_short_wait_is_kept_and_the_purge_then_succeeds(vendor, monkeypatch):
    """A 429 was not done, so that it is sent again once the vendor said when."""
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("blocks.edge.asyncio.sleep", sleep)
    api = VendorApi()
    api.limited = ["3"]
    async with api.client() as client:
        await vendor.purge([f"{WWW}/a"], client=client)
    assert [3.0] == waited
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    ("limited", "asked", "wait"),
    [(["60"], 1, 60.0), (["0", "0"], 2, 0.0), (["soon"], 1, None), (["Thu, 01 Oct 2026 10:00:30 GMT"], 1, None)],
)
async def test_a_long_wait_or_a_second_one_is_told_to_the_caller(limited, asked, wait):
    """Nobody keeps a worker for a minute; the queue does."""
    api = VendorApi()
    api.limited = list(limited)
    async with api.client() as client:
        with pytest.raises(PurgeError, match="answered 429") as error:
            await CLOUDFLARE.purge([f"{WWW}/a"], client=client)
    assert (False, False, wait) == (error.value.permanent, error.value.unknown, error.value.retry_after)
    assert asked == len(api.asked)


async def test_a_date_to_retry_after_is_read_by_the_other_side_s_clock():
    dates = {"Retry-After": "Thu, 01 Oct 2026 10:01:30 GMT", "Date": "Thu, 01 Oct 2026 10:00:00 GMT"}
    async with Wire(429, "", dates).client() as client:
        with pytest.raises(PurgeError) as error:
            await CLOUDFLARE.purge([f"{WWW}/a"], client=client)
    assert error.value.retry_after == 90.0


@pytest.mark.parametrize(
    ("wire", "unknown"),
    [
        (Wire(trouble=httpx.ReadTimeout("late")), True),
        (Wire(trouble=httpx.RemoteProtocolError("cut off")), True),
        (Wire(trouble=httpx.ConnectError("refused")), False),
        (Wire(trouble=httpx.ConnectTimeout("far")), False),
        (Wire(504), True),
        (Wire(500), True),
        (Wire(503), False),
        (Wire(429), False),
        (Wire(403), False),
    ],
    ids=lambda case: str(case.trouble or case.reply[0]) if isinstance(case, Wire) else case,
)
async def test_a_purge_that_may_have_happened_is_told_apart_and_sent_once(wire, unknown):
    wire.asked.clear()
    async with wire.client() as client:
        with pytest.raises(PurgeError) as error:
            await FASTLY.purge([f"{WWW}/a"], client=client)
    assert unknown is error.value.unknown
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    ("vendor", "url"),
    [
        (BUNNY, f"{WWW}/assets/"),
        (BUNNY, f"{WWW}/assets/?x=1"),
        (BUNNY, WWW),
        (CLOUDFRONT, f"{WWW}/#tag"),
        (CLOUDFRONT, f"{WWW}/a*"),
        (GOOGLE, f"{WWW}/a?x=1"),
        (AZURE_FD, f"{WWW}/a?x=1"),
    ],
)
async def test_what_one_vendor_takes_for_more_is_refused_for_this_vendor(vendor, url):
    wire = Wire()
    async with wire.client() as client:
        with pytest.raises(ValueError, match=r"wanted .*nothing was purged"):
            await vendor.purge([f"{WWW}/good", url], client=client)
    assert not wire.asked


@pytest.mark.parametrize(
    ("vendor", "url", "gone", "kept"),
    [
        (Varnish(), f"{WWW}/p", ["http://WWW.example.com/p"], [f"{WWW}/p?", f"{WWW}/P", f"{WWW}/p/", f"{WWW}:80/p"]),
        (AZURE_FD, f"{WWW}/p", [f"{WWW}/P", f"{WWW}/p?x=1"], [f"{WWW}/p/", f"{WWW}/pp", "https://b.example/p"]),
        (GOOGLE, f"{WWW}/p", [f"{WWW}/p?x=1", f"{WWW}/p?"], [f"{WWW}/P", "https://b.example/p"]),
        (CLOUDFRONT, f"{WWW}/p", ["https://b.example/p"], [f"{WWW}/p?x=1", f"{WWW}/P"]),
        (VENDORS[3], f"{WWW}/p", [f"{WWW}/p?"], [f"{WWW}/p?x", "http://www.example.com/p"]),
        (BUNNY, WWW, [f"{WWW}/"], [f"{WWW}/a", f"{WWW}/?"]),
    ],
)
def test_a_vendor_says_which_urls_lose_their_copy(vendor, url, gone, kept):
    """The blast radius: what goes with a purge of this URL."""
    goes = vendor.radius(url)
    assert [url, *gone] == [each for each in [url, *gone, *kept] if goes(each)]


def test_azure_s_requests_have_one_host_each():
    """Two hosts in one request would purge each path from both."""
    urls = [f"{WWW}/a", "https://b.example/b", f"{WWW}/c"]
    assert [(f"{WWW}/a", f"{WWW}/c"), ("https://b.example/b",)] == AZURE_FD.batches(urls)


def test_a_request_is_never_larger_than_its_vendor_takes():
    """Akamai answers 413 to more than 50 KB."""
    urls = [f"{WWW}/{number}/{'x' * 400}" for number in range(500)]
    batches = AKAMAI.batches(urls)
    assert urls == [url for batch in batches for url in batch]
    sizes = [len(AKAMAI.request(Order(By.URL, batch)).content) for batch in batches]
    assert 40_000 < max(sizes) < 50_000


async def test_soft_is_refused_where_it_would_be_hard():
    wire = Wire()
    async with wire.client() as client:
        with pytest.raises(PurgeError, match="Squid cannot purge softly by url; it can not at all") as error:
            await Squid(nodes=[NODE]).purge([f"{WWW}/a"], client=client, soft=True)
    assert error.value.permanent
    assert not wire.asked


async def test_shields_are_purged_before_the_nodes_that_ask_them():
    """Or a node fetches the old copy from its shield again."""
    wire = Wire()
    async with wire.client() as client:
        edge = Varnish(nodes=["http://a.example", "http://b.example"], shields=["http://shield.example"])
        await edge.purge([f"{WWW}/a"], client=client)
    assert ["shield.example", "a.example", "b.example"] == [request.url.host for request in wire.asked]


async def test_a_soft_purge_of_nothing_is_no_error_and_a_hard_one_that_nobody_answered_is():
    """Varnish answers 404 to a purge only when it let it through to the site."""
    async with Wire(404, "Not in cache").client() as client:
        [receipt] = await Varnish(nodes=[NODE]).purge([f"{WWW}/a"], client=client, soft=True)
        with pytest.raises(PurgeError, match="answered 404"):
            await Varnish(nodes=[NODE]).purge([f"{WWW}/a"], client=client)
    assert receipt.absent


@pytest.mark.parametrize("vendor", VENDORS, ids=slug)
def test_every_vendor_states_its_powers(vendor):
    """With the page that says so; a vendor with an API also says how often it may be asked, where that is known."""
    powers = vendor.powers()
    assert set(powers["soft"]) <= set(powers["limits"])
    assert vendor.see.startswith("https://") or slug(vendor) == "demo-edge"
    assert all(rate.see.startswith("https://") and rate.per_second > 0 and rate.burst >= 1 for rate in vendor.rates())
    assert vendor.settles_within > 0 or not hasattr(vendor, "api")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Fastly, {"service": "a/../b", "token": "x"}),
        (Bunny, {"zone": "all", "token": "x"}),
        (KeyCDN, {"zone": "1", "host": "https://a.example/", "token": "x"}),
        (CloudFront, {"distribution": "E/1", "access_key_id": "x", "secret_access_key": "x"}),
        (GoogleCDN, {"project": "a/b", "url_map": "m", "token": "x"}),
        (AzureFrontDoor, {**AZURE, "profile": "a/b", "token": "x"}),
        (Akamai, {"api": "akab.example", "client_token": "x", "client_secret": "x", "access_token": "x"}),
        (Cloudflare, {"zone": "abc", "token": "x", "plan": "gold"}),
    ],
)
def test_a_setting_that_would_ask_something_else_is_refused(kind, settings):
    with pytest.raises(ValueError, match="validation error"):
        kind(**settings)
