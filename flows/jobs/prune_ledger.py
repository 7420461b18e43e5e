"""Keep the ledger, and the storage of cached results, as large as they have to be, and no larger."""

import logging
from dataclasses import replace
from datetime import UTC, datetime

from prefect import State, flow
from prefect.states import Completed

from flows.tasks.results import delete_expired_results
from flows.tasks.upkeep import prune
from flows.tasks.watch import notify_failure
from roundsman.alerts.rules.runbook import NothingToUndo, job
from roundsman.ledger.rules.retention import crowded
from roundsman.upkeep.prune import Pruned

log = logging.getLogger("roundsman")

_BYTES_OF_A_MEGABYTE = 1e6


@job(
    owner="roundsman operators",
    expects="Every sample is rolled up, and the ledger holds nothing that is older than its retention and not needed.",
    on_fail="Nothing is lost: the ledger grows, and status pages get slower. First look: the run's logs, which say how "
    "far it came, then the disk of the ledger. Run it again: it goes on where it stopped.",
    rollback=NothingToUndo(
        "only what is past its retention goes, by the table in README.md; a backup of the ledger still has it"
    ),
    max_runtime=3600.0,
)
@flow(
    name="prune-ledger",
    flow_run_name="prune the ledger",
    persist_result=False,
    timeout_seconds=3540,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
async def prune_ledger(dry_run: bool = True) -> State[Pruned]:  # noqa: FBT001, FBT002 - parameters are given by name
    """Roll the samples of response times up, and delete what is not needed any more from the ledger and result storage.

    Args:
        dry_run: Whether to change nothing, and only say what would be done.
    """
    now = datetime.now(UTC)
    pruned = await prune(now, dry_run=dry_run)
    results = await delete_expired_results(now, dry_run=dry_run)
    pruned = replace(pruned, gone=pruned.gone | {"expired results": results})
    summary = summary_of(pruned, dry_run=dry_run)
    log.log(logging.WARNING if crowded(pruned.size) else logging.INFO, summary)
    return Completed(message=summary, data=pruned)


def summary_of(pruned: Pruned, *, dry_run: bool) -> str:
    """`rolled up 12 hours of samples; deleted 3 alerts; gave back 1.2 MB, 0.4 MB are free inside the file`."""
    full = f"; {warning}" if (warning := crowded(pruned.size)) else ""
    gone = ", ".join(f"{count:,} {what}" for what, count in pruned.gone.items() if count) or "nothing"
    if dry_run:
        return f"a dry run: would roll up {pruned.hours:,} hours of samples and delete {gone}{full}"
    freed, spare = pruned.freed / _BYTES_OF_A_MEGABYTE, pruned.spare / _BYTES_OF_A_MEGABYTE
    space = f"; gave back {freed:.1f} MB, {spare:.1f} MB are free inside the file" if freed or spare else ""
    return f"rolled up {pruned.hours:,} hours of samples; deleted {gone}{space}{full}"
