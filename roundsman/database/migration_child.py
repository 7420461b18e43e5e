"""One way up or down of Alembic, in a process of its own, which writes what each statement did as lines of JSON.

It needs Alembic and SQLAlchemy and nothing of this project: the Python that runs it is the migrations' own. Its order
comes as JSON in the environment, so that no URL is seen in the list of processes.
Nothing but the copy is ever connected to: each new connection is asked where it leads.
"""

import importlib.util
import json
import logging
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

# The type checker knows them by the package that they are in, and this process by the folder.
from migration_errors import without_values  # type: ignore[import-not-found]
from migration_watchers import NotTheCopy, PostgreSQL, SQLite  # type: ignore[import-not-found]

sys.path.pop(0)  # this folder: its other modules are not the migrations' business

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import Pool

_COMMENT = re.compile(r"(?P<text>'(?:[^']|'')*')|--[^\n]*|/\*.*?\*/", re.DOTALL)


class Recorder:
    """Writes what each statement did, with a clock that stands still while it looks."""

    def __init__(self, out: Any, watcher: Any) -> None:
        self.out, self.watcher = out, watcher
        self.revision = ""
        self._begun, self._quiet = time.monotonic(), 0.0
        self._open: dict[str, Any] | None = None
        self._started = 0.0

    def now(self) -> float:
        """Seconds since the leg began, without those spent on looking."""
        return time.monotonic() - self._begun - self._quiet

    def write(self, **fact: Any) -> None:
        """Write a line that stays when the process is killed."""
        self.out.write(json.dumps(fact) + "\n")
        self.out.flush()

    def listen(self) -> None:
        """Hear of every statement of every engine in this process."""
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)
        event.listen(Engine, "handle_error", self._failed)
        event.listen(Engine, "commit", self._ends)
        event.listen(Engine, "rollback", self._ends)

    def close(self, connection: Connection | None) -> None:
        """Write the last statement, with what it did. Its locks stay, so that it is in time before the next."""
        done, self._open = self._open, None
        if done is None:
            return
        if connection is not None:
            done |= self._aside(self.watcher.after, connection, done["sql"])
        self.write(kind="statement", **done)

    def _before(self, connection: Connection, _cursor: Any, sql: str, *_: Any) -> None:
        # In one line a comment would seem to go on to the end of the statement.
        sql = " ".join(_COMMENT.sub(lambda found: found["text"] or " ", sql).split())
        # A loop that runs one statement for each row is one statement here; looking after each would take minutes.
        if self._open is None or self._open["sql"] != sql or self._open["revision"] != self.revision:
            self.close(connection)
            self._aside(self.watcher.before, connection, sql)
            self._open = {"sql": sql, "revision": self.revision, "at": self.now(), "seconds": 0.0, "times": 0}
        self._started = self.now()

    def _after(self, connection: Connection, *_: Any) -> None:
        if self._open is not None:
            self._open["times"] += 1
            self._open["seconds"] += self.now() - self._started
        if self.watcher.alone(connection):
            self.close(connection)

    def _failed(self, context: Any) -> None:
        if self._open is not None and context.connection is not None:
            self._open["seconds"] += self.now() - self._started
            self._open["times"] += 1
            self.close(None)

    def _ends(self, connection: Connection) -> None:
        self.close(connection)
        self.write(kind="end", at=self.now())
        self.watcher.ended()

    def _aside(self, look: Any, *about: Any) -> Any:
        begun = time.monotonic()
        try:
            return look(*about)
        finally:
            self._quiet += time.monotonic() - begun


def run(order: dict[str, Any], out: Any) -> None:
    """Walk one leg: `up`, `down` to where the database was, or `look`, which runs nothing and tells what is pending."""
    url = make_url(order["url"])
    if url.drivername == "postgresql" and not importlib.util.find_spec("psycopg2"):
        url = url.set(drivername="postgresql+psycopg")
    written = url.render_as_string(hide_password=False)
    os.environ[order["variable"]] = written
    config = Config(order["config"])
    config.set_main_option("sqlalchemy.url", written.replace("%", "%%"))
    watcher = (SQLite if url.get_backend_name() == "sqlite" else PostgreSQL)(order["copy"])

    def only_the_copy(raw: Any, _record: Any) -> None:
        watcher.refuse_others(raw)
        out.write(json.dumps({"kind": "connected"}) + "\n")

    event.listen(Pool, "connect", only_the_copy)
    if order["leg"] == "check":
        from alembic.command import check  # noqa: PLC0415 - asked for once

        check(config)
        return
    script = ScriptDirectory.from_config(config)
    recorder = Recorder(out, watcher)

    def steps(current: Any, context: Any) -> Any:
        if order["leg"] == "look":
            table = context._version  # noqa: SLF001 - has no other name
            recorder.write(kind="look", table=[table.schema or "", table.name], **_pending(script, current))
            return
        for step in _upward(script, current) if order["leg"] == "up" else _downward(script, tuple(order["to"])):
            recorder.close(None)
            recorder.revision = step.revision.revision
            recorder.write(kind="step", revision=recorder.revision)
            yield step

    recorder.listen()
    environment = EnvironmentContext(config, script, fn=steps, destination_rev=_destination(order))
    try:
        with environment:
            script.run_env()
    finally:
        recorder.close(None)
        context = environment._migration_context  # noqa: SLF001 - get_context() raises where there is none
        if context is not None and context.connection is None:
            recorder.write(kind="offline")
        recorder.write(kind="leg", seconds=recorder.now(), wal=max(0, watcher.wal[1] - watcher.wal[0]))


def _destination(order: dict[str, Any]) -> str:
    """What an env.py finds as the revision to go to; Alembic has no word for several at once."""
    if order["leg"] != "down":
        return "heads"
    return order["to"][0] if len(order["to"]) == 1 else "base"


def _upward(script: ScriptDirectory, current: tuple[str, ...]) -> list[Any]:
    """The steps of `alembic upgrade heads`."""
    revisions: Any = current  # Alembic takes several, and says otherwise
    return list(script._upgrade_revs("heads", revisions))  # noqa: SLF001 - as alembic.command does


def _downward(script: ScriptDirectory, start: tuple[str, ...]) -> list[Any]:
    """Take back exactly what an upgrade from `start` did, whatever branches, bases and merges it went through."""
    made = [step.revision for step in _upward(script, start)]
    return [MigrationStep.downgrade_from_script(script.revision_map, revision) for revision in reversed(made)]


def _pending(script: ScriptDirectory, current: tuple[str, ...]) -> dict[str, Any]:
    heads, steps = script.get_heads(), _upward(script, current)
    return {
        "current": sorted(current),
        "heads": list(heads),
        "ends": sorted(_heads({one.revision: one for one in script.walk_revisions()})),
        "labels": {head: sorted(script.get_revision(head).branch_labels) for head in heads},
        "back": _commands(script, current, [step.revision for step in steps]),
        "pending": {step.revision.revision: (step.revision.doc or "").strip() for step in steps},
    }


def _heads(revisions: dict[str, Any]) -> set[str]:
    """What `alembic_version` holds once all of these are applied: a revision that another one needs is not in it."""
    needed = {name for one in revisions.values() for name in one._all_down_revisions}  # noqa: SLF001 - has no other name
    return set(revisions) - needed


def _commands(script: ScriptDirectory, start: tuple[str, ...], made: list[Any]) -> list[str]:
    """The targets of `alembic downgrade` that take back exactly what was made, in order; none when none do."""
    applied = {one.revision: one for one in script.walk_revisions()}
    left = {one.revision for one in made}
    # Where each branch stood. A revision that another one depends on is in no table, and can still be gone back to.
    stood = {name for one in made for name in one._versioned_down_revisions} - left  # noqa: SLF001 - a tuple, always
    bases = (f"{one.revision}@base" for one in made if not one.down_revision)
    found = []
    for target in [*sorted({*start, *stood}), *bases]:
        try:
            heads: Any = tuple(sorted(_heads(applied)))  # as above
            steps = script._downgrade_revs(target, heads)  # noqa: SLF001 - as alembic.command
            taken = {step.revision.revision for step in steps}
        except CommandError:
            continue
        if taken - left:
            return []
        if taken:
            found.append(target if start else "base")
        left, applied = left - taken, {name: one for name, one in applied.items() if name not in taken}
    return [] if left else list(dict.fromkeys(found))


#: Whose words are of revisions, databases and modules only.
_PLAIN = (CommandError, NotTheCopy, ImportError)


def _why(error: BaseException, withheld: list[str]) -> str:
    """The error's kind, and its words where they can't hold rows of the database: what Python says often does."""
    cause = getattr(error, "orig", None) or error
    if isinstance(error, KeyError) and error.args and error.args[0] in withheld:
        return f"KeyError: the variable {error.args[0]} is withheld, because it leads to a database"
    if isinstance(error, DBAPIError):
        said = without_values(cause)
    else:
        said = str(error).strip().partition("\n")[0] if isinstance(error, _PLAIN) else ""
    kind = type(cause).__name__
    return f"{kind}: {said}" if said not in {"", kind} else kind


def _find_scripts(config: Path) -> None:
    """A relative `script_location` is meant from the project's folder; some call Alembic in its file's folder."""
    location = Config(str(config)).get_main_option("script_location") or ""
    if not Path(location).exists() and (config.parent / location).exists():
        os.chdir(config.parent)


def main() -> int:
    """Take the order from the environment; 0 when the leg came through."""
    order = json.loads(os.environ.pop("ROUNDSMAN_LEG"))
    logging.basicConfig(level=logging.WARNING)
    _find_scripts(Path(order["config"]))
    with Path(order["out"]).open("a", encoding="utf-8") as out:
        try:
            run(order, out)
        except BaseException as error:  # noqa: BLE001 - whatever a migration raises is what there is to tell
            out.write(
                json.dumps({"kind": "error", "type": type(error).__name__, "says": _why(error, order["withheld"])})
                + "\n"
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
