"""What each vendor's API is asked, held to the examples in its documentation, and how that is signed."""

import hashlib
import hmac
import json
import logging
import re
import sys
import uuid

import httpx
import pytest

from blocks.akamai import EdgeGrid
from blocks.cloudfront import CloudFront, SigV4
from blocks.netlify import Netlify
from blocks.nginx import NginxRefresh
from blocks.squid import Squid
from blocks.varnish import Varnish
from blocks.vercel import Vercel
from roundsman.purge.rules.order import By, Order, PurgeError
from tests.blocks.vendors import NODE, SECRET, hosted
from tests.blocks.wire import Wire

CLOUDFLARE, FASTLY, CLOUDFRONT, AKAMAI, BUNNY, KEYCDN, GOOGLE, AZURE_FD, VERCEL, NETLIFY = hosted()
WWW = "https://www.example.com"
FAST = "https://api.fastly.com"
ZONE = "https://api.cloudflare.com/client/v4/zones/abc123/purge_cache"
CCU = "https://akab-x.luna.akamaiapis.net/ccu/v3"
MAP = "https://compute.googleapis.com/compute/v1/projects/p/global/urlMaps/m/invalidateCache"
AFD = (
    "https://management.azure.com/subscriptions/subid/resourceGroups/RG/providers/Microsoft.Cdn/profiles/profile1"
    "/afdEndpoints/endpoint1/purge?api-version=2023-05-01"
)
EDGE_CACHE = "https://api.vercel.com/v1/edge-cache"
SOFT = {"fastly-soft-purge": "1"}


def order(by, *items, **more):
    return Order(by, items, **more)


@pytest.mark.parametrize(
    ("vendor", "wanted", "line", "headers", "body"),
    [
        (CLOUDFLARE, order(By.URL, f"{WWW}/a"), f"POST {ZONE}", {"authorization": f"Bearer {SECRET}"}, {"files": [f"{WWW}/a"]}),
        (CLOUDFLARE, order(By.URL, f"{WWW}/a", headers=(("CF-Device-Type", "mobile"),)), f"POST {ZONE}", {}, {"files": [{"url": f"{WWW}/a", "headers": {"CF-Device-Type": "mobile"}}]}),
        (CLOUDFLARE, order(By.URL, f"{WWW}/é"), f"POST {ZONE}", {}, {"files": [f"{WWW}/%C3%A9"]}),
        (CLOUDFLARE, order(By.URL, f"{WWW}/a", soft=True), f"POST {ZONE.replace('purge_', 'invalidate_')}", {}, {"files": [f"{WWW}/a"]}),
        (CLOUDFLARE, order(By.KEY, "a", "b", soft=True), f"POST {ZONE.replace('purge_', 'invalidate_')}", {}, {"tags": ["a", "b"]}),
        (VERCEL, order(By.KEY, "a", "b"), f"POST {EDGE_CACHE}/dangerously-delete-by-tags?projectIdOrName=prj_1&teamId=team_1", {"authorization": f"Bearer {SECRET}"}, {"tags": ["a", "b"], "target": "production"}),
        (VERCEL, order(By.KEY, "a", soft=True), f"POST {EDGE_CACHE}/invalidate-by-tags?projectIdOrName=prj_1&teamId=team_1", {}, {"tags": ["a"], "target": "production"}),
        (VERCEL, order(By.URL, f"{WWW}/a/é?x=1"), f"POST {EDGE_CACHE}/dangerously-delete-by-tags?projectIdOrName=prj_1&teamId=team_1", {}, {"tags": ["page:/a/%C3%A9"], "target": "production"}),
        (Vercel(project="shop", token=SECRET, target="preview"), order(By.KEY, "a"), f"POST {EDGE_CACHE}/dangerously-delete-by-tags?projectIdOrName=shop", {}, {"tags": ["a"], "target": "preview"}),
        (NETLIFY, order(By.KEY, "a", "b"), "POST https://api.netlify.com/api/v1/purge", {"authorization": f"Bearer {SECRET}"}, {"site_id": "3970e0fe", "cache_tags": ["a", "b"]}),
        (NETLIFY, order(By.URL, f"{WWW}/a"), "POST https://api.netlify.com/api/v1/purge", {}, {"site_id": "3970e0fe", "cache_tags": ["page:/a"]}),
        (NETLIFY, order(By.EVERYTHING, "everything"), "POST https://api.netlify.com/api/v1/purge", {}, {"site_id": "3970e0fe"}),
        (Netlify(site="s", token=SECRET, deploy_alias="next"), order(By.KEY, "a"), "POST https://api.netlify.com/api/v1/purge", {}, {"site_id": "s", "deploy_alias": "next", "cache_tags": ["a"]}),
        (FASTLY, order(By.URL, "https://www.example.com/image.jpg"), f"POST {FAST}/purge/www.example.com/image.jpg", {"fastly-key": SECRET, "accept": "application/json"}, None),
        (FASTLY, order(By.URL, f"{WWW}/a/../b?c=%2a", soft=True), f"POST {FAST}/purge/www.example.com/a/../b?c=%2a", SOFT, None),
        (FASTLY, order(By.KEY, "key_1", "key_2"), f"POST {FAST}/service/SU1Z0isxPaozGVKXdv0eY/purge", {"fastly-key": SECRET}, {"surrogate_keys": ["key_1", "key_2"]}),
        (FASTLY, order(By.KEY, "key_1", soft=True), f"POST {FAST}/service/SU1Z0isxPaozGVKXdv0eY/purge", SOFT, {"surrogate_keys": ["key_1"]}),
        (FASTLY, order(By.EVERYTHING, "everything"), f"POST {FAST}/service/SU1Z0isxPaozGVKXdv0eY/purge_all", {}, None),
        (AKAMAI, order(By.URL, "https://foo1.bar.com/some/path", "http://foo2.bar.com/some/other/path", soft=True), f"POST {CCU}/invalidate/url/production", {"content-type": "application/json"}, {"objects": ["https://foo1.bar.com/some/path", "http://foo2.bar.com/some/other/path"]}),
        (AKAMAI, order(By.URL, f"{WWW}/devóps?[a]=%2a"), f"POST {CCU}/delete/url/production", {}, {"objects": [f"{WWW}/dev%C3%B3ps?[a]=%2a"]}),
        (AKAMAI, order(By.KEY, "black-friday"), f"POST {CCU}/delete/tag/production", {}, {"objects": ["black-friday"]}),
        (BUNNY, order(By.URL, "https://shop.b-cdn.net/css/a.css?x=1&y"), "POST https://api.bunny.net/purge?url=https%3A%2F%2Fshop.b-cdn.net%2Fcss%2Fa.css%3Fx%3D1%26y&async=false&exactPath=true", {"accesskey": SECRET}, None),
        (BUNNY, order(By.URL, f"{WWW}/assets/"), "POST https://api.bunny.net/purge?url=https%3A%2F%2Fwww.example.com%2Fassets%2F&async=false&exactPath=true", {}, None),
        (BUNNY, order(By.URL, f"{WWW}/é"), "POST https://api.bunny.net/purge?url=https%3A%2F%2Fwww.example.com%2F%25C3%25A9&async=false&exactPath=true", {}, None),
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
        (By.URL, [f"{WWW}/image1.jpg", f"{WWW}/a?b=1&c=<é>"], ["/image1.jpg", "/a?b=1&amp;c=%3C%C3%A9%3E"]),
        # RFC 1738 section 2.2, as CloudFront asks for; what is encoded stays so, and two spellings are one path.
        (By.URL, [f"{WWW}/~ann/a[1].html?f[]=1|2"], ["/%7Eann/a%5B1%5D.html?f%5B%5D=1%7C2"]),
        (By.URL, [f"{WWW}/%7Eann/%5b1%5D?x=%25&y=100%&z=%zz"], ["/%7Eann/%5b1%5D?x=%25&amp;y=100%25&amp;z=%25zz"]),
        (By.URL, [f'{WWW}/{{a}}^`\\"', f"{WWW}/~", f"{WWW}/%7E"], ["/%7Ba%7D%5E%60%5C%22", "/%7E"]),
        (By.URL, [f"{WWW}/a;b=c,d@e:f!$&'()+"], ["/a;b=c,d@e:f!$&amp;'()+"]),
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


def test_a_distribution_tenant_is_purged_and_asked_about_in_its_own_place():
    """Its pages are its own, and not those of the distribution that it shares with others."""
    tenant = CloudFront(distribution_tenant="dt_1", access_key_id="x", secret_access_key="x")
    at = "https://cloudfront.amazonaws.com/2020-05-31/distribution-tenant/dt_1/invalidation"
    assert at == str(tenant.request(order(By.URL, f"{WWW}/a")).url)
    assert f"{at}/I1" == str(tenant.question("I1").url)


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
