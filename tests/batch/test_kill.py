"""SIGKILL wherever something is written: no row is lost and none is applied twice."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import event

from roundsman.batch import points
from tests.batch.work import (
    BAD,
    ROWS,
    UNREADABLE,
    asked,
    balances,
    child,
    children,
    contiguous,
    ended,
    everything,
    expected,
    let_expire,
    opened,
    set_up,
)

WRITES = ("INSERT", "UPDATE", "DELETE")


def traced(url, folder) -> list[str]:
    """What a run passes: points, writes, commits. In a fresh target, which is left as it was."""
    engine = opened(url)
    path = set_up(engine, folder)
    trace: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *a: trace.append("write") if a[2].startswith(WRITES) else None)
    event.listen(engine, "commit", lambda _: trace.append("commit"))
    points.hook = trace.append
    try:
        asyncio.run(everything(engine, path))
    finally:
        points.hook = None
    assert_exact(engine)
    engine.dispose()
    return trace


def started(url, path, crash=""):
    process = children.Process(target=child, args=(url, path, crash))
    process.start()
    return process


def assert_exact(engine) -> None:
    assert expected(ROWS, mended=(*BAD, *UNREADABLE)) == balances(engine)
    contiguous(engine)
    [counts] = asked(
        engine,
        "SELECT position, changed, quarantined, status FROM import_job WHERE kind = 'transfers' AND status != 'cancelled'",
    )
    assert (ROWS, ROWS, 0, "succeeded") == counts
    # One for each row: the outbox is part of the transaction.
    assert [(ROWS,)] == asked(engine, "SELECT count(*) FROM outbox")
    assert [(0,)] == asked(engine, "SELECT count(*) FROM import_row_error WHERE resolved_ms IS NULL")


@pytest.mark.slow
def test_every_write_and_every_commit_has_a_point_before_and_after_it(url, tmp_path):
    trace = ["begin", *traced(url, tmp_path), "end"]
    bare = {
        " ".join(trace[place - 1 : place + 2])
        for place, what in enumerate(trace)
        if what in {"write", "commit"} and {"write", "commit"} & {trace[place - 1], trace[place + 1]}
    }
    assert set() == bare


@pytest.mark.slow
def test_killed_at_any_point_and_run_again_it_comes_out_exactly(url, tmp_path):
    passed = Counter(name for name in traced(url, tmp_path) if name not in {"write", "commit"})
    assert len(passed) > 35
    engine = opened(url)
    killed = [f"{name}:{which}" for name, times in sorted(passed.items()) for which in sorted({1, times})]
    for where in killed:
        path = set_up(engine, tmp_path)
        assert -9 == ended(started(url, path, where)), f"it was not killed at {where}"
        let_expire(engine)
        asyncio.run(everything(engine, path))
        assert_exact(engine)
    engine.dispose()
    assert len(killed) > 50
