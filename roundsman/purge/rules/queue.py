"""The purge queue: what is purged together, what becomes of a change, and what a proof beside other purges is worth.

How often a vendor is asked: a token bucket, as arithmetic on a level and a clock that are handed in.

The level lives in the database, so that all workers share it, and the clock is the database's. So nothing here needs
two machines to agree on the time.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from roundsman.ledger.rules.delivery import MOST_ATTEMPTS, DeliveryFailure, is_over, pause
from roundsman.purge.rules.judge import NEIGHBOUR
from roundsman.purge.rules.order import By, Powers
from roundsman.purge.rules.plan import PurgeRequest, refused
from roundsman.report.rules.durations import spoken
from roundsman.report.rules.verdict import Claim, Outcome, Verdict, worst
from roundsman.site.rules.promises import Audience
from roundsman.site.rules.site import Site

#: Seconds for which a change belongs to the worker that claimed it. A living worker renews its lease in time.
LEASE_SECONDS = 60.0
#: Routes or keys of one lease, and changes of them: with more, a worker that dies takes more with it.
MAX_ITEMS, MAX_CHANGES = 100, 5000
#: Seconds after which a run claims nothing more; the next one is due in a minute.
RUN_SECONDS = 45.0
#: Seconds in which the slowest edge promises to have done a purge.
SLOWEST_EDGE_SECONDS = 900.0
#: Seconds that a run takes at most: what it claimed is purged twice at the slowest edge, and a sample is proven.
MAX_RUN_SECONDS = RUN_SECONDS + 2 * SLOWEST_EDGE_SECONDS + 600.0
#: Seconds that a change may wait before a run that could not purge it is red.
LATE_SECONDS = 300.0
#: Characters of one route or key.
MAX_ITEM_CHARACTERS = 2000
#: Refusals that are shown in full.
MAX_SHOWN_REFUSALS = 5

CHECK = "purge-queue"
#: Of a purge that was proven. It goes by the site's name: the next sample is of another route, and a round that says
#: nothing of this one does not say that it is well.
SAMPLE = "purge-sample"
MOVES = Claim(f"{CHECK}/moves", "What was published is purged in time.")
TAKEN = Claim(f"{CHECK}/taken", "Nothing of what was published is given up.")


class ChangeState(StrEnum):
    """Where a change is."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    DONE = "done"
    QUARANTINED = "quarantined"
    DISMISSED = "dismissed"


class ItemKind(StrEnum):
    """What a change names."""

    ROUTE = "route"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class QueuedChange:
    """A row that was claimed, and how often it has been."""

    id: int
    item: str
    attempts: int


@dataclass(frozen=True, slots=True)
class QueueLease:
    """Changes of one kind that a worker holds by a token; several of them may name the same item."""

    token: str
    kind: ItemKind
    changes: tuple[QueuedChange, ...]

    @property
    def items(self) -> tuple[str, ...]:
        """What to purge: each route or key once."""
        return tuple(dict.fromkeys(change.item for change in self.changes))

    def of(self, items: Iterable[str]) -> list[QueuedChange]:
        """The changes of some items."""
        wanted = set(items)
        return [change for change in self.changes if change.item in wanted]


@dataclass(frozen=True, slots=True)
class QueueRun:
    """What one run of the queue did. `routes` are those that it purged; `troubles` say what held it up."""

    done: int = 0
    purged: int = 0
    quarantined: int = 0
    retried: int = 0
    routes: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    waiting: int = 0
    oldest: float = 0.0
    """Seconds that the oldest waiting change has waited."""
    kept: int = 0
    """Changes in quarantine, also of earlier runs."""
    verdicts: tuple[Verdict, ...] = ()

    def and_then(self, more: "QueueRun") -> "QueueRun":
        """This and what was done next."""
        return replace(
            self,
            done=self.done + more.done,
            purged=self.purged + more.purged,
            quarantined=self.quarantined + more.quarantined,
            retried=self.retried + more.retried,
            routes=self.routes + more.routes,
            troubles=self.troubles + more.troubles,
            verdicts=self.verdicts + more.verdicts,
        )

    @property
    def says_something(self) -> bool:
        """Whether it tells anything of the edge: it did, or met, something."""
        return bool(self.purged or self.quarantined or self.troubles)

    @property
    def exit_code(self) -> int:
        """0 all is well, 1 something failed, 2 something waits for the edge, or could not be proven."""
        outcome = worst(verdict.outcome for verdict in self.verdicts)
        if outcome is Outcome.FAIL:
            return 1
        return 2 if self.troubles or outcome is Outcome.UNKNOWN else 0

    def __str__(self) -> str:
        summary = f"{self.done} changes done with {self.purged} purges"
        summary += f", {self.quarantined} quarantined" if self.quarantined else ""
        summary += f", {self.waiting} wait, the oldest for {spoken(round(self.oldest))}" if self.waiting else ""
        return "; ".join([summary, *dict.fromkeys(self.troubles)])


#: What met a change whose run was stopped between its purge and its end; it is purged again at once.
STOPPED = DeliveryFailure("the run was stopped before the purge was known to be done")


@dataclass(slots=True)
class LeaseProgress:
    """How far a lease is: what went wrong with which item, what was left untried, was sent, and is done for good."""

    met: dict[str, DeliveryFailure] = field(default_factory=dict)
    untried: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    sent: set[str] = field(default_factory=set)

    @property
    def held_up(self) -> bool:
        """Whether the edge is in trouble, so that there is no use in going on now."""
        return any(not trouble.permanent for trouble in self.met.values())

    def meet(self, part: Sequence[str], trouble: DeliveryFailure) -> tuple[Sequence[str], ...]:
        """Note trouble with some items; or say which halves to try, to find the one that a refusal is about."""
        if trouble.permanent and len(part) > 1:
            return halves(part)
        self.met |= dict.fromkeys(part, trouble)
        return ()

    def stop(self, items: Iterable[str]) -> None:
        """Leave untried, of some items, whatever was not sent; what was, and is not done, was tried."""
        open_ones = [item for item in items if item not in {*self.done, *self.met}]
        self.untried = tuple(item for item in open_ones if item not in self.sent)
        self.met |= dict.fromkeys([item for item in open_ones if item in self.sent], STOPPED)


def together(items: Sequence[str], kind: ItemKind, site: Site, tiers: Sequence[Powers]) -> Iterator[tuple[str, ...]]:
    """Items in parts that fit one request of every edge, and the site's guard."""
    by = By.URL if kind is ItemKind.ROUTE else By.KEY
    size = min([site.purge_at_most, *(powers.limits.get(by, 1) for powers in tiers)])
    for start in range(0, len(items), size):
        yield tuple(items[start : start + size])


def request_for(site: Site, lease: QueueLease, items: Sequence[str], time: int) -> PurgeRequest:
    """What to plan for some items of a lease.

    Its run is the same when the same changes are purged again after an unknown result, so that a vendor that does an
    order only once can tell; and another one for each newer change of the same items, and for the second `time`.
    """
    changes = f"{time} {sorted(change.id for change in lease.of(items))}"
    return PurgeRequest(
        routes=tuple(items) if lease.kind is ItemKind.ROUTE else (),
        keys=tuple(items) if lease.kind is ItemKind.KEY else (),
        accept=frozenset(site.accept),
        max_urls=site.purge_at_most,
        run=f"queue-{hashlib.sha256(changes.encode()).hexdigest()[:24]}",
    )


def after(change: QueuedChange, trouble: DeliveryFailure, chance: float) -> tuple[ChangeState, int, str]:
    """What becomes of a change that met trouble: its state, the milliseconds that it rests, and what to keep of it."""
    if trouble is STOPPED and change.attempts < MOST_ATTEMPTS:
        return ChangeState.WAITING, 0, trouble.says
    if is_over(change.attempts, trouble):
        return ChangeState.QUARANTINED, 0, trouble.says
    return ChangeState.WAITING, int(pause(change.attempts, trouble, chance).total_seconds() * 1000), trouble.says


def halves(items: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Two parts, to find the one item that a refusal is about."""
    middle = len(items) // 2
    return items[:middle], items[middle:]


def unfit(site: Site, routes: Sequence[str], keys: Sequence[str], tiers: Sequence[Powers]) -> str:
    """Why a run of the queue would never purge these, in words; empty when it would.

    `tiers` are the edges in a request's way, the one nearest to the origin first.
    """
    for item in (*routes, *keys):
        if not item or len(item) > MAX_ITEM_CHARACTERS or not item.isprintable():
            return f"saw {item[:80]!r}, wanted 1 to {MAX_ITEM_CHARACTERS} printable characters"
    request = PurgeRequest(tuple(routes), tuple(keys), accept=frozenset(site.accept), max_urls=len(routes) + len(keys))
    refusals = refused(site, request, tiers)
    more = f"; and {len(refusals) - MAX_SHOWN_REFUSALS} more" if len(refusals) > MAX_SHOWN_REFUSALS else ""
    return "; ".join(map(str, refusals[:MAX_SHOWN_REFUSALS])) + more


def judge(site: Site, done: QueueRun) -> Verdict:
    """Whether somebody has to look: a change is in quarantine, or none has got through for long."""
    late = bool(done.troubles) and done.oldest > LATE_SECONDS
    waits = f"{done.waiting} wait, the oldest for {spoken(round(done.oldest))}" if done.waiting else "none waits"
    moves = f"{waits}: {'; '.join(dict.fromkeys(done.troubles))}" if done.troubles else waits
    kept = f"{done.kept} in quarantine; `roundsman purges` says why" if done.kept else "none in quarantine"
    findings = (
        MOVES.against(
            moves, f"no change that an edge in trouble keeps for over {spoken(LATE_SECONDS)}", holds=not late
        ),
        TAKEN.against(kept, "none in quarantine", holds=not done.kept),
    )
    expected = "What an application says has changed is purged within a minute or two."
    return Verdict(CHECK, site.site, "", site.owner, expected, "", findings, observed=str(done))


def sampled(site: Site, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts of a proven sample, as verdicts on the site's purges."""
    return tuple(
        replace(
            verdict,
            check=SAMPLE,
            subject=site.site,
            observed=f"{verdict.subject}: {verdict.observed}".removesuffix(": "),
        )
        for verdict in verdicts
    )


def sample(site: Site, routes: Sequence[str], chance: float) -> str:
    """The route to prove: one of those that were purged and that everyone shares, by a `chance` of 0..1.

    Else the first canary of the site; empty where there is none either.
    """
    shared = [route for route in dict.fromkeys(routes) if _is_shared(site, route)]
    if shared:
        return shared[min(int(chance * len(shared)), len(shared) - 1)]
    return next((rule.purge.canary for rule in site.rules if rule.purge), "")


def _is_shared(site: Site, route: str) -> bool:
    rule = site.rule_for(route.removeprefix(site.base_url))
    return rule is not None and rule.cache.by is Audience.EVERYONE


def spoiled(verdicts: Iterable[Verdict], *, disturbed: bool) -> bool:
    """Whether a proof says nothing: its neighbours went, and the queue purged other routes meanwhile."""
    findings = [finding for verdict in verdicts for finding in verdict.findings]
    return disturbed and any(finding.claim == NEIGHBOUR.id and finding.outcome is Outcome.FAIL for finding in findings)


#: The part of a vendor's rate that is used; the rest is for people and other programs of the same account, and for
#: requests that are late on their way and then come together.
SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Bucket:
    """Holds `burst` tokens at most, and gets `per_second` new ones."""

    per_second: float
    burst: float

    @classmethod
    def below(cls, per_second: float, burst: float) -> "Bucket":
        """The bucket that stays below a vendor's rate."""
        return cls(SHARE * per_second, max(1.0, SHARE * burst))


@dataclass(frozen=True, slots=True)
class TokenLevel:
    """How many tokens there were at a time, in seconds. A time to come means that nothing is given out until then."""

    tokens: float
    at: float


def full(bucket: Bucket, now: float) -> TokenLevel:
    """The level of a bucket that nobody has taken from."""
    return TokenLevel(bucket.burst, now)


def take(bucket: Bucket, level: TokenLevel, now: float, cost: float = 1.0) -> tuple[TokenLevel, float]:
    """Take `cost` tokens: the new level and 0, or the level with nothing taken and the seconds to wait.

    What costs more than the bucket holds waits until it is full, and leaves a debt.
    """
    filled = TokenLevel(
        min(bucket.burst, level.tokens + max(0.0, now - level.at) * bucket.per_second), max(now, level.at)
    )
    missing = max(0.0, min(cost, bucket.burst) - filled.tokens)
    if missing or level.at > now:
        return filled, max(0.0, level.at - now) + missing / bucket.per_second
    return TokenLevel(filled.tokens - cost, filled.at), 0.0


def blocked(level: TokenLevel, now: float, seconds: float) -> TokenLevel:
    """The level after a vendor said how long to stay away: empty, and nothing is given out before that."""
    return TokenLevel(min(level.tokens, 0.0), max(level.at, now + seconds))
