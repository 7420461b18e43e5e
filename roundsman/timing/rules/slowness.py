"""What the last rounds together say of a route's speed: slow, degraded or down only when so many of them agree."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.promises import AlertPolicy


class SlownessState(StrEnum):
    """What one round, or several together, say of a route. From light to heavy."""

    UNKNOWN = "unknown"
    OK = "ok"
    DEGRADED = "degraded"
    SLOW = "slow"
    DOWN = "down"

    @property
    def weight(self) -> int:
        """Higher is worse; below all others where nobody could tell."""
        return list(SlownessState).index(self)

    @property
    def outcome(self) -> Outcome:
        """As a status takes it."""
        return _OUTCOMES[self]


_OUTCOMES = {
    SlownessState.UNKNOWN: Outcome.UNKNOWN,
    SlownessState.OK: Outcome.PASS,
    SlownessState.DEGRADED: Outcome.WARN,
    SlownessState.SLOW: Outcome.FAIL,
    SlownessState.DOWN: Outcome.FAIL,
}


@dataclass(frozen=True, slots=True)
class Memory:
    """One route in the last rounds that timed it, the newest at the end."""

    path: str
    states: tuple[SlownessState, ...]

    def settled(self, policy: AlertPolicy) -> SlownessState:
        """The heaviest state that so many of the last rounds are in, or in a heavier one (K of N).

        Where there were fewer rounds than K, all of them must be. Rounds that could not tell do not count.
        """
        known = [one for one in self.states if one is not SlownessState.UNKNOWN][-policy.rounds :]
        wanted = min(policy.bad, len(known))
        agreed = [one for one in SlownessState if sum(each.weight >= one.weight for each in known) >= wanted]
        return agreed[-1] if known else SlownessState.UNKNOWN

    def count(self, state: SlownessState, policy: AlertPolicy) -> tuple[int, int]:
        """In how many of how many of the last rounds it was so, or worse."""
        known = [one for one in self.states if one is not SlownessState.UNKNOWN][-policy.rounds :]
        return sum(one.weight >= state.weight for one in known), len(known)


def state_of(claims: Iterable[tuple[str, Outcome]]) -> SlownessState:
    """What one round's response-time claims and their outcomes say of one route.

    Down: nobody answered, or with another status. Slow: a budget is exceeded beyond doubt. Degraded: within the
    sample's doubt, or some requests were not answered in time.
    """
    told = {claim.partition("/")[2]: outcome for claim, outcome in claims}
    budgets = [outcome for name, outcome in told.items() if name.endswith(("-p50", "-p95", "-p99"))]
    broken = told.get("answers") is Outcome.UNKNOWN
    if told.get("status") is Outcome.FAIL or (broken and not budgets):
        return SlownessState.DOWN
    if Outcome.FAIL in budgets:
        return SlownessState.SLOW
    if Outcome.WARN in budgets or told.get("sent") is Outcome.WARN or broken:
        return SlownessState.DEGRADED
    return SlownessState.OK if Outcome.PASS in budgets else SlownessState.UNKNOWN


def remembered(memories: Sequence[Memory], policy: AlertPolicy) -> tuple[SlownessState, str, tuple[str, ...]]:
    """The heaviest state of all routes, a sentence about it, and one about each route that is not well."""
    settled = {one: one.settled(policy) for one in memories}
    worst = max(settled.values(), key=lambda state: state.weight, default=SlownessState.UNKNOWN)
    bad = [one for one, state in settled.items() if state.weight > SlownessState.OK.weight]
    lines = tuple(f"{one.path}: {_counted(one, settled[one], policy)}" for one in bad)
    heaviest = [one for one in bad if settled[one] is worst]
    if not heaviest:
        return worst, "", lines
    first = heaviest[0]
    more = f" and {len(heaviest) - 1} more" if len(heaviest) > 1 else ""
    return worst, f"{first.path}{more}: {_counted(first, worst, policy)}", lines


def _counted(one: Memory, state: SlownessState, policy: AlertPolicy) -> str:
    many, among = one.count(state, policy)
    return f"{state} in {many} of the last {among} rounds" if among > 1 else f"{state} in the only round"
