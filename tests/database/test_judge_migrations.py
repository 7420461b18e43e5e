"""What is held against a rehearsal of migrations, by what was seen of it."""

from datetime import UTC, date, datetime

import pytest

from roundsman.database.rules.acceptance import AcceptedMigration
from roundsman.database.rules.judge_migrations import judge, recorded
from roundsman.database.rules.migration_acceptance import accept
from roundsman.database.rules.migration_facts import (
    MigrationBudget,
    MigrationFacts,
    MigrationRun,
    Migrations,
    MigrationStatement,
    Snapshot,
    seconds,
)

PLAN = Migrations(golden="SHOP_GOLDEN", url="SHOP_URL", smoke=("true",))


def statistics(*statements):
    """What is said of statistics once these were run; an UPDATE changes all 1000 pages."""
    ran = tuple(
        MigrationStatement(sql, 0, 1, "1", written={"page": 1000} if "UPDATE" in sql else {}) for sql in statements
    )
    rest = Snapshot((), {"page": 1000, "page_view": 1000}, {}, {}, frozenset(), 0)
    facts = MigrationFacts(
        "postgresql", pending={"1": ""}, before=rest, up=MigrationRun(ran, revisions=("1",)), upgraded=rest
    )
    (found,) = [one for one in judge("shop", "web", PLAN, facts)[-1].findings if one.claim.endswith("statistics")]
    return str(found.outcome), found.saw


@pytest.mark.parametrize(
    ("sql", "known"),
    [
        ("ANALYZE", True),
        ("analyze;", True),
        ("ANALYZE VERBOSE", True),
        ("ANALYZE page", True),
        ('ANALYZE VERBOSE author, public."page" (id, title);', True),
        ("ANALYZE (VERBOSE, SKIP_LOCKED) Page", True),
        ("ANALYZE page_view", False),
        ("ANALYZE page_view, homepage", False),
        ("ANALYZE author (page)", False),
        ("ANALYZE old.page", False),
    ],
)
def test_a_changed_table_is_known_once_it_was_looked_at_by_name(sql, known):
    seen = statistics("UPDATE page SET views = 1", sql)
    assert ("pass" if known else "warn") == seen[0]
    assert known or seen[1] == "changed, and not looked at since: page"


def test_a_look_before_a_change_is_none_since():
    assert "warn" == statistics("ANALYZE page", "UPDATE page SET views = 1")[0]


#: Rows of the copy, what is known of production's, which tables an ALTER's time grows with, and what is said.
SIZES = [
    ({"user": 1000}, {"user": 1000}, ("user",), "pass"),
    ({"user": 1000}, {"user": 50_000_000}, ("user",), "fail"),
    ({"user": 1000}, {}, ("user",), "unknown"),
    ({"user": 1000}, {"page": 7}, ("user", "page"), "unknown"),
    ({"user": 0}, {"user": 50_000_000}, ("user",), "unknown"),
    ({"user": 0}, {}, ("user",), "unknown"),
    ({"user": 0}, {"user": 0}, ("user",), "pass"),
    ({"user": 1000}, {"user": 0}, ("user",), "pass"),
    ({"user": 1000}, {}, (), "pass"),
    ({"page": 1000}, {}, ("user",), "pass"),
]
PROJECTED = ("db302-time", "db303-reads", "db303-writes", "db305-rows")


@pytest.mark.parametrize(("rows", "production", "grows", "outcome"), SIZES)
@pytest.mark.parametrize("known", ["live", "file"])
def test_what_grows_with_a_table_is_no_pass_while_nobody_knows_how_large_it_is(rows, production, grows, outcome, known):
    """A table that the migration makes itself, and what is instant whatever the size, grow with nothing."""
    plan = PLAN.model_copy(update={"rows": production if known == "file" else {}})
    took = MigrationStatement(
        "ALTER", 0, 0.5, "1", (("user", "AccessExclusiveLock"),), scanned={"user": 1000} if any(rows.values()) else {},
        tables=grows,
    )  # fmt: skip
    rest = Snapshot((), rows, {}, {}, frozenset(), 0)
    up = MigrationRun((took,), (0.5,), ("1",), 0.5)
    live = production if known == "live" else {}
    facts = MigrationFacts("postgresql", pending={"1": ""}, before=rest, up=up, upgraded=rest, live_rows=live)
    found = {
        one.claim.partition("/")[2]: one for verdict in judge("shop", "web", plan, facts) for one in verdict.findings
    }
    wanted = dict.fromkeys(PROJECTED, outcome) | ({"db305-rows": "warn"} if outcome == "fail" else {})
    assert wanted == {name: str(found[name].outcome) for name in PROJECTED}
    assert ("has no rows on the copy, or nobody knows" in found["db303-reads"].saw) is (outcome == "unknown")


def test_what_breaks_a_budget_on_the_copy_breaks_it_however_large_production_is():
    took = MigrationStatement("ALTER", 0, 2, "1", (("user", "AccessExclusiveLock"),), tables=("user",))
    rest = Snapshot((), {"user": 1000}, {}, {}, frozenset(), 0)
    facts = MigrationFacts(
        "postgresql", pending={"1": ""}, before=rest, up=MigrationRun((took,), (2,), ("1",), 2), upgraded=rest
    )
    found = {one.claim.partition("/")[2]: str(one.outcome) for one in judge("shop", "web", PLAN, facts)[0].findings}
    assert ("fail", "unknown") == (found["db303-reads"], found["db303-writes"])


#: Seconds of each upgrade with the load per core that the machine had, the budget, and what is concluded.
MEASURED = [
    ("the only run keeps it", [(0.5, 9.0)], "pass"),
    ("the only run breaks it on a quiet machine", [(1.5, 0.4)], "fail"),
    ("the only run breaks it, and nobody knows how busy the machine was", [(1.5, None)], "fail"),
    ("the only run breaks it on a busy machine", [(1.5, 2.0)], "unknown"),
    ("the only run breaks it by more than the machine is busy", [(4.0, 2.0)], "fail"),
    ("both keep it", [(0.9, 0.4), (0.5, 7.0)], "pass"),
    ("both break it", [(1.5, 0.4), (1.2, 0.6)], "fail"),
    ("the first breaks it", [(1.5, 0.4), (0.9, 0.4)], "unknown"),
    ("the second breaks it", [(0.9, 0.4), (1.5, 7.0)], "unknown"),
    ("both break it, the better one on a busy machine", [(6.0, 0.4), (1.5, 7.0)], "unknown"),
    ("both break it by far", [(60.0, 7.0), (40.0, 7.0)], "fail"),
]  # fmt: skip
TIMED = ("db302-time", "db303-reads", "db303-writes")


@pytest.mark.parametrize(("runs", "outcome"), [row[1:] for row in MEASURED], ids=[row[0] for row in MEASURED])
def test_a_time_is_judged_by_the_better_of_two_runs_and_is_unknown_when_they_disagree(runs, outcome):
    """The same migration failed six times on a machine at load 14, and never at load 5."""
    legs = [upgrade(*one) for one in runs]
    rest = Snapshot((), {"user": 1000}, {}, {}, frozenset(), 0)
    facts = MigrationFacts(
        "postgresql", pending={"1": ""}, before=rest, up=legs[0], upgraded=rest, down=MigrationRun(), downgraded=rest,
        again=legs[1] if legs[1:] else None, live_rows={"user": 1000},
    )  # fmt: skip
    plan = PLAN.model_copy(update={"budget": MigrationBudget(reads_blocked="1s", writes_blocked="1s", time="1s")})
    found = {name.partition("/")[2]: one for name, one in by_claim(plan, facts).items()}
    assert dict.fromkeys(TIMED, outcome) == {name: str(found[name].outcome) for name in TIMED}
    for name in TIMED:
        assert f"{seconds(min(runs)[0])} here" in found[name].saw
        if runs[0][1] is not None:
            assert f"load {' and '.join(f'{load:.2g}' for _, load in runs)} per core" in found[name].saw


def upgrade(took, load):
    """An ALTER that locks a table for so long."""
    statement = MigrationStatement(
        "ALTER TABLE user", 0, took, "1", (("user", "AccessExclusiveLock"),), tables=("user",)
    )
    return MigrationRun((statement,), (took,), ("1",), took, load=load)


def by_claim(plan, facts):
    return {one.claim: one for verdict in judge("shop", "web", plan, facts) for one in verdict.findings}


@pytest.mark.parametrize(("again", "outcome"), [(0.5, "warn"), (0.01, "unknown")])
def test_work_under_a_lock_is_timed_twice_as_well(again, outcome):
    def leg(took):
        locked = MigrationStatement("ALTER TABLE user", 0, 0.01, "1", (("user", "AccessExclusiveLock"),))
        return MigrationRun((locked, MigrationStatement("UPDATE page", 0.01, took, "1")), (1,), ("1",), 1)

    rest = Snapshot((), {"user": 1}, {}, {}, frozenset(), 0)
    facts = MigrationFacts("postgresql", pending={"1": ""}, before=rest, up=leg(0.5), upgraded=rest, again=leg(again))
    assert outcome == str(by_claim(PLAN, facts)["migration-rehearsal/db306-held"].outcome)


def test_what_is_remembered_of_a_rehearsal_is_its_better_run():
    rest = Snapshot((), {"user": 1}, {}, {}, frozenset(), 0)
    facts = MigrationFacts("postgresql", pending={"1": ""}, before=rest, up=upgrade(9, 7), again=upgrade(2, 7))
    done = recorded("shop", PLAN, facts, judge("shop", "web", PLAN, facts), datetime(2026, 3, 1, tzinfo=UTC))
    assert (2, 2, 2, 2) == (done.up_s, done.projected_s, done.reads_blocked_s, done.writes_blocked_s)


DAY = date(2026, 3, 1)
#: What is accepted, as (revision, claim, last day); whether the way down of 2 fails; the outcome of 1's locks, of the way
#: down of all, and words of the warning for an entry that covers nothing.
ACCEPTED = [
    ([], True, ("fail", "fail"), ""),
    ([("1", "db303", "2026-03-01")], True, ("pass", "fail"), ""),
    ([("1", "db303-reads", "2027-01-31")], True, ("pass", "fail"), ""),
    ([("1", "migration-rehearsal/db303-reads", "2027-01-31")], True, ("pass", "fail"), ""),
    ([("1", "DB303", "2027-01-31")], True, ("pass", "fail"), ""),
    ([("1", "db303-writes", "2027-01-31")], True, ("fail", "fail"), "db303-writes of 1: nothing is wrong there"),
    ([("1", "db303", "2026-02-28")], True, ("fail", "fail"), ""),
    ([("2", "db303", "2027-01-31")], True, ("fail", "fail"), "db303 of 2: nothing is wrong there"),
    ([("2", "db310", "2027-01-31")], True, ("fail", "pass"), ""),
    ([("1", "db310", "2027-01-31")], True, ("fail", "fail"), "db310 of 1: it may as well be the fault of 2"),
    ([("2", "db310", "2027-01-31")], False, ("fail", "pass"), "db310 of 2: nothing is wrong there"),
    ([("0", "db310", "2027-01-31")], True, ("fail", "fail"), "db310 of 0: it is not pending any more"),
]  # fmt: skip


@pytest.mark.parametrize(("entries", "fails", "outcomes", "warning"), ACCEPTED)
def test_a_known_fault_of_a_known_migration_is_accepted_until_its_last_day(entries, fails, outcomes, warning):
    plan = PLAN.model_copy(update={"accept": tuple(
        AcceptedMigration(revision=revision, claim=claim, because="at night", until=until) for revision, claim, until in entries
    )})  # fmt: skip
    rest = Snapshot((), {"user": 1000}, {}, {}, frozenset(), 0)
    up = MigrationRun((*upgrade(2, None).statements, MigrationStatement("SELECT 1", 2, 1, "2")), (2, 3), ("1", "2"), 3)
    down = (
        MigrationRun((), (), ("2",), 1, error="NotImplementedError") if fails else MigrationRun((), (), ("2", "1"), 1)
    )
    facts = MigrationFacts(
        "postgresql", pending={"1": "", "2": ""}, heads=("2",), before=rest, up=up, upgraded=rest, smoke="", down=down,
        downgraded=None if fails else rest, again=None if fails else up, upgraded_again=None if fails else rest,
        live_rows={"user": 1000},
    )  # fmt: skip
    first, _, whole = accept(judge("shop", "web", plan, facts), plan, facts, DAY)
    reads, down_again = (next(one for one in verdict.findings if name in one.claim) for verdict, name in ((first, "reads"), (whole, "downgrade")))  # fmt: skip
    assert outcomes == (str(reads.outcome), str(down_again.outcome))
    for found, was in ((reads, "user: 2s here"), (down_again, "NotImplementedError" if fails else "down in")):
        assert was in found.saw, "what was seen is always told"
    if entries and entries[0][2] < str(DAY):
        assert reads.saw.endswith("it was accepted until 2026-02-28 (at night), which is over")
    if outcomes[0] == "pass":
        assert reads.saw.startswith(f"accepted until {entries[0][2]} (at night): ")
    warned = [one for one in whole.findings if one.claim.endswith("/accept")]
    assert (
        [warning] == [one.saw.removeprefix("`accept` has ")[: len(warning)] for one in warned]
        if warning
        else not warned
    )
    if outcomes[1] == "pass" and fails:
        assert not [one for one in whole.findings if one.claim.endswith("db310-schema") and one.outcome != "pass"]


def test_a_migration_that_does_not_run_is_never_accepted():
    accepted = AcceptedMigration(revision="1", claim="db301", because="whatever", until="2027-01-31")
    plan = PLAN.model_copy(update={"accept": (accepted,)})
    rest = Snapshot((), {"user": 1000}, {}, {}, frozenset(), 0)
    facts = MigrationFacts(
        "postgresql", pending={"1": ""}, before=rest, up=MigrationRun((), (), ("1",), 1, error="SyntaxError")
    )
    assert "fail" == accept(judge("shop", "web", plan, facts), plan, facts, DAY)[0].outcome


@pytest.mark.parametrize(("rows", "production", "outcome"), [(0, 0, "pass"), (1000, 1000, "pass"), (10, 5000, "warn"), (0, None, "warn"), (0, 5000, "warn")])  # fmt: skip
def test_a_small_table_may_be_written_anew(rows, production, outcome):
    took = MigrationStatement("ALTER TABLE tag", 0, 0.01, "1", rewritten=("tag", "tag_pkey"), tables=("tag",))
    rest = Snapshot((), {"tag": rows}, {}, {}, frozenset(), 0)
    live = {} if production is None else {"tag": production}
    up = MigrationRun((took,), (0.01,), ("1",), 0.01)
    facts = MigrationFacts("postgresql", pending={"1": ""}, before=rest, up=up, upgraded=rest, live_rows=live)
    found = by_claim(PLAN, facts)["migration-rehearsal/db304-rewrites"]
    assert (outcome, True) == (found.outcome, found.saw.startswith("tag, tag_pkey"))
