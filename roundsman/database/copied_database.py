"""The role that migrations are rehearsed as on PostgreSQL: it owns the copy, and has no right to anything else.

SQL can make a server connect to another one, and who may drop a database may do so from within another. So what runs
on the copy is a role of its own, made with the copy and dropped with it.
The copy that migrations are rehearsed on: made of the golden database, and gone in the end.

Only an SQLite file in WAL mode may be golden and live at once: whoever writes to it does not wait for the copy.
"""

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from roundsman.database.migration_errors import without_values
from roundsman.database.rules.migration_facts import Protection, copy_name, is_copy, is_left_over

#: Extensions with functions that connect to somewhere else.
_REACHING = ("dblink", "http", "pg_net", "plproxy", "pg_cron", "aws_s3", "aws_lambda", "azure_storage", "pg_background")
#: Roles of PostgreSQL that may start programs, write files, or end the sessions of others.
_MIGHTY = ("pg_execute_server_program", "pg_write_server_files", "pg_read_server_files", "pg_signal_backend")

_MAY = "SELECT rolsuper, rolsuper OR rolcreaterole, rolreplication FROM pg_roles WHERE rolname = current_user"

#: What makes a role the owner of all that is in a database and belongs to no extension. What depends on a table, such
#: as the sequence of a serial column, comes along with it.
_HAND_OVER = """
WITH own AS (SELECT objid, classid FROM pg_depend WHERE deptype = 'e'),
s AS (SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
mine AS (SELECT oid FROM pg_roles WHERE pg_has_role(current_user, oid, 'USAGE'))
SELECT format('ALTER SCHEMA %I OWNER TO {role}', n.nspname) FROM pg_namespace n JOIN s USING (oid)
    WHERE n.nspowner IN (SELECT oid FROM mine) AND pg_get_userbyid(n.nspowner) <> 'pg_database_owner'
    AND (n.oid, 'pg_namespace'::regclass) NOT IN (SELECT objid, classid FROM own)
UNION ALL SELECT format('ALTER TABLE %I.%I OWNER TO {role}', s.nspname, c.relname)
    FROM pg_class c JOIN s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relowner IN (SELECT oid FROM mine)
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE c.relkind = 'S' AND d.objid = c.oid
        AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))
    AND (c.oid, 'pg_class'::regclass) NOT IN (SELECT objid, classid FROM own)
UNION ALL SELECT format('ALTER ROUTINE %s OWNER TO {role}', p.oid::regprocedure)
    FROM pg_proc p JOIN s ON s.oid = p.pronamespace
    WHERE p.proowner IN (SELECT oid FROM mine) AND (p.oid, 'pg_proc'::regclass) NOT IN (SELECT objid, classid FROM own)
UNION ALL SELECT format('ALTER %s %I.%I OWNER TO {role}', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,
    s.nspname, t.typname) FROM pg_type t JOIN s ON s.oid = t.typnamespace
    WHERE t.typowner IN (SELECT oid FROM mine) AND (t.typtype IN ('e', 'd', 'r')
        OR t.typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = t.typrelid) = 'c')
    AND (t.oid, 'pg_type'::regclass) NOT IN (SELECT objid, classid FROM own)
UNION ALL SELECT format('ALTER STATISTICS %I.%I OWNER TO {role}', s.nspname, x.stxname)
    FROM pg_statistic_ext x JOIN s ON s.oid = x.stxnamespace WHERE x.stxowner IN (SELECT oid FROM mine)
"""
#: What closes the ways from the copy's server to other ones. Rights of the database's own owner are given up with it.
_CLOSE = """
SELECT format('DROP USER MAPPING FOR %s SERVER %I', CASE WHEN umuser = 0 THEN 'PUBLIC' ELSE quote_ident(usename) END,
    srvname) FROM pg_user_mappings
UNION ALL SELECT format('REVOKE ALL ON FOREIGN SERVER %I FROM PUBLIC', srvname) FROM pg_foreign_server
UNION ALL SELECT format('REVOKE ALL ON FOREIGN DATA WRAPPER %I FROM PUBLIC', fdwname) FROM pg_foreign_data_wrapper
UNION ALL SELECT format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', p.oid::regprocedure) FROM pg_proc p
    JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid WHERE e.extname = ANY (:reaching)
"""
#: Ways to other servers that are open to the current role.
_OPEN = """
SELECT 'the foreign server ' || srvname FROM pg_foreign_server WHERE has_server_privilege(oid, 'USAGE')
UNION ALL SELECT 'the foreign data wrapper ' || fdwname FROM pg_foreign_data_wrapper
    WHERE has_foreign_data_wrapper_privilege(oid, 'USAGE')
UNION ALL SELECT DISTINCT 'the extension ' || e.extname FROM pg_proc p
    JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid
    WHERE e.extname = ANY (:reaching) AND has_function_privilege(p.oid, 'EXECUTE')
UNION ALL SELECT 'the role ' || rolname FROM pg_roles WHERE rolname = ANY (:mighty) AND pg_has_role(oid, 'USAGE')
"""


@dataclass(frozen=True, slots=True)
class Role:
    """Who a rehearsal's commands are to the server."""

    name: str
    password: str = field(repr=False)


class RoleError(Exception):
    """There is no role that could do no harm; says why."""


def made(connection: Connection, database: str) -> Role | None:
    """Make a role named as the copy, the owner of the copy and all that is in it. None where none may be made.

    Args:
        connection: To the copy, each statement by itself.
        database: The copy's name; it needs no quotes.

    Raises:
        RoleError: it can't be kept from reaching other servers.
    """
    is_superuser, may, _ = connection.exec_driver_sql(_MAY).one()
    if not may:
        return None
    role = Role(database, secrets.token_hex(16))
    run = connection.exec_driver_sql
    run(f"CREATE ROLE {role.name} LOGIN PASSWORD '{role.password}' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION")
    if not is_superuser:
        run(f"GRANT {role.name} TO CURRENT_USER")
    for setting in connection.execute(text("SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = current_user")):
        name, _, value = setting[0].partition("=")
        # A list of schemas is kept with its own quotes.
        quoted = value if name == "search_path" and value else "'" + value.replace("'", "''") + "'"
        with suppress(DBAPIError):  # one that only a superuser may set
            run(f"ALTER ROLE {role.name} SET {name} TO {quoted}")
    run(f"ALTER DATABASE {database} OWNER TO {role.name}")
    try:
        for statement in [*_statements(connection, _CLOSE), *_statements(connection, _HAND_OVER, role.name)]:
            run(statement)
    except DBAPIError as error:
        said = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise RoleError(f"the copy can't be handed to a role without rights: {said}") from None
    return role


def _statements(connection: Connection, ask: str, role: str = "") -> Sequence[str]:
    asked = {"reaching": list(_REACHING)} if ":reaching" in ask else {}
    return connection.execute(text(ask.replace("{role}", role)), asked).scalars().all()


def harmful(connection: Connection) -> str:
    """Why the current role can't be trusted with a migration on this server, or ""."""
    is_superuser, _, is_replication = connection.exec_driver_sql(_MAY).one()
    if is_superuser or is_replication:
        return "it is a superuser" if is_superuser else "it may replicate other databases"
    open_ways = connection.execute(text(_OPEN), {"reaching": list(_REACHING), "mighty": list(_MIGHTY)}).scalars().all()
    return f"it may use {', '.join(open_ways)}" if open_ways else ""


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
            role = made(connection, copy.name)
        except RoleError as error:
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
            harm = harmful(connection)
    if role is not None:
        url = url.set(username=role.name, password=role.password)
        with connected(url) as connection:
            harm = harmful(connection)
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
        server.exec_driver_sql(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")
        # Without the right to make a role it may not be asked to drop one, not even one that is not there.
        if server.execute(text("SELECT FROM pg_roles WHERE rolname = :name"), {"name": name}).first() is not None:
            server.exec_driver_sql(f"DROP ROLE {quoted(name)}")


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
        template, target = quoted(golden.database or ""), quoted(name)
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


def quoted(name: str) -> str:
    """A name as SQL takes it."""
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
