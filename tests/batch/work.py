"""The job that the batch tests run: money is added to accounts, which is wrong as soon as it is done twice or not at all."""

import asyncio
import json
import multiprocessing
import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine, create_engine, make_url, text

from roundsman.batch import Applied, Batch, JsonLines, Outgoing, SourceError, points, replay, run
from roundsman.batch.jobs import Edition, enqueue
from roundsman.batch.sources import Source
from roundsman.batch.target import prepare
from tests.crashing import set_crash

ACCOUNTS = 7
#: Children are forked from a process that has all of this imported: starting Python anew takes a second each.
children = multiprocessing.get_context("forkserver")
children.set_forkserver_preload(["tests.batch.work"])
create_engine("postgresql+psycopg://")  # imports its driver, which takes a while


def opened(url: str) -> Engine:
    where = make_url(url)
    if where.drivername != "sqlite":
        return create_engine(where.set(drivername="postgresql+psycopg"))
    Path(where.database).parent.mkdir(parents=True, exist_ok=True)
    return create_engine(where, connect_args={"timeout": 30})


def make_accounts(engine: Engine) -> Engine:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE account (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL)"))
        accounts = [{"id": number} for number in range(ACCOUNTS)]
        connection.execute(text("INSERT INTO account VALUES (:id, 0)"), accounts)
    return engine


def feed(path: Path, rows: int, *, bad=(), unreadable=(), killers=()) -> Path:
    """A feed of transfers; a bad row can't be added, one that is unreadable is no JSON, a killer kills who applies it."""
    lines = []
    for number in range(rows):
        transfer = {"id": number % ACCOUNTS, "v": None if number in bad else 3**number % 1000, "n": number}
        if number in killers:
            transfer["kill"] = True
        lines.append("{torn" if number in unreadable else json.dumps(transfer))
    path.write_text("\n".join(lines) + "\n")
    return path


def expected(rows: int, *, without=(), mended=()) -> dict[int, int]:
    """What the accounts hold when each row was added once. A row that was mended is worth 1."""
    held = Counter(dict.fromkeys(range(ACCOUNTS), 0))
    for number in range(rows):
        if number in mended:
            held[number % ACCOUNTS] += 1
        elif number not in without:
            held[number % ACCOUNTS] += 3**number % 1000
    return dict(held)


def add(connection, rows) -> Applied:
    """Not idempotent, on purpose."""
    if any("kill" in row for row in rows):
        connection.execute(text("UPDATE account SET balance = balance + 1000000"))
        os.kill(os.getpid(), signal.SIGKILL)
    connection.execute(text("UPDATE account SET balance = balance + :v WHERE id = :id"), rows)
    return Applied(changed=len(rows), outbox=[Outgoing("purge", "edge/test", f"{row['n']}") for row in rows])


def transfers(engine: Engine, source: Path | Source, **more) -> Batch:
    source = JsonLines(source) if isinstance(source, Path) else source
    return Batch(**{"kind": "transfers", "source": source, "target": engine, "apply": add, "chunk": 5} | more)


def balances(engine: Engine) -> dict[int, int]:
    return dict(asked(engine, "SELECT id, balance FROM account"))


def asked(engine: Engine, question: str) -> list[tuple]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(question))]


def let_expire(engine: Engine) -> None:
    """The lease is over, as if its time had passed."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE import_job SET lease_until_ms = 0"))


def contiguous(engine: Engine) -> None:
    """Each job's chunks follow one another without a gap, and end where the job is."""
    for job, position, chunks in asked(engine, "SELECT id, position, chunk_no FROM import_job"):
        found = asked(engine, f"SELECT position, rows FROM import_chunk WHERE job_id = {job} ORDER BY chunk_no")
        assert chunks == len(found)
        starts = [0]
        for first, rows in found:
            assert first == starts[-1]
            starts.append(first + rows)
        assert position == starts[-1]


ROWS, BAD, UNREADABLE = 20, (11,), (13,)


class Stumbling(JsonLines):
    """A feed that can't be read once, after its first chunks."""

    stumbles = True

    def read(self, cursor, most):
        if self.stumbles and most > 1 and cursor and int(cursor) > 150:
            self.stumbles = False
            raise SourceError("it is gone for a moment")
        return super().read(cursor, most)


def set_up(engine: Engine, folder: Path) -> Path:
    """An older edition waits, and the job's last two workers died: so all that the algorithm knows comes to pass."""
    prepare(engine)
    with engine.begin() as connection:
        for table in ("import_row_error", "import_chunk", "import_job", "outbox"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("DROP TABLE IF EXISTS account"))
    make_accounts(engine)
    path = feed(folder / "feed.jsonl", ROWS, bad=BAD, unreadable=UNREADABLE)
    now = Edition("transfers", str(path), JsonLines(path).fingerprint(), {}, snapshot=True, version="")
    for edition in (now, replace(now, fingerprint="an older one")):
        enqueue(engine, edition)
    with engine.begin() as connection:
        again = {"status": "pending", "deaths": 2, "mine": now.fingerprint}
        connection.execute(
            text("UPDATE import_job SET status = :status, deaths = :deaths WHERE fingerprint = :mine"), again
        )
    return path


async def everything(engine: Engine, path: Path) -> None:
    """A run that stumbles and lets go, one that goes on to the end, and replays of what was bad: as it is, and mended."""
    batch = transfers(engine, Stumbling(path), snapshot=True)
    kill = points.hook
    for _ in range(2):
        try:
            await run(batch)
            break
        except SourceError:
            continue
    assert kill is points.hook
    await replay(batch)
    await replay(batch, mend=mended)


def mended(raw: str) -> str:
    if raw.startswith("{torn"):
        return json.dumps({"id": UNREADABLE[0] % ACCOUNTS, "v": 1, "n": UNREADABLE[0]})
    return raw.replace('"v": null', '"v": 1')


def child(url: str, path: Path, crash: str = "") -> None:
    """What a worker's process does."""
    engine = opened(url)
    set_crash(crash)
    asyncio.run(everything(engine, path))
    engine.dispose()


def ended(process, within: float = 180) -> int:
    """Wait for a child; its exit code."""
    process.join(within)
    assert process.exitcode is not None, "the child hangs"
    return process.exitcode
