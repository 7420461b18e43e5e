"""A round's rows: what the ledger keeps of verdicts, findings and exchanges, and writing all of them at once."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import chain
from typing import Any

from sqlalchemy import Connection, func, select, text

from roundsman.ledger.base import LedgerTable
from roundsman.ledger.tables import EvidenceLink, ExchangeRow, FindingRow, LatencyRow, VerdictRow
from roundsman.ledger.transaction import insert_values
from roundsman.report.rules.exchange import Exchange
from roundsman.report.rules.quantiles import quantile
from roundsman.report.rules.redaction import exchange_json
from roundsman.report.rules.verdict import Finding, Verdict

_Values = dict[str, Any]


def write_rows(
    connection: Connection, run_id: str, day: date, verdicts: Sequence[Verdict], exchanges: Sequence[Exchange]
) -> None:
    """Write all that hangs on a run, which has to be there, within the transaction that is open.

    Args:
        connection: In a transaction that may write.
        run_id: The run.
        day: On which it began, in UTC.
        verdicts: Of the run, in their order.
        exchanges: All that they lean on, each once.
    """
    # Only a partition asks for the day; SQLite has none.
    kept_with = {"day": day} if connection.dialect.name == "postgresql" else {}
    number = dict(zip(exchanges, _numbers(connection, ExchangeRow, len(exchanges)), strict=True))
    seen = (
        {"id": number[one], "run_id": run_id, "position": place, **_exchange(one), **kept_with}
        for place, one in enumerate(exchanges)
    )
    numbers = _numbers(connection, VerdictRow, len(verdicts))
    judged = (
        {"id": own, "run_id": run_id, "position": place, **_verdict(one)}
        for place, (own, one) in enumerate(zip(numbers, verdicts, strict=True))
    )
    found = [
        (verdict, place, finding)
        for verdict, one in zip(numbers, verdicts, strict=True)
        for place, finding in enumerate(one.findings)
    ]
    own_numbers = _numbers(connection, FindingRow, len(found))
    claimed = (
        {"id": own, "verdict_id": verdict, "position": place, **_finding(one)}
        for own, (verdict, place, one) in zip(own_numbers, found, strict=True)
    )
    links = (
        {"finding_id": own, "exchange_id": number[exchange], **kept_with}
        for own, (_, _, one) in zip(own_numbers, found, strict=True)
        for exchange in dict.fromkeys(one.evidence)
    )
    for table, rows in (
        (VerdictRow, judged),
        (FindingRow, claimed),
        (ExchangeRow, seen),
        (EvidenceLink, links),
        (LatencyRow, _latencies(run_id, verdicts)),
    ):
        _write(connection, table, rows)


def _numbers(connection: Connection, table: type[LedgerTable], many: int) -> Sequence[int]:
    """As many ids that nobody else gets."""
    name = str(table.__tablename__)
    if connection.dialect.name == "postgresql":
        one = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :many)")
        return connection.scalars(one, {"name": name, "many": many}).all()
    # The transaction began with the lock of the only writer.
    column = table.__table__.c.id
    last = connection.scalar(select(func.max(column))) or 0
    return range(last + 1, last + 1 + many)


def _write(connection: Connection, table: type[LedgerTable], rows: Iterator[_Values]) -> None:
    """Write rows, of which the first one says which columns there are."""
    first = next(rows, None)
    if first is None:
        return
    into = table.__table__
    insert_values(connection, into, tuple(first), (tuple(row.values()) for row in chain([first], rows)))


def _verdict(verdict: Verdict) -> _Values:
    names = ("check", "subject", "rule", "owner", "outcome", "expected_result", "rollback")
    return {name: _storable(getattr(verdict, name)) for name in names}


def _finding(finding: Finding) -> _Values:
    said = {name: _storable(getattr(finding, name)) for name in ("claim", "outcome", "saw", "wanted")}
    return {**said, "severity": finding.severity and finding.severity.value}


def _exchange(exchange: Exchange) -> _Values:
    seen = {name: _storable(value) for name, value in exchange_json(exchange).items()}
    return {**seen, "at": datetime.fromtimestamp(seen["at"], UTC)}


def _latencies(run_id: str, verdicts: Sequence[Verdict]) -> Iterator[_Values]:
    taken = {(one.path, one.state): one for verdict in verdicts for one in verdict.series if one.times}
    for (path, state), one in taken.items():
        p50, p95 = (round(quantile(one.times, share) * 1000, 3) for share in (0.5, 0.95))
        said = {"p50_ms": p50, "p95_ms": p95, "hits": one.hits, "asked": one.asked}
        where = {"run_id": run_id, "path": _storable(path), "cache_state": state}
        yield {**where, "samples": len(one.times), **said}


def _storable(value: Any) -> Any:
    """As every database takes it: servers send what PostgreSQL refuses, such as NUL and halves of a character."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode().replace("\0", r"\x00")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value
