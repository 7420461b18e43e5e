"""What all tables share: their catalogue, and types that SQLite and PostgreSQL both keep."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, MetaData, Table, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import SQLModel


class UtcTime(TypeDecorator[datetime]):
    """A point in time: goes in with any zone, is kept and comes out in UTC. SQLite itself knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - given
        """To UTC.

        Raises:
            ValueError: the time has no zone, so nobody can tell when it was.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"saw the time {value.isoformat()} without a zone; wanted one with a zone, such as UTC")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - given
        """From UTC, or from PostgreSQL's session zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json: Any = JSON().with_variant(JSONB(), "postgresql")
#: Of what comes by the million each night. SQLite's own are as long, and only `INTEGER` counts by itself there.
Number: Any = BigInteger().with_variant(Integer(), "sqlite")


class LedgerTable(SQLModel):
    """What all tables share: one catalogue of their own, with names that a migration can rely on."""

    if TYPE_CHECKING:
        __table__: ClassVar[Table]

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        }
    )
