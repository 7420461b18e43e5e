"""The days of a PostgreSQL ledger: partitions of exchanges and of their links to findings, made ahead, dropped whole.

A round's day is the one in UTC on which it began. What has no partition of its own is in the default ones: days that
nobody expected, and from days that were dropped what is still needed. Nothing here is of any effect on SQLite.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, column, func, select, table, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.rules.retention import Retention
from roundsman.ledger.tables import RunRow

log = logging.getLogger("roundsman")

#: Days that the nightly pass makes ahead, so that rounds find theirs for a week without it.
DAYS_AHEAD = 7
#: How long nobody else gets at the tables, at most: less than PostgreSQL's own second after which it calls two that
#: wait for each other a deadlock, and ends the other one.
LOCK_TIMEOUT = "SET LOCAL lock_timeout = '500ms'"
#: Keeps out who comes by the whole, and waits for nobody who is at another part.
ALONE = "LOCK TABLE ONLY exchange, ONLY evidence IN ACCESS EXCLUSIVE MODE"
#: Any number that nothing else in the database locks.
LOCK = 0x64617973

ONE = timedelta(days=1)

_CARRY = "CREATE TEMPORARY TABLE carried ON COMMIT DROP AS SELECT * FROM {} WHERE run_id = ANY(:stay)"
_CARRY_LINKS = (
    "CREATE TEMPORARY TABLE carried_links ON COMMIT DROP AS "
    "SELECT links.* FROM {} AS links JOIN carried ON carried.id = links.exchange_id"
)
_PUT_BACK = ("INSERT INTO exchange SELECT * FROM carried", "INSERT INTO evidence SELECT * FROM carried_links")
_MOVE = (
    "WITH moved AS (DELETE FROM {whole}_default WHERE day = :day RETURNING *) INSERT INTO {part} SELECT * FROM moved"
)
_PARTITION = re.compile(r"(?:exchange|evidence)_(?:default|\d{8})")
#: What PostgreSQL has for its partitions' sake, or can't have: the key of a part has to hold the day.
_OF_DAYS = {
    ("column", "day"),
    ("foreign_key_constraint", "fk_evidence_exchange_id"),
    ("unique_constraint", "uq_exchange_run_id_position"),
    ("unique_constraint", "uq_exchange_run_id_position_day"),
}
_Told = Callable[[Any, str | None, str, bool, Any], bool]


@dataclass(frozen=True)
class OldDays:
    """The days of which nothing is young enough to stay by its age alone."""

    retention: Retention
    doomed: ColumnElement[bool]
    """Of rounds: whose exchanges may go. Those of the others are carried out of their day."""
    before: datetime

    def count(self, session: Session) -> int:
        """How many exchanges would go."""
        connection = session.connection()
        doomed = column("run_id").in_(select(col(RunRow.id)).where(self.doomed))
        return sum(
            connection.scalar(select(func.count()).select_from(table(_names(day)[0])).where(doomed)) or 0
            for day in _days(connection)
            if self._past(day)
        )

    def delete(self, engine: Engine) -> int:
        """Drop each day, in a transaction of its own; returns how many exchanges went.

        When others are at work for longer than half a second, what is left of them is for the next pass.
        """
        gone = 0
        with engine.connect() as connection:
            days = [day for day in _days(connection) if self._past(day)]
        for day in days:
            try:
                with engine.begin() as connection:
                    gone += self._drop(connection, day)
            except DBAPIError as error:
                log.warning("the exchanges of %s and since stay until the next pass: %s", day, _first_line(error))
                break
        return gone

    def _past(self, day: date) -> bool:
        return _begin(day + ONE) <= self.before

    def _drop(self, connection: Connection, day: date) -> int:
        connection.execute(text(LOCK_TIMEOUT))
        # A second pass has nothing to do here, and would wait for the first with locks of its own.
        if not connection.scalar(select(func.pg_try_advisory_xact_lock(LOCK))) or not _is_there(connection, day):
            return 0
        exchange, evidence = _names(day)
        many = connection.scalar(text(f"SELECT count(*) FROM {exchange}")) or 0  # noqa: S608 - a name of ours
        connection.execute(text(ALONE))
        that_day = and_(col(RunRow.started_at) >= _begin(day), col(RunRow.started_at) < _begin(day + ONE))
        stay = connection.scalars(select(col(RunRow.id)).where(that_day, ~self.doomed)).all()
        carried = connection.execute(text(_CARRY.format(exchange)), {"stay": stay}).rowcount
        connection.execute(text(_CARRY_LINKS.format(evidence)))
        # Links first: they lean on the exchanges.
        connection.execute(text(f"DROP TABLE {evidence}"))
        connection.execute(text(f"DROP TABLE {exchange}"))
        for statement in _PUT_BACK:
            connection.execute(text(statement))
        return many - carried


def expect(engine: Engine, day: date) -> None:
    """Make the partitions of a round's day if it is about today by the database's clock and has none.

    When that can't be done, since somebody's lock is in the way for instance, the round goes to the default ones.
    """
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        far = connection.scalar(text("SELECT abs((now() AT TIME ZONE 'UTC')::date - :day)"), {"day": day})
        wanted = far <= 1 and not _is_there(connection, day)
    if wanted:
        make_days(engine, day)


def make_days(engine: Engine, first: date, days: int = 1) -> None:
    """Make the partitions of some days, as far as they are not there and nobody is in the way."""
    if engine.dialect.name != "postgresql":
        return
    for day in (first + timedelta(days=number) for number in range(days)):
        try:
            with engine.begin() as connection:
                _make_day(connection, day)
        except DBAPIError as error:
            log.warning("rounds of %s go to the default partition for now: %s", day, _first_line(error))
            return


def compared(dialect: str) -> _Told:
    """Says to Alembic what to compare: the tables' models are those of both databases, without days."""

    def told(_found: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:  # noqa: FBT001 - Alembic's
        if dialect != "postgresql":
            return True
        return (kind, name) not in _OF_DAYS and not (kind == "table" and _PARTITION.fullmatch(name or ""))

    return told


def _make_day(connection: Connection, day: date) -> None:
    connection.execute(text(LOCK_TIMEOUT))
    if _is_there(connection, day):
        return
    connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
    if _is_there(connection, day):
        return
    # In the order in which a round is written, so that its writer is waited for and not met half-way.
    connection.execute(text("LOCK TABLE run, finding IN SHARE ROW EXCLUSIVE MODE"))
    connection.execute(text(ALONE))
    exchange, evidence = _names(day)
    # Links first, which would else go along with their exchanges.
    for whole, part in (("evidence", evidence), ("exchange", exchange)):
        connection.execute(text(f"CREATE TABLE {part} (LIKE {whole} INCLUDING DEFAULTS)"))
        connection.execute(text(_MOVE.format(whole=whole, part=part)), {"day": day})
    for whole, part in (("exchange", exchange), ("evidence", evidence)):
        span = f"FOR VALUES FROM ('{day}') TO ('{day + ONE}')"
        connection.execute(text(f"ALTER TABLE {whole} ATTACH PARTITION {part} {span}"))
    key = f"FOREIGN KEY (exchange_id, day) REFERENCES {exchange} (id, day) ON DELETE CASCADE"
    connection.execute(text(f"ALTER TABLE {evidence} ADD {key}"))


def _names(day: date) -> tuple[str, str]:
    return f"exchange_{day:%Y%m%d}", f"evidence_{day:%Y%m%d}"


def _is_there(connection: Connection, day: date) -> bool:
    # Not by a name's own look-up, which may remember from before a lock that there was none.
    return day in _days(connection)


def _days(connection: Connection) -> list[date]:
    said = text(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = to_regclass('exchange') AND relname ~ '^exchange_[0-9]{8}$' ORDER BY relname"
    )
    return [datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date() for name in connection.scalars(said)]


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).partition("\n")[0]
