"""The ledger: what each round saw and concluded, kept where no Prefect state can be lost or mistaken for proof."""

import asyncio
import hashlib
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, ColumnElement, Connection, Engine, create_engine, event, inspect, make_url, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.orm import Mapped, Session
from sqlmodel import col

from roundsman.folders import state
from roundsman.ledger.days import expect
from roundsman.ledger.rows import write_rows
from roundsman.ledger.tables import RehearsalRow, RunRow
from roundsman.ledger.transaction import insert_new, writing_session
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Outcome, Verdict, worst
from roundsman.site.rules.site import RELEASE

if TYPE_CHECKING:
    from alembic.config import Config

#: The environment variable that says where the ledger is.
VARIABLE = "ROUNDSMAN_LEDGER_URL"
#: Where it is when nothing says so.
FILE = "ledger.db"

#: Seconds for which a deployment's run waits for a ledger that does not answer.
RESTART_WAIT_SECONDS = 30.0
#: By how much two clocks may differ, as a rule.
CLOCKS_DIFFER = timedelta(minutes=5)

_WANTED = "postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
_MIGRATIONS = Path(__file__).parent / "migrations"
# Alembic keeps what it works on in a global.
_one_upgrade = threading.Lock()


class LedgerError(Exception):
    """The ledger can't be used; says what was seen, what was wanted, and what to do."""


def ledger_url() -> URL:
    """Where the ledger is: ROUNDSMAN_LEDGER_URL, else `.roundsman/ledger.db` in the own folder or the current one.

    Raises:
        LedgerError: the variable holds no URL of a database that a ledger can be kept in.
    """
    given = os.environ.get(VARIABLE)
    return _usable(given) if given else URL.create("sqlite", database=str((state() / FILE).absolute()))


def ready() -> None:
    """Open the ledger and close it again: what is wrong with it is told before a round, not after one.

    Raises:
        LedgerError: as for `open_ledger`.
    """
    open_ledger().dispose()


def has_happened(moment: Mapped[datetime]) -> ColumnElement[bool]:
    """Whether a column's time is not ahead of now. What was written while a clock was wrong would speak for weeks."""
    return moment <= datetime.now(UTC) + CLOCKS_DIFFER


def open_ledger(url: str | URL | None = None) -> Engine:
    """Open the ledger, with its folder made and its tables brought up to date; `dispose()` closes it.

    A deployment's run waits up to RESTART_WAIT_SECONDS for a PostgreSQL that does not answer, as one that restarts.

    Raises:
        LedgerError: it can't be reached, is no ledger, or was written by a newer version of this project.
    """
    where = ledger_url() if url is None else _usable(url)
    engine = _engine(where)
    try:
        with _explained(where):
            _outlast(lambda: _bring_up_to_date(engine), where)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def use_ledger(url: str | URL | None = None) -> Iterator[Engine]:
    """The ledger, open for as long as the block runs.

    Raises:
        LedgerError: as for `open_ledger`.
    """
    engine = open_ledger(url)
    try:
        yield engine
    finally:
        engine.dispose()


@asynccontextmanager
async def use_ledger_async() -> AsyncIterator[Engine]:
    """As `use_ledger`, and the event loop goes on while the ledger is being opened.

    Raises:
        LedgerError: as for `open_ledger`.
    """
    engine = await asyncio.to_thread(open_ledger)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def kept_ledger() -> Iterator[Engine]:
    """The ledger, opened once for a process that uses it again and again.

    It is opened anew where ROUNDSMAN_LEDGER_URL names another one, where an SQLite file was replaced, and after the
    database gave an error.

    Raises:
        LedgerError: as for `open_ledger`.
    """
    engine = _kept.get()
    try:
        yield engine
    except DBAPIError:
        _kept.forget(engine)
        raise


def close_kept_ledger() -> None:
    """Close what `kept_ledger` keeps open; the next use opens it again."""
    _kept.forget()


class _KeptLedger:
    """An open ledger, and the database that it is: an SQLite file may be replaced by another one of its name."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._engine: Engine | None = None
        self._where: tuple[URL, tuple[int, int] | None] | None = None

    def get(self) -> Engine:
        with self._turn:
            where = ledger_url()
            if self._engine is None or self._where != (where, _file_of(where)):
                self._close()
                self._engine = open_ledger(where)
                self._where = where, _file_of(where)
            return self._engine

    def forget(self, engine: Engine | None = None) -> None:
        with self._turn:
            if engine is None or engine is self._engine:
                self._close()

    def _close(self) -> None:
        # Who is using it goes on with the connection that it has.
        if self._engine is not None:
            self._engine.dispose()
        self._engine = None


_kept = _KeptLedger()


def _file_of(where: URL) -> tuple[int, int] | None:
    """What tells an SQLite file from another one of its name; None for PostgreSQL, and where there is no file."""
    if where.drivername != "sqlite":
        return None
    try:
        seen = Path(where.database or "").stat()
    except OSError:
        return None
    return seen.st_dev, seen.st_ino


def write_round(  # noqa: PLR0913 - the columns of a run
    engine: Engine,
    *,
    run_id: str,
    site: str,
    job: str,
    started_at: datetime,
    ended_at: datetime,
    verdicts: Sequence[Verdict],
    flow_run_id: str | None = None,
    whole: bool = True,
) -> None:
    """Write a round, all of it or nothing. A `run_id` that is already there is left as it is.

    A round without a verdict is `unknown`: nobody looked. Times need a zone. `whole` says that every check of the job
    was made.
    """
    day = started_at.astimezone(UTC).date()
    expect(engine, day)
    findings = [finding for verdict in verdicts for finding in verdict.findings]
    exchanges = list(dict.fromkeys(exchange for finding in findings for exchange in finding.evidence))
    outcomes = [verdict.outcome for verdict in verdicts]
    run = RunRow(
        id=run_id,
        site=site,
        job=job,
        started_at=started_at,
        ended_at=ended_at,
        outcome=(worst(outcomes) if outcomes else Outcome.UNKNOWN).value,
        counts={outcome.value: outcomes.count(outcome) for outcome in Outcome}
        | {"findings": len(findings), "exchanges": len(exchanges)},
        flow_run_id=flow_run_id,
        whole=whole,
    )
    with writing_session(engine) as session:
        # A second writer of this run waits here until the first has ended, and then has nothing to do.
        new = insert_new(engine, RunRow, "id").values(run.model_dump())
        if session.scalar(new.returning(col(RunRow.id))):
            write_rows(session.connection(), run_id, day, verdicts, exchanges)


def file_size(connection: Connection) -> int:
    """How many bytes an SQLite file has; 0 for PostgreSQL, which grows at ease."""
    if connection.dialect.name != "sqlite":
        return 0
    pages, page = (connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size"))
    return int(pages) * int(page)


def last_rehearsal(engine: Engine, site: str, rule: str, command: Sequence[str]) -> RehearsalRow | None:
    """The last rehearsal of exactly this command; None when there was none since the command was changed.

    A rule whose way back is the site's own rollback was rehearsed with the release.
    """
    with Session(engine) as session:
        return session.scalars(
            select(RehearsalRow)
            .filter_by(site=site, command_hash=command_hash(command))
            .where(col(RehearsalRow.rule).in_({rule, RELEASE}))
            .order_by(col(RehearsalRow.finished_at).desc(), col(RehearsalRow.id).desc())
            .limit(1)
        ).first()


def known(row: RehearsalRow | None) -> Rehearsal | None:
    """A rehearsal as it was written down."""
    if row is None:
        return None
    return Rehearsal(**{field.name: getattr(row, field.name) for field in fields(Rehearsal)})


def command_hash(argv: Sequence[str]) -> str:
    """What a command is recognised by: SHA-256 over its words, so that `a b` and `"a b"` differ."""
    return hashlib.sha256(json.dumps(list(argv)).encode()).hexdigest()


async def record(
    report: Report, job: str = "inspect-site", *, whole: bool = True, flow_run_id: str | None = None
) -> None:
    """Write a round into the ledger. Doing it again changes nothing, so it may be retried.

    Args:
        report: What the round found.
        job: The job whose round it is.
        whole: Whether every check of the job was made.
        flow_run_id: The run in Prefect; None for a round that was called as a plain function.
    """
    await asyncio.to_thread(_record, report, job, flow_run_id, whole=whole)


def alembic_config(engine: Engine, migrations: Path = _MIGRATIONS) -> "Config":
    """What an Alembic command needs to work on an open ledger."""
    from alembic.config import Config  # noqa: PLC0415 - a ledger that is up to date never needs it

    config = Config(attributes={"engine": engine})
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config


def _usable(url: str | URL) -> URL:
    """A URL as the right driver's. What is wrong is told without showing a password, wherever it was written."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise _refusal("text that is no database URL", _WANTED, f"correct {VARIABLE}") from None
    driver = {"postgresql": "postgresql+psycopg"}.get(parsed.drivername, parsed.drivername)
    if driver not in {"sqlite", "postgresql+psycopg"}:
        raise _refusal(f"a URL of {driver}", _WANTED, f"correct {VARIABLE}")
    if driver == "sqlite" and (parsed.database or ":memory:") == ":memory:":
        raise _refusal("a database in memory, which forgets", _WANTED, "name a file")
    if driver != "sqlite" and "@" in f"{parsed.host}{parsed.database}":
        raise _refusal("more than one @", _WANTED, "write an @ in the user or password as %40, and a / as %2F")
    return parsed.set(drivername=driver)


def _refusal(saw: str, wanted: str, mend: str) -> LedgerError:
    return LedgerError(f"the ledger can't be opened: saw {saw}; wanted {wanted}; {mend}")


def _engine(where: URL) -> Engine:
    if where.drivername == "sqlite":
        folder = Path(where.database or "").parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            mend = f"make the folder or name another file in {VARIABLE}"
            raise _refusal(f"{folder}: {error.strerror}", "a folder for the ledger", mend) from None
        file = Path(where.database or "")
        if not os.access(file if file.is_file() else folder, os.W_OK):
            raise _refusal(f"{file}, which can't be written", "a file that can", f"name another file in {VARIABLE}")
        engine = create_engine(where, hide_parameters=True, connect_args={"timeout": 30})
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    patience = {} if "connect_timeout" in where.query else {"connect_timeout": 10}
    try:
        return create_engine(where, hide_parameters=True, pool_pre_ping=True, connect_args=patience)
    except ModuleNotFoundError:
        mend = "install it with `pip install roundsman[postgres]`"
        raise _refusal("no PostgreSQL driver", "psycopg", mend) from None


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin a transaction only before an INSERT, so that half a migration could stay.
    connection.isolation_level = None
    # The first one holds for a file that is new, and has to come before anything is written into it.
    for pragma in ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # Who reads first and asks for the write lock later can be refused at once, however long it would wait.
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _explained(where: URL) -> Iterator[None]:
    """Says in words what kept the ledger from being opened."""
    try:
        yield
    except DBAPIError as error:
        saw = str(error.orig).strip().partition("\n")[0] or type(error.orig).__name__
        secrets = [where.password, *(value for key, value in where.query.items() if "password" in key)]
        if any(secret and str(secret) in saw for secret in secrets):
            saw = type(error.orig).__name__
        shown = where.database if where.drivername == "sqlite" else f"{where.host}/{where.database}"
        raise _refusal(saw, f"a ledger at {shown}", f"correct {VARIABLE} or the database's rights") from None


def _outlast(do: Callable[[], None], where: URL) -> None:
    """Do something, again and again while the database is being restarted."""
    # Who runs it by hand is there to hear at once; Prefect sets this for each run of a deployment.
    patient = where.drivername != "sqlite" and "PREFECT__FLOW_RUN_ID" in os.environ
    end = time.monotonic() + (RESTART_WAIT_SECONDS if patient else 0.0)
    while True:
        try:
            return do()
        except OperationalError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.5)


def _bring_up_to_date(engine: Engine) -> None:
    known = sorted(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
    if (found := _version(engine)) == known[-1]:
        return
    if found and found not in known:
        saw = f"the ledger's version {found}, which this code does not know"
        mend = f"update this project, or name another database in {VARIABLE}: this one is newer or not a ledger"
        raise _refusal(saw, f"at most version {known[-1]}", mend)
    from alembic import command  # noqa: PLC0415 - a ledger that is up to date never needs it

    with _one_upgrade:
        command.upgrade(alembic_config(engine), "head")


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _record(report: Report, job: str, flow_run_id: str | None, *, whole: bool) -> None:
    with use_ledger() as engine:
        write_round(
            engine,
            run_id=report.run,
            site=report.site,
            job=job,
            started_at=report.started,
            ended_at=report.ended,
            verdicts=report.verdicts,
            flow_run_id=flow_run_id,
            whole=whole,
        )
