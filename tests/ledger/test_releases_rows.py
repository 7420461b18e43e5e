"""Releases as rows: from the site's version page, from a call, from a command."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from flows.__main__ import main
from roundsman.ledger.releases import keep_release, read_releases
from roundsman.site.rules.release import Release, ReleaseSource

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


@pytest.fixture
def keep(ledger):
    def run(*releases):
        with Session(ledger.execution_options(writes=True)) as session, session.begin():
            new = [keep_release(session, "shop", one) for one in releases]
            return new, [(one.version, one.source) for one in read_releases(session, "shop")]

    return run


@pytest.fixture
def home(url, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)


def at(hours, version, source=ReleaseSource.SITE):
    return Release(version, NOW + timedelta(hours=hours), source)


def test_the_same_release_told_twice_is_one_row(keep):
    new, known = keep(at(0, "1"), at(1, "2", ReleaseSource.BOARD), at(1, "2", ReleaseSource.BOARD), at(2, "2"))
    assert [True, True, False, False] == new
    assert [("1", "site"), ("2", "board")] == known


def test_a_release_that_was_told_late_stands_before_the_look_that_noticed_it(keep):
    new, known = keep(at(0, "1"), at(5, "2"), at(4, "2", ReleaseSource.COMMAND))
    assert [True, True, True] == new
    assert [("1", "site"), ("2", "command"), ("2", "site")] == known


def test_two_releases_of_one_moment_are_the_last_one(keep):
    assert ([True, True], [("2", "site")]) == keep(at(0, "1"), at(0, "2"))


def test_the_command_tells_of_a_release_and_shows_what_is_known(home, tmp_path, capsys):
    out = tmp_path / "releases.json"
    assert 0 == main(["releases", "demo", "1.8.1", "--at", "2026-03-08T13:00:00+01:00"])
    assert 0 == main(["releases", "demo", "1.8.1"])
    assert 0 == main(["releases", "demo", "--json", str(out)])
    said = capsys.readouterr().out.splitlines()
    assert ["demo: 1.8.1 is written down", "demo: 1.8.1 was known already"] == said[:2]
    assert ["2026-03-08 12:00:00 UTC  command 1.8.1"] == said[2:]
    row = {"version": "1.8.1", "since": "2026-03-08T12:00:00+00:00", "source": "command"}
    assert {"schema": 1, "site": "demo", "releases": [row]} == json.loads(out.read_text())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["demo", "--at", "2026-03-08T13:00:00Z"], "--at: saw a time without a version"),
        (["demo", "1.8", "--at", "noon"], "at: saw 'noon'"),
        (["nowhere", "1.8"], "nowhere"),
    ],
)
def test_wrong_input_is_told_and_nothing_is_written(home, words, says, capsys):
    assert 3 == main(["releases", *words])
    assert says in capsys.readouterr().err
    assert 0 == main(["releases", "demo"])
    assert "demo: no release is known" in capsys.readouterr().out
