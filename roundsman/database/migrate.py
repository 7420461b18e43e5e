"""Alembic up and down on a copy, each way in a process of its own, and the old release's smoke test.

The commands run in an environment with the copy's address only, and reach nothing else.
"""

import json
import os
import socket
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import URL, make_url

import roundsman
from roundsman.database.copied_database import Copy, RehearsalError, address, refuse_live
from roundsman.database.migration_guard import POSTGRESQL_PORT, Reach, RehearsalGuard, begun_in, find_upstream, guarded
from roundsman.database.rules.migration_facts import (
    NOT_CONNECTED,
    MigrationRun,
    Migrations,
    MigrationStatement,
    Protection,
    listed,
)
from roundsman.database.rules.migration_reach import (
    Address,
    ReachAttempt,
    decoy_host,
    decoys,
    filled,
    named,
    of_the_project,
    withheld,
)
from roundsman.rollback.find_and_run import environment as own_environment
from roundsman.rollback.find_and_run import path_of
from roundsman.rollback.rules.output import redacted, secrets_of
from roundsman.rollback.supervise import CommandBounds, CommandResult, supervise

#: What of a URL's query is about the way to the server, and means nothing on the way through the guard.
_OF_THE_WAY = frozenset(
    {"host", "hostaddr", "port", "service", "ssl", "passfile", "channel_binding", "gssencmode", "requirepeer"}
    | {"target_session_attrs", "load_balance_hosts", "krbsrvname", "user", "password", "dbname"}
)
#: Files that are looked for in the project's folder when the live one has more than one name, at most.
_MAX_FILES = 200_000


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """What a command finds."""

    environment: Mapping[str, str] = field(repr=False)
    withheld: frozenset[str] = frozenset()
    """Variables of ours that it does not find."""
    reach: Reach | None = None
    """None where nothing but the environment is guarded."""
    live: tuple[Address, ...] = ()

    def decoys(self, file: Path) -> dict[str, str]:
        """Values for the withheld variables with which each use of them is seen."""
        names = self.withheld - self.environment.keys()
        return decoys(own_environment(), of_the_project(names), self.live, str(file))


def find_place(plan: Migrations, copy: Copy, folder: Path, live: str, addresses: Collection[URL]) -> CommandPlace:
    """Make up the place for a rehearsal's commands.

    Args:
        plan: What is rehearsed.
        copy: The copy.
        folder: The project's folder.
        live: The variable with the live database's URL; it holds the copy's for the commands.
        addresses: Of the live database.

    Raises:
        RehearsalError: the copy can't be reached.
    """
    url = make_url(copy.url)
    is_file = url.get_backend_name() == "sqlite"
    known = tuple(_address(one) for one in addresses)
    without = withheld(own_environment(), known)
    reach = None
    if is_file and plan.guard is not Protection.ENVIRONMENT:
        reach = _reach_file(copy, folder, addresses, plan)
    elif plan.guard is not Protection.ENVIRONMENT:
        server, user, password = find_upstream(url)
        port = url.port or POSTGRESQL_PORT
        ports = tuple(dict.fromkeys([port, *(one.port for one in known if one.port), POSTGRESQL_PORT]))
        aliases = {decoy_host(name): f"the address in {name}" for name in of_the_project(without)}
        names = frozenset(host for one in known for host in one.hosts)
        reach = Reach(
            copy.name,
            user,
            server,
            ports,
            writable=(folder.resolve(),),
            read_only=_run_later(folder.resolve()),
            live_names=names,
            aliases=aliases,
        )
        query = {name: value for name, value in url.query.items() if name not in _OF_THE_WAY and "ssl" not in name}
        url = url.set(username=user, password=password, host="127.0.0.1", port=port, query=query)
    written = url.render_as_string(hide_password=False)
    parts = {
        "url": written,
        "host": url.host or "",
        "port": str(url.port or ("" if is_file else POSTGRESQL_PORT)),
        "user": url.username or "",
        "password": url.password or "",
        "database": url.database or "",
    }
    environment = dict.fromkeys(filter(None, (live, plan.golden, plan.url)), written)
    if not is_file:
        libpq = {
            "PGHOST": "host",
            "PGPORT": "port",
            "PGUSER": "user",
            "PGPASSWORD": "password",
            "PGDATABASE": "database",
        }
        environment |= {name: parts[part] for name, part in libpq.items() if parts[part]}
    environment |= {name: filled(template, parts) for name, template in plan.env.items()}
    return CommandPlace(environment, without, reach, known)


def nowhere(folder: Path) -> dict[str, str]:
    """Where libpq finds no service and no password, and other programs a folder that may be written."""
    empty = folder / "empty"
    empty.touch(mode=0o600)
    return {
        "PGPASSFILE": str(empty),
        "PGSERVICEFILE": str(empty),
        "PGSYSCONFDIR": str(folder),
        "PSQLRC": str(empty),
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder),
    }


def _address(url: URL) -> Address:
    if url.get_backend_name() == "sqlite":
        return Address(database=str(Path(url.database or "").resolve()), file=True)
    said = url.query.get("host", ())
    hosts = {host for host in (url.host, *([said] if isinstance(said, str) else said)) if host}
    hosts = {name for host in hosts for name in host.split(",")}
    for host in tuple(hosts):
        with suppress(OSError):
            hosts |= {str(one[4][0]) for one in socket.getaddrinfo(host, None)}
    port = url.port or POSTGRESQL_PORT
    return Address(frozenset(hosts), port, url.username or "", str(url.password or ""), url.database or "")


def _reach_file(copy: Copy, folder: Path, addresses: Collection[URL], plan: Migrations) -> Reach:
    """An SQLite file is kept from whoever may write its folder: a journal beside it would be played back."""
    files = [Path(one.database or "").resolve() for one in addresses if one.get_backend_name() == "sqlite"]
    golden = Path(make_url(os.environ[plan.golden]).database or "").resolve()
    hidden = [path for file in files for path in _names(file, folder)]
    beside = [Path(f"{path}{end}") for path in hidden for end in ("-wal", "-shm", "-journal")]
    there = tuple(dict.fromkeys(path for path in (*hidden, *beside) if path.is_file()))
    top = folder.resolve()
    closed = tuple(dict.fromkeys(path.parent for path in (*hidden, golden)))
    # A folder that is mounted can't be renamed, and neither must one be that leads to it.
    between = tuple(dict.fromkeys(path for one in closed for path in one.parents if top in path.parents))
    return Reach(
        ports=(POSTGRESQL_PORT,),
        writable=(Path(copy.name).parent.resolve(), top, *between),
        read_only=(*closed, *_run_later(top)),
        hidden=there,
    )


def _run_later(folder: Path) -> tuple[Path, ...]:
    """Folders in the project's one with what runs later without a guard, such as the guard's own code."""
    own = {Path(roundsman.__file__).parent, Path(__file__).parents[1], Path(sys.prefix)}
    environments = {path.parent for path in folder.glob("*/pyvenv.cfg")}
    found = {path.resolve() for path in (*own, *environments, folder / ".git") if path.is_dir()}
    return tuple(sorted(path for path in found if folder in path.parents))


def _names(file: Path, folder: Path) -> Iterator[Path]:
    """A file by each of its names, as far as they are in its own folder or in the project's."""
    yield file
    with suppress(OSError):
        about = file.stat()
        if about.st_nlink == 1:
            return
        left = _MAX_FILES
        for top in dict.fromkeys((file.parent, folder.resolve())):
            for where, _, names in os.walk(top):
                for path in (Path(where) / name for name in names):
                    left -= 1
                    with suppress(OSError):
                        if left > 0 and path != file and path.lstat().st_ino == about.st_ino and path.samefile(file):
                            yield path


#: Characters of what was tried to reach: names of databases and hosts have fewer.
_MAX_TARGET_CHARACTERS = 300
_CHILD = Path(__file__).with_name("migration_child.py")


@dataclass(frozen=True, slots=True)
class RehearsalContext:
    """Where a rehearsal stands: its plan, its copy, and the project's folder."""

    plan: Migrations
    copy: Copy
    folder: Path
    live: str = ""
    """The variable with the live database's URL."""
    bounds: Mapping[str, Any] = field(default_factory=dict)
    """What else ends a command; `roundsman.rollback.supervise.Bounds`."""
    place: CommandPlace = field(default_factory=lambda: CommandPlace({}))
    attempts: list[ReachAttempt] = field(default_factory=list)
    """What the commands tried to reach beside the copy."""


def run_migrations(at: RehearsalContext, way: str, to: Sequence[str] = ()) -> MigrationRun:
    """Go `up` to the newest migrations, or `down` to where the database was. Blocks; what went wrong is in the leg."""
    lines, trouble = _run(at, way, to)
    statements = [_statement(line) for line in lines if line["kind"] == "statement"]
    end = next((line for line in lines if line["kind"] == "leg"), {})
    last = max((one.at + one.seconds for one in statements), default=0.0)
    return MigrationRun(
        tuple(statements),
        tuple(line["at"] for line in lines if line["kind"] == "end"),
        tuple(line["revision"] for line in lines if line["kind"] == "step"),
        end.get("seconds", last),
        _error(lines, trouble, at),
        end.get("wal", 0),
        os.getloadavg()[0] / len(os.sched_getaffinity(0)),
    )


def pending(at: RehearsalContext) -> tuple[dict[str, Any], str, str]:
    """What Alembic would run, and what went wrong, or "".

    Returns:
        `current`, `heads`, `ends`, `labels`, `back`, `pending` and `table` (that of the revisions: schema and name);
        what went wrong; and where that is because Alembic was led to something else than the copy, what to write.
    """
    lines, trouble = _run(at, "look")
    told = next((line for line in lines if line["kind"] == "look"), {})
    failed = next((line for line in lines if line["kind"] == "error"), {"type": "", "says": ""})
    error = failed["type"]
    led_elsewhere = error == "NotTheCopy" or any(one.database for one in at.attempts)
    connected = any(line["kind"] == "connected" for line in lines)
    missing = of_the_project(at.place.withheld - set(at.place.environment))
    lacks = bool(missing) and error not in _OWN_FAULT
    if connected:
        remedy = ""
    elif "as_sql" in failed["says"] or any(line["kind"] == "offline" for line in lines):
        remedy = NOT_CONNECTED
    else:
        remedy = _remedy(at, missing) if led_elsewhere or lacks else ""
    return told, _error(lines, trouble, at), remedy


#: Errors that have nothing to do with an address.
_OWN_FAULT = frozenset({"", "CommandError", "ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError"})


def _remedy(at: RehearsalContext, missing: Sequence[str]) -> str:
    withheld = f"; withheld, because they lead to a database: {listed(missing)}" if missing else ""
    return (
        f"let env.py take the URL from {at.plan.url}, or write `env:` with the variables that it is made of, such as "
        f"{{POSTGRES_SERVER: '{{host}}', POSTGRES_PORT: '{{port}}', POSTGRES_DB: '{{database}}'}}{withheld}"
    )


def drift(at: RehearsalContext) -> str | None:
    """What the models have that no migration makes, "" when nothing; None when they can't be asked for."""
    lines, trouble = _run(at, "check")
    error = next((line for line in lines if line["kind"] == "error"), None)
    if error is None:
        return None if trouble else ""
    return error["says"].partition(": ")[2] if error["type"] == "AutogenerateDiffsDetected" else None


def smoke(at: RehearsalContext) -> str | None:
    """Try the old release on the copy. What went wrong, "" when nothing; None when there is no such command."""
    if not at.plan.smoke:
        return None
    with _command(at, "the smoke test") as command:
        return command.run(at.plan.smoke, {}, at.plan.smoke_timeout).trouble


#: Which command of a rehearsal it was, in a sentence.
_LEGS = {"look": "the look for what is pending", "up": "the upgrade", "down": "the downgrade", "check": "alembic check"}


def _run(at: RehearsalContext, leg: str, to: Sequence[str] = ()) -> tuple[list[dict[str, Any]], str]:
    with _command(at, _LEGS[leg]) as command:
        out = command.folder / "facts"
        order = {
            "leg": leg,
            "to": list(to),
            "config": str((at.folder / at.plan.config).resolve()),
            "url": at.place.environment[at.plan.url],
            "copy": at.copy.name,
            "variable": at.plan.url,
            "out": str(out),
            "withheld": of_the_project(at.place.withheld - at.place.environment.keys()),
        }
        # Opened before: the command may put something else in its place.
        with out.open("w+", encoding="utf-8") as facts:
            ran = command.run([at.plan.python, str(_CHILD)], {"ROUNDSMAN_LEG": json.dumps(order)}, at.plan.timeout)
            return [json.loads(line) for line in facts], ran.trouble


@dataclass(frozen=True, slots=True)
class _Command:
    at: RehearsalContext
    folder: Path
    """May be written."""
    guard: RehearsalGuard | None

    def run(self, words: Sequence[str], more: Mapping[str, str], timeout: float) -> CommandResult:
        """Run a program of the project in its folder.

        Raises:
            RehearsalError: it could not be confined; it was not run.
        """
        folder = self.at.folder
        program = str(folder / words[0]) if "/" in words[0] else path_of(words[0])
        if not program or not os.access(program, os.X_OK):
            return CommandResult(0.0, None, f"no program {words[0]}; wanted one on the PATH or in the project", "")
        argv = [program, *words[1:]]
        launched = self.guard.argv(folder, argv) if self.guard else begun_in(folder, argv)
        seen = self.at.place.decoys(self.guard.decoy) if self.guard else {}
        environment = {**seen, **self.at.place.environment, **nowhere(self.folder), **more}
        ran = supervise(launched, environment, CommandBounds(timeout, **self.at.bounds), self.at.place.withheld)
        if self.guard and self.guard.refused:
            raise RehearsalError(
                f"saw a system that can't keep the live database out of reach ({self.guard.refused}), so nothing was "
                "run; wanted Linux with user namespaces, or `guard: environment` in the database file: the README "
                "says what that leaves open"
            )
        _look_at_copy(self.at)
        return ran


def _look_at_copy(at: RehearsalContext) -> None:
    """See that the copy is no other database, before anything changes it and after anything could have put one there.

    Raises:
        RehearsalError: it is.
    """
    url = make_url(at.copy.url)
    is_file = url.get_backend_name() == "sqlite"
    if is_file and (Path(at.copy.name).is_symlink() or not Path(at.copy.name).is_file()):
        raise RehearsalError("saw something else in the place of the copy: a migration put it there; wanted its file")
    target = url if is_file else address(at.plan.golden).set(database=at.copy.name)
    refuse_live(target, address(at.live) if at.live else None)


@contextmanager
def _command(at: RehearsalContext, leg: str) -> Iterator[_Command]:
    """One command of a rehearsal."""
    _look_at_copy(at)
    if at.place.reach is None:
        with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
            yield _Command(at, Path(folder), None)
        return
    with guarded(at.place.reach) as guard:
        try:
            yield _Command(at, guard.folder, guard)
        finally:
            secrets = secrets_of(own_environment())
            known = [
                replace(one, target=redacted(one.target[:_MAX_TARGET_CHARACTERS], secrets)) for one in guard.attempts
            ]
            at.attempts.extend(named(known, leg))


def _statement(line: Mapping[str, Any]) -> MigrationStatement:
    told = {name: value for name, value in line.items() if name != "kind"}
    told |= {name: tuple(told.get(name, ())) for name in ("rewritten", "tables")}
    return MigrationStatement(**told | {"locks": tuple((table, mode) for table, mode in line.get("locks", ()))})


def _error(lines: list[dict[str, Any]], trouble: str, at: RehearsalContext) -> str:
    """What went wrong, without the password."""
    said = next((line["says"] for line in lines if line["kind"] == "error"), "")
    return redacted(said, secrets_of(at.place.environment)) or trouble
