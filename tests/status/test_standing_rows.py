"""What stands of each claim, as the ledger has it: whichever job looked last."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from roundsman.database.rules.promise import Database
from roundsman.ledger.ledger import write_round
from roundsman.ledger.tables import SweepRow, write_groups
from roundsman.report.rules.verdict import Finding, Outcome, Severity, Verdict
from roundsman.status.rules.answers import status
from roundsman.status.rules.facts import Question
from roundsman.status.standing import read_review
from roundsman.sweep.rules.judge import ANSWERED
from tests.status.test_facts import facts, site
from tests.watch.weeks import HOUR, MINUTE, NOW, add, judged, slot, timed, walk, watch

F, P = Outcome.FAIL, Outcome.PASS


def leak(outcome=F, subject="/inbox"):
    claim = "logged-in-traffic/leak"
    harm = Severity.CRITICAL if outcome is F else None
    finding = Finding(claim, "Nobody gets it.", outcome, "stranger got a page of ada", "nobody's", (), harm)
    return Verdict("logged-in-traffic", subject, "articles", "privacy", "Only she reads it.", "make back", (finding,))


def other(check, subject, outcome=F):
    finding = Finding(f"{check}/claim", "It holds.", outcome, "saw", "wanted")
    return Verdict(check, subject, "articles", "web", "It holds.", "", (finding,))


def job(ledger, name, at, *verdicts, whole=False):
    run = f"{name}-{at.isoformat()}"
    when = {"started_at": at, "ended_at": at + MINUTE}
    write_round(
        ledger, run_id=run, site="shop", job=name, verdicts=verdicts, whole=whole, flow_run_id=f"flow-{run}", **when
    )


def answer(ledger, known=None, question=Question.PROMISES):
    return next(one for one in status(facts(ledger, known)).answers if one.question is question)


def test_a_leak_is_told_with_route_severity_since_owner_rollback_and_run(ledger):
    walk(ledger, NOW - 4 * HOUR, judged(), leak(P))
    for hours in (3, 2, 1):
        walk(ledger, NOW - hours * HOUR, judged(), leak(), run=f"{hours}")
    said = answer(ledger)
    assert F is said.outcome
    assert said.says.startswith("No: CRITICAL logged-in-traffic/leak on /inbox: saw stranger got a page of ada, ")
    assert (NOW - 3 * HOUR, "privacy", "Only she reads it.") == (said.since, said.owner, said.expected)
    assert ("make back", "never rehearsed") == (said.rollback, said.rehearsed)
    assert ("/inbox", Severity.CRITICAL, "flow-1") == (
        said.fault.group.where,
        said.fault.group.severity,
        said.fault.flow_run,
    )
    counts = facts(ledger).promises.counts
    assert (1, 1) == (counts["logged-in-traffic", F, "critical"], counts["cache-headers", P, ""])


def test_no_answer_quotes_a_rollback_that_the_last_round_found_to_be_missing(ledger):
    saw = "no target back (of `make back`)"
    gone = Finding("rollback-ready/command", "", F, saw, "a rule in its makefile")
    unready = Verdict("rollback-ready", "articles", "articles", "web", "", "make back", (gone,))
    walk(ledger, NOW - 20 * MINUTE, leak(), timed(F), unready)
    for question in (Question.PROMISES, Question.SLOW):
        said = answer(ledger, question=question)
        assert (f"cannot be run: {saw}", "") == (said.rollback, said.rehearsed)


OTHERS = [
    ("compare-release", other("compare-release", "/a")),
    ("purge-published", other("purge-queue", "shop")),
    ("purge-published", other("purge-sample", "/a")),
    ("purge-routes", other("targeted-purge", "/a")),
    ("rehearse-release", other("rehearse-release", "release")),
]


@pytest.mark.parametrize(("name", "verdict"), OTHERS, ids=[verdict.check for _, verdict in OTHERS])
def test_what_another_job_found_broken_is_no_green_either_until_that_job_looks_again(ledger, name, verdict):
    job(ledger, name, NOW - 30 * MINUTE, verdict, whole=name == "compare-release")
    walk(ledger, NOW - 10 * MINUTE)
    assert (F, f"No: {verdict.check}/claim") == (answer(ledger).outcome, answer(ledger).says.partition(" on ")[0])
    well = replace(verdict, findings=(verdict.findings[0]._replace(outcome=P),))
    job(ledger, name, NOW - 5 * MINUTE, well, whole=name == "compare-release")
    assert P is answer(ledger).outcome


def test_a_sample_of_another_page_does_not_clear_a_page_that_was_not_purged_and_a_proof_of_it_does(ledger):
    walk(ledger, NOW - 50 * MINUTE)
    job(ledger, "purge-published", NOW - 40 * MINUTE, other("purge-sample", "/a"))
    job(ledger, "purge-published", NOW - 30 * MINUTE, other("purge-sample", "/b", P))
    assert F is answer(ledger).outcome
    job(ledger, "purge-routes", NOW - 20 * MINUTE, other("targeted-purge", "/a", P))
    assert P is answer(ledger).outcome


def test_a_purge_by_hand_that_is_proven_clears_the_canary_of_the_last_round(ledger):
    walk(ledger, NOW - 50 * MINUTE, judged(), other("targeted-purge", "/a"))
    assert F is answer(ledger).outcome
    job(ledger, "purge-routes", NOW - 20 * MINUTE, other("targeted-purge", "/a", P))
    assert P is answer(ledger).outcome


def test_what_a_comparison_can_not_tell_yet_is_no_trouble_of_the_site(ledger):
    walk(ledger, NOW - 10 * MINUTE)
    job(ledger, "compare-release", NOW - 5 * MINUTE, other("compare-release", "/a", Outcome.UNKNOWN), whole=True)
    assert P is answer(ledger).outcome


def test_the_last_sweep_that_has_ended_counts(ledger):
    walk(ledger, NOW - 10 * MINUTE)
    gone = Verdict("sweep", "/gone", "articles", "web", "", "", (ANSWERED.against(404, 200, holds=False),))
    for age, verdicts, done in ((3, [], True), (2, [gone], True), (1, [], False)):
        edition = SweepRow(
            site="shop", edition=f"{age}", status="done" if done else "sweeping", listed=9, started_at=NOW - age * HOUR
        )
        add(ledger, edition)
        with Session(ledger.execution_options(writes=True)) as session, session.begin():
            write_groups(session.connection(), 4 - age, 0, verdicts)
    assert "No: sweep/status on /gone: saw 404, wanted 200." == answer(ledger).says
    assert 8 == facts(ledger).promises.counts["sweep", P, ""]


def test_a_round_by_hand_for_one_check_counts_for_this_check(ledger):
    walk(ledger, NOW - 20 * MINUTE, judged(F), leak())
    job(ledger, "inspect-site", NOW - 10 * MINUTE, leak(P))
    assert "No: cache-headers/storable on /a: saw private, wanted neither private nor no-store." == answer(ledger).says


def test_a_site_with_rounds_by_hand_only_has_had_runs(ledger):
    add(ledger, watch(NOW))
    job(ledger, "inspect-site", NOW - 10 * MINUTE, judged(), whole=True)
    said = answer(ledger, site(schedule=None), Question.JOBS)
    assert (P, "No: 1 run by hand went well in the last day, the last 9 minutes ago.") == (said.outcome, said.says)


def test_a_run_that_its_slot_knows_is_counted_once(ledger):
    walk(ledger, NOW - 10 * MINUTE, run="one")
    add(ledger, watch(NOW), slot(NOW - 10 * MINUTE, flow_run_id="flow-one"))
    assert "No: 1 run of the last day went well." == answer(ledger, question=Question.JOBS).says


@pytest.mark.parametrize(("age", "outcome"), [(1, P), (3, Outcome.UNKNOWN)])
def test_promises_that_nobody_looked_at_in_time_are_unknown(ledger, age, outcome):
    walk(ledger, NOW - age * HOUR)
    assert outcome is answer(ledger).outcome


def test_rounds_of_before_nobody_knows_whether_they_were_whole_are_not_called_well_and_still_tell_what_failed(ledger):
    job(ledger, "inspect-site", NOW - 20 * MINUTE, judged(), timed())
    assert "Unknown: no round has made every check yet, only cache-headers, response-time." == answer(ledger).says
    job(ledger, "inspect-site", NOW - 30 * MINUTE, leak())
    assert F is answer(ledger).outcome


def test_a_review_speaks_for_its_database_and_not_for_the_site_of_the_same_name(ledger):
    walk(ledger, NOW - 10 * MINUTE)
    job(ledger, "review-database", NOW - 5 * MINUTE, other("indexes", "orders"), whole=True)
    assert P is answer(ledger).outcome
    named = {"database": "shop", "owner": "data", "expected_result": "Quick.", "rollback": {"note": "x"}}
    shop = Database.model_validate({**named, "url": {"env": "SHOP"}})
    with Session(ledger) as session:
        known = read_review(session, shop, lambda at: at + timedelta(days=1))
    assert ["indexes/claim"] == [one.group.claim for one in known.faults]


def test_a_round_that_is_dated_ahead_of_now_speaks_for_nothing_and_is_reported(ledger):
    """It was recorded while a clock was wrong; else it would be the last word for weeks."""
    walk(ledger, NOW - HOUR, judged(), leak())
    ahead = datetime.now(UTC) + timedelta(days=30)
    walk(ledger, ahead, judged(), leak(P), timed(), run="ahead")
    said = answer(ledger)
    assert F is said.outcome
    assert (
        f"1 round is dated ahead of now, up to {ahead:%Y-%m-%d %H:%M} UTC, and left out: a clock was wrong"
        in said.details
    )
    assert answer(ledger, question=Question.SLOW).outcome is not P
