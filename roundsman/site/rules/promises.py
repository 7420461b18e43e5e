"""What a site file promises: who may share a page, how quickly it comes, the way back, and whom to notify."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Self

from pydantic import Field, model_validator

from roundsman.report.rules.durations import Duration, Span, spoken
from roundsman.site.rules.field_types import Address, Condition, EnvName, HeaderName, KeyPart, Model, Name, Path, Text
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


STAGING, PRODUCTION = "staging", "production"
#: Of every response; what differs by itself, such as Date, is not among them.
HEADERS = ("cache-control", "content-type", "location", "vary")


class Environment(Model):
    """One place where the release runs."""

    base_url: Address | None = None
    """Scheme and host, without a path; the site's own when left out."""
    env: dict[EnvName, Text] = Field(default_factory=dict)
    """Variables that tell the commands where they are, such as DEPLOY_TO: staging. They are shown: a secret comes from
    the environment of whatever runs the job."""
    settings: tuple[Text, ...] = ()
    """A command, as a list of words, that prints the settings of this environment as NAME=VALUE, one a line (or with a
    zero byte after each, as `env -0` does). It only reads. Values are compared and never kept."""


class Environments(Model):
    """Where the release runs."""

    staging: Environment | None = None
    """Where a release is rehearsed, and no reader is."""
    production: Environment | None = None


class Drill(Model):
    """How a release is rehearsed."""

    pages: tuple[Path, ...] = Field(default=(), max_length=20)
    """Pages that must be the same before the release and after its rollback; the first cached example of each rule
    when left out."""
    headers: tuple[HeaderName, ...] = HEADERS
    """Headers of these pages that must be the same too."""
    timeout: Duration = Field(default=900.0, gt=0, le=3600)
    """After this time a command is killed with everything it started."""
    settle: Duration = Field(default=60.0, ge=0, le=900)
    """The time in which the site answers as it should once a command has ended."""
    schema_stays: bool = False
    """Whether the rollback leaves the database's schema as the deploy made it, so that the old release runs on the new
    one (expand first, contract later). Else the schema must be back as well."""
    differs: tuple[EnvName, ...] = ()
    """Settings that are meant to differ between staging and production, such as DATABASE_URL."""


#: The last outcomes that are remembered of a subject; k of n looks no further back.
KEPT_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """How patient to be: `bad` of the last `rounds` rounds fire, `recover` good ones in a row resolve.

    `remind` are the seconds between two messages about the same trouble.
    """

    bad: int = 1
    rounds: int = 1
    recover: int = 1
    remind: float = 12 * 3600.0

    def __post_init__(self) -> None:
        if not 1 <= self.bad <= self.rounds <= KEPT_ROUNDS:
            raise ValueError(f"wanted K of N with K up to N and N up to {KEPT_ROUNDS}, such as 2 of 3")
        if not 1 <= self.recover <= KEPT_ROUNDS:
            raise ValueError(f"wanted 1 to {KEPT_ROUNDS} good rounds for a recovery")
        if self.remind <= 0:
            raise ValueError("wanted a time above zero between two reminders")

    @classmethod
    def of(cls, after: str, recover: int, remind: float) -> Self:
        """The policy of a `K of N`, such as `2 of 3`; ValueError when it can't come true."""
        if not (match := re.fullmatch(r"([1-9]\d{0,3}) of ([1-9]\d{0,3})", after)):
            raise ValueError("wanted `K of N`, such as 2 of 3: so many bad ones of so many rounds")
        return cls(int(match[1]), int(match[2]), recover, remind)


def quorum(after: str) -> str:
    """A `K of N` as it was written; ValueError when it is none."""
    AlertPolicy.of(after, 1, 1.0)
    return after


#: Words for a schedule. `H` as the minute is the name's own.
WORDS = {"hourly": "H * * * *", "daily": "H 3 * * *"}


def cron(written: str, name: str) -> str:
    """A schedule as the cron expression that runs.

    `hourly` and `daily` (between three and four) are spelled out; a minute written `H` becomes the minute of the
    name, always the same one. Everything else stays as it was written.
    """
    expression = WORDS.get(written, written)
    return f"{minute(name)}{expression[1:]}" if expression.startswith("H ") else expression


def minute(name: str) -> int:
    """The minute of the hour, 0 to 59, that belongs to a name: the same in every process and on every machine."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()) % 60
