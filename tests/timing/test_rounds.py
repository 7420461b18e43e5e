"""Which rounds are those before and after a release."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from roundsman.ledger.releases import keep_release
from roundsman.ledger.tables import FindingRow, LatencyRow, RunRow, VerdictRow
from roundsman.site.rules.release import Release, ReleaseSource
from roundsman.status.facts import around, read_facts
from roundsman.timing.comparisons import past
from roundsman.timing.rules.slowness import SlownessState
from tests.status.test_facts import site
from tests.watch.weeks import NOW

HOUR = timedelta(hours=1)


@pytest.fixture
def known(ledger):
    """Ten rounds, an hour apart, the last one now; each took its number in milliseconds, and the even ones were slow."""
    with Session(ledger.execution_options(writes=True)) as session, session.begin():
        for place in range(10):
            at = NOW - (9 - place) * HOUR
            run = RunRow(
                id=f"r{place}", site="shop", job="inspect-site", started_at=at, ended_at=at, outcome="pass", counts={}
            )
            session.add(run)
            session.flush()
            session.add(
                LatencyRow(
                    run_id=run.id, path="/a", cache_state="hit", samples=9, p50_ms=place, p95_ms=9, hits=8, asked=9
                )
            )
            verdict = VerdictRow(
                run_id=run.id,
                position=0,
                check="response-time",
                subject="/a",
                rule="articles",
                owner="web",
                outcome="pass",
                expected_result="",
                rollback="",
            )
            session.add(verdict)
            session.flush()
            outcome = "pass" if place % 2 else "fail"
            claim = {"claim": "response-time/hit-p95", "saw": "", "wanted": ""}
            session.add(FindingRow(verdict_id=verdict.id, position=0, outcome=outcome, **claim))
        for version, ago in (("a1", 100), ("b2", 6.5), ("c3", 2.5)):
            keep_release(session, "shop", Release(version, NOW - ago * HOUR, ReleaseSource.BOARD))
    return ledger


def milliseconds(timed_rounds):
    return [round(timed_round.times["/a", "hit"].p50 * 1000) for timed_round in timed_rounds]


@pytest.mark.parametrize(
    ("version", "before", "after"),
    [("", [0, 1, 2, 3, 4, 5, 6], [7, 8, 9]), ("c3", [0, 1, 2, 3, 4, 5, 6], [7, 8, 9]), ("b2", [0, 1, 2], [3, 4, 5, 6])],
)
def test_the_rounds_of_a_release_end_where_the_next_one_begins(known, version, before, after):
    with Session(known) as session:
        found = around(session, site(), version, NOW)
    assert (before, after) == (milliseconds(found.before), milliseconds(found.after))
    assert (version or "c3") == found.release.version
    assert {(8, 9)} == {(one.hits, one.asked) for timed_round in found.before for one in timed_round.times.values()}


@pytest.mark.parametrize(("name", "why"), [("shop", "no release z9 is known (known: a1, b2, c3)"), ("bare", "no rele")])
def test_a_release_that_nobody_told_of_is_none(known, name, why):
    with Session(known) as session:
        found = around(session, site().model_copy(update={"site": name}), "z9" if name == "shop" else "", NOW)
    assert found.release is None
    assert found.why.startswith(why)


def test_a_look_back_is_at_the_last_rounds_in_their_order(known):
    with Session(known) as session:
        found = past(session, "shop", 4)
    assert [6, 7, 8, 9] == milliseconds(found.rounds)
    assert ["a1", "b2", "c3"] == [one.version for one in found.releases]


def test_a_status_remembers_what_the_last_rounds_of_a_route_were(known):
    with Session(known) as session:
        (memory,) = read_facts(session, site(), NOW).memory
    assert ("/a", (SlownessState.OK, SlownessState.SLOW, SlownessState.OK)) == (memory.path, memory.states)
