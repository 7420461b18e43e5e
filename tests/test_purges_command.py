"""`roundsman purges`: what waits and what can't be purged, told without secrets, tried again and given up."""

import pytest

from flows.__main__ import main
from roundsman.ledger.ledger import open_ledger
from roundsman.purge import queue
from roundsman.purge.queue import FailedChange
from roundsman.purge.rules.queue import ChangeState, QueueRun
from tests.purge.queueing import publish, rows_of


@pytest.fixture
def engine(ledger):
    engine = open_ledger(ledger)
    yield engine
    engine.dispose()


@pytest.fixture
def lost(engine):
    """Two changes in quarantine, one that waits and one that is done."""
    publish(engine, "/articles/a", "/articles/b", "/articles/done")
    mine = queue.claim(engine, "shop")
    failed = [FailedChange(number, ChangeState.QUARANTINED, 0, f"refused\x1b[31m {number}") for number in (1, 2)]
    queue.settle(engine, mine, failed, [])
    publish(engine, "/articles/waits")
    return engine


def test_an_empty_queue_is_all_well(engine, capsys):
    assert 0 == main(["purges"])
    assert "0 wait, 0 are being purged; 0 done, 0 quarantined\n" == capsys.readouterr().out


def test_what_waits_and_what_was_given_up_is_shown_and_why(lost, capsys):
    assert 1 == main(["purges"])
    first, *more = capsys.readouterr().out.splitlines()
    assert first.startswith("1 wait, 0 are being purged, the oldest for ")
    assert first.endswith("; 1 done, 2 quarantined")
    assert ["2  shop  route /articles/b (1 attempts)", "1  shop  route /articles/a (1 attempts)"] == [
        line.strip() for line in more[::2]
    ]
    assert "refused" in more[1]
    assert "\x1b" not in "".join(more), "a server's words move no cursor"


def test_one_is_purged_again_and_one_is_given_up(lost, capsys):
    assert [0, 0] == [main(["purges", "--replay", "1"]), main(["purges", "--dismiss", "2"])]
    assert "1 will be purged again, with the next run\ngiven up\n" == capsys.readouterr().out
    assert ["waiting", "dismissed", "done", "waiting"] == [state for _, state in rows_of(lost)]
    assert 0 == main(["purges"])


def test_all_are_purged_again_as_often_as_somebody_says_so(lost, capsys):
    assert [0, 0] == [main(["purges", "--replay", "all"]), main(["purges", "--replay", "all"])]
    assert "2 will be purged again, with the next run\n0 will be purged again, with the next run\n" == (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--replay", "3"], "3: no quarantined change has this number"),
        (["--dismiss", "99"], "99: no quarantined change has this number"),
        (["--replay", "one"], "--replay: saw 'one', wanted the number of a quarantined change, or all"),
        (["--replay", "9" * 20], "--replay: saw '99999999999999999999', wanted the number of a quarantined change"),
        (["--dismiss", "9" * 20], "--dismiss: saw '99999999999999999999', wanted the number of a quarantined change"),
        (["--dismiss", "all"], "--dismiss: saw 'all', wanted the number of a quarantined change"),
        (["--replay", "1", "--dismiss", "1"], "not allowed with argument"),
        (["--now", "nowhere"], "no such file"),
    ],
)
def test_a_wrong_word_is_told_and_nothing_is_changed(lost, words, says, capsys):
    before = rows_of(lost)
    assert 3 == main(["purges", *words])
    assert says in capsys.readouterr().err
    assert before == rows_of(lost)


def test_a_ledger_that_is_away_is_told_without_its_address(monkeypatch, capsys):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", "postgresql://me:hush-hush@127.0.0.1:9/ledger")
    assert main(["purges"]) in {2, 3}
    assert "hush" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("done", "code"),
    [(QueueRun(done=1, purged=1), 0), (QueueRun(retried=1, troubles=("busy",)), 2)],
)
def test_the_exit_code_of_a_run_by_hand_says_how_it_went(done, code, ledger, capsys, monkeypatch):
    async def published(site):
        assert site == "demo"
        return done

    monkeypatch.setattr("flows.terminal.published", published)
    assert code == main(["purges", "--now", "demo"])
    assert str(done) in capsys.readouterr().out
