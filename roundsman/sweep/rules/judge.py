"""A sweep: every page of a site's sitemaps, looked at once. How it is cut up, how a page is judged, what is said."""

import hashlib
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from roundsman.cache.rules.bypass import passed_by
from roundsman.cache.rules.judge import agreement, shareable
from roundsman.http.cache_status import cache_state
from roundsman.http.copies import AGE_GRAIN_SECONDS, by_rfc, observed
from roundsman.http.freshness import ambiguities, birth, lifetime, read_policy, troubles
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.grouping import Group
from roundsman.report.rules.report import MAX_ROWS, Report, group_json, items, worst_of
from roundsman.report.rules.text import for_markdown
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Verdict, worst
from roundsman.report.rules.visitor import STRANGER
from roundsman.site.rules.promises import Audience, CachePromise, Examples, Rollback, Rule
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_edge import targeted_of
from roundsman.site.rules.url_spelling import spelled
from roundsman.site.rules.wording import unanswered, verdict_on, wrong_status

CHECK = "sweep"

ANSWERED = Claim(f"{CHECK}/status", "A page of the sitemap is there.", "https://www.sitemaps.org/protocol.html")

READ = Claim(
    f"{CHECK}/sitemap",
    "A sitemap can be read, so that its pages are looked at.",
    "https://www.sitemaps.org/protocol.html",
)

_WHOLE = Claim(f"{CHECK}/whole", "Every page that is listed was looked at.")

#: Files into which pages fall by their hash while they are listed; a shard is some of them.
BUCKETS = 256
#: Of one shard: requests under way at once, pages that are asked before the time is looked at, and seconds after which
#: what was seen is written.
CONNECTIONS, TURN, LONG = 32, 250, 10.0
#: A sweep that was begun so long ago is not gone on with: what it has seen is too old to stand beside what is seen now.
#: A run may take a day; the next one may bring to its end what that one could not.
STALE = timedelta(days=2)
#: How an edition is called that nobody has named.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
#: Kinds of fine answers that are known again; a site has some dozens.
_KNOWN = 4096
_PASS = Outcome.PASS.weight


class SweptPage(NamedTuple):
    """What is kept of one page: `outcome` is the weight of `Outcome`, `first_byte` in microseconds."""

    status: int
    outcome: int
    state: str
    first_byte: int
    size: int


def bucket(path: str) -> int:
    """In which of the `BUCKETS` a page falls: the same one each time it is listed, so that twins meet."""
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0]


def shards(sizes: Sequence[int], most: int) -> list[list[int]]:
    """Which buckets are a shard each: neighbours, with about `most` pages together."""
    found: list[list[int]] = []
    full = most
    for number, size in enumerate(sizes):
        if not size:
            continue
        if not found or full + size > most:
            found.append([])
            full = 0
        found[-1].append(number)
        full += size
    return found


class Begun(NamedTuple):
    """A sweep of a site that was begun at some time."""

    edition: str
    started_at: datetime
    ended_at: datetime | None


def edition_of(due: datetime, now: datetime, begun: Iterable[Begun]) -> str:
    """The edition of a run for which nobody named one: the one that is to be gone on with, or a new one.

    A run that is tried again stays with its edition: with the one that has its time, or was at its end only after the
    run was due. What somebody has named is theirs to go on with.

    Args:
        due: When the run was to start, which stays the same however often it is tried.
        now: The time.
        begun: The site's sweeps.
    """
    own = f"{due.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    ours = [one for one in begun if _TIME.fullmatch(one.edition)]
    if not ours or any(one.edition == own for one in ours):
        return own
    last = max(ours, key=lambda one: one.started_at)
    if last.ended_at is None:
        return last.edition if now - last.started_at < STALE else own
    return last.edition if last.ended_at >= due else own


class ShardPace(NamedTuple):
    """How a shard is looked at, so that its worker writes before its lease ends although every page hangs."""

    lease: float
    long: float
    """Seconds after which no further turn of a chunk is begun."""
    turn: int
    """Pages that are asked before the time is looked at."""


def pace(lease: float, timeout: float, rate: float) -> ShardPace:
    """The pace at a site, from the lease that is wished for, its timeout and the shard's requests a second.

    A chunk takes `long` until its last turn, `long` for the turns of the rate, and the timeout as often as connections
    are used anew: five sixths of the lease together; the last is for judging and writing.
    """
    lease = max(lease, 1.5 * (timeout + 1 / rate))
    long = min(LONG, lease / 12)
    times = max(1, int(lease / 1.5 / timeout))
    return ShardPace(lease, long, max(1, min(TURN, int(rate * long), times * CONNECTIONS)))


#: Of a page that no rule speaks of, no more is expected than that it is there.
NO_RULE = Rule(
    name="no-rule",
    paths=("/**",),
    cache=CachePromise(by=Audience.UNSAID),
    examples=Examples(not_cached=("/",)),
    expected_result="The page is there; no rule of the site speaks of it.",
    rollback=Rollback(note="No rule of the site speaks of this page.", command=("true",)),
)


class Judge:
    """Judges the pages of a site, each asked once, by a stranger.

    Most answers say what an earlier one said. What was found fine is known again by all that a finding depends on, and
    is not argued a second time.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._targeted = targeted_of(site)
        self._fine: set[Hashable] = set()

    def __call__(self, path: str, exchange: Exchange) -> tuple[SweptPage, Verdict | None]:
        """What is kept of a page, and a verdict when something is wrong with it."""
        rule = self._site.rule_for(path) or NO_RULE
        if not exchange.answered:
            return _judge(self._site, rule, path, exchange)
        alike = self._alike(rule, path, exchange)
        if alike in self._fine:
            return _page(exchange, _PASS), None
        page, verdict = _judge(self._site, rule, path, exchange)
        if verdict is None:
            if len(self._fine) >= _KNOWN:
                self._fine.clear()
            self._fine.add(alike)
        return page, verdict

    def _alike(self, rule: Rule, path: str, exchange: Exchange) -> Hashable:
        """What two answers have in common of which the same is found.

        The policy stands for the headers that rule a cache, Vary and targeted fields among them.
        """
        policy, lasts = read_policy(exchange, self._targeted)
        state = cache_state(exchange)
        old = not state.from_store and (birth(exchange) or exchange.started) < exchange.started - AGE_GRAIN_SECONDS
        browser = lifetime(exchange, shared=False) if rule.cache.browser_ttl else None
        # How many Expires there are is the policy's; whether they differ is not.
        twice = troubles(exchange, targeted=self._targeted) if policy.ends > 1 else ()
        return id(rule), _apart(rule, path), exchange.status, state, policy, lasts, old, browser, twice


def judge(site: Site, path: str, exchange: Exchange) -> tuple[SweptPage, Verdict | None]:
    """What is kept of a page, and a verdict when something is wrong with it. It was asked once, by a stranger."""
    return _judge(site, site.rule_for(path) or NO_RULE, path, exchange)


def _judge(site: Site, rule: Rule, path: str, exchange: Exchange) -> tuple[SweptPage, Verdict | None]:
    findings = [one for one in _findings(site, rule, path, exchange) if one.outcome is not Outcome.PASS]
    page = _page(exchange, worst(one.outcome for one in findings).weight)
    if not findings:
        return page, None
    law = by_rfc(exchange, targeted_of(site)) if exchange.answered else ""
    told = observed([exchange]) if exchange.answered else ""
    return page, verdict_on(site, rule, CHECK, path, findings, by_rfc=law, observed=told)


def _page(exchange: Exchange, outcome: int) -> SweptPage:
    return SweptPage(
        exchange.status,
        outcome,
        cache_state(exchange).value if exchange.answered else "",
        round(exchange.phases.first_byte * 1e6),
        exchange.size,
    )


def _apart(rule: Rule, path: str) -> bool:
    """Whether the edge is not to keep a page although its rule is for everyone."""
    return spelled(path) in rule.apart or (bool(rule.bypass) and passed_by(rule, path))


def _findings(site: Site, rule: Rule, path: str, exchange: Exchange) -> Iterator[Finding]:
    seen = (exchange,)
    if silent := unanswered(CHECK, seen):
        yield silent
    elif rule.cache.by is Audience.MEMBER:
        # A stranger is sent to the login; what members get is the round's business.
        if exchange.status >= 500:
            yield ANSWERED.against(exchange.status, "no server error", holds=False, evidence=seen)
    elif other := wrong_status(CHECK, seen, rule.status):
        yield other
    else:
        targeted = targeted_of(site)
        if rule.cache.by is Audience.EVERYONE and not _apart(rule, path):
            yield from shareable(rule, seen, targeted)
        yield from ambiguities(exchange, targeted)
        kept = agreement(seen, STRANGER, targeted)
        if kept.outcome is not Outcome.UNKNOWN:  # one look at an edge that labels nothing: the round looks again
            yield kept


def unread_sitemap(site: Site, path: str, saw: str, wanted: str) -> Verdict:
    """The verdict on pages that nobody could look at, as the file that lists them could not be read to its end."""
    return verdict_on(site, NO_RULE, CHECK, path, [READ.against(saw, wanted, holds=None)])


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found."""

    site: str
    edition: str
    pages: int
    listed: int
    """Pages to look at; more than `pages` while it is under way."""
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    groups: Sequence[Group] = ()
    notes: Sequence[str] = ()
    """What was not looked at, and why."""
    seconds: float = 0.0
    listing: str = ""
    """What is to be said of the listing: that it was cached, and how old it is."""

    @property
    def outcome(self) -> Outcome:
        """The worst of its pages; unknown when not all were looked at or listed, or there were none."""
        whole = [] if self.pages == self.listed > 0 and not self.unread else [Outcome.UNKNOWN]
        return worst([*whole, *(one for one, count in self.outcomes.items() if count)])

    @property
    def unread(self) -> int:
        """Sitemaps that could not be read, so that nobody knows all the pages."""
        return sum(one.subjects for one in self.groups if one.claim == READ.id)

    @property
    def summary(self) -> str:
        """One line: `20,000 pages: 12 failed, 19,988 passed`."""
        told = [f"{count:,} {word}" for one, word in _WORDS if (count := self.outcomes.get(one, 0))]
        missing = f"; {self.listed - self.pages:,} were not looked at" if self.listed > self.pages else ""
        unread = f"; {self.unread:,} sitemaps could not be read" if self.unread else ""
        return f"{self.pages:,} pages: {', '.join(told) or 'none looked at'}{missing}{unread}"

    @property
    def message(self) -> str:
        """The summary and the worst fault: what a run's state says."""
        return "; ".join(filter(None, (self.summary, worst_of(self.groups))))


_WORDS = (
    (Outcome.FAIL, "failed"),
    (Outcome.UNKNOWN, "unknown"),
    (Outcome.WARN, "warned"),
    (Outcome.PASS, "passed"),
)


def counted(weights: Iterable[tuple[int, int]]) -> dict[Outcome, int]:
    """How many pages had which outcome, from pairs of weight and count."""
    by_weight = dict(weights)
    return {one: by_weight[one.weight] for one in Outcome if by_weight.get(one.weight)}


def markdown(swept: Swept) -> str:
    """The sweep as a page: what is wrong, with a count and three examples each; then what was not looked at."""
    parts = [
        f"# {for_markdown(f'{swept.site}: {swept.summary}')}",
        items(swept.groups) or "Nothing needs anybody.",
        f"The pages of {for_markdown(swept.edition)}, in {swept.seconds:,.0f} s",
    ]
    if swept.listing:
        parts[-1] += f"; {for_markdown(swept.listing)}"
    if swept.notes:
        parts += ["## Not looked at", "\n".join(f"- {for_markdown(note)}" for note in swept.notes[:MAX_ROWS])]
    return "\n\n".join(parts)


def as_report(swept: Swept, ended: datetime) -> Report:
    """The sweep as a report with a verdict for each group of faults, whose subject names three pages of it."""
    faults = [
        (one, Finding(one.claim, one.says, one.outcome, one.saw, one.wanted, (), one.severity))
        for one in swept.groups
        if one.claim
    ]
    verdicts = [Verdict(one.check, one.where, one.rule, one.owner, "", one.rollback, (it,)) for one, it in faults]
    saw, is_whole = f"{swept.pages:,} of {swept.listed:,} pages", swept.pages == swept.listed > 0 and not swept.unread
    whole = _WHOLE.against(saw, "all", holds=True if is_whole else None)
    verdicts.append(Verdict(CHECK, "all pages", "", "", "", "", (whole,)))
    return Report("", swept.site, ended - timedelta(seconds=swept.seconds), ended, tuple(verdicts))


def as_json(swept: Swept) -> dict[str, Any]:
    """The sweep as plain data; `schema` counts its editions."""
    return {
        "schema": 1,
        "site": swept.site,
        "edition": swept.edition,
        "outcome": swept.outcome.value,
        "pages": swept.pages,
        "listed": swept.listed,
        "outcomes": {one.value: count for one, count in swept.outcomes.items()},
        "groups": [group_json(one) for one in swept.groups],
        "notes": list(swept.notes),
        "listing": swept.listing,
        "seconds": round(swept.seconds, 1),
    }
