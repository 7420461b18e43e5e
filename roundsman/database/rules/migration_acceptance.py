"""Known faults of known migrations that a database file accepts for a time, with the reason."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

from roundsman.database.rules.acceptance import AcceptedMigration, settled, useless
from roundsman.database.rules.migration_facts import (
    BACK,
    CHECK,
    DOWN,
    SCHEMA,
    UPGRADE,
    MigrationFacts,
    Migrations,
    listed,
)
from roundsman.report.rules.verdict import Finding, Outcome, Verdict

#: Claims that say nothing of their own once the way down has failed.
_OF_THE_WAY_DOWN = frozenset({DOWN.id, SCHEMA.id, BACK.id})


def accept(verdicts: Sequence[Verdict], plan: Migrations, facts: MigrationFacts, today: date) -> list[Verdict]:
    """The verdicts of a rehearsal with what the plan accepts, and a warning for each entry that covers nothing.

    What is found of all pending migrations together is accepted when each of those that may have done it has an entry.
    """
    *alone, whole = verdicts
    used: set[AcceptedMigration] = set()
    done = [
        replace(verdict, findings=tuple(_settled(one, {revision}, plan, today, used) for one in verdict.findings))
        for verdict, revision in zip(alone, facts.pending, strict=False)
    ]
    findings = tuple(_settled(one, _blamed(one, facts), plan, today, used) for one in whole.findings)
    idle = useless(CHECK, _idle(plan, facts, used, whole))
    return [*done, replace(whole, findings=(*findings, *idle))]


def _settled(
    finding: Finding, blamed: set[str], plan: Migrations, today: date, used: set[AcceptedMigration]
) -> Finding:
    """The finding as it counts, if all that are blamed for it are accepted."""
    if finding.outcome is Outcome.PASS or finding.claim == UPGRADE.id:
        return finding
    entries = {one.revision: one for one in plan.accept if one.covers(finding.claim) and one.revision in blamed}
    if not blamed or set(entries) != blamed:
        return finding
    used |= set(entries.values())
    return settled(finding, min(entries.values(), key=lambda one: one.until), today)


def _blamed(finding: Finding, facts: MigrationFacts) -> set[str]:
    """The migrations that may have done what was found of all of them together."""
    down = facts.down
    if down and down.error and down.revisions and finding.claim in _OF_THE_WAY_DOWN:
        return {down.revisions[-1]}
    return set(facts.pending)


def _idle(
    plan: Migrations, facts: MigrationFacts, used: set[AcceptedMigration], whole: Verdict
) -> Iterator[tuple[str, str]]:
    """Entries that cover nothing, and why."""
    wrong = {one.claim for one in whole.findings if one.outcome is not Outcome.PASS}
    reached = not facts.trouble and not (facts.up and facts.up.error)
    for entry in plan.accept:
        said = f"{entry.claim} of {entry.revision}"
        if facts.trouble or entry in used:
            continue
        others = [revision for revision in facts.pending if revision != entry.revision]
        if entry.revision not in facts.pending:
            yield said, "it is not pending any more, or never was"
        elif any(entry.covers(claim) for claim in wrong) and others:
            yield said, f"it may as well be the fault of {listed(others)}, which nothing is accepted of"
        elif reached:
            yield said, "nothing is wrong there"
