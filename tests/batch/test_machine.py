"""Whatever order workers claim, work, die, sleep, wake up and come back in, each row is applied once."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import create_engine, text

from roundsman.batch import BatchError, FencedError, jobs, points
from roundsman.batch.attempt import Attempt
from roundsman.batch.events import Teller
from roundsman.batch.target import prepare
from tests.batch.work import asked, balances, contiguous, expected, feed, let_expire, make_accounts, transfers

ROWS, BAD, UNREADABLE = 17, (3, 8), (11,)
POINTS = ["read", "begun", "fenced", "applied", "sent", "quarantined", "recorded", "counted", "committed"]


class KilledError(BaseException):
    """As SIGKILL: nothing that could tidy up sees it, and the database rolls back."""


class Workers(RuleBasedStateMachine):
    """The job, and those who hold it or think they do."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        self.engine = make_accounts(create_engine(f"sqlite:///{folder}/target.db"))
        path = feed(folder / "feed.jsonl", ROWS, bad=BAD, unreadable=UNREADABLE)
        self.batch = transfers(self.engine, path, chunk=3)
        prepare(self.engine)
        edition = jobs.Edition("transfers", str(path), self.batch.source.fingerprint(), {}, snapshot=False, version="")
        self.job = jobs.enqueue(self.engine, edition)
        self.workers: list[Attempt] = []

    def teardown(self) -> None:
        points.hook = None
        let_expire(self.engine)
        while self.state()[0] != "succeeded":
            let_expire(self.engine)
            self.claim()
            if self.workers:
                self.step(len(self.workers) - 1, steps=100)
        quarantined = [row for (row,) in asked(self.engine, "SELECT position FROM import_row_error")]
        assert self.state() == ("succeeded", ROWS)
        assert expected(ROWS, without=quarantined) == balances(self.engine)
        assert {*BAD, *UNREADABLE} <= set(quarantined)
        self.engine.dispose()
        self.folder.cleanup()

    def state(self) -> tuple[str, int]:
        return asked(self.engine, "SELECT status, position FROM import_job")[0]

    @rule()
    def claim(self) -> None:
        try:
            job = jobs.claim(self.engine, self.job, owner="", lease=60, run_id="")
        except BatchError:  # too many died: the job is failed now, and can be claimed again
            assert self.state()[0] == "failed"
            return
        if job:
            self.workers.append(Attempt(self.batch, job, Teller("transfers", "")))
            self.workers[-1].verify()

    @precondition(lambda self: self.workers)
    @rule(who=st.integers(0, 5), steps=st.integers(1, 4))
    def step(self, who, steps) -> None:
        """A worker goes on: the newest one, or one that slept."""
        worker = self.workers[who % len(self.workers)]
        try:
            for _ in range(steps):
                if not worker.step():
                    worker.finish()
                    self.workers.remove(worker)
                    return
        except FencedError:
            self.workers.remove(worker)

    @precondition(lambda self: self.workers)
    @rule(who=st.integers(0, 5), where=st.sampled_from(POINTS), times=st.integers(1, 3))
    def kill(self, who, where, times) -> None:
        """A worker dies at a point of its way, if it comes there."""
        worker = self.workers.pop(who % len(self.workers))
        left = [times]

        def die(name) -> None:
            left[0] -= name == f"chunk.{where}"
            if left[0] == 0:
                left[0] -= 1
                raise KilledError

        points.hook = die
        try:
            while worker.step():
                pass
        except (KilledError, FencedError):
            return
        finally:
            points.hook = None

    @rule()
    def expire(self) -> None:
        let_expire(self.engine)

    @precondition(lambda self: self.workers)
    @rule(who=st.integers(0, 5))
    def let_go(self, who) -> None:
        self.workers.pop(who % len(self.workers)).release("cancelled")

    @rule()
    def read_on_at_once(self) -> None:
        """Some other program writes to the target, too."""
        with self.engine.begin() as connection:
            connection.execute(text("UPDATE account SET balance = balance WHERE id = 0"))

    @invariant()
    def what_is_behind_was_applied_once_and_nothing_else(self) -> None:
        _, position = self.state()
        quarantined = [row for (row,) in asked(self.engine, "SELECT position FROM import_row_error")]
        assert expected(position, without=quarantined) == balances(self.engine)
        assert [(position - len(quarantined),)] == asked(self.engine, "SELECT count(*) FROM outbox")
        contiguous(self.engine)


@pytest.mark.slow
def test_any_order_of_claim_chunk_kill_expire_and_resume_applies_each_row_once():
    run_state_machine_as_test(
        Workers,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
