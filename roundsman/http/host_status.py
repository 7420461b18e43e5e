"""Status headers of CDNs, hosts and content systems that say it in one header of their own; each mostly in plain words.

A CDN stands before a host, a host's server before the application's page cache; the tables have the outermost first.
Beside each is where it is documented, or the program whose source or answers show it; all were read on 2026-12-01.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from roundsman.http.cache_states import (
    BYPASS,
    EXPIRED,
    FASTLY_WORDS,
    HIT,
    MISS,
    NOT_CACHEABLE,
    OWN_COPY,
    REVALIDATED,
    STALE_FOR_WANT_OF_BETTER,
    STALE_WHILE_FETCHING,
    UNSAID,
    CacheReport,
    Tier,
    report_of,
    tiers,
)
from roundsman.http.vendor_headers import HeaderValues, Reader, worded

#: The second of the four letters says whether the copy was used.
_IMPERVA = re.compile(r"\s[A-Z\d]([A-Z])[A-Z]{2}(?=\s|$)")
_TENCENT = re.compile(r"cache (?:hit|miss)|hit from (?:memcache|disktank\d*|upstream|inner cluster)", re.IGNORECASE)
#: The words of one request, the main one, without its address: `GET /a: stale, valid, store`, or `stale/valid/store`.
_TRACE = re.compile(r"\s*(?:[A-Z]+\s\S*?:\s+)?([a-z-]+(?:\s*[,/]\s*[a-z-]+)*)")
_TRACED: tuple[tuple[str, Tier], ...] = (
    ("fresh", HIT),
    ("valid", REVALIDATED),
    ("stale-while-revalidate", STALE_WHILE_FETCHING),
    ("stale-if-error", STALE_FOR_WANT_OF_BETTER),
    ("invalid", EXPIRED),
    ("miss", MISS),
    ("pass", BYPASS),
    ("reload", BYPASS),
)
_APACHE = (("conditional cache hit", REVALIDATED), ("cache hit", HIT), ("cache miss", MISS))
#: Names that nobody documents here, as sites give them to what their cache did.
_LIKELY = re.compile(r"cache-status|(?:^|-)cache(?:-(?:state|result|action))?$")
#: Parts of a name that speak of something else than whole answers.
_PARTIAL = frozenset(
    {
        "api",
        "block",
        "config",
        "data",
        "db",
        "dns",
        "fragment",
        "memcache",
        "memcached",
        "object",
        "opcache",
        "prompt",
        "query",
        "redis",
        "semantic",
        "session",
        "template",
        "token",
    }
)


def _litespeed(name: str, node: str = "") -> Reader:
    """LiteSpeed's words: of `hit,private` the copy is the visitor's own; `bkd` is from the backend and not kept."""

    def read(headers: HeaderValues) -> CacheReport | None:
        word, *more = [part.strip().lower() for part in headers.get(name, "").split(",")]
        own = OWN_COPY if "private" in more else HIT
        found = {"hit": own, "miss": MISS, "bkd": NOT_CACHEABLE}.get(word)
        return report_of([found] if found else tiers(word), name, headers.get(node, ""))

    return read


def _traced(name: str) -> Reader:
    """The trace of Rack::Cache, which Symfony's HttpCache took over."""

    def read(headers: HeaderValues) -> CacheReport | None:
        words = re.split(r"[,/]\s*", trace(headers.get(name, "")))
        found = next((tier for word, tier in _TRACED if word in words), None)
        return report_of([found], name) if found else None

    return read


def trace(value: str) -> str:
    """The words of a trace, which are all that is alike from page to page."""
    found = _TRACE.match(value)
    return found[1] if found else ""


def imperva(headers: HeaderValues) -> CacheReport | None:
    """X-Iinfo: C from the store, V confirmed by the origin, any other letter fetched."""
    found = _IMPERVA.search(headers.get("x-iinfo", ""))
    return report_of([{"C": HIT, "V": REVALIDATED}.get(found[1], MISS)], "x-iinfo") if found else None


def tencent(headers: HeaderValues) -> CacheReport | None:
    """X-Cache-Lookup, the origin's side first. Each layer adds a word, and Squid's own is of another shape.

    `Hit From Upstream` is said of what the origin sent. `Hit From Inner Cluster` says whom the edge asked, and is said
    of new pages as well; alone it is all that is known of the layer that answered.
    https://kanchuan.com/blog/186-cdn-x-cache-lookup, and answers of its CDN.
    """
    entries = [entry.strip().lower() for entry in headers.get("x-cache-lookup", "").split(",")]
    if not any(map(_TENCENT.fullmatch, entries)):
        return None
    found = [_tencent(entry, is_first=place == 0) for place, entry in enumerate(entries)]
    return report_of(found, "x-cache-lookup")


def _tencent(entry: str, *, is_first: bool) -> Tier:
    if not _TENCENT.fullmatch(entry):
        return UNSAID
    if entry == "hit from inner cluster":
        return HIT if is_first else MISS
    return MISS if entry in {"cache miss", "hit from upstream"} else HIT


def edgecast(headers: HeaderValues) -> CacheReport | None:
    """X-EC-Cache for the edge and X-EC-Cache-Remote for its parent, both only when asked for."""
    edge = tiers(headers.get("x-ec-cache", ""))
    return report_of(tiers(headers.get("x-ec-cache-remote", "")) + edge if edge else [], "x-ec-cache")


def automattic(headers: HeaderValues) -> CacheReport | None:
    """X-ac: `3.dca_atomic_dca STALE`; a server's name without a word behind it says nothing."""
    words = headers.get("x-ac", "").split()
    return report_of(tiers(words[-1]), "x-ac", words[0]) if len(words) > 1 else None


def apache(headers: HeaderValues) -> CacheReport | None:
    """X-Cache-Detail: `"conditional cache hit: entity refreshed" from host`."""
    value = headers.get("x-cache-detail", "").lower()
    found = [one for phrase, one in _APACHE if phrase in value][:1]
    return report_of(found, "x-cache-detail")


def is_likely(name: str) -> bool:
    """Whether a lower-case name is one that sites give to what their cache did with the whole answer."""
    return bool(_LIKELY.search(name)) and _PARTIAL.isdisjoint(name.split("-"))


def first_words(value: str) -> str:
    """Each entry's first word, without the times and numbers that may stand behind it."""
    return ", ".join(entry.split(None, 1)[0] for entry in value.split(",") if entry.strip())


def counted(headers: HeaderValues) -> CacheReport | None:
    """X-Cache-Hits: how often each cache has used its copy.

    https://www.fastly.com/documentation/reference/http/http-headers/X-Cache-Hits
    """
    counts = [entry.strip() for entry in headers.get("x-cache-hits", "").split(",")]
    found = [HIT if count == "1" else MISS for count in counts] if {*counts} <= {"0", "1"} else []
    return report_of(found, "x-cache-hits")


def _words(*names: str, own: Mapping[str, Tier] = MappingProxyType({}), node: str = "") -> dict[str, Reader]:
    return {name: worded(name, own, node=node) for name in names}


CDNS: Mapping[str, Reader] = MappingProxyType(
    {
        # Tencent EdgeOne; `Cache Hit` as well, by its answers. https://edgeone.ai/document/54212
        **_words("eo-cache-status"),
        # Sucuri, by its answers: HIT, MISS, EXPIRED, BYPASS.
        **_words("x-sucuri-cache", node="x-sucuri-id"),
        # Imperva's support, in https://stackoverflow.com/questions/20809993
        "x-iinfo": imperva,
        # https://client.cdn77.com/support/knowledgebase/caching-and-http-headers/understanding-http-headers
        **_words("x-77-cache", node="x-77-pop"),
        # Gcore. https://support.gcorelabs.com/hc/en-us/articles/213983169-Check-Cache-Settings
        **_words("cache"),
        # QUIC.cloud, by its answers, in LiteSpeed's words.
        "x-qc-cache": _litespeed("x-qc-cache", "x-qc-pop"),
        # Hostinger's CDN, by its answers: HIT, MISS, DYNAMIC.
        **_words("x-hcdn-cache-status"),
        # DDoS-Guard, by its answers.
        **_words("ddg-cache-status"),
        # GoCache, by its answers.
        **_words("x-gocache-cachestatus"),
        # https://www.20i.com/support/cdn/cache-miss
        **_words("x-cdn-cache-status"),
        # smoxy. https://docs.smoxy.eu/en/cdn/s-cache-header-explained
        **_words("s-cache"),
        # https://arvancloud.ir/help/en/what-do-ar-cache-and-ar-atime-headers-mean
        **_words("ar-cache"),
        # Huawei Cloud. https://support.huaweicloud.com/intl/en-us/cdn_faq/cdn_faq_0245.html
        **_words("x-hcs-proxy-type", own={"1": HIT, "0": MISS}),
        # Volcengine, by its answers: TCP_HIT, TCP_MISS of each layer.
        **_words("x-bdcdn-cache-status"),
        # Edgecast, Verizon, Edgio. https://docs.edg.io/guides/v7/performance/caching/cache_status_codes
        "x-ec-cache": edgecast,
    }
)
HOSTS: Mapping[str, Reader] = MappingProxyType(
    {
        # Kinsta's Cloudflare, by its answers; SAVING is a miss that is kept. https://kinsta.com/docs/edge-caching/
        **_words("ki-cf-cache-status", own={"SAVING": MISS}),
        # Fastly's fastly_info.state, where a site's VCL often writes it.
        **_words("x-fastly-cache-status", own=FASTLY_WORDS),
        # HubSpot hands on what its Cloudflare said, by its answers.
        **_words("x-hs-cf-cache-status"),
        # WordPress.com and Pressable, by their answers. https://pressable.com/knowledgebase/edge-cache/
        "x-ac": automattic,
        # WordPress.org and wp.com's pictures, by their answers: `HIT ord 2`.
        **_words("x-nc"),
        # Pagely and GoDaddy, by their answers.
        **_words("x-gateway-cache-status"),
        # Varnish at Section, by its VCL: `Hit`, `Miss`.
        **_words("section-io-cache"),
        # Fly.io's docs on caches of static files.
        **_words("fly-cache-status"),
        # Platform.sh's docs on its HTTP cache.
        **_words("x-platform-cache"),
        # Kinsta's servers, by their answers: HIT, MISS, BYPASS.
        **_words("x-kinsta-cache"),
        # RunCloud, by its answers: HIT, MISS, BYPASS.
        **_words("x-runcloud-cache"),
        # OpenResty's srcache, by its module's tests: HIT, MISS, BYPASS.
        **_words("x-srcache-fetch-status"),
        # LiteSpeed's load balancer and its servers. https://http.dev/x-litespeed-cache; OpenLiteSpeed's cache module
        "x-lsadc-cache": _litespeed("x-lsadc-cache"),
        "x-litespeed-cache": _litespeed("x-litespeed-cache"),
        # What a site's own VCL often writes it into.
        **_words("x-varnish-cache"),
        # Magento's VCL. https://github.com/magento/magento2/blob/2.4-develop/dev/tests/varnish/debug.vtc
        **_words("x-magento-cache-debug"),
        # Qiniu, by its answers: RawProxy is not kept. Often another CDN stands before it.
        **_words("x-qnm-cache", own={"RAWPROXY": BYPASS}),
        # OpenNext, by its answers, and Next.js, in its source: REVALIDATED was made anew on demand.
        **_words("x-opennext-cache", "x-nextjs-cache", own={"REVALIDATED": EXPIRED}),
        # NitroPack's plugin, in its source.
        **_words("x-nitro-cache"),
        # Rocket-Nginx, by its answers; Yes and No in old versions.
        **_words("x-rocket-nginx-serving-static", own={"YES": HIT, "NO": MISS}),
        # `Served supercache file from PHP`, in the plugin's readme.
        **_words("wp-super-cache", own={"SERVED": HIT, "WP-CACHE": HIT}),
        # `cached`, `saving to cache`, `not cached`: WP-Optimize's source.
        **_words("wpo-cache-status", own={"CACHED": HIT, "SAVING": MISS, "NOT": NOT_CACHEABLE}),
        # Batcache. https://pressable.com/knowledgebase/how-does-batcache-page-caching-work
        **_words("x-nananana", own={"BATCACHE-HIT": HIT, "BATCACHE": HIT, "BATCACHE-SET": MISS}),
        # https://www.drupal.org/node/2958442
        **_words("x-drupal-cache"),
        # Drupal's dynamic page cache keeps what is everybody's and fills in what is the visitor's.
        **_words("x-drupal-dynamic-cache", own={"HIT": NOT_CACHEABLE, "MISS": NOT_CACHEABLE}),
        # https://symfony.com/blog/new-in-symfony-4-3-improved-httpcache-logging
        "x-symfony-cache": _traced("x-symfony-cache"),
        # Rack::Cache, by its answers.
        "x-rack-cache": _traced("x-rack-cache"),
        # Discourse's lib/middleware/anonymous_cache.rb
        **_words("x-discourse-cached", own={"TRUE": HIT, "STORE": MISS, "SKIP": BYPASS}),
        # Apache's CacheDetailHeader, in modules/cache/mod_cache.c.
        "x-cache-detail": apache,
    }
)


def _letters(value: str) -> str:
    found = _IMPERVA.search(value)
    return found[0] if found else ""


def _used(value: str) -> str:
    """Each count as 1 when it is above zero, else 0; empty when one is no count."""
    counts = [count.strip() for count in value.split(",")]
    return ", ".join("1" if count.strip("0") else "0" for count in counts) if all(map(_is_count, counts)) else ""


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdigit()


#: Every header that these readers look at, with what takes out of it that which differs from answer to answer.
STATUS_HEADERS: Mapping[str, Callable[[str], str] | None] = MappingProxyType(
    {
        **dict.fromkeys([*CDNS, *HOSTS]),
        **dict.fromkeys(["x-77-pop", "x-ec-cache-remote", "x-qc-pop", "x-sucuri-id"]),
        "x-cache-hits": _used,
        "x-iinfo": _letters,
        "x-rack-cache": trace,
        "x-symfony-cache": trace,
    }
)
