"""Each vendor's own status headers. The only room that knows them.

A reader takes the headers of a response by lower-case name, several values joined to one list, and answers None when
its vendor says nothing there. Which reader is asked first is decided in `cache_status`.

Cookies of vendors that are nobody's session at a site: those of load balancers, and of an edge's bot protection.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from roundsman.http.cache_states import (
    BYPASS,
    EXPIRED,
    FASTLY_WORDS,
    HIT,
    HIT_PERHAPS_CONFIRMED,
    MISS,
    NO_WORDS,
    NOT_CACHEABLE,
    REFUSED,
    REVALIDATED,
    STALE_FOR_WANT_OF_BETTER,
    UNSAID,
    CacheReport,
    CacheState,
    Tier,
    report_of,
    tier,
    tiers,
)

HeaderValues = Mapping[str, str]
Reader = Callable[[HeaderValues], CacheReport | None]

#: Where $upstream_cache_status is put by habit; a site can name another place in its file.
NGINX_NAMES = (
    "x-cache-status",
    "x-proxy-cache",
    "x-proxy-cache-status",
    "x-nginx-cache",
    "x-nginx-cache-status",
    "x-upstream-cache-status",
    "x-fastcgi-cache",
    "x-cached",
)
#: The first letters of a Via by Traffic Server: lookup, answer of the server, what was written. A blank is a letter.
_VIA_CODES = re.compile(r"\[(?:u.)?c([ A-Z])s([ A-Z])(?:f[ A-Z])?")
_FASTLY_DEBUG = re.compile(r"(?:^|[(,])\s*([HM])\s+([^\s()]+)", re.IGNORECASE)
_TIMING = re.compile(
    r'(?:^|,)\s*(?:cdn-cache|cache|cfcachestatus)\s*;(?:[^,]*;)?\s*desc\s*=\s*"?([\w-]+)', re.IGNORECASE
)
_CLOUDFRONT_TIMING = re.compile(r"(?:^|,)\s*cdn-cache-(hit|miss|refresh)\s*(?=[,;]|$)", re.IGNORECASE)
_FROM = re.compile(r"\sfrom\s+([^\s,]+)", re.IGNORECASE)
#: What follows `from` where it is no server's name.
_ROLES = frozenset({"cloudfront", "child", "parent"})


def worded(name: str, own: Mapping[str, Tier] = NO_WORDS, *, node: str = "") -> Reader:
    """A reader of a header that holds vendors' words; `node` is the header that names the server."""

    def read(headers: HeaderValues) -> CacheReport | None:
        return report_of(tiers(headers.get(name, ""), own), name, headers.get(node, ""))

    return read


# Cloudflare serves a stale copy by this name when the origin can't be reached, and says UPDATING otherwise.
# https://developers.cloudflare.com/cache/concepts/cache-responses/
cloudflare = worded("cf-cache-status", {"STALE": STALE_FOR_WANT_OF_BETTER}, node="cf-ray")
# At Vercel this word means that the page was made anew. https://vercel.com/docs/caching/cache-status
vercel = worded("x-vercel-cache", {"REVALIDATED": EXPIRED}, node="x-vercel-id")
# Its header has no name of its own, only a custom one with {cdn_cache_status}. https://cloud.google.com/cdn/docs
google = worded("cdn-cache-status")
azure = worded("x-cache")
keycdn = worded("x-cache", node="x-edge-location")


def bunny(headers: HeaderValues) -> CacheReport | None:
    """CDN-Cache, and Perma-Cache for the store behind it.

    That is kept with a copy, so of an answer from the edge it is history. https://docs.bunny.net/cdn/perma-cache
    """
    server = headers.get("server", "")
    node = server[len("bunnycdn-") :] if server.lower().startswith("bunnycdn-") else ""
    edge = tiers(headers.get("cdn-cache", ""))
    behind = tiers(headers.get("perma-cache", "")) if edge and not edge[-1].state.from_store else []
    return report_of(behind + edge, "cdn-cache", node)


def nginx(headers: HeaderValues) -> CacheReport | None:
    """The variable $upstream_cache_status under any of its usual names.

    https://nginx.org/en/docs/http/ngx_http_upstream_module.html
    """
    return next((found for name in NGINX_NAMES if (found := worded(name)(headers))), None)


def cloudfront(headers: HeaderValues) -> CacheReport | None:
    """X-Cache in the words of x-edge-result-type, or Server-Timing. Uncacheable things are `Miss` too.

    https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logs-reference.html
    """
    report = report_of(tiers(headers.get("x-cache", "")), "x-cache", headers.get("x-amz-cf-pop", ""))
    return report or server_timing(headers)


def fastly(headers: HeaderValues) -> CacheReport | None:
    """X-Cache, the shield first; without it Fastly-Debug-TTL, where the edge comes first.

    A pass is a MISS there, a stale or made-up answer a HIT.
    https://www.fastly.com/documentation/reference/http/http-headers/
    """
    servers = _last(headers.get("x-served-by", ""))
    # The words of fastly_info.state, which some write into X-Cache.
    if found := tiers(headers.get("x-cache", ""), FASTLY_WORDS):
        return report_of(found, "x-cache", servers)
    seen = _FASTLY_DEBUG.findall(headers.get("fastly-debug-ttl", ""))
    states = [HIT if letter in "Hh" else MISS for letter, _ in reversed(seen)]
    return report_of(states, "fastly-debug-ttl", servers or (seen[0][1] if seen else ""))


def akamai(headers: HeaderValues) -> CacheReport | None:
    """X-Cache for the edge and X-Cache-Remote for its parent, asked for with Pragma: akamai-x-cache-on.

    The behaviour "return cache status" writes another header. X-Check-Cacheable: NO explains a miss.
    https://techdocs.akamai.com/edge-diagnostics/docs/pragma-headers
    """
    not_cacheable = headers.get("x-check-cacheable", "").strip().upper() == "NO"
    if found := report_of(tiers(headers.get("akamai-cache-status", "")), "akamai-cache-status"):
        return found
    if edge := tiers(headers.get("x-cache", "")):
        if not_cacheable and edge[-1] is MISS:
            edge[-1] = NOT_CACHEABLE
        return report_of(tiers(headers.get("x-cache-remote", "")) + edge, "x-cache", _from(headers["x-cache"]))
    return report_of([Tier(CacheState.DYNAMIC, UNSAID.contacted)], "x-check-cacheable") if not_cacheable else None


def varnish(headers: HeaderValues) -> CacheReport | None:
    """X-Varnish: two numbers when a stored object answered, one when none did, the origin's side first.

    What VCL writes into X-Cache is believed where it agrees, since it knows a pass from a miss.
    """
    words = report_of(tiers(headers.get("x-cache", "")), "x-cache", _from(headers.get("x-cache", "")))
    counts = [len(entry.split()) for entry in headers.get("x-varnish", "").split(",")]
    numbers = [HIT if count == 2 else MISS if count == 1 else UNSAID for count in counts]
    seen = report_of(numbers, "x-varnish") if set(counts) & {1, 2} else None
    if words and seen and (len(words.layers) > 1 or words.state.from_store != seen.state.from_store):
        return seen
    return words or seen


def traffic_server(headers: HeaderValues) -> CacheReport | None:
    """The letters in Via (insert_response_via_str 2 or 3), else the X-Cache of the xdebug plugin.

    https://docs.trafficserver.apache.org/appendices/faq.en.html
    """
    via = headers.get("via", "")
    found = [_by_letters(*match) for match in _VIA_CODES.findall(via)]
    hosts = [entry.split() for entry in via.split(",") if "[" in entry]
    node = hosts[-1][1] if hosts and len(hosts[-1]) > 1 else ""
    return report_of(found, "via", node) or report_of(tiers(headers.get("x-cache", "")), "x-cache")


def has_letters(via: str) -> bool:
    """Whether Traffic Server's letters stand in a Via."""
    return bool(_VIA_CODES.search(via))


def _by_letters(lookup: str, server: str) -> Tier:
    """`lookup` of the copy and the answer of the `server`: S(erved), N(ot modified), E(rror), blank when not asked.

    https://docs.trafficserver.apache.org/en/latest/appendices/faq.en.html, "How do I interpret the Via: header code?"
    """
    if lookup in "HR":
        return HIT if server == " " else Tier(CacheState.HIT, MISS.contacted)
    if lookup == "S":
        return {"S": EXPIRED, "N": REVALIDATED}.get(server, STALE_FOR_WANT_OF_BETTER)
    if lookup == " ":
        return REFUSED if server == " " else BYPASS
    return MISS


def squid(headers: HeaderValues) -> CacheReport | None:
    """X-Cache with X-Cache-Lookup, which tells what was found before the origin was asked.

    A MISS of something found is a stale copy that was replaced. No look-up at all is an error page or a refusal as
    often as a request that isn't cached. HIT is also said when the origin confirmed the copy, and its Age is then 0.
    """
    found = tiers(headers.get("x-cache", ""))
    looked_up = [entry.split(None, 1)[:1] for entry in headers.get("x-cache-lookup", "").upper().split(",")]
    for place in range(-1, -min(len(found), len(looked_up)) - 1, -1):
        if found[place] is MISS:
            found[place] = {"HIT": EXPIRED, "NONE": UNSAID}.get("".join(looked_up[place]), MISS)
    if found and found[-1] is HIT and headers.get("age", "").startswith("0"):
        found[-1] = HIT_PERHAPS_CONFIRMED
    return report_of(found, "x-cache", _from(headers.get("x-cache", "")))


def x_cache(headers: HeaderValues) -> CacheReport | None:
    """X-Cache of nobody in particular, by what else is there."""
    value = headers.get("x-cache", "").lower()
    if "x-cache-lookup" in headers:
        return squid(headers)
    if "hit-" in value and _VIA_CODES.search(headers.get("via", "")):
        return traffic_server(headers)
    if value and "x-edge-location" in headers:
        return keycdn(headers)
    return varnish(headers)


def known_cdn(headers: HeaderValues) -> CacheReport | None:
    """X-Cache of a CDN that can't be mistaken: whatever a cache behind it wrote elsewhere is older."""
    value = headers.get("x-cache", "").lower()
    if "from cloudfront" in value:
        return cloudfront(headers)
    if value.startswith("tcp_") or "x-cache-remote" in headers or "akamai-cache-status" in headers:
        return akamai(headers)
    if _is_fastly(headers.get("x-served-by", "")) or (not value and "fastly-debug-ttl" in headers):
        return fastly(headers)
    return azure(headers) if value and "x-azure-ref" in headers else None


def server_timing(headers: HeaderValues) -> CacheReport | None:
    """Server-Timing with a metric for the cache. Weak: an application can write it as well."""
    value = headers.get("server-timing", "")
    if plain := _CLOUDFRONT_TIMING.search(value):
        words = {"hit": HIT, "miss": MISS, "refresh": REVALIDATED}
        return report_of([words[plain[1].lower()]], "server-timing", headers.get("x-amz-cf-pop", ""))
    named = _TIMING.search(value)
    # Such as hit-front: which of its caches it was comes after the word.
    one = (tier(named[1]) or tier(named[1].partition("-")[0])) if named else None
    return report_of([one], "server-timing") if one else None


def age(headers: HeaderValues) -> CacheReport | None:
    """Age above 0: some shared cache answered, nobody says which."""
    return report_of([HIT], "age") if headers.get("age", "").startswith("1") else None


@dataclass(frozen=True, slots=True)
class EdgeHeaders:
    """What a kind of edge says and obeys in headers. One more edge is one more entry of `EDGES`."""

    signs: tuple[str, ...] = ()
    """Headers that it alone sends, in lower case."""
    server: str = ""
    """What `server` begins with, in lower case."""
    reader: Reader | None = None
    """Of its own status header; None when it writes Cache-Status (RFC 9211), or a header of `host_status`."""
    targeted: tuple[str, ...] = ()
    """The fields that it obeys instead of Cache-Control, the first one first, as its maker documents."""
    keeps_until_deploy: bool = False
    """Whether it keeps a copy until the next deploy and asks nobody meanwhile. To browsers such an edge sends
    `public, max-age=0, must-revalidate`."""


#: By the slug of an edge's block, or a name of ours; the outermost first. Targeted fields and deploys by
#: developers.cloudflare.com/cache/concepts/cdn-cache-control, www.fastly.com/documentation/guides (cache freshness),
#: docs.netlify.com/build/caching, vercel.com/docs/caching/cache-control-headers and cdn-cache, techdocs.akamai.com
#: (Edge-Control). Every other kind obeys no field in full as shipped; Varnish and Squid heed parts of
#: Surrogate-Control, and what they keep by it shows as observed.
EDGES: Mapping[str, EdgeHeaders] = MappingProxyType(
    {
        "cloudflare": EdgeHeaders(
            signs=("cf-ray", "cf-cache-status"),
            server="cloudflare",
            reader=cloudflare,
            targeted=("cloudflare-cdn-cache-control", "cdn-cache-control"),
        ),
        "edgeone": EdgeHeaders(signs=("eo-cache-status", "eo-log-uuid"), server="tencentedgeone"),
        "sucuri": EdgeHeaders(signs=("x-sucuri-cache", "x-sucuri-id"), server="sucuri"),
        "imperva": EdgeHeaders(signs=("x-iinfo",)),
        "cdn77": EdgeHeaders(signs=("x-77-cache", "x-77-pop"), server="cdn77"),
        "quic-cloud": EdgeHeaders(signs=("x-qc-cache", "x-qc-pop")),
        "hostinger": EdgeHeaders(signs=("x-hcdn-cache-status", "x-hcdn-request-id"), server="hcdn"),
        "ddos-guard": EdgeHeaders(signs=("ddg-cache-status",), server="ddos-guard"),
        "gocache": EdgeHeaders(signs=("x-gocache-cachestatus",), server="gocache"),
        "stackcache": EdgeHeaders(signs=("x-cdn-cache-status",)),
        "smoxy": EdgeHeaders(signs=("s-cache",)),
        "arvancloud": EdgeHeaders(signs=("ar-cache",), server="arvancloud"),
        "tencent": EdgeHeaders(signs=("x-nws-log-uuid",), server="nws_"),
        "alibaba": EdgeHeaders(signs=("eagleid", "x-swift-cachetime")),
        "huawei": EdgeHeaders(signs=("x-hcs-proxy-type", "x-ccdn-cachettl")),
        "baidu": EdgeHeaders(signs=("ohc-cache-hit",)),
        "volcengine": EdgeHeaders(signs=("x-bdcdn-cache-status",)),
        "stackpath": EdgeHeaders(signs=("x-hw",)),
        "edgecast": EdgeHeaders(signs=("x-ec-cache",), server="ecacc"),
        "cloudfront": EdgeHeaders(signs=("x-amz-cf-id", "x-amz-cf-pop"), server="cloudfront", reader=cloudfront),
        "fastly": EdgeHeaders(
            signs=("fastly-debug-ttl", "x-fastly-request-id"), reader=fastly, targeted=("surrogate-control",)
        ),
        "akamai": EdgeHeaders(
            signs=("akamai-cache-status", "x-akamai-transformed", "akamai-grn"),
            server="akamai",
            reader=akamai,
            targeted=("edge-control",),
        ),
        "azure-front-door": EdgeHeaders(signs=("x-azure-ref",), reader=azure),
        "bunny": EdgeHeaders(signs=("cdn-pullzone", "cdn-cache"), server="bunnycdn", reader=bunny),
        "keycdn": EdgeHeaders(signs=("x-edge-location",), server="keycdn", reader=keycdn),
        "vercel": EdgeHeaders(
            signs=("x-vercel-id", "x-vercel-cache"),
            server="vercel",
            reader=vercel,
            targeted=("vercel-cdn-cache-control", "cdn-cache-control"),
            keeps_until_deploy=True,
        ),
        "netlify": EdgeHeaders(
            signs=("x-nf-request-id",),
            server="netlify",
            targeted=("netlify-cdn-cache-control", "cdn-cache-control"),
            keeps_until_deploy=True,
        ),
        "wordpress-com": EdgeHeaders(signs=("x-ac",)),
        "fly": EdgeHeaders(signs=("fly-request-id",), server="fly/"),
        "kinsta": EdgeHeaders(signs=("x-kinsta-cache",)),
        "pagely": EdgeHeaders(signs=("x-gateway-cache-status",), server="pagely"),
        "platform-sh": EdgeHeaders(signs=("x-platform-cache", "x-platform-cluster")),
        "litespeed": EdgeHeaders(signs=("x-litespeed-cache",), server="litespeed"),
        # What shows no sign of itself: a site has to name it.
        "demo-edge": EdgeHeaders(),
        "google-cdn": EdgeHeaders(reader=google),
        "nginx": EdgeHeaders(reader=nginx),
        "nginx-refresh": EdgeHeaders(reader=nginx),
        "squid": EdgeHeaders(reader=squid),
        "traffic-server": EdgeHeaders(reader=traffic_server),
        "varnish": EdgeHeaders(reader=varnish),
    }
)


def kinds(headers: HeaderValues) -> tuple[str, ...]:
    """The kinds of edge that some headers, by lower-case name, give away; the outermost first, as far as is known."""
    server, served_by = headers.get("server", "").lower(), headers.get("x-served-by", "")
    found = [
        kind
        for kind, edge in EDGES.items()
        if any(name in headers for name in edge.signs) or (edge.server and server.startswith(edge.server))
    ]
    return tuple(dict.fromkeys([*found, *(["fastly"] if _is_fastly(served_by) else [])]))


def _is_fastly(served_by: str) -> bool:
    """Servers are called `cache-ams21050-AMS`, by the airport."""
    server = _last(served_by).lower()
    return server.startswith("cache-") and len(server.rpartition("-")[2]) == 3


def _last(value: str) -> str:
    return value.rpartition(",")[2].strip()


def _from(value: str) -> str:
    """The server's name in `HIT from cache-7`, of the last entry that has one."""
    names = [name for name in _FROM.findall(value) if name.lower() not in _ROLES]
    return names[-1] if names else ""


#: By these a load balancer finds a backend again, and all whom it sends there are given the same. A name that an
#: application could take as well counts only with a value as the vendor makes it.
STICKY = re.compile(
    r"""
    # https://my.f5.com/manage/s/article/K6917; the second is that with a name of somebody's own
    BIGipServer[^=]*=.*
    |[^=]+=[0-9]{1,10}\.[0-9]{1,5}\.0000
    # https://nginx-extras.getpagespeed.com/modules/sticky/
    # https://kubernetes.github.io/ingress-nginx/examples/affinity/cookie/
    |(?:route|INGRESSCOOKIE)=(?:[0-9.]+\|)?(?:[0-9a-f]{32}|[0-9a-f]{40})
    # https://docs.haproxy.org/3.0/configuration.html#4-cookie; behind a `~` stands an application's own
    |SERVERID=[^~]*
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/classic/elb-sticky-sessions.html
    |AWSALB(?:(?:TG)?(?:CORS)?|APP(?:-[0-9])?)=.*
    |AWSELB(?:CORS)?=.*
    # https://azure.github.io/AppService/2016/05/16/Disable-Session-affinity-cookie-(ARR-cookie)-for-Azure-web-apps.html
    # https://learn.microsoft.com/azure/application-gateway/configuration-http-settings
    |ARRAffinity(?:SameSite)?=.*
    |ApplicationGatewayAffinity(?:CORS)?=.*
    # https://cloud.google.com/load-balancing/docs/backend-service#session_affinity
    |GCLB=.*
    """,
    re.VERBOSE,
)

#: What an edge marks a visitor's browser with, to tell robots from people. Read on 2026-12-01.
OF_EDGE = re.compile(
    r"""
    # https://developers.cloudflare.com/fundamentals/reference/policies-compliances/cloudflare-cookies/
    __cf(?:_bm|duid|lb|ruid|seq|waitingroom)|_cfuvid|cf_(?:clearance|ob_info|use_ob)
    # https://www.flowconsent.com/en/services/security/akamai-bot-manager
    |_abck|bm_(?:sz|sv|mi|so|lso)|ak_bmsc
    # https://blog.crawlex.net/blog/imperva-incapsula-bot-detection
    |(?:visid_incap|incap_ses|nlbi)_[0-9_]+|___utmv[a-zA-Z]+|reese84
    # https://docs.humansecurity.com/applications-and-accounts/docs/cookies
    |_px(?:vid|hd|mvid|de|[0-9]?)|pxcts
    """,
    re.VERBOSE,
)
