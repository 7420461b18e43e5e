"""What a rule of a site promises: who may share a page, when the edge is passed by, how quickly, and the way back."""

import re
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Self

from pydantic import Field, model_validator

from roundsman.report.rules.durations import Duration, Span, spoken
from roundsman.site.rules.field_types import Condition, HeaderName, KeyPart, Model, Name, Path, Text
from roundsman.site.rules.url_spelling import spelled

#: A drill holds its round up for so long.
MAX_WATCH_SECONDS = 60.0


class Audience(StrEnum):
    """Who may share one copy of a page."""

    EVERYONE = "everyone"
    MEMBER = "member"
    NOBODY = "nobody"
    UNSAID = "unsaid"


class Encoding(StrEnum):
    """A content coding that a page is asked for in."""

    IDENTITY = "identity"
    GZIP = "gzip"
    BR = "br"


class TtlSource(StrEnum):
    """Where the lifetime of a shared copy is set."""

    HEADERS = "headers"
    EDGE = "edge"


class Key(Model):
    """Which differences between two requests lead to another copy of a page, and which do not.

    `query NAME` a parameter, `order` that of the parameters, `case` upper or lower in the path, `slash` one at its end,
    `host NAME` another name of the site, `header NAME` a request header, `cookie NAME` a cookie.
    """

    same: tuple[KeyPart, ...] = ()
    """What leads to the same copy, such as query utm_source."""
    apart: tuple[KeyPart, ...] = ()
    """What leads to another copy, such as query page."""


class CachePromise(Model):
    """How a route is cached."""

    by: Audience
    """`everyone`: a shared cache keeps it. `member`: only the member's own browser may. `nobody`: no one keeps it.
    `unsaid`: no promise yet; only what the headers say and what the edge does are compared."""
    edge_ttl: Span | None = None
    """How long a shared copy stays fresh, such as 10m..24h."""
    ttl_source: TtlSource = TtlSource.HEADERS
    """Where the edge's lifetime is set. `headers`: the response names it. `edge`: it is a setting of the edge, such as
    beresp.ttl or proxy_cache_valid, so that headers may say nothing of it, or the contrary for browsers; then no copy
    may have an Age above edge_ttl."""
    browser_ttl: Span | None = None
    """How long a browser may use its own copy without asking, such as <=5m."""
    vary: tuple[str, ...] | None = None
    """The request headers that a response may vary on; others are a finding."""
    encodings: tuple[Encoding, ...] = ()
    """The content codings to try: identity, gzip, br. The page must be the same in each."""
    key: Key | None = None
    """What leads to the same copy of a page, and what to another one."""
    missing: Span | None = None
    """How long the answer to a path that does not exist may be kept, such as <=1m."""


class Bypass(Model):
    """When the edge must not answer from its store, and why."""

    when: Condition
    """`cookie NAME`, `header NAME`, `query NAME`, `path /GLOB` or `method NAME`. A `*` in a name stands for any text:
    `cookie wordpress_logged_in_*`, `query *`. A method is written down and not tried, since it may change something."""
    because: Text


class Examples(Model):
    """Routes to try."""

    cached: tuple[Path, ...] = ()
    """Routes that the edge should answer from its store."""
    not_cached: tuple[Path, ...] = ()
    """Routes that it never should."""


class Quantiles(Model):
    """Upper bounds for the time to the first byte."""

    p50: Duration | None = None
    p95: Duration | None = None
    p99: Duration | None = None

    @property
    def bounds(self) -> dict[float, float]:
        """What is bounded, such as {0.95: 0.08}: a share of the requests, and the seconds that they may take."""
        given = {0.5: self.p50, 0.95: self.p95, 0.99: self.p99}
        return {share: bound for share, bound in given.items() if bound is not None}


class ResponseTimeBudget(Model):
    """Response-time budgets by what the cache did."""

    hit: Quantiles | None = None
    """When a stored copy answers."""
    miss: Quantiles | None = None
    """When the origin had to answer, through the edge."""
    origin: Quantiles | None = None
    """When the origin is asked behind the edge's back, at the site's `origin`."""


class Marker(Model):
    """What in a response changes when its content does. Without one, birth time and label must do."""

    header: Text | None = None
    """The name of a header, such as etag."""
    pattern: Text | None = None
    """A regular expression on the body; its first group, or the whole match."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.header is None) == (self.pattern is None):
            raise ValueError("wanted one of header or pattern")
        if self.pattern:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"wanted a regular expression: {error}") from error
        return self


class PurgeDrill(Model):
    """The route on which a purge is proven."""

    canary: Path
    marker: Marker | None = None
    touch: tuple[Text, ...] = ()
    """A command, as a list of words, that changes the canary's content at the origin."""
    variants: dict[HeaderName, tuple[Text, ...]] = Field(default_factory=dict)
    """The values of each header that the rule's pages vary on, such as {accept-language: [de, en]}: every variant is
    purged, and looked at."""

    watch: Duration | None = None
    """How long after the purge the route is looked at once more, such as 30s, where an old page can come back late,
    by a slow origin, a shield or a queue. When left out, as long as a fetch from the origin takes, 5 s at most."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.watch is not None and not 0 < self.watch <= MAX_WATCH_SECONDS:
            raise ValueError(f"wanted watch to be more than 0s and at most {spoken(MAX_WATCH_SECONDS)}")
        return self


class Rollback(Model):
    """How to go back."""

    note: Text
    command: tuple[Text, ...] = Field(min_length=1)
    """The command as a list of words; no shell reads it."""
    rehearsed_by: Text | None = None
    """The job that rehearses it."""


class Rule(Model):
    """One cache rule, written for the person who debugs it."""

    name: Name
    owner: Text | None = None
    """Who answers for it; the site's owner when left out."""
    paths: tuple[Path, ...] = Field(min_length=1)
    """Globs: `*` within one segment, `**` across them. The first rule that matches a path decides."""
    cache: CachePromise
    bypass: tuple[Bypass, ...] = ()
    examples: Examples
    status: int = Field(default=200, ge=100, le=599)
    """The status its examples answer with (a member page's: to a member)."""
    response_time: ResponseTimeBudget | None = None
    allow_shared_key: bool = False
    """Whether test members may ask for the very URL that readers ask for, when its query makes no other copy."""
    purge: PurgeDrill | None = None
    expected_result: Text
    rollback: Rollback

    def matches(self, path: str) -> bool:
        """Whether the rule speaks of a path, however it is spelled; a query is left aside."""
        return self._any_path.fullmatch(spelled(path).partition("?")[0]) is not None

    @cached_property
    def _any_path(self) -> re.Pattern[str]:
        return re.compile("|".join(glob(pattern).pattern for pattern in self.paths))

    @cached_property
    def apart(self) -> frozenset[str]:
        """The examples that are not to be kept, as `spelled`."""
        return frozenset(map(spelled, self.examples.not_cached))

    @property
    def routes(self) -> tuple[str, ...]:
        """Every example."""
        return self.examples.cached + self.examples.not_cached

    @property
    def bypasses_cookies(self) -> bool:
        """Whether it promises that a logged-in request is not answered from the store."""
        return any(re.match(r"cookie |header authorization$", bypass.when, re.IGNORECASE) for bypass in self.bypass)

    @property
    def set_at_edge(self) -> bool:
        """Whether the edge's own settings, and not headers, say how long it keeps a page."""
        return self.cache.ttl_source is TtlSource.EDGE


@lru_cache(maxsize=1024)
def glob(pattern: str) -> re.Pattern[str]:
    """A path pattern as a regular expression for `spelled` paths: `*` stays within a segment, `**` crosses them.

    It never tries a place twice, so that no path is matched in more than linear time: between two `**` the earliest
    match leaves the most to what follows, and within a segment one beginning is as good as the next.
    """
    first, *others = re.split(r"\*\*+", spelled(pattern))
    if not others:
        return re.compile(_stars(first, to_end=True))
    *middle, last = others
    anywhere = r"(?:[^/]*+/)*?"
    crossed = "".join(f"(?>{anywhere}{_stars(f'*{part}')})" for part in middle)
    ending = f"{anywhere}{_stars(f'*{last}', to_end=True)}" if last else ".*"
    return re.compile(_stars(first) + crossed + ending)


def _stars(pattern: str, *, to_end: bool = False) -> str:
    """The regular expression of a part without `**`; `to_end` when the path ends with it."""
    first, *others = map(re.escape, pattern.split("*"))
    if to_end and others:
        last = others.pop()
        # The last one may be found before the end as well, so this one alone looks on.
        ending = rf"[^/]*{last}\Z"
    else:
        ending = r"\Z" if to_end else ""
    return first + "".join(f"(?>[^/]*?{part})" for part in others) + ending
