"""What comparisons came to, in the ledger."""

import asyncio
import math
from collections.abc import Sequence

from sqlalchemy import Engine, delete, select
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.tables_rounds import RunRow
from roundsman.ledger.tables_service import ComparisonRow
from roundsman.ledger.transaction import writing_session
from roundsman.report.rules.series import Ratio

JOB = "compare-release"


async def keep_ratios(run: str, ratios: Sequence[Ratio], margin: float, version: str = "") -> None:
    """Write a comparison's ratios beside its round, which is in the ledger already. Again it changes nothing."""
    await asyncio.to_thread(_keep, run, ratios, margin, version)


def last_ratios(session: Session, site: str) -> tuple[RunRow, list[Ratio], float, str] | None:
    """The last comparison of a site that came to any ratio: its round, the ratios, its margin, the release."""
    with_any = select(col(ComparisonRow.run_id))
    run = session.scalars(
        select(RunRow)
        .where(col(RunRow.site) == site, col(RunRow.job) == JOB, col(RunRow.id).in_(with_any))
        .order_by(col(RunRow.started_at).desc())
        .limit(1)
    ).first()
    if run is None:
        return None
    rows = session.scalars(select(ComparisonRow).filter_by(run_id=run.id).order_by(col(ComparisonRow.id))).all()
    ratios = [
        Ratio(row.path, row.cache_state, row.ratio, row.low or 0.0, row.high or math.inf, row.word) for row in rows
    ]
    return run, ratios, rows[0].margin, rows[0].version


def write_ratios(engine: Engine, run: str, ratios: Sequence[Ratio], margin: float, version: str = "") -> None:
    """As `keep_ratios`, in an open ledger."""
    with writing_session(engine) as session:
        session.execute(delete(ComparisonRow).where(col(ComparisonRow.run_id) == run))
        session.add_all(
            ComparisonRow(
                run_id=run,
                version=version,
                path=one.path,
                cache_state=one.state,
                ratio=one.ratio,
                low=one.low or None,
                high=one.high if math.isfinite(one.high) else None,
                word=str(one.word),
                margin=margin,
            )
            for one in ratios
        )


def _keep(run: str, ratios: Sequence[Ratio], margin: float, version: str) -> None:
    with use_ledger() as engine:
        write_ratios(engine, run, ratios, margin, version)
