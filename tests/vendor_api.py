"""One server that speaks as eight vendors' purge APIs do, and purges real caches behind it, or pretends to."""

import asyncio
import base64
import contextlib
import json
import re
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
import uvicorn

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
    is answered 429. `unsuccessful` says a good status and means no. `polls` questions are answered "not yet", and the
    purge is only done then, or by `catch_up()`. `drop` purges nothing, `only` this one node, and `also` are URLs that
    are purged with every other. What was asked is in `asked`.
    """

    def __init__(self, caches=(), site="https://www.example.com"):
        self.caches = tuple(caches)
        self.site = urlsplit(site)
        self.asked: list[Asked] = []
        self.refuse = 0
        self.limited: list[str] = []
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
        for method, pattern, speak in _ROUTES:
            if method == asked.method and (match := re.fullmatch(pattern, path)):
                if TOKEN not in credentials(asked):
                    return Said(403, {"error": "no rights"})
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


async def _cloudflare(api, asked):
    what = asked.json
    if api.unsuccessful:
        errors = [{"code": 1012, "message": "Request must contain one of the known keys"}]
        return Said(200, {"success": False, "errors": errors, "messages": [], "result": None})
    urls = [item["url"] if isinstance(item, dict) else item for item in what.get("files", [])]
    await api.purged(urls, what.get("tags", []))
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
    where = f"https://cloudfront.amazonaws.com/2020-05-31/distribution/{distribution}/invalidation/{name}"
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


_ROUTES = [
    ("POST", "/client/v4/zones/[^/]+/purge_cache", _cloudflare),
    ("POST", "/purge/.+", _fastly_url),
    ("POST", "/service/([^/]+)/purge", _fastly_keys),
    ("POST", "/service/([^/]+)/purge_all", _everything),
    ("POST", "/2020-05-31/distribution/([^/]+)/invalidation", _cloudfront),
    ("GET", "/2020-05-31/distribution/[^/]+/invalidation/([^/]+)", _cloudfront_status),
    ("POST", "/ccu/v3/(delete|invalidate)/(url|tag)/(?:production|staging)", _akamai),
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
