"""Whether a stored response may answer the next request: RFC 9111 section 4, in one decision with its reasons."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from roundsman.http.fields import Directives, delta_seconds, directives
from roundsman.http.rfc9111_store import CachePolicy, Reading, StoreContext
from roundsman.http.rfc9111_store import read as read_headers
from roundsman.http.target import Headers, differing, sent, target


class Reuse(StrEnum):
    """What a cache may do with its copy."""

    HIT = "hit"
    """Answer from it."""
    VALIDATE = "validate"
    """Answer from it once the origin has confirmed it."""
    MISS = "miss"
    """There is no copy that could answer."""
    MAY = "may"
    """The standard leaves it open."""
    WHILE_REVALIDATE = "stale-while-revalidate"
    """Answer from it although it is stale, while a new one is fetched."""
    IF_ERROR = "stale-if-error"
    """Answer from it although it is stale, if the origin fails; else as `validate`."""
    GATEWAY_TIMEOUT = "gateway-timeout"
    """Answer 504: the client wants nothing but a copy, and there is none to use."""


class HttpRequest(NamedTuple):
    """A request."""

    url: str
    method: str = "GET"
    headers: Headers = ()


class HttpResponse(NamedTuple):
    """A response; `received` is when it came in Unix seconds, `delay` how many seconds after its request."""

    status: int
    headers: Headers
    received: float
    delay: float = 0.0


class Decision(NamedTuple):
    """What the standards say of a response and of the next request. Times are seconds."""

    policy: CachePolicy
    explicit_lifetime: int | None
    """The lifetime that the response names; None when it names none."""
    age: float
    """At the time of the next request, by whichever of Date and Age makes it older."""
    reuse: Reuse
    # A hit has its words when they are asked for: of many exchanges, most are hits.
    because: str

    @property
    def storable(self) -> bool:
        """Whether a cache may keep the response."""
        return self.policy.storable.yes

    @property
    def why_storable(self) -> str:
        """The sentence about it, with its section."""
        storable = self.policy.storable
        return f"{'storable' if storable.yes else 'not storable'}: {storable.why}"

    @property
    def heuristic_allowed(self) -> bool:
        """Whether a cache may make up a lifetime."""
        return self.policy.heuristic

    @property
    def fresh(self) -> bool | None:
        """Whether it is at the time of the next request; None when the response names no lifetime."""
        return None if self.explicit_lifetime is None else self.explicit_lifetime > self.age

    @property
    def why_reuse(self) -> str:
        """The sentence about the next request, with its section."""
        return self.because or f"fresh: {self.age:.0f} s old of {self.explicit_lifetime} s, RFC 9111 4.2"


# Equal only to itself: a key of a memo that is hashed in no time.
@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _CacheRequest:
    """What of a request bears on caching, whatever its target. Not to be shown: its headers can be a member's."""

    method: str
    headers: Headers
    said: Directives
    authorized: bool
    unwanted: bool
    pragma: bool
    """Whether it says no-cache in the old way alone."""


def judge(  # noqa: PLR0913 - two requests, a response and a cache, by name
    asked: HttpRequest,
    answered: HttpResponse,
    following: HttpRequest,
    *,
    after: float = 0.0,
    targeted: tuple[str, ...] = (),
    shared: bool = True,
) -> Decision:
    """Judge a response, and whether a copy of it may answer a request that comes `after` seconds later.

    `targeted` names the fields that the cache obeys instead of Cache-Control, in lower case, the first one first.
    """
    url, method, fields = asked
    first, second = _request(method, fields), _request(following.method, following.headers)
    status, fields, received, delay = answered
    terms = _terms(first, status, url if method == "POST" else "", targeted, shared)
    read = read_headers(fields, received, terms)
    policy, lifetime, _, said_age, made = read
    by_age = (said_age or 0) + delay + after
    age = by_age if made is None else max(by_age, int(received) - made + after)
    same = url == following.url or target(url) == target(following.url)
    reuse, why = _settled(policy, status, same, first, second) or _timely(read, second, age, by_age)
    if "only-if-cached" in second.said and reuse in {Reuse.MISS, Reuse.VALIDATE, Reuse.IF_ERROR}:
        reuse, why = Reuse.GATEWAY_TIMEOUT, f"the request said `only-if-cached`, RFC 9111 5.2.1.7, and {why}"
    return Decision(policy, lifetime, age, reuse, why)


@lru_cache(maxsize=1024)
def _request(method: str, headers: Headers) -> _CacheRequest:
    lines = sent(headers, "cache-control")
    said = directives(", ".join(lines or ()))
    pragma = lines is None and "no-cache" in directives(", ".join(sent(headers, "pragma") or ()))
    return _CacheRequest(method, headers, said, sent(headers, "authorization") is not None, "no-store" in said, pragma)


@lru_cache(maxsize=4096)
def _terms(request: _CacheRequest, status: int, url: str, targeted: tuple[str, ...], shared: bool) -> StoreContext:  # noqa: FBT001 - a key of the memo
    return StoreContext(status, request.method, shared, url, request.authorized, request.unwanted, targeted)


@lru_cache(maxsize=4096)
def _settled(
    policy: CachePolicy,
    status: int,
    same: bool,  # noqa: FBT001 - a key of the memo
    first: _CacheRequest,
    second: _CacheRequest,
) -> tuple[Reuse, str] | None:
    """What is decided without looking at a clock; None when time decides. `same`: both requests have one target."""
    if not policy.storable.yes:
        return Reuse.MISS, f"nothing is stored: {policy.storable.why}"
    if second.method not in {"GET", "HEAD"}:
        return Reuse.MISS, f"a {second.method} goes to the origin, RFC 9111 4"
    if not same:
        return Reuse.MISS, "another target URI, RFC 9111 2"
    if first.method == "HEAD" and second.method == "GET":
        return Reuse.MISS, "what answered a HEAD has no content, RFC 9110 9.3.2"
    if differs := differing(policy.varies, first.headers, second.headers):
        why = "`Vary: *` matches no request" if differs == "*" else f"it varies on {differs}, and that differs"
        return Reuse.MISS, f"{why}, RFC 9111 4.1"
    if status == 206 and sent(second.headers, "range") != (sent(first.headers, "range") or ()):
        return Reuse.MISS, "a part answers no request but for that part, RFC 9111 3.3"
    if policy.no_cache:
        return Reuse.VALIDATE, "`no-cache`, RFC 9111 5.2.2.4"
    if "no-cache" in second.said:
        return Reuse.VALIDATE, "the request said `no-cache`, RFC 9111 5.2.1.4"
    return None


_HIT = (Reuse.HIT, "")


def _timely(read: Reading, request: _CacheRequest, age: float, by_age: float) -> tuple[Reuse, str]:
    """What is left for time to decide. `by_age` leaves Date out, which RFC 9111 section 4.2.3 allows."""
    policy, lifetime, contested, _, _ = read
    said = request.said
    if lifetime is not None and lifetime <= age:
        return _stale(policy, lifetime, said, age, by_age)
    if said and (why := _unwelcome(lifetime, said, age, by_age)):
        return Reuse.VALIDATE, why
    if lifetime is None:
        if policy.heuristic:
            return Reuse.MAY, "no lifetime: how long it is used is for the cache to choose, RFC 9111 4.2.2"
        return Reuse.VALIDATE, "no lifetime, and none may be made up, RFC 9111 4.2.2"
    if contested:
        return Reuse.MAY, "two lifetimes: the first counts, or none, RFC 9111 4.2.1"
    if request.pragma:
        return Reuse.MAY, "the request said `Pragma: no-cache`, which need not be obeyed, RFC 9111 5.4"
    return _HIT


def _unwelcome(lifetime: int | None, said: Directives, age: float, by_age: float) -> str:
    """Why a fresh copy is not what the request wants; empty when it is."""
    if (most := delta_seconds(said.get("max-age"))) is not None and age > most:
        return f"{_age(age, by_age)} old, and the request wants at most {most} s, RFC 9111 5.2.1.1"
    spare = delta_seconds(said.get("min-fresh")) or 0
    if lifetime is not None and lifetime < age + spare:
        return f"the request wants it fresh for {spare} s more, RFC 9111 5.2.1.3"
    return ""


def _stale(policy: CachePolicy, lifetime: int, said: Directives, age: float, by_age: float) -> tuple[Reuse, str]:
    why = f"stale: {_age(age, by_age)} old of {lifetime} s, RFC 9111 4.2"
    late = age - lifetime
    if policy.strict:
        return Reuse.VALIDATE, f"{why}, and `{policy.strict}` forbids a stale copy, RFC 9111 4.2.4"
    choosy = {"max-age", "min-fresh"} & said.keys() and "max-stale" not in said
    if late < policy.while_revalidate and not choosy:
        return Reuse.WHILE_REVALIDATE, f"{why}, `stale-while-revalidate={policy.while_revalidate}`, RFC 5861 3"
    if "max-stale" in said and late <= _at_most(said, "max-stale") and age <= _at_most(said, "max-age"):
        return Reuse.MAY, f"{why}, and the request takes a stale copy, RFC 9111 5.2.1.2"
    error = max(policy.if_error, delta_seconds(said.get("stale-if-error")) or 0)
    if late < error:
        return Reuse.IF_ERROR, f"{why}, `stale-if-error={error}`, RFC 5861 4"
    return Reuse.VALIDATE, why


def _at_most(said: Directives, name: str) -> float:
    """A bound that a request gives; no bound without a number, and 0 for what is none."""
    text = said.get(name)
    return float("inf") if text is None else delta_seconds(text) or 0


def _age(age: float, by_age: float) -> str:
    """An age in words; both, where Date makes it older than Age does."""
    return f"{age:.0f} s" + (f" (by Date; {by_age:.0f} s by Age)" if by_age < age else "")
