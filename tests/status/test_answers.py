"""The questions: each answer by what is known, and unknown where nothing fresh is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.alerts.rules.runbook import RUNBOOKS, Command, NothingToUndo, Runbook
from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.rules.retention import COMFORT_BYTES
from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.health import is_up, version_of
from roundsman.site.rules.release import Release, ReleaseSource
from roundsman.site.rules.site import Health, Version
from roundsman.status.rules.answers import shared, status, timing
from roundsman.status.rules.facts import (
    Facts,
    HealthLook,
    JobFacts,
    Latency,
    Mark,
    PromisedRun,
    Question,
    RecentLatency,
    RecordedFinding,
    RecordedTrouble,
    Round,
)
from roundsman.timing.rules.slowness import Memory, SlownessState
from tests.make import exchange, site

NOW = datetime(2026, 3, 8, 12, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SHOP = site(
    {"response_time": {"hit": {"p95": "50ms"}}},
    health={"path": "/health"},
    release={"version": {"path": "/version"}, "rollback": ["make", "back"]},
)
P, W, U, F = Outcome.PASS, Outcome.WARN, Outcome.UNKNOWN, Outcome.FAIL


def ago(**age):
    return NOW - timedelta(**age)


def looks(ups, every=5, last=0):
    """Looks, a `+` when it was up, the last of them `last` minutes ago."""
    ages = [last + every * number for number in reversed(range(len(ups)))]
    return tuple(
        HealthLook(ago(minutes=age), up == "+", 200 if up == "+" else 503, 12.4)
        for age, up in zip(ages, ups, strict=True)
    )


def told(claim="hit-p95", outcome=P, check="response-time", subject="/a", saw="p95 60ms (55ms to 70ms, 80 samples)"):
    return RecordedFinding(
        check, subject, f"{check}/{claim}", outcome, saw, "at most 50ms", "articles", "web", "Quick.", "make x"
    )


def walked(*findings, started=20, stale=100, latencies=(), run="run-1"):
    return Round(ago(minutes=started), NOW + stale * MINUTE, run, findings, latencies)


def ask(question, known=SHOP, **facts):
    return next(one for one in status(Facts(known, NOW, **facts)).answers if one.question is question)


UP = [
    ("up", looks("++"), P, "Yes: /health answers 200 in 12 ms.", 5),
    ("up again", looks("-++"), P, "Yes: /health answers 200 in 12 ms; it was down in 1 of 3 looks of the last day.", 5),
    ("down", looks("+--"), F, "No: /health answers 503.", 5),
    ("just down", looks("+-"), F, "No: /health answers 503.", 0),
    ("no answer", (HealthLook(NOW, up=False, status=0, first_byte_ms=0.0, detail="connection refused"),), F, "No: /health does not answer: connection refused.", 0),
    ("nobody looked", (), U, "Unknown: nobody has looked this week.", None),
    ("just fresh", looks("+", last=10), P, "Yes: /health answers 200 in 12 ms.", 10),
    ("stale", looks("+", last=11), U, "Unknown: the last look was 11 minutes ago; it was up.", 11),
    ("stale and down", looks("-", last=180), U, "Unknown: the last look was 3 hours ago; it was down.", 180),
    ("a gap in looking", looks("++", every=60), P, "Yes: /health answers 200 in 12 ms.", 0),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "outcome", "says", "since"), [row[1:] for row in UP], ids=[row[0] for row in UP])
def test_whether_it_is_up_is_said_by_the_last_looks(seen, outcome, says, since):
    answer = ask(Question.UP, looks=seen)
    assert (outcome, says) == (answer.outcome, answer.says)
    assert answer.since == (None if since is None else ago(minutes=since))
    assert ("web <w@example.com>", "/health answers 200.") == (answer.owner, answer.expected)
    assert ("make back", "never rehearsed") == (answer.rollback, answer.rehearsed)


def test_a_site_without_a_health_path_is_not_called_up():
    answer = ask(Question.UP, site(), looks=looks("+"))
    assert (U, "Unknown: the site file names no health path.") == (answer.outcome, answer.says)


SLOW = [
    ("within", walked(told(), latencies=(Latency("/a", "hit", 80, 20.0, 43.4), Latency("/b", "hit", 80, 2.0, 4.0))), P, "No: its budget is kept; the slowest is a hit of /a, p95 43 ms."),
    ("all within", walked(told(), told()), P, "No: all 2 budgets are kept."),
    ("exceeded", walked(told(), told(outcome=F)), F, "Yes: 1 of 2 budgets is exceeded. /a hit-p95: saw p95 60ms, wanted at most 50ms."),
    ("perhaps", walked(told(outcome=W)), W, "Perhaps: 1 of 1 budgets is exceeded, within the sample's doubt. /a hit-p95: saw p95 60ms, wanted at most 50ms."),
    ("too few samples", walked(told(outcome=U, saw="3 samples")), U, "Unknown: 1 of 1 budgets is not to be judged. /a hit-p95: saw 3 samples, wanted at most 50ms."),
    ("an error page is not slow", walked(told(), told("status", F, saw="500")), U, "Unknown: 1 of 2 budgets is not to be judged. /a status: saw 500, wanted at most 50ms."),
    ("stale", walked(told(), started=300, stale=-1), U, "Unknown: the last round that took times began 5 hours ago."),
    ("stale and exceeded", walked(told(outcome=F), started=300, stale=-1), U, "Unknown: the last round that took times began 5 hours ago."),
    ("never", None, U, "Unknown: no round has taken response times this week."),
    ("only the health path", walked(told("up")), U, "Unknown: no round has taken response times this week."),
]  # fmt: skip


@pytest.mark.parametrize(("timed", "outcome", "says"), [row[1:] for row in SLOW], ids=[row[0] for row in SLOW])
def test_whether_it_is_slow_is_said_by_the_budgets_of_the_last_round(timed, outcome, says):
    answer = ask(Question.SLOW, timed=timed)
    assert (outcome, says) == (answer.outcome, answer.says)


def test_the_slowest_route_of_the_last_day_is_shown_for_each_cache_state():
    lately = (
        RecentLatency("/a", "hit", 4000, 20.4, 18.0),
        RecentLatency("/b", "hit", 90, 30.0),
        RecentLatency("/a", "miss", 80, 200.0, 150.4),
        RecentLatency("/a", "", 7, 2.04),
    )
    assert (
        "in the last day the slowest is /a: p95 2.0 ms in 7 samples",
        "in the last day the slowest is a hit of /b: p95 30 ms in 90 samples",
        "in the last day the slowest is a miss of /a: p95 200 ms in 80 samples, 150 ms in the week before",
    ) == ask(Question.SLOW, timed=walked(told()), lately=lately).details


def test_a_slow_route_names_its_own_runbook_its_rehearsal_and_the_run():
    proof = {"articles": Rehearsal(ok=True, seconds=47.0, from_version="b", to_version="a", finished_at=ago(days=2))}
    history = tuple(Mark(ago(hours=hours), outcome) for hours, outcome in ((3, P), (2, F), (1, F)))
    answer = ask(Question.SLOW, timed=walked(told(outcome=F)), times=history, rehearsals=proof, ui="http://ui/")
    assert ("web", "Quick.", "make x") == (answer.owner, answer.expected, answer.rollback)
    assert ("rehearsed 2 days ago, 47 s, b to a", ago(hours=2)) == (answer.rehearsed, answer.since)
    assert "http://ui/runs/flow-run/run-1" == answer.link
    assert ("/a hit-p95: saw p95 60ms (55ms to 70ms, 80 samples), wanted at most 50ms",) == answer.details


def test_a_rollback_that_was_found_missing_is_no_answer():
    faults = {"make x": "no target x", "make back": "no program make"}
    slow = ask(Question.SLOW, timed=walked(told(outcome=F)), rollback_faults=faults)
    assert ("cannot be run: no target x", "") == (slow.rollback, slow.rehearsed)
    assert "cannot be run: no program make" == ask(Question.UP, looks=looks("--"), rollback_faults=faults).rollback


def test_without_a_budget_nobody_can_tell_whether_it_is_slow():
    assert "Unknown: no rule has a response-time budget." == ask(Question.SLOW, site()).says


TIMING = [
    ([], None),
    ([("response-time/up", F)], None),
    ([("response-time/up", F), ("response-time/hit-p95", P)], P),
    ([("response-time/hit-p95", P), ("response-time/hit-p95", W)], W),
    ([("response-time/status", F)], U),
    ([("response-time/looked", U), ("response-time/miss-p50", F)], F),
]


@pytest.mark.parametrize(("claims", "outcome"), TIMING)
def test_a_rounds_speed_is_the_worst_of_its_budgets(claims, outcome):
    assert outcome == timing(claims)


def slot(state="finished", minutes=30, deployment="inspect-shop", **more):
    at = ago(minutes=minutes)
    return PromisedRun(
        deployment, at, state, **{"ended": at if state != "not_started" else None, "flow_run": f"r{minutes}"} | more
    )


def trouble(kind="crashed", minutes=30, key="gone", **more):
    return RecordedTrouble(
        **{"deployment": "inspect-shop", "kind": kind, "at": ago(minutes=minutes), "key": key} | more
    )


JOBS = [
    ("well", [slot(), slot(minutes=90)], [], P, "No: 2 runs of the last day went well.", 90),
    ("did not start", [slot(minutes=90), slot("not_started")], [], F, "Yes: 30 minutes ago inspect-shop did not start.", 30),
    ("two in a row", [slot("did_nothing", 90), slot("too_fast")], [], F, "Yes: 30 minutes ago inspect-shop ended too fast to have done its work.", 90),
    ("a run that hangs", [replace(slot("overrun", 1441), ended=None), slot()], [trouble("overrun", 1, "r1441")], F, "Yes: 1 minute ago inspect-shop ran too long.", 1),
    ("recovered", [slot("overrun", 90), slot()], [], W, "Not now: 1 of 2 runs of the last day went wrong, the last 1 hour ago: inspect-shop ran too long.", 90),
    ("another job runs well", [slot("failed", 90), slot(deployment="purge-shop")], [], F, "Yes: 1 hour ago inspect-shop failed.", 90),
    ("two jobs", [slot("failed", 90), slot("failed", deployment="purge-shop")], [], F, "Yes: 30 minutes ago purge-shop failed; 1 other job went wrong too.", 30),
    ("could not speak", [slot(minutes=90)], [trouble()], F, "Yes: 30 minutes ago inspect-shop crashed.", 30),
    ("spoke and recovered", [slot(minutes=10)], [trouble("late")], W, "Not now: 1 of 2 runs of the last day went wrong, the last 30 minutes ago: inspect-shop was late.", 30),
    ("told twice, counted once", [slot("failed"), slot(minutes=10)], [trouble(key="r30")], W, "Not now: 1 of 2 runs of the last day went wrong, the last 30 minutes ago: inspect-shop failed.", 30),
    ("a slot's key", [slot("not_started", flow_run=""), slot(minutes=10)], [trouble("not_started", 28, slot("not_started").key)], W, "Not now: 1 of 2 runs of the last day went wrong, the last 30 minutes ago: inspect-shop did not start.", 30),
    ("overlapping", [slot(overlapped=True)], [], W, "Not now: 1 of 1 run of the last day went wrong, the last 30 minutes ago: inspect-shop overlapped with another run.", 30),
    ("the day before", [slot("failed", 1500), slot()], [], P, "No: 1 run of the last day went well.", 30),
    ("a self-test is missed on purpose", [slot("not_started", deployment="self-test"), slot()], [trouble("not_started", deployment="self-test")], P, "No: 1 run of the last day went well.", 30),
    ("paused", [slot(minutes=90), slot("paused", 20), slot("paused", 10, ended=None)], [], W, "Paused: inspect-shop did not run, and will not until resumed in Prefect.", 20),
    ("paused and another fails", [slot("paused", 10), slot("failed", deployment="purge-shop")], [], F, "Yes: 30 minutes ago purge-shop failed.", 30),
    ("paused and resumed", [slot("paused", 90), slot()], [], W, "Not now: 1 of 2 runs of the last day went wrong, the last 1 hour ago: inspect-shop did not run, for its schedule is paused.", 90),
    ("still waiting", [slot("waiting"), slot("started"), slot("skipped")], [], U, "Unknown: no run of the last day has ended.", None),
    ("nothing at all", [], [], U, "Unknown: no run of the last day has ended.", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("slots", "troubles", "outcome", "says", "since"), [row[1:] for row in JOBS], ids=[row[0] for row in JOBS]
)
def test_whether_jobs_fail_is_said_by_the_last_day(slots, troubles, outcome, says, since):
    answer = ask(Question.JOBS, jobs=JobFacts(tuple(slots), tuple(troubles), watched_at=ago(minutes=1)))
    assert (outcome, says) == (answer.outcome, answer.says)
    assert answer.since == (None if since is None else ago(minutes=since))


@pytest.mark.parametrize(
    ("watched", "outcome"), [(None, U), (ago(minutes=11), U), (ago(minutes=10), P)], ids=["never", "stale", "fresh"]
)
def test_jobs_that_nobody_watches_are_unknown(watched, outcome):
    assert outcome == ask(Question.JOBS, jobs=JobFacts((slot(),), watched_at=watched)).outcome


def test_a_failure_is_told_even_when_nobody_watches():
    assert F == ask(Question.JOBS, jobs=JobFacts((slot("failed"),))).outcome


def test_a_watch_that_could_not_look_is_over_with_its_next_pass():
    blind = trouble("unreachable", 30, "watch:x", deployment="watch-jobs")
    after = shared(JobFacts((), (blind,), ago(minutes=1)), NOW, "operators").answers[0]
    before = shared(JobFacts((), (blind,), ago(minutes=40)), NOW, "operators").answers[0]
    assert (W, F) == (after.outcome, before.outcome)
    assert "Yes: 30 minutes ago watch-jobs could not reach Prefect." == before.says
    assert "" == before.link


@pytest.mark.parametrize(
    ("slots", "size", "outcome", "says"),
    [
        ([slot()], COMFORT_BYTES, P, "No: 1 run of the last day went well."),
        ([slot()], COMFORT_BYTES + 1, W, "No: 1 run of the last day went well. And the ledger has"),
        ([slot("failed")], 9 * COMFORT_BYTES, F, " And the ledger has"),
        ([], 9 * COMFORT_BYTES, U, " And the ledger has"),
    ],
)
def test_a_ledger_that_has_outgrown_sqlite_is_told_beside_the_jobs_that_keep_it(slots, size, outcome, says):
    jobs = JobFacts(tuple(slots), watched_at=ago(minutes=1), ledger_bytes=size)
    answer = shared(jobs, NOW, "operators").answers[0]
    assert outcome == answer.outcome
    assert says in answer.says
    assert ("move to PostgreSQL" in answer.says) is (size > COMFORT_BYTES)


def test_what_went_wrong_is_told_without_a_secret_and_with_the_jobs_way_back(monkeypatch):
    book = Runbook("web", "It ends.", "Look.", Command(["make", "undo"], rehearsed_by="rehearse_release"))
    plain = Runbook("web", "It ends.", "Look.", NothingToUndo("it only looks"))
    monkeypatch.setitem(RUNBOOKS, "flows.jobs.purge_shop.purge_shop", book)
    monkeypatch.setitem(RUNBOOKS, "flows.jobs.look_shop.look_shop", plain)
    crash = trouble(message="token=hunter2 at https://api.example.com/x?key=1", job="purge-shop")
    answer = ask(Question.JOBS, jobs=JobFacts((), (crash,)), ui="https://prefect")
    assert ("03-08 12:00 inspect-shop crashed: token=... at https://api.example.com/...",) == answer.details
    assert ("make undo", "rehearsed by rehearse_release") == (answer.rollback, answer.rehearsed)
    assert "https://prefect/runs/flow-run/gone" == answer.link
    other = ask(Question.JOBS, jobs=JobFacts((), (trouble(job="look_shop"),)))
    assert ("nothing to undo: it only looks", "") == (other.rollback, other.rehearsed)


OLD, NEW, LOST = Release("a1", ago(days=3)), Release("b2", ago(hours=2)), Release("", ago(hours=1))
BEFORE = walked(told(), told("storable", check="cache-headers"), latencies=(Latency("/a", "hit", 80, 9.0, 12.1),))


def after(*findings):
    return walked(*findings, latencies=(Latency("/a", "hit", 80, 9.5, 12.94), Latency("/new", "hit", 80, 1.0, 2.0)))


STORABLE = {"check": "cache-headers", "claim": "storable"}
RELEASE = [
    ("none yet", (OLD,), None, None, P, "No: it runs a1 as it did when first looked at."),
    ("the same after a break", (OLD, LOST, Release("a1", NOW)), None, None, P, "No: it runs a1 as it did when first looked at."),
    ("never read", (), None, None, U, "Unknown: the site's version was never read."),
    ("only ever unread", (LOST,), None, None, U, "Unknown: the site's version was never read."),
    ("not to be read now", (OLD, NEW, LOST), BEFORE, after(told()), U, "Unknown: its version can't be read; it was b2."),
    ("no round since", (OLD, NEW), BEFORE, None, U, "Unknown: it runs b2 since 2 hours ago, and no whole round walked since."),
    ("no round before", (OLD, NEW), None, after(told()), U, "Unknown: it runs b2 since 2 hours ago, and no whole round to compare with came before it."),
    ("nothing changed", (OLD, NEW), BEFORE, after(told(), told(**STORABLE)), P, "No: none of 2 claims changed with b2."),
    ("worse", (OLD, NEW), BEFORE, after(told(), told(**STORABLE, outcome=F)), F, "Yes: 1 of 2 claims came out worse with b2; cache-headers/storable on /a now fails."),
    ("a warning", (OLD, NEW), BEFORE, after(told(outcome=W), told(**STORABLE)), W, "Yes: 1 of 2 claims came out worse with b2; response-time/hit-p95 on /a now warns."),
    ("no longer known", (OLD, NEW), BEFORE, after(told(outcome=U), told(**STORABLE)), U, "Unknown: response-time on /a could not be judged since b2."),
    ("a new trouble", (OLD, NEW), BEFORE, after(told(), told(**STORABLE), told("status", F)), F, "Yes: 1 of 3 claims came out worse with b2; response-time/status on /a now fails."),
    ("not looked at again", (OLD, NEW), BEFORE, after(told()), U, "Unknown: cache-headers on /a could not be judged since b2."),
    ("better", (OLD, NEW), walked(told(outcome=F)), after(told()), P, "Yes, for the better: 1 of 1 claims came out better with b2."),
    ("as bad as before", (OLD, NEW), walked(told(outcome=F)), after(told(outcome=F)), P, "No: none of 1 claims changed with b2."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("releases", "old", "new", "outcome", "says"), [row[1:] for row in RELEASE], ids=[row[0] for row in RELEASE]
)
def test_what_a_deployment_changed_is_said_claim_by_claim(releases, old, new, outcome, says):
    answer = ask(Question.RELEASE, releases=releases, before=old, after=new, looks=looks("+"))
    assert (outcome, says) == (answer.outcome, answer.says)


def test_a_deployment_shows_what_changed_and_response_times_side_by_side_without_a_verdict():
    seen = {
        "releases": (OLD, NEW),
        "before": BEFORE,
        "after": after(told(), told(**STORABLE, outcome=F, saw="private")),
    }
    answer = ask(Question.RELEASE, **seen, looks=looks("+"))
    assert answer.details == (
        "/a cache-headers/storable: pass before, fail now: saw private, wanted at most 50ms",
        "p95 of a hit of /a: 12 ms before, 13 ms after; not compared",
    )
    assert (NEW.seen_at, (NEW.seen_at,)) == (answer.since, answer.moments)


def test_a_deployment_is_unknown_when_nobody_looked_lately():
    known = {"releases": (OLD, NEW), "before": BEFORE, "after": after(told(), told(**STORABLE))}
    assert U == ask(Question.RELEASE, **known, looks=looks("+", last=11)).outcome
    assert U == ask(Question.RELEASE, **known).outcome
    assert "does not say where" in ask(Question.RELEASE, site(), looks=looks("+")).says


def test_a_release_that_somebody_told_of_needs_no_page_that_says_it():
    known = {
        "releases": (replace(NEW, source=ReleaseSource.BOARD),),
        "before": BEFORE,
        "after": after(told(), told(**STORABLE)),
    }
    answer = ask(Question.RELEASE, site(), **known)
    assert (P, "No: none of 2 claims changed with b2.") == (answer.outcome, answer.says)


def test_only_a_change_from_one_version_to_another_is_a_deployment():
    made = deployments((OLD, LOST, Release("a1", NOW), Release("b2", NOW), LOST, Release("c3", NOW)))
    assert ["b2", "c3"] == [one.version for one in made]


VERSIONS = [
    (None, b" a1\n", "a1"),
    (None, b"", ""),
    (None, b"x" * 101, ""),
    (None, b"a\x00b\nc", r"a\x00b c"),
    ("commit", b'{"commit": "a1"}', "a1"),
    ("commit", b'{"commit": 7}', "7"),
    ("commit", b'{"commit": "a\\ud800"}', r"a\ud800"),
    ("commit", b'{"commit": null}', ""),
    ("commit", b'{"commit": true}', ""),
    ("commit", b'["commit"]', ""),
    ("commit", b"<h1>Error</h1>", ""),
    ("commit", b"[" * 100_000, ""),
]


@pytest.mark.parametrize(("field", "body", "version"), VERSIONS)
def test_a_version_is_read_or_empty(field, body, version):
    seen = exchange("/version", body=body)
    object.__setattr__(seen, "body", body)
    assert version == version_of(Version(path="/version", json=field), seen)
    for wrong in (exchange(status=500), exchange(error="refused")):
        object.__setattr__(wrong, "body", body)
        assert "" == version_of(Version(path="/version", json=field), wrong)


@pytest.mark.parametrize(
    ("seen", "up"),
    [(exchange(status=204), True), (exchange(status=200), False), (exchange(error="timeout"), False)],
)
def test_a_site_is_up_when_it_answers_as_promised(seen, up):
    assert up is is_up(Health(path="/health", expect=204), seen)


def test_long_details_are_cut_short():
    timed = walked(*(told(f"{n}-p95", F, saw="x" * 500) for n in range(20)))
    answer = ask(Question.SLOW, timed=timed)
    assert "and 8 more" == answer.details[-1]
    assert max(map(len, answer.details)) <= 240


@pytest.mark.parametrize(
    ("letters", "last", "outcome", "says"),
    [
        ("os", F, W, "Perhaps: 1 of 1 budgets is exceeded."),
        ("ss", F, F, "Yes: 1 of 1 budgets is exceeded."),
        ("sso", P, F, "Yes: /a: slow in 2 of the last 3 rounds."),
        ("oxx", U, F, "Yes: /a: down in 2 of the last 3 rounds."),
        ("oox", U, U, "Unknown: 1 of 1 budgets is not to be judged."),
        ("ddo", P, W, "Perhaps: /a: degraded in 2 of the last 3 rounds."),
        ("ooo", P, P, "No: its budget is kept"),
    ],
)
def test_slow_takes_more_than_one_round(letters, last, outcome, says):
    states = {"o": SlownessState.OK, "d": SlownessState.DEGRADED, "s": SlownessState.SLOW, "x": SlownessState.DOWN}
    answer = ask(
        Question.SLOW, timed=walked(told(outcome=last)), memory=(Memory("/a", tuple(states[one] for one in letters)),)
    )
    assert outcome == answer.outcome
    assert answer.says.startswith(says)


@pytest.mark.parametrize(
    ("word", "outcome", "says"),
    [
        ("slower", F, "Yes: a miss of /a is slower, x1.31 with b2."),
        ("probably slower", W, "Perhaps: a miss of /a is probably slower, x1.31 with b2."),
        ("unchanged", P, "No: none of 2 claims changed with b2."),
        ("not enough data", P, "No: none of 2 claims changed with b2."),
    ],
)
def test_a_release_that_was_compared_is_told_with_its_speed(word, outcome, says):
    known = {"releases": (OLD, NEW), "before": BEFORE, "after": after(told(), told(**STORABLE)), "looks": looks("+")}
    answer = ask(Question.RELEASE, **known, compared=(Ratio("/a", "miss", 1.31, 1.2, 1.4, word),))
    assert (outcome, says) == (answer.outcome, answer.says)
    assert f"miss of /a: {word} with b2, x1.31 (1.20 to 1.40)" in answer.details
