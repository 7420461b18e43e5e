"""How many rows a second a batch job applies, each chunk on the disk before the next one begins, and in what memory."""

import asyncio
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, text

ACCOUNTS = 10_000
#: Rows of a chunk: how many rows are applied, and rows/s that are wanted on SQLite and on PostgreSQL.
SIZES = {1: (500, None, None), 100: (20_000, None, None), 1000: (200_000, 60_000, 15_000)}
#: The best of so many: what else runs on the machine only ever makes it slower.
RUNS = 3
FEW, MANY, WANTED_MB = 10_000, 1_000_000, 20.0


def rows() -> list[tuple[str, str, str, bool]]:
    """Rows/s for each size of a chunk on both databases, with their defaults; and the memory of a long job."""
    from tests import postgres

    with tempfile.TemporaryDirectory(prefix="roundsman-bench-") as name, postgres.server(durable=True) as server:
        folder = Path(name)
        table = []
        for place, database in enumerate(("SQLite", "PostgreSQL")):
            for chunk, (many, *wanted) in SIZES.items():
                urls = [f"sqlite:///{folder}/{chunk}-{run}.db" if not place else server.fresh() for run in range(RUNS)]
                best = max(many / _child(_apply, url, _feed(folder, many), chunk)[0] for url in urls)
                said = f"at least {wanted[place]:,} rows/s" if wanted[place] else "-"
                table.append(
                    (f"batch, {database}, chunk {chunk}", f"{best:,.0f} rows/s", said, best >= (wanted[place] or 0))
                )
        few, many = (_child(_apply, f"sqlite:///{folder}/{n}.db", _feed(folder, n), 1000)[1] for n in (FEW, MANY))
        more = many - few
        measured = f"{few:.0f} MB, then {more:+.1f} MB"
        table.append(
            (f"memory for {FEW:,} and {MANY:,} rows", measured, f"at most {WANTED_MB:+.0f} MB", more <= WANTED_MB)
        )
    load = os.getloadavg()[0]
    return [*table, ("load of the machine meanwhile", f"{load:.1f} on {os.cpu_count()} cores", "-", True)]


def _feed(folder: Path, many: int) -> Path:
    path = folder / f"{many}.jsonl"
    if not path.exists():
        with path.open("w") as file:
            for number in range(many):
                file.write(json.dumps({"id": number * 7919 % ACCOUNTS, "v": number % 100}) + "\n")
    return path


def _child(work: Callable[..., tuple[float, float]], *args: Any) -> tuple[float, float]:
    """What a process of its own measured: seconds, and megabytes at most."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(work, args)


def _apply(url: str, path: Path, chunk: int) -> tuple[float, float]:
    from roundsman.batch import Applied, Batch, JsonLines, run

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # as the house's own databases; the rest is default
        connection.execute(text("CREATE TABLE account (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL)"))
        connection.execute(text("INSERT INTO account VALUES (:id, 0)"), [{"id": number} for number in range(ACCOUNTS)])
        connection.commit()

    add = text("UPDATE account SET balance = balance + :v WHERE id = :id")

    def apply(connection: Connection, rows: Sequence[Any]) -> Applied:
        connection.execute(add, rows)
        return Applied(changed=len(rows))

    batch = Batch(kind="bench", source=JsonLines(path), target=engine, apply=apply, chunk=chunk)
    begun = time.perf_counter()
    outcome = asyncio.run(run(batch))
    seconds = time.perf_counter() - begun
    with engine.connect() as connection:
        total = connection.execute(text("SELECT sum(balance) FROM account")).scalar()
    assert total == sum(number % 100 for number in range(outcome.rows))
    engine.dispose()
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
