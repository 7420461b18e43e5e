"""The job that rehearses a release: its report, its refusals, its way back, and what a round then says of it."""

import json

import pytest
from prefect import get_client
from sqlalchemy import select
from sqlalchemy.orm import Session

from flows.__main__ import main
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.tables import RehearsalRow, RunRow
from tests.releases import NOOP, serving, took

pytestmark = [pytest.mark.harness, pytest.mark.slow]


@pytest.fixture
def place(tmp_path, ledger, monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "hush-4711")
    (tmp_path / "place").mkdir()
    with serving(tmp_path / "place") as place:
        yield place


def rows(ledger, table):
    engine = open_ledger(ledger)
    with Session(engine) as session:
        found = session.scalars(select(table)).all()
    engine.dispose()
    return found


def rehearse(path, tmp_path, *words):
    out = tmp_path / "report.json"
    return main(["rehearse", path, "--json", str(out), *words]), json.loads(out.read_text())


SETTINGS = ["sh", "-c", "echo DEBUG=$ROUNDSMAN_ENVIRONMENT; echo DATABASE_URL=$0; echo SAME=1", "hush-of-the-database"]


def test_a_rehearsal_is_reported_and_quoted(prefect, place, ledger, tmp_path, capsys):
    both = {"staging": {"settings": SETTINGS}, "production": {"settings": SETTINGS}}
    path = place.written(environments=both)
    code, report = rehearse(path, tmp_path, "--apply")
    said = capsys.readouterr().out
    assert (0, "warn", True) == (code, report["outcome"], report["rehearsal"]["ok"])
    assert ("1.8.2", "1.8.1", "1.8.2") == tuple(
        report["rehearsal"][one] for one in ("from_version", "to_version", "running")
    )
    assert 10 == len(report["rehearsal"]["legs"])
    assert "staging: it runs 1.8.2, the new release, and is healthy" in said
    (settings,) = [one for one in report["verdicts"][0]["findings"] if one["claim"] == "rehearse-release/settings"]
    assert settings["saw"].startswith("1 of 3 differ: DEBUG (")
    for shown in (said, json.dumps(report)):
        assert "hush" not in shown
    (proof,) = rows(ledger, RehearsalRow)
    assert (True, "release", "staging", "1.8.2", "1.8.1") == (
        proof.ok,
        proof.rule,
        proof.environment,
        proof.from_version,
        proof.to_version,
    )
    assert ["rehearse-release"] == [run.job for run in rows(ledger, RunRow)]
    page = artifact("rehearsal-demo")
    assert "![Each leg and its seconds](data:image/svg+xml;base64," in page
    assert "| roll-back | passed | " in page
    assert "    switching to 1.8.1 with ..." in page
    assert "hush" not in page
    # A round quotes it; and once another version runs, says that it is stale.
    assert "rehearsed just now" in quoted(path, tmp_path)
    place.run("1.8.0")
    assert "stale: 1.8.0 runs now" in quoted(path, tmp_path)
    assert ["1.8.0 runs now"] == [row.stale for row in rows(ledger, RehearsalRow)]


def artifact(key):
    """The newest page of a key in Prefect."""
    with get_client(sync_client=True) as client:
        found = [one for one in client.read_artifacts() if one.key == key]
    return max(found, key=lambda one: one.created).data


def quoted(path, tmp_path):
    out = tmp_path / "round.json"
    main(["inspect", path, "--only", "rollback-ready", "--json", str(out)])
    verdicts = json.loads(out.read_text())["verdicts"]
    (release,) = [one for one in verdicts if one["subject"] == "release"]
    (finding,) = [one for one in release["findings"] if one["claim"] == "rollback-ready/rehearsed"]
    return finding["saw"]


def test_a_leg_that_fails_is_rolled_back_by_prefects_transaction(prefect, place, ledger, tmp_path, capsys):
    """The deploy brings a release that does not answer; nobody but the transaction's hook runs the rollback."""
    place.write("deploy", "#!/bin/sh\ncd @\necho 9.9.9 > current\n")
    place.write("back", "#!/bin/sh\ncd @\necho 1.8.1 > current\necho back >> log\n")
    code, report = rehearse(place.written(), tmp_path, "--apply")
    assert (1, "fail", ["back"], "1.8.1") == (code, report["outcome"], place.log, place.running)
    assert ["verify-deploy", "end-by-roll-back"] == [one["leg"] for one in report["rehearsal"]["legs"][-2:]]
    assert "it runs 1.8.1, as before the rehearsal, and is healthy" == report["rehearsal"]["stands"]
    # Nothing was found out about a rollback that was never rehearsed.
    assert [] == rows(ledger, RehearsalRow)


def test_a_rollback_that_does_nothing_is_a_failed_proof(prefect, place, ledger, tmp_path):
    place.write("back", NOOP)
    code, report = rehearse(place.written(), tmp_path, "--apply")
    assert (1, "1.8.2") == (code, report["rehearsal"]["running"])
    (proof,) = rows(ledger, RehearsalRow)
    assert (False, "1.8.2", "1.8.1") == (proof.ok, proof.from_version, proof.to_version)


def test_what_an_earlier_run_left_is_ended_and_told(prefect, place, ledger, tmp_path, capsys):
    held = took(place.written())
    held.close()
    code, report = rehearse(place.written(), tmp_path, "--apply")
    assert (2, "unknown", []) == (code, report["outcome"], place.log)
    assert (
        "an earlier rehearsal was cut off and is ended now; run it again to prove the rollback"
        in capsys.readouterr().out
    )
    assert 0 == rehearse(place.written(), tmp_path, "--apply")[0]


def test_two_at_once_are_one_and_a_refusal(prefect, place, tmp_path, capsys):
    held = took(place.written())
    code, report = rehearse(place.written(), tmp_path, "--apply")
    held.close()
    assert (3, [], False) == (code, place.log, report["applied"])
    assert "is rehearsing demo in staging" in report["plan"]["refusals"][0]


REFUSED = [
    ([], "production: readers are here; wanted --confirm demo:VERSION"),
    (["--confirm", "demo:1.8.2"], "production: saw --confirm demo:1.8.2, wanted this site and the version that runs"),
    (["--confirm", "shop:1.8.1"], "production: saw --confirm shop:1.8.1, wanted this site and the version that runs"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED)
def test_production_is_refused_without_its_version(prefect, place, tmp_path, words, says):
    path = place.written(environments={"production": {"base_url": place.address}})
    code, report = rehearse(path, tmp_path, "--environment", "production", "--apply", *words)
    assert (3, []) == (code, place.log)
    assert report["plan"]["refusals"][0].startswith(says)


def test_production_is_rehearsed_when_site_and_version_are_right(prefect, place, tmp_path):
    path = place.written(environments={"production": {"base_url": place.address}})
    words = ("--environment", "production", "--confirm", "demo:1.8.1")
    assert (0, []) == (rehearse(path, tmp_path, *words)[0], place.log)
    assert 0 == rehearse(path, tmp_path, *words, "--apply")[0]
    assert "production back 1.8.1" in place.log
