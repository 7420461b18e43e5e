"""Rounds to write into a ledger, what a ledger holds, and other processes that use it."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from roundsman.ledger.base import LedgerTable
from roundsman.report.rules.exchange import Exchange, Phases, Probe
from roundsman.report.rules.verdict import Finding, Outcome, Verdict

START = datetime(2026, 3, 1, 4, 7, tzinfo=UTC)
END = datetime(2026, 3, 1, 4, 8, 30, tzinfo=UTC)

MISS = Exchange(
    Probe("https://www.example.com/articles/tomatoes"),
    due=START.timestamp(),
    started=START.timestamp() + 0.25,
    phases=Phases(first_byte=0.0125),
    status=200,
    headers=(("Cache-Status", "edge; fwd=miss"), ("Age", "0")),
    size=5_000_000_000,
    body_hash="c0ffee",
    node="192.0.2.1:443",
)
REFUSED = Exchange(
    Probe("https://www.example.com/"), due=0.0, started=START.timestamp(), error="refused", detail="nobody listens"
)


def verdict(*findings: Finding, subject: str = "/articles/tomatoes") -> Verdict:
    return Verdict("cache-headers", subject, "articles", "web-platform", "A copy.", "make cdn-rollback", findings)


def finding(outcome: Outcome = Outcome.PASS, *evidence: Exchange, saw: str = "an hour") -> Finding:
    return Finding("cache-headers/stored", "It is stored.", outcome, saw, "a day", evidence)


#: Two verdicts, three findings, two exchanges, and one of these is evidence twice for one finding and once for another.
VERDICTS = (
    verdict(finding(Outcome.PASS, MISS, MISS), finding(Outcome.WARN, MISS, REFUSED)),
    verdict(finding(Outcome.FAIL), subject="/"),
)


def a_round(run_id: str = "run-1", verdicts=VERDICTS) -> dict[str, Any]:
    when = {"started_at": START, "ended_at": END}
    return {"run_id": run_id, "site": "shop", "job": "inspect-site", **when, "verdicts": verdicts}


FULL = {"run": 1, "verdict": 2, "finding": 3, "exchange": 2, "evidence": 3, "rehearsal": 0}
EMPTY = dict.fromkeys(FULL, 0)


def counted(engine: Engine) -> dict[str, int]:
    tables = LedgerTable.metadata.tables
    with Session(engine) as session:
        return {name: session.scalar(select(func.count()).select_from(tables[name])) for name in FULL}


def python(program: str, *words: str) -> subprocess.Popen[bytes]:
    """A program of its own in this project, with pipes to and from it."""
    command = [sys.executable, "-W", "error", "-c", program, *words]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
