"""What the ledger knows of a site, and what a look at it leaves there."""

from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from flows.tasks.status import record_health, record_release, ui
from roundsman.ledger.ledger import command_hash, write_round
from roundsman.ledger.rules.samples import ORIGIN, Sample, SampleKey
from roundsman.ledger.tables import HealthRow, LatencyRow, RehearsalRow, ReleaseRow, RunRow
from roundsman.report.rules.quantiles import Series
from roundsman.report.rules.rehearsed import OTHER_COMMAND, Rehearsal
from roundsman.report.rules.verdict import Outcome, Verdict
from roundsman.rollback.rules.judge import COMMAND, REHEARSED
from roundsman.site.rules.site import Site
from roundsman.status.facts import read_facts, read_jobs, stale_at
from roundsman.status.picture import history
from roundsman.status.rules.answers import status
from roundsman.status.rules.facts import Question
from roundsman.timing.rollup import roll_up
from roundsman.timing.samples import record_samples
from tests.ledger.rounds import VERDICTS, a_round
from tests.watch.weeks import HOUR, MINUTE, NOW, add, event, judged, look, release, slot, timed, walk, watch, week

DAY = timedelta(days=1)
RULE = {
    "name": "articles",
    "paths": ["/**"],
    "cache": {"by": "everyone"},
    "examples": {"cached": ["/a"]},
    "response_time": {"hit": {"p95": "50ms"}},
    "expected_result": "It is quick.",
    "rollback": {"note": "kept", "command": ["make", "back"]},
}


def site(url="http://127.0.0.1:1", **more):
    return Site.model_validate(
        {
            "site": "shop",
            "base_url": url,
            "owner": "web <w@example.com>",
            "health": {"path": "/health"},
            "rules": [RULE],
            "release": {"version": {"path": "/version", "json": "commit"}, "rollback": ["make", "rollback"]},
            "schedule": {"inspect": "7 * * * *"},
            **more,
        }
    )


def facts(ledger, known=None, now=NOW):
    with Session(ledger) as session:
        return read_facts(session, known or site(), now)


def rows(ledger, table):
    with Session(ledger) as session:
        return session.scalars(select(table).order_by(table.id)).all()


def test_a_round_keeps_its_response_times_in_milliseconds(ledger):
    walk(ledger, NOW, timed(p95=0.04), timed(p95=0.1234567, path="/b\0"), judged(), run="one")
    walk(ledger, NOW, timed(p95=0.5), run="one")
    kept = [
        (row.run_id, row.path, row.cache_state, row.samples, row.p50_ms, row.p95_ms) for row in rows(ledger, LatencyRow)
    ]
    assert [("one", "/a", "hit", 3, 20.0, 40.0), ("one", r"/b\x00", "hit", 3, 61.728, 123.457)] == kept


def test_a_round_without_samples_keeps_none(ledger):
    empty = replace(VERDICTS[0], series=(Series("/a", "hit", ()),))
    write_round(ledger, **a_round(verdicts=(*VERDICTS, empty)))
    assert 1 == len(rows(ledger, RunRow))
    assert [] == rows(ledger, LatencyRow)


def test_an_empty_ledger_leaves_every_question_unknown(ledger):
    answers = status(facts(ledger)).answers
    assert [Outcome.UNKNOWN] * 5 == [answer.outcome for answer in answers]


@pytest.mark.parametrize("rolled_up", [False, True])
def test_the_last_day_and_the_week_before_come_from_all_samples_of_the_edge_on_used_connections(ledger, rolled_up):
    key = SampleKey("shop", "articles", "/a", cache_state="hit")
    others = replace(key, warm=False), replace(key, series=ORIGIN)
    days = {0.5: 0.02, 3: 0.04, 6: 0.04, 12: 0.9}
    for age, seconds in days.items():
        begun = (NOW - timedelta(days=age)).timestamp()
        some = [Sample(key, begun + number, seconds, seconds) for number in range(20)]
        slow = [replace(one, key=other, first_byte=5.0) for one in some for other in others]
        record_samples(ledger, some + slow)
    if rolled_up:
        roll_up(ledger)
    (lately,) = facts(ledger).lately
    assert ("/a", "hit", 20) == (lately.path, lately.state, lately.samples)
    assert [20, 40] == pytest.approx([lately.p95_ms, lately.week_p95_ms], rel=0.0101)


def test_a_good_week_answers_every_question_well(ledger):
    week(ledger)
    told = {answer.question: answer for answer in status(facts(ledger)).answers}
    assert {Outcome.PASS} == {answer.outcome for answer in told.values()}
    assert "Yes: /health answers 200 in 12 ms." == told[Question.UP].says
    assert "No: all 2 budgets are kept; the slowest is a hit of /a, p95 40 ms." == told[Question.SLOW].says
    assert "No: 25 runs of the last day went well." == told[Question.JOBS].says
    assert "No: none of 3 claims changed with 77be210." == told[Question.RELEASE].says
    assert (7 * 144, 7 * 8) == (len(told[Question.UP].history), len(told[Question.SLOW].history))
    assert 60.0 == max(mark.ms for mark in told[Question.SLOW].history)


def test_a_bad_week_says_what_is_wrong_and_since_when(ledger):
    week(ledger, bad=True)
    told = {answer.question: answer for answer in status(facts(ledger)).answers}
    assert {Outcome.FAIL} == {answer.outcome for answer in told.values()}
    assert NOW - 10 * MINUTE == told[Question.UP].since
    assert NOW - 18 * HOUR - 20 * MINUTE == told[Question.SLOW].since
    assert NOW - 20 * HOUR == told[Question.RELEASE].since


def test_nothing_older_than_a_week_and_nothing_of_another_site_is_read(ledger):
    old = NOW - 8 * DAY
    add(ledger, look(old), look(site="blog"), slot(old), slot(site="blog"), event(old), event(site="blog"))
    walk(ledger, old)
    walk(ledger, NOW, site="blog")
    found = facts(ledger)
    assert () == found.looks + found.rounds + found.times + found.jobs.slots + found.jobs.troubles
    assert (None, "") == (found.timed, found.flow_run)


def test_a_round_of_another_job_does_not_speak_for_the_site(ledger):
    when = {"started_at": NOW, "ended_at": NOW}
    write_round(ledger, run_id="sweep", site="shop", job="sweep-site", verdicts=[timed()], **when)
    assert (None, ()) == (facts(ledger).timed, facts(ledger).rounds)


def test_the_last_round_that_took_times_is_the_one_that_speaks(ledger):
    walk(ledger, NOW - 2 * HOUR, timed(), run="timed")
    walk(ledger, NOW - HOUR, judged(), run="quick look")
    found = facts(ledger)
    assert ("flow-timed", "flow-quick look") == (found.timed.flow_run, found.flow_run)
    assert [40.0] == [mark.ms for mark in found.times]
    assert [NOW - 2 * HOUR, NOW - HOUR] == [mark.at for mark in found.rounds]


def test_a_round_is_stale_when_the_second_slot_after_it_has_come():
    assert NOW.replace(hour=14, minute=7) == stale_at(site(), NOW)
    weekdays = site(schedule={"inspect": "0 9 * * 1-5", "timezone": "Europe/Berlin"})
    friday = NOW.replace(day=6, hour=8, minute=0, second=30)
    assert NOW.replace(day=10, hour=8, minute=0) == stale_at(weekdays, friday)
    assert NOW + 2 * DAY == stale_at(site(schedule=None), NOW)


def test_a_round_is_not_stale_before_it_began_when_clocks_go_forward():
    often = site(schedule={"inspect": "*/15 * * * *", "timezone": "Europe/Berlin"})
    began = datetime(2026, 3, 29, 0, 47, tzinfo=UTC)
    assert datetime(2026, 3, 29, 1, 15, tzinfo=UTC) == stale_at(often, began)


def test_an_hourly_round_is_stale_after_an_hour_also_in_the_night_that_clocks_go_back():
    hourly = site(schedule={"inspect": "7 * * * *", "timezone": "Europe/Berlin"})
    began = datetime(2026, 10, 25, 0, 7, 5, tzinfo=UTC)
    assert datetime(2026, 10, 25, 2, 7, tzinfo=UTC) == stale_at(hourly, began)


def around(ledger):
    found = facts(ledger)
    return [walked and walked.flow_run for walked in (found.before, found.after)]


def test_a_deployment_lies_between_a_round_that_met_only_the_old_version_and_one_that_met_only_the_new(ledger):
    """The look at 12:00 still saw the old one, the look at 12:10 the new one: a round from 12:02 may have met either."""
    noon = NOW.replace(minute=0)
    add(ledger, look(noon), look(noon + 10 * MINUTE))
    add(ledger, release("a1", noon - 9 * DAY), release("b2", noon + 9 * MINUTE))
    for minutes in (-9, -2, 2, 8, 12, 16):
        walk(ledger, noon + minutes * MINUTE, run=str(minutes))
    assert ["flow--2", "flow-12"] == around(ledger)


def test_a_deployment_long_ago_is_still_compared(ledger):
    then = NOW - 30 * DAY
    add(ledger, release("a1", then - DAY), release("b2", then))
    walk(ledger, then - HOUR, run="before")
    walk(ledger, then + HOUR, run="after")
    assert ["flow-before", "flow-after"] == around(ledger)


def test_a_round_made_by_hand_for_one_check_is_not_compared_with_a_whole_one(ledger):
    add(ledger, release("a1", NOW - DAY), release("b2", NOW - 5 * HOUR))
    for hours, verdicts in ((8, ()), (7, (judged(),)), (4, (timed(),)), (3, ()), (2, ())):
        walk(ledger, NOW - hours * HOUR, *verdicts, run=f"{hours}")
    assert ["flow-8", "flow-3"] == around(ledger)


def test_without_a_deployment_nothing_is_compared(ledger):
    add(ledger, release("a1", NOW - DAY))
    walk(ledger, NOW - HOUR)
    assert [None, None] == around(ledger)


def test_a_rehearsal_counts_for_the_command_that_is_written_now(ledger):
    kept = {"site": "shop", "environment": "staging", "ok": True, "seconds": 47.0}
    kept |= {"from_version": "b", "to_version": "a"}
    for rule, command, days in (("release", "rollback", 3), ("release", "rollback", 2), ("articles", "another", 1)):
        digest = command_hash(["make", command])
        add(ledger, RehearsalRow(rule=rule, command_hash=digest, finished_at=NOW - days * DAY, **kept))
    proof = Rehearsal(ok=True, seconds=47.0, from_version="b", to_version="a", finished_at=NOW - 2 * DAY)
    other = replace(proof, finished_at=NOW - DAY, stale=OTHER_COMMAND)
    assert {"articles": other, "release": proof} == facts(ledger).rehearsals


def test_what_the_last_look_at_the_rollbacks_found_missing_is_known(ledger):
    """A round that did not look at them changes nothing, and one that found them well ends it."""

    def found(number, *, holds, claim=COMMAND):
        verdict = Verdict(
            "rollback-ready", "a", "a", "web", "", "make back", (claim.against("no target back", "", holds=holds),)
        )
        times = {"started_at": NOW + number * HOUR, "ended_at": NOW + number * HOUR}
        write_round(ledger, run_id=f"run-{number}", site="shop", job="inspect-site", **times, verdicts=[verdict])
        return facts(ledger).rollback_faults

    missing = {"make back": "no target back"}
    assert [missing, missing, {}, missing] == [
        found(0, holds=False), found(1, holds=True, claim=REHEARSED), found(2, holds=None), found(3, holds=False)
    ]  # fmt: skip


def test_a_pass_of_the_watch_that_could_not_look_does_not_count(ledger):
    add(ledger, watch(NOW - HOUR), watch(NOW, "could not look: Prefect does not answer"))
    assert NOW - HOUR == facts(ledger).jobs.watched_at


def test_how_large_a_sqlite_ledger_is_comes_with_the_jobs_that_keep_it(ledger):
    file = Path(ledger.url.database) if ledger.dialect.name == "sqlite" else None
    week(ledger)
    if file:
        with closing(ledger.raw_connection()) as opened:
            opened.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    with Session(ledger) as session:
        sizes = [read_jobs(session, site, NOW).ledger_bytes for site in ("", "shop")]
    assert [file.stat().st_size if file else 0, 0] == sizes


def test_jobs_of_no_site_are_read_by_themselves(ledger):
    add(ledger, slot(site="", deployment="publish-status"), slot(), event(site="", kind="late"))
    with Session(ledger) as session:
        shared = read_jobs(session, "", NOW)
    assert (["publish-status"], ["late"]) == (
        [one.deployment for one in shared.slots],
        [one.kind for one in shared.troubles],
    )


@pytest.mark.parametrize(
    ("given", "seen"),
    [("http://127.0.0.1:4200", "http://127.0.0.1:4200"), ("javascript:alert(1)", "")],
)
def test_a_link_leads_to_prefects_pages_only(given, seen):
    from prefect.settings import PREFECT_UI_URL, temporary_settings

    with temporary_settings({PREFECT_UI_URL: given}):
        assert seen == ui()


@contextmanager
def serving(answers):
    """A site whose answers are status and body by path; they can be changed while it serves."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            code, body = answers.get(self.path, (404, b""))
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def ours(url, ledger, monkeypatch):
    """The ledger as a task finds it."""
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    return ledger


@pytest.mark.parametrize(
    ("answer", "up", "code"), [((200, b"fine"), True, 200), ((503, b"secret body"), False, 503)], ids=["up", "down"]
)
async def test_a_look_at_the_health_is_written_down(ours, answer, up, code):
    with serving({"/health": answer}) as address:
        await record_health.fn(site(address))
    (row,) = rows(ours, HealthRow)
    assert ("shop", up, code, "") == (row.site, row.up, row.status, row.detail)
    assert row.first_byte_ms > 0


async def test_a_site_that_does_not_answer_is_written_down_with_the_reason(ours):
    await record_health.fn(site())
    (row,) = rows(ours, HealthRow)
    assert (False, 0, "connection refused at 127.0.0.1:1") == (row.up, row.status, row.detail)


async def test_a_version_is_written_down_when_it_changes_and_when_it_can_not_be_read(ours):
    answers = {}
    with serving(answers) as address:
        for body in (
            b'{"commit": "a1"}',
            b'{"commit": "a1"}',
            b'{"commit": "b2"}',
            b"<h1>",
            b"<h1>",
            b'{"commit": "b2"}',
        ):
            answers["/version"] = (200, body)
            await record_release.fn(site(address))
    assert [("shop", "a1"), ("shop", "b2"), ("shop", ""), ("shop", "b2")] == [
        (row.site, row.version) for row in rows(ours, ReleaseRow)
    ]


async def test_a_site_that_promises_neither_is_not_looked_at(ours):
    bare = site(health=None, release=None)
    await record_health.fn(bare)
    await record_release.fn(bare)
    assert [] == rows(ours, HealthRow) + rows(ours, ReleaseRow) + rows(ours, RunRow)


def test_a_picture_is_an_image_of_the_week_and_none_without_a_mark():
    import base64

    assert "" == history((), NOW)
    found = status_marks()
    kind, _, data = history(found, NOW, [NOW - DAY, NOW - 9 * DAY]).partition(",")
    drawn = base64.b64decode(data).decode()
    assert "data:image/svg+xml;base64" == kind
    assert "<script" not in drawn
    for colour in ("#1f7fc0", "#a67c00", "#7d7d7d", "#d55e00"):
        assert colour in drawn


def status_marks():
    from roundsman.status.rules.facts import Mark

    return tuple(Mark(NOW - place * 4 * HOUR, outcome, 3.0) for place, outcome in enumerate(Outcome))
