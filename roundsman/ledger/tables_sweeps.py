"""What is kept of sweeps: the pages that were listed, cut into shards, and what was seen of each page.

How far a shard is stands in its batch job (`tables_imports`), which is written in the same transaction.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Index, LargeBinary, SmallInteger, Table, UniqueConstraint, insert, select
from sqlmodel import Field

from roundsman.ledger.base import Json, LedgerTable, UtcTime
from roundsman.report.rules.grouping import Group, group
from roundsman.report.rules.verdict import Outcome, Severity, Verdict

#: Stands for the number of a shard where a finding was made while the pages were listed.
LISTING = -1


class SweepRow(LedgerTable, table=True):
    """One edition of a site's sweep."""

    __tablename__ = "sweep"
    __table_args__ = (UniqueConstraint("site", "edition"), Index(None, "site", "started_at"))

    id: int | None = Field(default=None, primary_key=True)
    site: str
    edition: str
    """What makes two sweeps two: the time at which it was due, or a word of somebody's."""
    status: str
    """listing, sweeping or done."""
    listed: int = Field(default=0, sa_type=BigInteger)
    """Pages in all shards together."""
    notes: list[str] = Field(default_factory=list, sa_type=Json)
    """What is not looked at, and why."""
    started_at: datetime = Field(sa_type=UtcTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcTime)


class SweepShardRow(LedgerTable, table=True):
    """Some pages of a sweep, in their order."""

    __tablename__ = "sweep_shard"

    sweep_id: int = Field(foreign_key="sweep.id", ondelete="CASCADE", primary_key=True)
    number: int = Field(primary_key=True)
    pages: int
    paths: bytes = Field(sa_type=LargeBinary)
    """A path on each line, packed by zlib."""
    digest: str
    """SHA-256 of the paths."""


class SweepPageRow(LedgerTable, table=True):
    """What was seen of one page; its path is the one at its position in the shard."""

    __tablename__ = "sweep_page"

    sweep_id: int = Field(primary_key=True)
    shard: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    status: int = Field(sa_type=SmallInteger)
    """0 when nobody answered."""
    outcome: int = Field(sa_type=SmallInteger)
    """The weight of an `Outcome`."""
    state: str
    first_byte: int
    """Microseconds."""
    size: int = Field(sa_type=BigInteger)
    """Bytes, unpacked."""


class SweepGroupRow(LedgerTable, table=True):
    """Findings of some pages of a shard that fell together."""

    __tablename__ = "sweep_group"
    __table_args__ = (Index(None, "sweep_id"),)

    id: int | None = Field(default=None, primary_key=True)
    sweep_id: int
    shard: int
    told: dict[str, Any] = Field(sa_type=Json)


SWEEP: Table = SweepRow.__table__
SHARD: Table = SweepShardRow.__table__
PAGE: Table = SweepPageRow.__table__
GROUP: Table = SweepGroupRow.__table__


def write_groups(connection: Connection, sweep: int, shard: int, verdicts: Iterable[Verdict]) -> None:
    """Write down what was found wrong, the same fault once."""
    if groups := group(verdicts):
        connection.execute(insert(GROUP), [{"sweep_id": sweep, "shard": shard, "told": asdict(one)} for one in groups])


def read_groups(connection: Connection, sweep: int) -> list[Group]:
    """What was found wrong in each shard."""
    found = connection.execute(select(GROUP.c.told).where(GROUP.c.sweep_id == sweep)).scalars()
    return [_group(told) for told in found]


def _group(told: dict[str, Any]) -> Group:
    severity = Severity(told["severity"]) if told["severity"] else None
    return Group(
        **{**told, "outcome": Outcome(told["outcome"]), "severity": severity, "examples": tuple(told["examples"])}
    )
