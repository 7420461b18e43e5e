"""What the outside looked like: a probe asks once, an exchange is what came back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

#: Headers that explain a cache's decision and carry nothing about a person. Not among them: cache keys (X-Cache-Key,
#: X-True-Cache-Key) and X-Symfony-Cache, which carry queries and cookies; tags (Cache-Tag, Surrogate-Key), which name
#: users; Server-Timing, where an application writes what it likes; CDN-RequestCountryCode, which says where the visitor
#: is.
TELLING = frozenset(
    [
        "age",
        "akamai-cache-status",
        "alt-svc",
        "ar-cache",
        "cache",
        "cache-control",
        "cache-status",
        "cdn-cache",
        "cdn-cache-control",
        "cdn-cache-status",
        "cf-cache-status",
        "cf-ray",
        "cloudflare-cdn-cache-control",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "ddg-cache-status",
        "edge-control",
        "eo-cache-status",
        "etag",
        "expires",
        "fastly-debug-digest",
        "fastly-debug-path",
        "fastly-debug-ttl",
        "fly-cache-status",
        "ki-cf-cache-status",
        "last-modified",
        "netlify-cdn-cache-control",
        "perma-cache",
        "pragma",
        "s-cache",
        "section-io-cache",
        "server",
        "surrogate-control",
        "vary",
        "vercel-cdn-cache-control",
        "via",
        "wp-super-cache",
        "wpo-cache-status",
        "x-77-age",
        "x-77-cache",
        "x-77-pop",
        "x-ac",
        "x-accel-expires",
        "x-amz-cf-pop",
        "x-azure-ref",
        "x-bdcdn-cache-status",
        "x-cache",
        "x-cache-detail",
        "x-cache-hits",
        "x-cache-lookup",
        "x-cache-remote",
        "x-cache-status",
        "x-cacheable",
        "x-cached",
        "x-ccdn-cachettl",
        "x-cdn-cache-status",
        "x-check-cacheable",
        "x-discourse-cached",
        "x-drupal-cache",
        "x-drupal-dynamic-cache",
        "x-ec-cache",
        "x-ec-cache-remote",
        "x-edge-location",
        "x-fastcgi-cache",
        "x-fastly-cache-status",
        "x-gateway-cache-status",
        "x-gocache-cachestatus",
        "x-hcdn-cache-status",
        "x-hcs-proxy-type",
        "x-hs-cf-cache-status",
        "x-iinfo",
        "x-kinsta-cache",
        "x-litespeed-cache",
        "x-lsadc-cache",
        "x-magento-cache-debug",
        "x-nananana",
        "x-nc",
        "x-nextjs-cache",
        "x-nginx-cache",
        "x-nginx-cache-status",
        "x-nitro-cache",
        "x-opennext-cache",
        "x-platform-cache",
        "x-proxy-cache",
        "x-proxy-cache-status",
        "x-qc-cache",
        "x-qc-pop",
        "x-qnm-cache",
        "x-rack-cache",
        "x-rocket-nginx-serving-static",
        "x-runcloud-cache",
        "x-served-by",
        "x-squid-error",
        "x-srcache-fetch-status",
        "x-sucuri-cache",
        "x-sucuri-id",
        "x-swift-cachetime",
        "x-upstream-cache-status",
        "x-varnish",
        "x-varnish-cache",
        "x-vercel-cache",
        "x-vercel-id",
    ]
)


#: How the detail of an exchange begins whose body is not in the coding that its header names.
UNPACKED = "the body cannot be decompressed"


@dataclass(frozen=True, slots=True)
class Probe:
    """What to ask, once.

    `headers` are sent as they stand; a probe never sends a request Cache-Control. `node` ("host:port") pins the
    connection to one address while Host and SNI stay those of the URL. `at` is the due time in seconds from the start
    of its batch. `keep_body` keeps the decoded body in the exchange. `edge` and `status_header` say whose word to take
    for what the cache did: the kind of the site's edge, such as varnish, and the header of its own that it says it in.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    method: str = "GET"
    accept_encoding: str = "gzip"
    node: str = ""
    at: float = 0.0
    new_connection: bool = False
    keep_body: bool = False
    edge: str = ""
    status_header: str = ""

    def __repr__(self) -> str:
        # Request headers can hold a member's cookie.
        return f"Probe({self.method} {self.url})"


class Phases(NamedTuple):
    """Where the time of one exchange went, in seconds.

    `first_byte` counts from the start of the request, connecting included; `waiting` only from the moment the request
    could be sent, so it is the server's share. `late` is how long after its due time the probe was started.
    """

    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    waiting: float = 0.0
    body: float = 0.0
    first_byte: float = 0.0
    total: float = 0.0
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response, as seen. Times are Unix seconds on one clock that never steps back.

    `error` is empty, or the class of what went wrong: refused, dns, tls, timeout, too-large, protocol, reset, other, or
    dropped, when it was too late to be sent at all; `detail` then says it in words. An exchange with an error has no
    verdict in it, whatever arrived before.
    `size` is the decoded body's, `wire_size` what came over the network, both in bytes.
    """

    probe: Probe
    due: float
    started: float
    phases: Phases = field(default_factory=Phases)
    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    size: int = 0
    wire_size: int = 0
    body_hash: str = ""
    body: bytes | None = None
    reused: bool = False
    node: str = ""
    error: str = ""
    detail: str = ""
    read: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What rules have read out of it, by whatever they know it by: a judge asks for the same thing again and again."""

    @property
    def url(self) -> str:
        """The URL that was asked."""
        return self.probe.url

    @property
    def ended(self) -> float:
        """When the last byte was in."""
        return self.started + self.phases.total

    @property
    def answered(self) -> bool:
        """Whether a whole response came back."""
        return not self.error

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the headers, as they came."""
        found = self.read.get("names")
        if found is None:
            found = self.read["names"] = names_of(self.headers)
        return found

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a header, in the order of arrival."""
        places = self.read.get("places")
        if places is None:
            places = self.read["places"] = _places(self.names)
        return tuple([self.headers[place][1] for place in places.get(name.lower(), ())])

    def header(self, name: str) -> str:
        """A header's values as one list (RFC 9110 section 5.3); empty when it is absent."""
        return ", ".join(self.all(name))

    def __repr__(self) -> str:
        # Neither bodies nor headers: those of a member's page belong to the member.
        return f"Exchange({self.probe.method} {self.url} -> {self.error or self.status})"


_first = itemgetter(0)


def names_of(headers: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The names of some headers, as they stand."""
    # A value that is not looked at stays where it is in memory, which is most of what this costs for many exchanges.
    return tuple(map(_first, headers))


@lru_cache(maxsize=1024)
def _places(names: tuple[str, ...]) -> Mapping[str, tuple[int, ...]]:
    """Where each header stands among all; many answers have the same ones."""
    found: dict[str, tuple[int, ...]] = {}
    for place, name in enumerate(map(str.lower, names)):
        found[name] = (*found.get(name, ()), place)
    return found


def cookie_of(field: str) -> tuple[str, str]:
    """Name and value of a Set-Cookie field. Without `=` all of it is a value (RFC 6265bis section 5.7)."""
    name, is_named, value = field.partition(";")[0].partition("=")
    return (name.strip(), value.strip()) if is_named else ("", name.strip())
