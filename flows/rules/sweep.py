"""A sweep: every page of a site's sitemaps, looked at once. How it is cut up, how a page is judged, what is said."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.rules import cache_clear
from flows.rules.cache_bypass import passed_by
from flows.rules.cache_control import targeted_of
from flows.rules.cache_copy import by_rfc, observed
from flows.rules.cache_headers import agreement, shareable
from flows.rules.cache_status import cache_state
from flows.rules.exchange import Exchange
from flows.rules.grouping import Group
from flows.rules.promises import Audience, CachePromise, Examples, Rollback, Rule
from flows.rules.report import group_json, item
from flows.rules.site import Site
from flows.rules.subject import unanswered, verdict_on, wrong_status
from flows.rules.verdict import Claim, Finding, Outcome, Verdict, worst
from flows.rules.visitor import STRANGER

CHECK = "sweep"

ANSWERED = Claim(f"{CHECK}/status", "A page of the sitemap is there.", "https://www.sitemaps.org/protocol.html")

#: Pages of one shard: a run costs some seconds before it works, so few and large.
SHARD = 20_000
#: Files into which pages fall by their hash while they are listed; a shard is some of them.
BUCKETS = 256


@dataclass(frozen=True, slots=True)
class Page:
    """What is kept of one page: `outcome` is the weight of `Outcome`, `first_byte` in microseconds."""

    status: int
    outcome: int
    state: str
    first_byte: int
    size: int


def bucket(path: str) -> int:
    """In which of the `BUCKETS` a page falls: the same one each time it is listed, so that twins meet."""
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=1).digest()[0]


def shards(sizes: Sequence[int], most: int = SHARD) -> list[list[int]]:
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


#: Of a page that no rule speaks of, no more is expected than that it is there.
NO_RULE = Rule(
    name="no-rule",
    paths=("/**",),
    cache=CachePromise(by=Audience.UNSAID),
    examples=Examples(not_cached=("/",)),
    expected_result="The page is there; no rule of the site speaks of it.",
    rollback=Rollback(note="No rule of the site speaks of this page.", command=("true",)),
)


def judge(site: Site, path: str, exchange: Exchange) -> tuple[Page, Verdict | None]:
    """What is kept of a page, and a verdict when something is wrong with it. It was asked once, by a stranger."""
    rule = site.rule_for(path) or NO_RULE
    findings = [one for one in _findings(site, rule, path, exchange) if one.outcome is not Outcome.PASS]
    outcome = worst(one.outcome for one in findings)
    page = Page(
        exchange.status,
        outcome.weight,
        cache_state(exchange).value if exchange.answered else "",
        round(exchange.phases.first_byte * 1e6),
        exchange.size,
    )
    if not findings:
        return page, None
    law = by_rfc(exchange, targeted_of(site)) if exchange.answered else ""
    told = observed([exchange]) if exchange.answered else ""
    return page, verdict_on(site, rule, CHECK, path, findings, by_rfc=law, observed=told)


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
        apart = path in rule.examples.not_cached or passed_by(rule, path)
        if rule.cache.by is Audience.EVERYONE and not apart:
            yield from shareable(rule, seen, targeted)
        yield from cache_clear.findings(exchange, targeted)
        kept = agreement(seen, STRANGER, targeted)
        if kept.outcome is not Outcome.UNKNOWN:  # one look at an edge that labels nothing: the round looks again
            yield kept


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

    @property
    def outcome(self) -> Outcome:
        """The worst of its pages; unknown when not all were looked at, or there were none."""
        whole = [] if self.pages == self.listed > 0 else [Outcome.UNKNOWN]
        return worst([*whole, *(one for one, count in self.outcomes.items() if count)])

    @property
    def summary(self) -> str:
        """One line: `20,000 pages: 12 failed, 19,988 passed`."""
        told = [f"{count:,} {word}" for one, word in _WORDS if (count := self.outcomes.get(one, 0))]
        missing = f"; {self.listed - self.pages:,} were not looked at" if self.listed > self.pages else ""
        return f"{self.pages:,} pages: {', '.join(told) or 'none looked at'}{missing}"


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
        f"# {swept.site}: {swept.summary}",
        f"The pages of {swept.edition}, in {swept.seconds:,.0f} s",
        "\n".join(map(item, swept.groups)) or "Nothing needs anybody.",
    ]
    if swept.notes:
        parts += ["## Not looked at", "\n".join(f"- {note}" for note in swept.notes)]
    return "\n\n".join(parts)


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
        "seconds": round(swept.seconds, 1),
    }
