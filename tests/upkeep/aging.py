"""A ledger with rows that are old, and what is left of them."""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from roundsman.ledger.base import LedgerTable
from roundsman.ledger.ledger import write_round
from roundsman.ledger.tables import AlertRow, ImportChunkRow, ImportJobRow, OutboxRow
from tests.ledger.rounds import VERDICTS, a_round
from tests.timing.test_samples import NOW

OLD, ANCIENT = timedelta(days=100), timedelta(days=200)


def count(ledger, kind: type[LedgerTable]) -> int:
    with Session(ledger) as session:
        return session.scalar(select(func.count()).select_from(kind))


def left(ledger, column) -> list:
    with Session(ledger) as session:
        return sorted(session.scalars(select(column)))


def everything(ledger) -> dict[str, list]:
    """All rows of all tables."""
    with ledger.connect() as connection:
        return {
            name: sorted(map(str, connection.execute(select(one)).all()))
            for name, one in LedgerTable.metadata.tables.items()
        }


def alert(subject="/a", state="ok", at=NOW - OLD, **more) -> AlertRow:
    names = {"site": "shop", "check": "cache-headers", "rule": "articles", "owner": "web", "run_id": "gone"}
    return AlertRow(subject=subject, state=state, since=at, recent=[], **names | more)


def message(number=1, sent=NOW - OLD, **more) -> OutboxRow:
    names = {"dedup_key": "key", "kind": "firing", "channel": "slack/ops", "site": "shop", "subject": "", "body": ""}
    when = {"created_at": NOW - OLD, "due_at": NOW - OLD}
    return OutboxRow(number=number, sent_at=sent, **names | when | more)


def batch_job(number=1, status="succeeded", at=NOW - OLD) -> list[LedgerTable]:
    ms = int(at.timestamp() * 1000)
    ended = None if status == "running" else ms
    names = {"kind": "import", "job_key": f"job-{number}", "source": "feed", "fingerprint": "", "params": ""}
    head = ImportJobRow(id=number, status=status, chunk_no=3, created_ms=ms, finished_ms=ended, **names)
    chunk = {"job_id": number, "position": 0, "rows": 1, "cursor": "", "digest": "", "quarantined": 0, "token": 1}
    return [head, *(ImportChunkRow(chunk_no=place, committed_ms=ms, **chunk) for place in (1, 2, 3))]


def write(ledger, run, at, verdicts=VERDICTS) -> None:
    write_round(ledger, **a_round(run, verdicts) | {"started_at": at, "ended_at": at})
