"""The words of a purge: what is ordered, what a receipt says, what went wrong. No vendor is named here."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

Headers = tuple[tuple[str, str], ...]


class By(StrEnum):
    """What a purge names."""

    URL = "url"
    KEY = "surrogate key"
    PREFIX = "prefix"
    HOST = "host"
    EVERYTHING = "everything"


class Blind(StrEnum):
    """What an edge does not tell apart in a URL that it purges: copies that differ only in this go together.

    With SHARED_QUERY there is nothing to tell apart: one copy answers every query of a path.
    """

    CASE = "case"
    QUERY = "query"
    SHARED_QUERY = "shared query"
    EMPTY_QUERY = "empty query"
    HOST = "host"
    SCHEME = "scheme"


@dataclass(frozen=True)
class Rate:
    """How often a vendor lets itself be asked: a token bucket of `burst`, refilled by `per_second`.

    `of` is what takes a token: requests or items. `see` is the vendor's page that says so. `by` are the kinds of purge
    that share the bucket; empty means all of them.
    """

    of: str
    per_second: float
    burst: float
    see: str
    by: frozenset[By] = frozenset()

    @property
    def counts(self) -> str:
        """What the bucket counts, in words: `requests`, or `items by url`."""
        return " ".join([self.of, *(["by", ", ".join(sorted(self.by))] if self.by else [])])


@dataclass(frozen=True)
class Tags:
    """The surrogate keys that a vendor takes: at most so many bytes, all of characters that match `allowed`.

    `allowed` is a regular expression for one character, and `says` is the vendor's rule in words.
    """

    vendor: str
    most_bytes: int
    allowed: str
    says: str

    def wanted(self, key: str) -> str | None:
        """What should stand in place of a key that the vendor does not take; None when it takes it."""
        if len(key.encode()) <= self.most_bytes and re.fullmatch(f"(?:{self.allowed})+", key):
            return None
        return f"a tag as {self.vendor} takes it: at most {self.most_bytes} bytes, {self.says}"


@dataclass(frozen=True)
class Order:
    """One request to spell: items of one kind for one node ("" for a vendor's API, or for the URL's own host).

    `soft` asks for a stale copy instead of none. `headers` select the variant, where an edge purges one at a time; an
    empty value is that of a request without the header.
    `key` is the same when the same order is sent again, and another one otherwise.
    """

    by: By
    items: tuple[str, ...]
    node: str = ""
    soft: bool = False
    headers: Headers = ()
    key: str = ""

    def __post_init__(self) -> None:
        # A plan has the plain word, and a block asks `by is By.URL`.
        object.__setattr__(self, "by", By(self.by))


@dataclass(frozen=True)
class PlannedOrder(Order):
    """One order of a plan: which edge it is for, and when its turn is.

    Every order of a tier is done, and settled, before the next tier: the one nearer to the origin is the lower.
    """

    edge: str = ""
    tier: int = 0

    def __str__(self) -> str:
        where = f"{self.edge} at {self.node}" if self.node else self.edge
        variant = ", ".join(f"{name}: {value or 'none'}" for name, value in self.headers)
        which = f" ({variant})" if variant else ""
        return f"{where}: {'soft purge' if self.soft else 'purge'} by {self.by}{which}: {', '.join(self.items)}"


@dataclass(frozen=True)
class Receipt:
    """One request and what a node answered: `absent` says it held no copy, `answer` is its first 200 characters.

    `ticket` is what `Edge.settled` asks about, where a purge is only accepted and done later.
    """

    node: str
    items: tuple[str, ...]
    status: int
    seconds: float
    absent: bool
    answer: str
    ticket: str = ""


@dataclass(frozen=True)
class Settling:
    """How far an accepted purge is. `done` is None when nobody can say, so that only waiting helps.

    `heard` is False when the question was not answered, which says nothing about the purge. `wait` are the seconds
    after which to ask again at the earliest.
    """

    done: bool | None
    heard: bool = True
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Powers:
    """What an edge can, as its block states it, and the name by which the site knows it.

    `limits` are items in one request by what a purge names; `radius(url)` tells which URLs lose their copy with it,
    `batches(items, by)` divides items into requests, `too_wide(item, by)` says what should stand in place of an item,
    and `instead(by)` how to do without a kind that it can't purge by.
    """

    name: str
    kind: str
    limits: Mapping[By, int]
    radius: Callable[[str], Callable[[str], bool]]
    batches: Callable[[Sequence[str], By], list[tuple[str, ...]]]
    too_wide: Callable[[str, By], str | None]
    instead: Callable[[By], str] = lambda _: ""
    soft: frozenset[By] = frozenset()
    blind: frozenset[Blind] = frozenset()
    one_variant: bool = False
    refills: bool = False
    settles_within: float = 0.0
    once: bool = False
    shields: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


class PurgeError(Exception):
    """A purge that is not known to have happened: what was seen, what was wanted, what to do.

    `permanent` means that the same request would be refused again; `shut_out` that any other would be as well, until
    a token or a setting is mended, and `denied` that it is the token. `unknown` means that it was sent and may have
    been done: look before sending it again. `retry_after` are the seconds that the edge asked to wait. `receipts` are
    the requests that did succeed.
    """

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        says: str,
        *,
        permanent: bool = False,
        shut_out: bool = False,
        denied: bool = False,
        unknown: bool = False,
        retry_after: float | None = None,
        receipts: tuple[Receipt, ...] = (),
    ) -> None:
        super().__init__(says)
        self.permanent = permanent
        self.shut_out = shut_out
        self.denied = denied
        self.unknown = unknown
        self.retry_after = retry_after
        self.receipts = receipts

    @classmethod
    def of(cls, errors: list["PurgeError"], receipts: list[Receipt]) -> "PurgeError":
        """One error that tells what several nodes said."""
        waits = [error.retry_after for error in errors if error.retry_after is not None]
        return cls(
            "; ".join(dict.fromkeys(map(str, errors))),
            permanent=all(error.permanent for error in errors),
            shut_out=any(error.shut_out for error in errors),
            denied=any(error.denied for error in errors),
            unknown=any(error.unknown for error in errors),
            retry_after=max(waits, default=None),
            receipts=tuple(receipts),
        )


def folded(url: str, blind: frozenset[Blind]) -> str:
    """A URL without what an edge does not tell apart: two URLs that fold to the same go together."""
    scheme, _, rest = url.partition("://")
    path = re.sub(r"^[^/?]*", "", rest)
    host = rest.removesuffix(path).lower()
    path = path if path.startswith("/") else f"/{path}"
    if blind & {Blind.QUERY, Blind.SHARED_QUERY}:
        path = path.partition("?")[0]
    if Blind.EMPTY_QUERY in blind:
        path = path.removesuffix("?")
    if Blind.CASE in blind:
        path = path.lower()
    start = "" if Blind.SCHEME in blind else f"{scheme.lower()}:"
    return start + ("" if Blind.HOST in blind else f"//{host}") + path
