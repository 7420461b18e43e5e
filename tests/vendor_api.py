"""One server that speaks as ten vendors' purge APIs do, and purges real caches behind it, or pretends to."""

import asyncio
import base64
import contextlib
import json
import math
import re
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
import uvicorn
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

#: What a vendor is asked with; an API that is asked without it says 401 or 403, as the real one does.
TOKEN = "hush-4711"


@dataclass(frozen=True)
class Asked:
    """One request as it came in; `target` is its path and query, byte for byte."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@dataclass(frozen=True)
class Said:
    status: int
    body: object = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def text(self):
        if self.body is None:
            return b""
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


class VendorApi:
    """Set what goes wrong; `caches` are addresses of Varnishes with the lab's VCL, each of which is a node.

    `refuse` is a status for every request from now on, `limited` are Retry-After values, one for each request that
    is answered 429. `errors` are whole answers, one for each request to come. `unsuccessful` says a good status and means no. `polls` questions are answered "not yet", and the
    purge is only done then, or by `catch_up()`. `drop` purges nothing, `only` this one node, and `also` are URLs that
    are purged with every other. What was asked is in `asked`.

    Where `trusts` is set (a service account's public key, an application's secret, or the machine that asks), tokens
    are given out that are good for `lifetime` seconds and in `issued`; whatever is in `revoked` is not taken.
    """

    def __init__(self, caches=(), site="https://www.example.com"):
        self.caches = tuple(caches)
        self.site = urlsplit(site)
        self.asked: list[Asked] = []
        self.refuse = 0
        self.limited: list[str] = []
        self.errors: list[Said] = []
        self.trusts: object = None
        self.lifetime = 3600
        self.issued: list[str] = []
        self.revoked: set[str] = set()
        self.unsuccessful = False
        self.polls = 0
        self.drop = False
        self.only: int | None = None
        self.also: tuple[str, ...] = ()
        self._open: dict[str, int] = {}
        self._later: list[tuple[list[str], list[str], bool]] = []

    async def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        path = asked.target.partition("?")[0]
        for method, pattern, give in _TOKENS:
            if method == asked.method and re.fullmatch(pattern, path):
                return give(self, asked)
        for method, pattern, speak in _ROUTES:
            if method == asked.method and (match := re.fullmatch(pattern, path)):
                if TOKEN not in credentials(asked):
                    return Said(403, {"error": "no rights"})
                if any(token in credentials(asked) for token in self.revoked):
                    return Said(401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}})
                if self.errors:
                    return self.errors.pop(0)
                if self.limited:
                    return Said(429, {"error": "too many requests"}, (("retry-after", self.limited.pop(0)),))
                if self.refuse:
                    return Said(self.refuse, {"error": "refused"})
                return await speak(self, asked, *match.groups())
        return Said(404, {"error": f"no such call: {asked.method} {path}"})

    async def catch_up(self):
        """Do at last what was accepted."""
        while self._later:
            await self._purge(*self._later.pop(0))

    async def purged(self, urls=(), keys=(), *, soft=False):
        if self.unsuccessful:
            return
        self._later.append((list(urls), list(keys), soft))
        if not self.polls:
            await self.catch_up()

    async def _purge(self, urls, keys, soft):
        if self.drop:
            return
        caches = self.caches if self.only is None else self.caches[self.only : self.only + 1]
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:
            for cache in caches:
                for url in [*urls, *self.also]:
                    parts = urlsplit(url)
                    target = url.removeprefix(f"{parts.scheme}://{parts.netloc}") or "/"
                    request = httpx.Request(
                        "SOFTPURGE" if soft else "PURGE",
                        cache,
                        headers={"host": parts.netloc},
                        extensions={"target": target.encode()},
                    )
                    await client.send(request)
                if keys:
                    header = "xkey-softpurge" if soft else "xkey-purge"
                    await client.request("PURGE", cache, headers={header: " ".join(keys)})

    def issue(self, **more) -> Said:
        """A new token, and what stands beside it."""
        self.issued.append(f"{TOKEN}-{len(self.issued)}")
        return Said(200, {"access_token": self.issued[-1], "token_type": "Bearer", **more})

    def known(self, name: str) -> bool:
        return name in self._open

    def opened(self, name: str) -> str:
        self._open[name] = self.polls
        return name

    async def done(self, name: str) -> bool | None:
        """Whether an operation is through; None where there is none of that name."""
        if name not in self._open:
            return None
        self._open[name] -= 1
        if self._open[name] >= 0:
            return False
        await self.catch_up()
        return True

    def here(self, path: str) -> str:
        return f"{self.site.scheme}://{self.site.netloc}{path}"

    async def __call__(self, scope, receive, send):
        """The same as an ASGI application."""
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        raw = (scope.get("raw_path") or scope["path"].encode()).decode().partition("?")[0]
        said = await self.answer(Asked(scope["method"], raw + query, headers, body))
        told = [(name.encode(), value.encode()) for name, value in said.headers]
        length = (b"content-length", str(len(said.text)).encode())
        await send({"type": "http.response.start", "status": said.status, "headers": [*told, length]})
        await send({"type": "http.response.body", "body": said.text})

    async def respond(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request that was only spelled."""
        target = request.extensions.get("target", request.url.raw_path).decode()
        headers = {name.lower(): value for name, value in request.headers.items()}
        said = await self.answer(Asked(request.method, target, headers, request.content))
        return httpx.Response(said.status, headers=list(said.headers), content=said.text)

    def client(self) -> httpx.AsyncClient:
        """A client that reaches this API under whatever address it asks."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self.respond))


def credentials(asked):
    """All that a caller shows, with what Basic hides."""
    said = asked.headers.get("authorization", "")
    if said.startswith("Basic "):
        said = base64.b64decode(said[6:]).decode()
    return " ".join([said, asked.headers.get("fastly-key", ""), asked.headers.get("accesskey", "")])


async def _cloudflare(api, asked, how):
    what = asked.json
    if api.unsuccessful:
        errors = [{"code": 1012, "message": "Request must contain one of the known keys"}]
        return Said(200, {"success": False, "errors": errors, "messages": [], "result": None})
    urls = [item["url"] if isinstance(item, dict) else item for item in what.get("files", [])]
    await api.purged(urls, what.get("tags", []), soft=how == "invalidate")
    return Said(
        200, {"success": True, "errors": [], "messages": [], "result": {"id": "9a7806061c88ada191ed06f989cc3dac"}}
    )


async def _fastly_url(api, asked):
    soft = asked.headers.get("fastly-soft-purge") == "1"
    await api.purged([f"{api.site.scheme}://{asked.target.removeprefix('/purge/')}"], soft=soft)
    return Said(200, {"status": "no" if api.unsuccessful else "ok", "id": "108-1391560174-974124"})


async def _fastly_keys(api, asked, _service):
    keys = asked.json["surrogate_keys"]
    await api.purged(keys=keys, soft=asked.headers.get("fastly-soft-purge") == "1")
    return Said(200, {} if api.unsuccessful else {key: f"108-1391560174-{place}" for place, key in enumerate(keys)})


async def _everything(api, asked, *_names):
    return Said(200, {"status": "ok", "id": "1"})


async def _cloudfront(api, asked, distribution):
    text = asked.body.decode()
    paths = re.findall("<Path>([^<]*)</Path>", text)
    name = "I" + re.search("<CallerReference>([^<]*)<", text)[1].replace("-", "").upper()
    if api.unsuccessful:
        return Said(200, "<html>welcome</html>")
    if not api.known(name):
        await api.purged(
            [api.here(path.replace("&amp;", "&")) for path in paths if not path.startswith("#")],
            [path[1:] for path in paths if path.startswith("#")],
        )
        api.opened(name)
    where = f"https://cloudfront.amazonaws.com/2020-05-31/{distribution}/invalidation/{name}"
    return Said(201, _invalidation(name, "InProgress"), (("location", where),))


async def _cloudfront_status(api, asked, name):
    done = await api.done(name)
    return Said(404) if done is None else Said(200, _invalidation(name, "Completed" if done else "InProgress"))


def _invalidation(name, status):
    return (
        '<?xml version="1.0"?><Invalidation xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">'
        f"<Id>{name}</Id><Status>{status}</Status><CreateTime>2026-10-01T10:00:00Z</CreateTime></Invalidation>"
    )


async def _akamai(api, asked, how, what):
    objects = asked.json["objects"]
    status = 507 if api.unsuccessful else 201
    await api.purged(**{"urls" if what == "url" else "keys": objects}, soft=how == "invalidate")
    said = {"httpStatus": status, "detail": "Request accepted", "estimatedSeconds": 5}
    return Said(201, {**said, "purgeId": "edcp-NZbXzFpHBjcJeryhw6PVgG", "supportId": "edcp-NZbXzFpHBjcJeryhw6PVgG"})


async def _bunny(api, asked):
    query = parse_qs(asked.target.partition("?")[2])
    await api.purged(query["url"])
    return Said(200)


async def _bunny_tag(api, asked, _zone):
    await api.purged(keys=[asked.json["CacheTag"]] if asked.body else [])
    return Said(204)


async def _keycdn(api, asked, what, _zone):
    items = asked.json[what + "s"]
    # It knows URLs by the zone's own host.
    urls = [api.here("/" + item.partition("/")[2]) for item in items] if what == "url" else []
    await api.purged(urls, items if what == "tag" else [])
    if api.unsuccessful:
        return Said(200, {"status": "error", "description": "Zone is not active."})
    return Said(200, {"status": "success", "description": f"Cache has been cleared for {what}(s)."})


async def _keycdn_all(api, asked, _zone):
    return Said(200, {"status": "success", "description": "Cache has been cleared for zone."})


async def _google(api, asked, _project):
    what, name = asked.json, "operation-" + parse_qs(asked.target.partition("?")[2]).get("requestId", ["none"])[0]
    if api.unsuccessful:
        errors = [{"code": "RESOURCE_NOT_READY", "message": "the URL map is not ready"}]
        return Said(200, {"name": name, "status": "DONE", "error": {"errors": errors}})
    if not api.known(name):
        await api.purged(
            [f"{api.site.scheme}://{what['host']}{what['path']}"] if "host" in what else [], what.get("cacheTags", [])
        )
        api.opened(name)
    return Said(200, {"kind": "compute#operation", "name": name, "status": "RUNNING"})


async def _google_status(api, asked, name):
    done = await api.done(name)
    return Said(404) if done is None else Said(200, {"name": name, "status": "DONE" if done else "RUNNING"})


async def _azure(api, asked, _endpoint):
    what = asked.json
    hosts = what.get("domains", [])
    await api.purged([f"{api.site.scheme}://{host}{path}" for host in hosts for path in what["contentPaths"]])
    name = api.opened(f"op{len(api.asked)}")
    if api.unsuccessful:
        name = "failed"
    at = f"{asked.headers.get('x-forwarded-proto', 'https')}://{asked.headers['host']}/subscriptions/subid/operations/{name}"
    return Said(202, None, (("azure-asyncoperation", f"{at}?api-version=2023-05-01"), ("location", at)))


async def _azure_status(api, asked, name):
    if name == "failed":
        return Said(200, {"status": "Failed", "error": {"code": "Oops"}})
    done = await api.done(name)
    return Said(404) if done is None else Said(200, {"status": "Succeeded" if done else "InProgress"})


async def _vercel(api, asked, how):
    soft = how.startswith("invalidate")
    assert parse_qs(asked.target.partition("?")[2])["projectIdOrName"]
    await _tagged(api, asked.json["tags"], soft=soft)
    return Said(400, {"error": {"code": "bad_request", "message": "no"}}) if api.unsuccessful else Said(200)


async def _netlify(api, asked):
    assert asked.json["site_id"]
    await _tagged(api, asked.json.get("cache_tags", []))
    return Said(400, {"code": 400, "message": "no"}) if api.unsuccessful else Said(202)


async def _tagged(api, tags, *, soft=False):
    """Pages of this site have `page:` and their path as a tag."""
    pages = [api.here(tag.removeprefix("page:")) for tag in tags if tag.startswith("page:")]
    await api.purged(pages, [tag for tag in tags if not tag.startswith("page:")], soft=soft)


def _google_token(api, asked):
    """RFC 7523: an assertion that the service account's key has signed."""
    form = parse_qs(asked.body.decode())
    head, claims, signature = form["assertion"][0].split(".")
    if form["grant_type"] != ["urn:ietf:params:oauth:grant-type:jwt-bearer"] or api.trusts is None:
        return Said(400, {"error": "invalid_request"})
    with contextlib.suppress(Exception):
        api.trusts.verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        said = json.loads(_decoded(claims))
        assert json.loads(_decoded(head))["alg"] == "RS256"
        assert said["iss"] == "roundsman@p.iam.gserviceaccount.com"
        assert said["aud"].endswith("/token")
        assert "cloud-platform" in said["scope"]
        assert math.isclose(said["iat"], time.time(), abs_tol=60)
        assert said["exp"] - said["iat"] <= 3600
        return api.issue(expires_in=api.lifetime)
    return Said(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})


def _decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _google_machine(api, asked):
    if asked.headers.get("metadata-flavor") != "Google":
        return Said(403, "Missing required header: Metadata-Flavor")
    return api.issue(expires_in=api.lifetime) if api.trusts == "machine" else Said(404, "no service account")


def _azure_client(api, asked):
    form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
    proof = form.get("client_secret") or form.get("client_assertion")
    wanted = {
        "grant_type": "client_credentials",
        "client_id": "app-1",
        "scope": "https://management.azure.com/.default",
    }
    if proof != api.trusts or not wanted.items() <= form.items():
        described = f"AADSTS7000215: Invalid client secret provided: {proof}"
        return Said(401, {"error": "invalid_client", "error_description": described})
    return api.issue(expires_in=api.lifetime)


def _azure_machine(api, asked):
    query = parse_qs(asked.target.partition("?")[2])
    if asked.headers.get("metadata") != "true" or query["resource"] != ["https://management.azure.com"]:
        return Said(400, {"error": "invalid_request"})
    # Its numbers are text.
    return (
        api.issue(expires_in=str(api.lifetime)) if api.trusts == "machine" else Said(400, {"error": "invalid_request"})
    )


def _azure_app_service(api, asked):
    if asked.headers.get("x-identity-header") != api.trusts:
        return Said(401, {"error": "unauthorized"})
    return api.issue(expires_on=str(int(time.time()) + api.lifetime))


_TOKENS = [
    ("POST", "/token", _google_token),
    ("GET", "/computeMetadata/v1/instance/service-accounts/default/token", _google_machine),
    ("POST", "/tenant-1/oauth2/v2.0/token", _azure_client),
    ("GET", "/metadata/identity/oauth2/token", _azure_machine),
    ("GET", "/msi/token", _azure_app_service),
]
_ROUTES = [
    ("POST", "/client/v4/zones/[^/]+/(purge|invalidate)_cache", _cloudflare),
    ("POST", "/purge/.+", _fastly_url),
    ("POST", "/service/([^/]+)/purge", _fastly_keys),
    ("POST", "/service/([^/]+)/purge_all", _everything),
    ("POST", "/2020-05-31/(distribution(?:-tenant)?/[^/]+)/invalidation", _cloudfront),
    ("GET", "/2020-05-31/distribution(?:-tenant)?/[^/]+/invalidation/([^/]+)", _cloudfront_status),
    ("POST", "/ccu/v3/(delete|invalidate)/(url|tag)/(?:production|staging)", _akamai),
    ("POST", "/v1/edge-cache/(invalidate-by-tags|dangerously-delete-by-tags)", _vercel),
    ("POST", "/api/v1/purge", _netlify),
    ("POST", "/purge", _bunny),
    ("POST", "/pullzone/([^/]+)/purgeCache", _bunny_tag),
    ("DELETE", r"/zones/purge(url|tag)/([^/]+)\.json", _keycdn),
    ("GET", r"/zones/purge/([^/]+)\.json", _keycdn_all),
    ("POST", "/compute/v1/projects/([^/]+)/global/urlMaps/[^/]+/invalidateCache", _google),
    ("GET", "/compute/v1/projects/[^/]+/global/operations/([^/]+)", _google_status),
    ("POST", "/subscriptions/.+/afdEndpoints/([^/]+)/purge", _azure),
    ("GET", "/subscriptions/[^/]+/operations/([^/]+)", _azure_status),
]


@contextlib.contextmanager
def served(api: VendorApi):
    """The API on a free port of 127.0.0.1, for those who are in another process; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(api, log_level="warning", lifespan="off", http="h11"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="vendor-api")
        thread.start()
        try:
            until = time.monotonic() + 10
            while not server.started and time.monotonic() < until:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
