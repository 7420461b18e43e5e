"""The copy that migrations are rehearsed on: made of the golden database, and gone in the end.

Only an SQLite file in WAL mode may be golden and live at once: whoever writes to it does not wait for the copy.
"""

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from roundsman.database import migration_role
from roundsman.database.migration_errors import without_values
from roundsman.database.rules.migration_copy import copy_name, is_copy, is_left_over
from roundsman.database.rules.migration_plan import Protection

_WANTED = "postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
#: Seconds to wait for the server.
_CONNECT_SECONDS = 10
_READ_ONLY_OPTIONS = "-c default_transaction_read_only=on -c lock_timeout=1s -c statement_timeout=10s"
#: Of a copy's file, which stands beside the golden database.
_SUFFIX = ".db"


class RehearsalError(Exception):
    """The rehearsal can't begin; says what was seen, what was wanted, and what to do."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy: its URL, and the name that it must be reached by.

    On PostgreSQL its user may be a role that was made for the copy. Nobody with more rights connects to it once
    migrations have run: what they left there would run with those.
    """

    url: str = field(repr=False)
    name: str
    """The database's name, or the file's path on SQLite."""


def address(variable: str) -> URL:
    """The URL in an environment variable.

    Raises:
        RehearsalError: there is none, or none of a database that can be copied.
    """
    given = os.environ.get(variable, "")
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        saw = "text that is no database URL" if given else "nothing"
        raise RehearsalError(f"saw {saw} in {variable}; wanted {_WANTED}") from None
    if url.get_backend_name() not in {"postgresql", "sqlite"}:
        raise RehearsalError(f"saw a URL of {url.get_backend_name()} in {variable}; wanted {_WANTED}")
    if url.get_backend_name() == "sqlite" and (url.database or ":memory:") == ":memory:":
        raise RehearsalError(f"saw a database in memory in {variable}; wanted a file")
    return url


@contextmanager
def connected(url: URL, *, reads_only: bool = False) -> Iterator[Connection]:
    """A connection of our own driver, each statement by itself. `reads_only`: the database refuses what would write.

    Raises:
        RehearsalError: it can't be reached.
    """
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "").absolute()
        mode = "ro" if reads_only else "rw"
        engine = create_engine(
            "sqlite://", creator=lambda: sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True, isolation_level=None)
        )
    else:
        plain = url.set(drivername="postgresql+psycopg")
        patience: dict[str, Any] = {
            "connect_timeout": _CONNECT_SECONDS,
            **({"options": _READ_ONLY_OPTIONS} if reads_only else {}),
        }
        engine = create_engine(plain, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=patience)
    try:
        with _explained(url), engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def copied(
    project: str, golden: URL, live: URL | None, now: datetime, protection: Protection = Protection.ENVIRONMENT
) -> Iterator[Copy]:
    """A copy of the golden database, dropped at the end.

    Args:
        project: Whose it is, by name.
        golden: The database to copy.
        live: The live one, which must be neither.
        now: The time, which the copy's name tells.
        protection: Whether a role of its own owns the copy on PostgreSQL.

    Raises:
        RehearsalError: the golden database is the live one and its writers would have to wait, somebody is connected to
            it, it can't be copied, or its role could do harm elsewhere.
    """
    if live is not None:
        refuse_live_as_golden(golden, live)
    name = copy_name(project, now, secrets.token_hex(4))
    url = _beside(golden, name)
    refuse_live(url, live)
    try:
        _make(golden, url, name)
        refuse_live(url, live)
        copy = Copy(url.render_as_string(hide_password=False), url.database or "")
        if protection is Protection.FULL and url.get_backend_name() == "postgresql":
            copy = _owned(copy, url, golden, live)
        yield copy
    finally:
        drop(golden, name)


def refuse_live_as_golden(golden: URL, live: URL) -> None:
    """Refuse to copy the live database, by whatever name, but for an SQLite file that can be written to meanwhile.

    Raises:
        RehearsalError: the golden database is the live one, or one of them can't be reached.
    """
    if not same_database(golden, live):
        return
    if golden.get_backend_name() == "postgresql":
        raise RehearsalError(
            "saw the live database as golden; wanted one restored from its dump: a server copies a database only "
            "while nobody is connected to it, and one restored from a physical backup can't be told from the live one"
        )
    with connected(golden, reads_only=True) as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode != "wal":
        raise RehearsalError(
            f"saw the live database as golden, with its journal in mode {mode}: nobody can write to it while it is "
            "copied; restore a golden one from the backup, or set PRAGMA journal_mode = WAL"
        )


_REMEDY = (
    "give the role of the golden database's URL CREATEROLE, so that it can make one without rights, or write "
    "`guard: network` in the database file, which leaves what the server does unguarded"
)


def _owned(copy: Copy, url: URL, golden: URL, live: URL | None) -> Copy:
    """The copy in the hands of a role that can do nothing elsewhere.

    Raises:
        RehearsalError: there is no such role.
    """
    with connected(url) as connection:
        try:
            role = migration_role.made(connection, copy.name)
        except migration_role.RoleError as error:
            raise RehearsalError(f"saw {error}; wanted a copy without ways to other servers; {_REMEDY}") from None
        if role is None:
            if (
                live is not None
                and live.get_backend_name() == "postgresql"
                and _identity(golden)[0] == _identity(live)[0]
            ):
                raise RehearsalError(
                    "saw the live database on the server of the golden one, and a role that can't make another; "
                    f"wanted a role without rights there: {_REMEDY}"
                )
            harm = migration_role.harmful(connection)
    if role is not None:
        url = url.set(username=role.name, password=role.password)
        with connected(url) as connection:
            harm = migration_role.harmful(connection)
    if harm:
        raise RehearsalError(f"saw a role that can reach other databases from the copy: {harm}; {_REMEDY}")
    return Copy(url.render_as_string(hide_password=False), copy.name)


def refuse_live(target: URL, live: URL | None) -> None:
    """The last look before anything is changed.

    Raises:
        RehearsalError: migrations would run on the live database, or on one that is not named as a copy.
    """
    if not is_copy(Path(target.database or "").name.removesuffix(_SUFFIX)):
        raise RehearsalError("saw a database that is not named as a copy; wanted a copy, and nothing was changed")
    if live is not None and target.get_backend_name() == live.get_backend_name() and _leads_to(target, live):
        raise RehearsalError("saw the live database as the copy; nothing was changed")


def _leads_to(target: URL, live: URL) -> bool:
    """Whether the target is the live database; one that is not there yet can't be."""
    if target.get_backend_name() == "sqlite":
        return same_database(target, live)
    with connected(target.set(database="postgres"), reads_only=True) as server:
        copy = _identity_of(server, target.database or "")
    return copy[1] is not None and copy == _identity(live)


def drop_left_over(project: str, golden: URL, now: datetime, longest: float) -> list[str]:
    """Drop the copies of a project that a killed rehearsal left behind. Returns their names.

    Only what is named as a copy of this project and is older than a rehearsal can last (`longest` seconds).
    """
    if golden.get_backend_name() == "sqlite":
        found = [path.name.removesuffix(_SUFFIX) for path in _folder(golden).glob("rehearsal_*")]
    else:
        with connected(golden.set(database="postgres")) as server:
            ask = text("SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles")
            found = list(server.execute(ask).scalars())
    old = sorted(name for name in found if is_left_over(name, project, now, longest))
    for name in old:
        drop(golden, name)
    return old


def drop(golden: URL, name: str) -> None:
    """Drop a copy, with whoever is connected to it. One that is not there is no trouble.

    Raises:
        RehearsalError: it is not named as a copy.
    """
    if not is_copy(name):
        raise RehearsalError(f"saw {name}, which is not named as a copy; it was not dropped")
    if golden.get_backend_name() == "sqlite":
        shutil.rmtree(_folder(golden) / name, ignore_errors=True)
        for end in ("", "-wal", "-shm", "-journal"):  # as an earlier release made them
            (_folder(golden) / f"{name}{_SUFFIX}{end}").unlink(missing_ok=True)
        return
    with connected(golden.set(database="postgres")) as server:
        server.exec_driver_sql(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")
        # Without the right to make a role it may not be asked to drop one, not even one that is not there.
        if server.execute(text("SELECT FROM pg_roles WHERE rolname = :name"), {"name": name}).first() is not None:
            server.exec_driver_sql(f"DROP ROLE {_quoted(name)}")


def same_database(one: URL, other: URL) -> bool:
    """Whether two addresses lead to one database, by whatever name each calls its host or file."""
    if one.get_backend_name() != other.get_backend_name():
        return False
    if one.get_backend_name() == "sqlite":
        with suppress(FileNotFoundError):
            return Path(one.database or "").samefile(other.database or "")
        return False
    return _identity(one) == _identity(other)


def _identity(url: URL) -> tuple[Any, ...]:
    """The server's own number, given when it was set up, and the database's. A standby has its primary's."""
    with connected(url, reads_only=True) as connection:
        return _identity_of(connection)


def _identity_of(connection: Connection, name: str = "") -> tuple[Any, ...]:
    """The same of another database of the server; without a number of its own where it is not there."""
    ask = (
        "SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = coalesce(nullif(:name, ''), "
        "current_database())) FROM pg_control_system()"
    )
    return tuple(connection.execute(text(ask), {"name": name}).one())


def _make(golden: URL, url: URL, name: str) -> None:
    if golden.get_backend_name() == "sqlite":
        # The backup API reads in one transaction; in WAL mode others write meanwhile.
        try:
            Path(url.database or "").parent.mkdir(mode=0o700)
            os.close(os.open(url.database or "", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError as error:
            raise RehearsalError(f"saw {error.strerror} at {url.database}; wanted a folder to copy to") from None
        source = f"{Path(golden.database or '').absolute().as_uri()}?mode=ro"
        with (
            _explained(golden),
            closing(sqlite3.connect(source, uri=True)) as original,
            closing(sqlite3.connect(url.database or "")) as copy,
        ):
            original.backup(copy)
        return
    with connected(golden.set(database="postgres")) as server:
        template, target = _quoted(golden.database or ""), _quoted(name)
        # Its files are copied as they are, which takes a third of the time of going through the log. Who may connect is
        # not copied, so nobody but its owner may.
        server.exec_driver_sql(
            f"CREATE DATABASE {target} TEMPLATE {template} STRATEGY FILE_COPY ALLOW_CONNECTIONS false"
        )
        server.exec_driver_sql(f"REVOKE CONNECT, TEMPORARY ON DATABASE {target} FROM PUBLIC")
        server.exec_driver_sql(f"ALTER DATABASE {target} ALLOW_CONNECTIONS true")


def _beside(golden: URL, name: str) -> URL:
    if golden.get_backend_name() == "sqlite":
        # In a folder of its own, which is all that may be written of the golden database's one.
        return golden.set(database=str(_folder(golden) / name / f"{name}{_SUFFIX}"))
    return golden.set(database=name)


def _folder(golden: URL) -> Path:
    return Path(golden.database or "").absolute().parent


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _explained(url: URL) -> Iterator[None]:
    """Says in words what the database refused, without values. A message that repeats the password is left out."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        cause = getattr(error, "orig", None) or error
        said = without_values(cause)
        if url.password and str(url.password) in said:
            said = type(cause).__name__
        shown = url.database if url.get_backend_name() == "sqlite" else f"{url.host}/{url.database}"
        raise RehearsalError(f"saw {said} at {shown}; wanted a database that can be reached and read") from None
