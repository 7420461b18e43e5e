"""Alembic up and down on a copy, each way in a process of its own, and the old release's smoke test."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from roundsman.database.copied_database import Copy, RehearsalError, address, refuse_live
from roundsman.database.migration_guard import RehearsalGuard, begun_in, guarded
from roundsman.database.migration_place import CommandPlace, nowhere
from roundsman.database.rules.migration_claims import NOT_CONNECTED, listed
from roundsman.database.rules.migration_facts import MigrationRun, MigrationStatement
from roundsman.database.rules.migration_plan import Migrations
from roundsman.database.rules.migration_reach import ReachAttempt, named, of_the_project
from roundsman.rollback.find_and_run import environment as own_environment
from roundsman.rollback.find_and_run import path_of
from roundsman.rollback.rules.output import redacted, secrets_of
from roundsman.rollback.supervise import CommandBounds, CommandResult, supervise

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
