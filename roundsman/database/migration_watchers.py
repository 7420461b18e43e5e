"""What a statement of a migration did, seen at once and by the database's own word: locks, new files, rows.

Runs beside `migration_child`, under the Python of the migrations, and so needs nothing of this project.
"""

import json
import os
import re
import sqlite3
import threading
from pathlib import Path
from typing import Any

from sqlalchemy import Connection


class NotTheCopy(Exception):  # noqa: N818 - it reads as a sentence in what the operator is told
    """Alembic was about to connect to another database than the copy."""


#: What PostgreSQL knows of this transaction: locks with their tables, files of relations, rows read and written.
LOOK = """
SELECT json_build_object(
  'pid', pg_backend_pid(), 'lock_timeout', current_setting('lock_timeout'),
  'wal', CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_wal_lsn() - '0/0'::pg_lsn END,
  'locks', (SELECT coalesce(json_agg(DISTINCT
    jsonb_build_array(l.relation::bigint, coalesce(i.indrelid, l.relation)::bigint, l.mode)), '[]')
    FROM pg_locks l LEFT JOIN pg_index i ON i.indexrelid = l.relation WHERE l.pid = pg_backend_pid()
    AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384),
  'files', (SELECT coalesce(json_agg(json_build_array(c.oid::bigint, n.nspname, c.relname, c.relfilenode::bigint,
    c.relkind)), '[]') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'i') AND c.oid >= 16384 AND n.nspname NOT LIKE 'pg!_%' ESCAPE '!'),
  'rows', (SELECT coalesce(json_agg(json_build_array(relid::bigint, coalesce(seq_tup_read, 0)
    + coalesce(idx_tup_fetch, 0), n_tup_ins + n_tup_upd + n_tup_del, coalesce(seq_scan, 0))), '[]')
    FROM pg_stat_xact_user_tables)
)::text
"""
#: The same of another connection's locks.
SAMPLE = """
SELECT DISTINCT l.relation::bigint, coalesce(i.indrelid, l.relation)::bigint, l.mode FROM pg_locks l
LEFT JOIN pg_index i ON i.indexrelid = l.relation
WHERE l.pid = {pid} AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
"""


#: How a statement begins that goes through a table's rows, also where it has none yet.
WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class Sampler(threading.Thread):
    """Sees the locks of a statement that is a transaction of its own: after it they are gone."""

    def __init__(self, connection: Connection, pid: int) -> None:
        super().__init__(daemon=True)
        self._raw, self._pid, self._done = connection.engine.raw_connection(), pid, threading.Event()
        self.seen: set[tuple[int, int, str]] = set()

    def run(self) -> None:
        """Look every 50 ms, until stopped."""
        cursor = self._raw.cursor()
        while True:
            cursor.execute(SAMPLE.format(pid=int(self._pid)))
            self.seen |= {tuple(row) for row in cursor.fetchall()}
            self._raw.rollback()  # an index that is built concurrently waits for whoever has a snapshot
            if self._done.wait(0.05):
                return

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self.join()
        self._raw.close()


class PostgreSQL:
    """Asks the server on the migration's own connection: nothing is sampled, nothing missed."""

    def __init__(self, copy: str) -> None:
        self.copy, self.wal = copy, [0, 0]
        self._old: dict[int, str] | None = None
        self._there: set[int] = set()
        self._last: dict[str, Any] | None = None
        self._rows: dict[int, list[int]] = {}
        self._sampler: Sampler | None = None

    def refuse_others(self, raw: Any) -> None:
        """Look where a new connection leads.

        Raises:
            NotTheCopy: not to the copy.
        """
        cursor = raw.cursor()
        cursor.execute("SELECT current_database()")
        [found] = cursor.fetchone()
        cursor.close()
        raw.rollback()
        if found != self.copy:
            raise NotTheCopy(f"Alembic connected to the database {found} and not to the copy {self.copy}")

    def alone(self, connection: Connection) -> bool:
        """Whether each statement is a transaction of its own."""
        return bool(getattr(connection.connection.dbapi_connection, "autocommit", False))

    def before(self, connection: Connection, _sql: str) -> None:
        """Look before a statement, where it is not known how things stand."""
        if self._last is None:
            self._last = self._look(connection)
            self._rows = {
                one[0]: one[1:] for one in self._last["rows"]
            }  # those of earlier transactions may still count
            if self._old is None:
                self._there = {one[0] for one in self._last["files"]}
                self._old = {one[0]: _name(*one[1:3]) for one in self._last["files"] if one[4] in "rpm"}
            self.wal[0] = self.wal[0] or self._last["wal"]
        if self.alone(connection) and not connection.dialect.is_async:
            self._sampler = Sampler(connection, self._last["pid"])
            self._sampler.start()

    def after(self, connection: Connection, _sql: str) -> dict[str, Any]:
        """Look after a statement, and tell what it did."""
        was, now, alone = self._last, self._look(connection), self.alone(connection)
        assert was is not None  # noqa: S101 - `before` came first
        old = self._old or {}
        locks = {tuple(one) for one in now["locks"]}
        if self._sampler is not None:
            self._sampler.stop()
            locks, self._sampler = self._sampler.seen, None
        rows = {one[0]: one[1:] for one in now["rows"]}
        changed = {
            table: [more - less for more, less in zip(counts, self._rows.get(table, (0, 0, 0)), strict=True)]
            for table, counts in rows.items()
            if table in old and not alone
        }
        self._last, self._rows, self.wal[1] = None if alone else now, rows, now["wal"]
        rewritten = _rewritten(was["files"], now["files"])
        held = sorted({(old[table], mode) for one, table, mode in locks if one in self._there and table in old})
        scanned = {old[table]: one[0] for table, one in changed.items() if one[0] > 0}
        written = {old[table]: one[1] for table, one in changed.items() if one[1] > 0}
        # What is read from end to end grows with its rows, also where it has none yet.
        whole = {old[table] for table, one in changed.items() if one[2] > 0}
        # A statement that commits by itself leaves no count of rows: its time is taken to grow with what it locked.
        grows = {*scanned, *written, *whole, *rewritten, *(table for table, _ in held if alone)} & {*old.values()}
        patient = now["lock_timeout"] == "0"
        return {
            "locks": held,
            "rewritten": rewritten,
            "scanned": scanned,
            "written": written,
            "tables": sorted(grows),
            "lock_timeout": not patient,
            "alone": alone,
        }

    def ended(self) -> None:
        """The transaction is over."""
        self._last = None

    def _look(self, connection: Connection) -> dict[str, Any]:
        cursor = connection.connection.cursor()
        cursor.execute(LOOK)
        answer: Any = cursor.fetchone()
        cursor.close()
        found: dict[str, Any] = json.loads(answer[0])
        return found


def _name(schema: str, table: str) -> str:
    return table if schema == "public" else f"{schema}.{table}"


def _rewritten(was: list[Any], now: list[Any]) -> list[str]:
    """What has a new file. An index may have been made anew under its old name."""
    by_oid = {oid: file for oid, _, _, file, _ in was}
    by_name = {(schema, name): file for _, schema, name, file, kind in was if kind == "i"}
    return sorted(
        _name(schema, name)
        for oid, schema, name, file, _ in now
        if by_oid.get(oid, by_name.get((schema, name), file)) != file
    )


class SQLite:
    """Tries, after each statement and on a connection of its own, whether others may read and write."""

    def __init__(self, copy: str) -> None:
        self.copy, self.wal = copy, [0, 0]
        self._other: Any = None
        self._old: dict[str, int] | None = None
        self._last: dict[str, Any] = {}

    def refuse_others(self, raw: Any) -> None:
        """Look where a new connection leads.

        Raises:
            NotTheCopy: not to the copy.
        """
        cursor = raw.cursor()
        cursor.execute("PRAGMA database_list")
        for _, _, file in cursor.fetchall():
            if file and not os.path.samefile(file, self.copy):  # noqa: PTH121 - both are text
                raise NotTheCopy(f"Alembic connected to {Path(file).name} and not to the copy")
        cursor.close()

    def alone(self, connection: Connection) -> bool:
        """Whether each statement is a transaction of its own."""
        return not getattr(connection.connection.dbapi_connection, "in_transaction", True)

    def before(self, connection: Connection, _sql: str) -> None:
        """Look before a statement, where it is not known how things stand."""
        if not self._last:
            self._last = self._look(connection)
            self._old = self._last["tables"] if self._old is None else self._old

    def after(self, connection: Connection, sql: str) -> dict[str, Any]:
        """Look after a statement, and tell what it did."""
        was, now, alone = self._last, self._look(connection), self.alone(connection)
        old = self._old or {}
        self._last = now
        written = now["changes"] - was["changes"]
        changed = written or was["schema"] != now["schema"]
        held = [mode for mode, free in zip(("EXCLUSIVE", "RESERVED"), self._free(), strict=True) if not free]
        if alone:
            held = ["RESERVED"] if changed else []
        rewritten = sorted(
            name for name, page in now["tables"].items() if was["tables"].get(name, page) != page and name in old
        )
        # Alembic makes a new table under another name and drops the old one; the two meet by the old name.
        rewritten += sorted(
            name for name, page in now["tables"].items()
            if name in old and name not in was["tables"] and old[name] != page
        )  # fmt: skip
        touched = sorted(name for name in old if re.search(rf"\b{re.escape(name)}\b", sql))
        return {
            "locks": [("the database", mode) for mode in held],
            "rewritten": rewritten,
            "scanned": {},
            "written": {touched[0] if touched else "the database": written} if written > 0 else {},
            "tables": touched if written > 0 or rewritten or changed or sql.upper().startswith(WRITES) else [],
            "lock_timeout": True,
            "alone": alone,
        }

    def ended(self) -> None:
        """The transaction is over."""
        self._last = {}

    def _look(self, connection: Connection) -> dict[str, Any]:
        raw = connection.connection
        cursor = raw.cursor()
        cursor.execute("SELECT type, name, rootpage, sql FROM sqlite_master ORDER BY name")
        told = cursor.fetchall()
        cursor.close()
        tables = {name: page for kind, name, page, _ in told if kind == "table"}
        return {"tables": tables, "schema": told, "changes": getattr(raw.dbapi_connection, "total_changes", 0)}

    def _free(self) -> tuple[bool, bool]:
        """Whether another connection could read, and write, at this moment. The migration's stands still meanwhile."""
        if self._other is None:
            self._other = sqlite3.connect(self.copy, timeout=0, isolation_level=None)
        return self._can("SELECT 1 FROM sqlite_master"), self._can("BEGIN IMMEDIATE", "ROLLBACK")

    def _can(self, *statements: str) -> bool:
        try:
            for statement in statements:
                self._other.execute(statement).fetchall()
        except Exception as error:
            if "locked" in str(error):
                return False
            raise
        return True
