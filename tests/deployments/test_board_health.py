"""What machines ask of the board: are promises kept, is the service itself well, and what are its numbers?"""

import asyncio
import re
from datetime import timedelta

import pytest

from roundsman.report.rules.verdict import Outcome
from tests.deployments.boards import client, fresh, metrics_of, now, open_ledger, write_site
from tests.status.test_standing_rows import leak
from tests.watch.weeks import MINUTE, add, judged, walk, watch

__all__ = ["fresh", "open_ledger", "write_site"]


async def health():
    async with client() as board:
        answer = await board.get("/health")
    told = answer.json()
    assert ["promises", "ok", "reasons"] == list(told)
    assert (200 if told["ok"] else 503) == answer.status_code
    assert told["ok"] is (not told["reasons"])
    return {reason["kind"]: reason["sites"] for reason in told["reasons"]}


async def test_health_is_fine_while_ledger_rounds_and_watch_are(fresh):
    assert {} == await health()


LEAKING = {"check": "logged-in-traffic", "claim": "logged-in-traffic/leak", "outcome": "fail", "severity": "critical"}


async def test_health_says_first_that_a_promise_is_broken_and_which(fresh):
    walk(fresh, now() - 3 * MINUTE, judged(), leak(), run="leaking")
    async with client() as board:
        answer = await board.get("/health")
    assert 503 == answer.status_code
    told = answer.json()
    assert (False, []) == (told["ok"], told["reasons"])
    assert ["promises", "fail"] == [next(iter(told)), told["promises"]["outcome"]]
    (shop,) = told["promises"]["sites"]
    assert LEAKING.items() <= shop["worst"].items()
    assert ("/inbox", "stranger got a page of ada") == (shop["worst"]["where"], shop["worst"]["saw"])
    assert {"fail": 1, "unknown": 0, "warn": 0, "pass": 1} == shop["claims"]
    assert ("privacy", "make back", "never rehearsed") == (shop["owner"], shop["rollback"], shop["rehearsed"])
    assert "since" in shop


@pytest.mark.parametrize(
    ("token", "key", "address", "in_full"),
    [
        ("", "", "http://127.0.0.1:8481", True),
        ("", "", "http://rebound.example.com:8481", False),
        ("secret", "", "http://127.0.0.1:8481", False),
        ("secret", "Bearer no", "http://127.0.0.1:8481", False),
        ("secret", "Bearer secret", "https://board.example.com", True),
    ],
)
async def test_health_names_routes_only_to_those_who_may_read_the_pages(fresh, token, key, address, in_full):
    walk(fresh, now() - 3 * MINUTE, judged(), leak(), run="leaking")
    async with client(token, address, headers={"Authorization": key} if key else {}) as board:
        answer = await board.get("/health")
    (shop,) = answer.json()["promises"]["sites"]
    assert (503, LEAKING) == (answer.status_code, {name: shop["worst"][name] for name in LEAKING})
    assert all((word in answer.text) is in_full for word in ("/inbox", "stranger", "privacy", "make back"))


UNSURE = [
    (Outcome.WARN, 200, "warn"),
    (Outcome.UNKNOWN, 503, "unknown"),
    (Outcome.FAIL, 503, "fail"),
]


@pytest.mark.parametrize(("outcome", "code", "says"), UNSURE)
async def test_health_is_not_well_while_a_claim_failed_or_could_not_be_judged(fresh, outcome, code, says):
    walk(fresh, now() - 3 * MINUTE, judged(outcome), run="again")
    async with client() as board:
        answer = await board.get("/health")
    assert (code, says) == (answer.status_code, answer.json()["promises"]["outcome"])


async def test_health_says_which_site_never_had_a_round_or_has_none_in_time(write_site, open_ledger):
    add(open_ledger, watch(now()))
    for name in ("late", "never", "torn", "timely", "unscheduled"):
        write_site(name, **{"torn": {"rules": []}, "unscheduled": {"schedule": None}}.get(name, {}))
    walk(open_ledger, now() - timedelta(hours=2, minutes=1), site="late")
    walk(open_ledger, now() - timedelta(minutes=58), site="timely")
    assert {"site file is wrong": ["torn"], "no round yet": ["never"], "round is late": ["late"]} == await health()


async def test_a_round_of_another_job_does_not_make_health_fine(write_site, open_ledger):
    from roundsman.ledger.ledger import write_round

    write_site("shop")
    add(open_ledger, watch(now()))
    write_round(open_ledger, run_id="x", site="shop", job="sweep", started_at=now(), ended_at=now(), verdicts=[])
    assert {"no round yet": ["shop"]} == await health()


@pytest.mark.parametrize(
    ("age", "detail", "reasons"),
    [
        (None, "", {"no watch yet": []}),
        (timedelta(minutes=11), "nothing wrong", {"watch is late": []}),
        (timedelta(minutes=9), "inspect-shop not started", {}),
        (timedelta(minutes=1), "could not look: Prefect is gone", {"no watch yet": []}),
    ],
    ids=["never", "late", "passing", "blind"],
)
async def test_health_needs_a_watch_that_passes_and_can_look(write_site, open_ledger, age, detail, reasons):
    if age:
        add(open_ledger, watch(now() - age, detail))
    assert reasons == await health()


async def test_without_a_ledger_nothing_is_well_and_nothing_of_it_is_told(write_site, monkeypatch):
    write_site("shop")
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", "postgresql://keeper:hunter2@127.0.0.1:1/gone")
    async with client() as board:
        answers = [await board.get(path) for path in ("/", "/sites/shop", "/metrics", "/health")]
    assert {503} == {answer.status_code for answer in answers}
    assert [{"kind": "ledger does not answer", "sites": []}] == answers[-1].json()["reasons"]
    for answer in answers:
        assert not re.search("hunter2|keeper|127.0.0.1:1|gone", answer.text)


async def test_a_ledger_that_came_back_is_read_again(fresh, ledger, monkeypatch):
    from deployments.board import reader

    monkeypatch.setattr(reader, "FRESH_SECONDS", 0.0)
    async with client() as board:
        for url, code in ((ledger, 200), ("sqlite:////dev/null/ledger.db", 503), (ledger, 200)):
            monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
            assert code == (await board.get("/")).status_code
            assert code == (await board.get("/health")).status_code


async def test_however_many_ask_at_once_the_ledger_is_asked_once():
    from deployments.board.reader import Fresh, LedgerSilentError

    asked = []

    def find():
        asked.append(1)
        return "found"

    one = Fresh(find)
    assert ["found"] * 20 == await asyncio.gather(*(one.get() for _ in range(20)))
    assert 1 == len(asked)

    def fail():
        asked.append(1)
        raise OSError("no")

    none = Fresh(fail)
    answers = await asyncio.gather(*(none.get() for _ in range(20)), return_exceptions=True)
    assert {LedgerSilentError} == {type(answer) for answer in answers}
    assert 2 == len(asked)


async def test_a_ledger_that_hangs_is_not_waited_for(monkeypatch):
    import threading

    from deployments.board import reader

    monkeypatch.setattr(reader, "READ_TIMEOUT_SECONDS", 0.05)
    let_go = threading.Event()
    with pytest.raises(reader.LedgerSilentError):
        await reader.Fresh(lambda: let_go.wait(30)).get()
    let_go.set()


async def test_metrics_tell_the_same_in_prometheus_own_words(fresh):
    async with client() as board:
        found = await metrics_of(board)
    assert 1.0 == found["roundsman_healthy", ""]
    assert 1.0 == found["roundsman_up", 'site="shop"']
    assert 0.012 == found["roundsman_look_first_byte_seconds", 'site="shop"']
    assert 1.0 == found["roundsman_answer", 'outcome="pass",question="up",site="shop"']
    assert 0.0 == found["roundsman_answer", 'outcome="fail",question="up",site="shop"']
    assert 0.04 == found["roundsman_latency_seconds", 'cache_state="hit",path="/a",quantile="0.95",site="shop"']
    assert abs(found["roundsman_watch_timestamp_seconds", ""] - now().timestamp()) < 60
    assert 24 == sum(name == "roundsman_answer" for name, _ in found)


async def test_metrics_count_the_claims_and_tell_how_the_last_round_came_out(fresh):
    walk(fresh, now() - 3 * MINUTE, judged(), judged(subject="/b"), leak(), run="leaking")
    async with client() as board:
        found = await metrics_of(board)
    claims = {labels: value for (name, labels), value in found.items() if name == "roundsman_claims" and value}
    assert {
        'check="logged-in-traffic",outcome="fail",severity="critical",site="shop"': 1,
        'check="cache-headers",outcome="pass",severity="",site="shop"': 2,
    } == claims
    assert 0 == found["roundsman_claims", 'check="cache-headers",outcome="fail",severity="",site="shop"']
    rounds = {labels for (name, labels), value in found.items() if name == "roundsman_round_outcome" and value}
    assert {'outcome="fail",site="shop"'} == rounds
