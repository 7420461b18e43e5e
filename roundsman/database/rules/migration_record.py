"""A rehearsal of migrations as it is remembered and quoted: from where to where, how long, and who had to wait."""

from dataclasses import dataclass
from datetime import datetime

from roundsman.database.rules.judge_migrations import factors_of
from roundsman.database.rules.migration_claims import seconds
from roundsman.database.rules.migration_facts import MigrationFacts
from roundsman.database.rules.migration_locks import blocked, holds, projected_seconds
from roundsman.database.rules.migration_plan import Migrations
from roundsman.report.rules.verdict import Outcome, Verdict, worst


@dataclass(frozen=True, slots=True)
class MigrationRehearsal:
    """One rehearsal. Times are seconds; what is projected is meant for production's rows."""

    database: str
    from_revision: str
    """Empty before the first."""
    to_revision: str
    outcome: str
    up_s: float
    projected_s: float
    down_s: float | None
    """None when they could not be taken back."""
    reads_blocked_s: float
    """Projected, the longest at once."""
    writes_blocked_s: float
    finished_at: datetime

    def words(self, now: datetime) -> str:
        """What a status or a notice quotes, such as `migrations 0007 to 0009 rehearsed 2 days ago: ...`."""
        since = (now - self.finished_at).total_seconds()
        ago = f"{since / 86400:.0f} days" if since >= 2 * 86400 else f"{since / 3600:.0f} hours"
        back = "can't be taken back" if self.down_s is None else f"down {seconds(self.down_s)}"
        waits = f"in production {seconds(self.projected_s)}, readers wait {seconds(self.reads_blocked_s)} at most"
        went = "" if self.outcome in {Outcome.PASS, Outcome.WARN} else f"; it came out {self.outcome}"
        way = f"{self.from_revision or 'nothing'} to {self.to_revision}"
        return f"migrations {way} rehearsed {ago} ago: up {seconds(self.up_s)}, {back}; {waits}{went}"


def recorded(
    name: str, plan: Migrations, facts: MigrationFacts, verdicts: list[Verdict], now: datetime
) -> MigrationRehearsal | None:
    """What to remember of a rehearsal; None when nothing was pending or nothing could be begun."""
    if facts.up is None:
        return None
    factors = factors_of(plan, facts)
    taken = [holds(leg, factors) for leg in facts.upgrades]
    reads, writes = (
        min(max(blocked(one, reads=reads).values(), default=0.0) for one in taken) for reads in (True, False)
    )
    down = facts.down.seconds if facts.down and not facts.down.error else None
    outcome = worst(verdict.outcome for verdict in verdicts).value
    up = min(leg.seconds for leg in facts.upgrades)
    took = min(projected_seconds(leg, factors) for leg in facts.upgrades)
    return MigrationRehearsal(
        name, ",".join(facts.start), ",".join(facts.heads), outcome, up, took, down, reads, writes, now
    )
