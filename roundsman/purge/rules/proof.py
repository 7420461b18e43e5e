"""What happened during a proof of a purge, as facts, and how long a proof waits for what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from roundsman.http.cache_status import cache_state
from roundsman.http.freshness import directives, seconds
from roundsman.purge.rules.evidence import Terms, age_stands_still
from roundsman.purge.rules.plan import Plan
from roundsman.purge.rules.views import Scene, View
from roundsman.report.rules.exchange import Exchange
from roundsman.site.rules.promises import Rule

#: Requests made to see two HITs in a row before the purge, and one HIT after it.
TRIES = 5
#: Seconds in which an old copy is looked at again, to tell a late purge from none.
PATIENCE = 5.0
#: Seconds: the shortest and the longest wait for a fetch that was under way during the purge.
FLIGHT = (1.0, 5.0)


@dataclass(frozen=True, slots=True)
class Purged:
    """One time that all requests of a plan were sent: when, and what was answered.

    `unsettled` is empty, or what the edge had not done when the patience for it was over. `partly`: only the variants
    that were still old.
    """

    started: float
    ended: float
    answers: str
    unsettled: str = ""
    partly: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """What happened, in order; times are on the prober's clock. `warm` is every request before the purge.

    `seen` are first answers of the targets and of where they lead. `before` is one more look right before the purge, at
    what sends an Age: it shows whether an Age grows, and that the copy was still there. `after` are the looks at the
    targets after the last purge, `others` those at the rest, `late` once more those at the targets. `changed`, `soft`:
    as it was wished;
    `labels_tell`, `one_variant`: as the edge is.
    """

    plan: Plan
    scene: Scene = field(default_factory=Scene)
    seen: Mapping[str, Sequence[Exchange]] = field(default_factory=dict)
    warm: Mapping[View, Sequence[Exchange]] = field(default_factory=dict)
    before: Mapping[View, Exchange] = field(default_factory=dict)
    touch_problem: str = ""
    purges: Sequence[Purged] = ()
    problem: str = ""
    permanent: bool = False
    after: Mapping[View, Sequence[Exchange]] = field(default_factory=dict)
    others: Mapping[View, Exchange] = field(default_factory=dict)
    late: Mapping[View, Exchange] = field(default_factory=dict)
    changed: bool = False
    soft: bool = False
    labels_tell: bool = True
    one_variant: bool = False

    def terms(self, rule: Rule, view: View, *, first: bool = False, certain: bool = True) -> Terms:
        """What an answer to a view is held against: the last purge of all variants, or the first one."""
        marker = rule.purge.marker if rule.purge else None
        purged_at = [one for one in self.purges if not one.partly][0 if first else -1].started
        again = self.before.get(view)
        age_tells = again is None or not age_stands_still(self.warm[view][-1], again)
        return Terms(marker, purged_at, self.changed, certain, self.labels_tell and not self.soft, age_tells)


def flight(rule: Rule | None, seen: Sequence[Exchange]) -> float:
    """Seconds after which a fetch that was under way has ended: the longest that the origin took, and took before."""
    took = [exchange.phases.first_byte for exchange in seen if cache_state(exchange).from_store is False]
    budget = rule.response_time.miss.p95 if rule and rule.response_time and rule.response_time.miss else None
    return min(FLIGHT[1], max(FLIGHT[0], budget or 0.0, *took))


def stale_window(seen: Sequence[Exchange]) -> float:
    """Seconds in which a copy may be served stale while a new one is fetched (RFC 5861), as far as we wait for it."""
    said = [seconds(directives(one.header("cache-control")).get("stale-while-revalidate")) or 0 for one in seen]
    return float(min(FLIGHT[1], max(said, default=0)))
