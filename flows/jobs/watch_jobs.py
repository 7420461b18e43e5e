import asyncio
import importlib
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import httpx
from prefect import State, flow
from prefect.client.orchestration import PrefectClient
from prefect.states import Completed, Failed
from prefect.utilities.urls import url_for
from sqlalchemy import Engine

from flows.tasks import watch as runs
from flows.tasks.alerts import deliver, deliver_targets, tell_new_channels
from flows.tasks.report import UNKNOWN
from flows.tasks.watch import Deployment, NoServerError, notify_failure
from roundsman.alerts.rules.notice import Notice, job_notice
from roundsman.alerts.rules.runbook import RUNBOOKS, SITE_OWNER, UNWRITTEN, NothingToUndo, Runbook, job
from roundsman.ledger.ledger import LedgerError, use_ledger_async
from roundsman.ledger.tables import SlotRow
from roundsman.report.rules.text import for_terminal
from roundsman.watch import slots
from roundsman.watch.rules import slots as rules
from roundsman.watch.rules.slots import (
    EXTRA_RUN,
    KEEPS_ROUNDS,
    SELF_TEST,
    Run,
    Slot,
    SlotTime,
    dead,
    extra_runs,
    judge,
    lateness,
    overlaps,
)
from roundsman.watch.slots import JudgedSlot, RunTrouble, WatchFindings, WatchPass

log = logging.getLogger("roundsman")

#: Seconds in which a worker tells of a process that ended by itself.
SETTLE_SECONDS = 5.0
#: Seconds for a whole pass, and for telling an outside address of it.
PASS_TIMEOUT_SECONDS, PING_TIMEOUT_SECONDS = 120.0, 10.0
COULD_NOT_LOOK = 2


@job(
    owner="roundsman operators",
    expects="Every promised run started in time, did its work and ended; nobody's run hangs.",
    on_fail="What does not run is not noticed. First look: Prefect's server and worker, then the ledger.",
    rollback=NothingToUndo("it closes only runs whose process is gone, and writes to the ledger"),
    max_runtime=PASS_TIMEOUT_SECONDS,
)
@flow(name="watch-jobs", persist_result=False, on_failure=[notify_failure], on_crashed=[notify_failure])
async def watch_jobs() -> State[WatchPass]:
    """Notice what did not run, and close what never ended."""
    done = await look()
    log.info("watch: %s", done.detail)
    if not done.looked:
        return Failed(name=UNKNOWN, message=done.detail, data=done)
    await tell_new_channels()
    await deliver()
    await deliver_targets()
    return Completed(message=done.detail, data=done)


def run_watch(ping: str = "") -> int:
    """One pass from outside the server, for cron or systemd; prints what is wrong.

    Args:
        ping: An address in the Healthchecks protocol, which is told of the start and of the end; empty for none.

    Returns:
        0 nothing is wrong, 1 something is, 2 nobody could look.
    """
    return asyncio.run(watch(ping))


async def watch(ping: str = "") -> int:
    """As `run_watch`, inside an event loop. A ping that fails changes nothing."""
    await _ping(ping, "/start")
    try:
        done = await look()
        message, code = done.detail, done.exit_code
        # Also when Prefect is gone: a channel that a site file declares can be reached without it.
        await tell_new_channels.fn()
        await deliver.fn()
        await deliver_targets.fn()
    except LedgerError as error:
        message, code = f"{slots.BLIND}{error}", COULD_NOT_LOOK
    except Exception as error:  # noqa: BLE001 - whatever it was, nobody could look
        message, code = f"{slots.BLIND}{type(error).__name__}", COULD_NOT_LOOK
    sys.stdout.write(for_terminal(f"{message}\n", "\n"))
    await _ping(ping, "/fail" if code else "")
    return code


async def look() -> WatchPass:
    """One pass: read, judge, close what is dead, write down, and put what is to be told into the outbox.

    Raises:
        LedgerError: the ledger can't be opened.
    """
    now, began = datetime.now(UTC), time.monotonic()

    def seconds() -> float:
        return time.monotonic() - began

    async with use_ledger_async() as engine:
        try:
            async with asyncio.timeout(PASS_TIMEOUT_SECONDS), runs.server() as client:
                return await _look(client, engine, now, seconds)
        except (NoServerError, TimeoutError) as error:
            why = str(error) or f"the Prefect server did not answer in {PASS_TIMEOUT_SECONDS:.0f} s"
            return await asyncio.to_thread(slots.write_blind, engine, now, why, notice_maker([]), seconds)


async def _look(client: PrefectClient, engine: Engine, now: datetime, seconds: Callable[[], float]) -> WatchPass:
    deployments = await runs.read_deployments(client)
    before = await asyncio.to_thread(slots.looked_at, engine) or now
    await asyncio.to_thread(slots.promise, engine, await _promised(deployments, before, now), now)
    closed = await _close_the_dead(client, engine, deployments, now)
    rows = await asyncio.to_thread(slots.open_slots, engine, now)
    begun = await runs.read_begun(client, deployments, max(before, now - slots.BACK) - slots.GAP)
    more = [*slots.unwatched(before, now), *await _extra(engine, deployments, begun, now)]
    judged = await _judged(client, engine, deployments, rows, begun=begun, now=now)
    idle = frozenset(one.name for one in deployments if not one.active)
    found = WatchFindings(now, judged, closed, {one.name: one.job for one in deployments}, idle, more)
    done = await asyncio.to_thread(slots.write, engine, found, notice_maker(deployments), seconds)
    for run in done.reported_runs:
        await runs.mark_run_reported(client, run)
    return done


async def _promised(deployments: Sequence[Deployment], before: datetime, now: datetime) -> list[tuple[Slot, str]]:
    """The slots that a pass adds: from the one before it to some time ahead, of paused schedules up to now."""
    since, until = max(before, now - slots.BACK), now + slots.AHEAD
    made = [(slot, "") for slot in slots.self_tests(since, until)]
    for one in deployments:
        runbook = runbook_of(one.entrypoint)
        bounds = runbook.start_grace, runbook.max_runtime, runbook.min_runtime
        dates = await runs.promised(one, since, until, known=False)
        dates += await runs.promised(one, max(since, one.created), now, stopped=True)
        made += [(Slot(one.name, at, *bounds), one.site) for at in dates]
    return sorted(made, key=lambda slot: (slot[0].at, slot[0].deployment))


async def _close_the_dead(
    client: PrefectClient, engine: Engine, deployments: Sequence[Deployment], now: datetime
) -> list[RunTrouble]:
    """End the runs that never would, and give their slots back."""
    named = {one.name: one for one in deployments}
    if not await _dead(client, engine, named, now):
        return []
    # A worker may be about to tell of it by itself.
    await asyncio.sleep(SETTLE_SECONDS)
    found = await _dead(client, engine, named, now)
    doomed = {run.id for run, _ in found}
    alive = [run for run in await runs.read_under_way(client, deployments) if run.id not in doomed]
    closed = []
    for run, why in found:
        others = sum(other.deployment == run.deployment for other in alive)
        if await runs.close(client, run, why, others):
            one = named[run.deployment]
            closed.append(RunTrouble(run.id, "closed", one.name, one.job, one.site, now, f"closed: {why}", run.id))
    return closed


async def _dead(
    client: PrefectClient, engine: Engine, named: dict[str, Deployment], now: datetime
) -> list[tuple[Run, str]]:
    since = await asyncio.to_thread(slots.answered_since, engine, now)
    found = []
    for run in await runs.read_under_way(client, named.values()):
        signs = await runs.signs_of(client, run)
        if why := dead(run, signs, datetime.now(UTC), named[run.deployment].heartbeat, since):
            found.append((run, why))
    return found


async def _extra(
    engine: Engine, deployments: Sequence[Deployment], begun: Sequence[Run], now: datetime
) -> list[RunTrouble]:
    """The runs that Prefect started without a slot, or when their slot had a run."""
    named = {one.name: one for one in deployments}
    by_schedule = [run for run in begun if run.scheduled]
    held = await asyncio.to_thread(slots.holders, engine, by_schedule)
    unforeseen: set[tuple[str, datetime]] = set()
    foreseen = {*held}
    for run in by_schedule:
        when = run.deployment, run.expected_at
        if when not in foreseen:
            unknown = await _is_unforeseen(engine, named[run.deployment], run)
            (unforeseen if unknown else foreseen).add(when)
    found = []
    for run, why in extra_runs(by_schedule, held, unforeseen - foreseen):
        one = named[run.deployment]
        found.append(RunTrouble(run.id, EXTRA_RUN, one.name, one.job, one.site, now, why, run.id))
    return found


async def _is_unforeseen(engine: Engine, deployment: Deployment, run: Run) -> bool:
    """Whether no schedule can have promised a run for which the ledger has no slot."""
    changed = deployment.changed
    if changed and run.made_at and run.made_at < changed:
        return False  # by the schedule as it was before
    if await runs.foreseen(deployment, run.expected_at):
        return False
    # That the deployment had another schedule, which it has not any more, would be known to a pass that looked then.
    return changed is not None or await asyncio.to_thread(slots.foresaw, engine, run.expected_at)


async def _judged(  # noqa: PLR0913 - all that a pass has read
    client: PrefectClient,
    engine: Engine,
    deployments: Sequence[Deployment],
    rows: Sequence[SlotRow],
    *,
    begun: Sequence[Run],
    now: datetime,
) -> list[JudgedSlot]:
    """What became of the open slots. `begun` are the runs that have started lately."""
    named = {one.name: one for one in deployments}
    due = [row for row in rows if row.slot_at <= now and row.deployment != SELF_TEST]
    known = [row.flow_run_id for row in due if row.flow_run_id]
    seen = await runs.read_these(client, deployments, known) + await runs.read_under_way(client, deployments)
    if unknown := [row.slot_at for row in due if not row.flow_run_id]:
        seen += await runs.read_runs(client, deployments, min(unknown), max(unknown))
    by_id = {run.id: run for run in [*begun, *seen]}
    # What had not ended is read once more, all at one moment: an end in between made way for another one's start.
    going = [run.id for run in by_id.values() if run.started_at and not run.ended_at]
    by_id |= {run.id: run for run in await runs.read_these(client, deployments, going)}
    # Of two runs for a slot the first that began has it.
    in_turn = sorted(by_id.values(), key=lambda run: (run.started_at or now, run.id), reverse=True)
    by_slot = {(run.deployment, run.expected_at): run for run in in_turn if run.scheduled}
    kept = await asyncio.to_thread(slots.read_kept, engine, [run.id for run in by_id.values() if run.ended_at])
    judged = []
    took = {row.id: _run_of(row, by_id, by_slot) for row in rows}
    unclaimed = [row for row in rows if took[row.id] is None and row.state == rules.SlotState.WAITING]
    promised = await _still_promised(named, unclaimed)
    for row in rows:
        run = took[row.id]
        one = named.get(row.deployment)
        if run is None and row.state == rules.SlotState.WAITING and row.id not in promised:
            judged.append(JudgedSlot(row, *await _unpromised(one, row), dropped=True))
        elif row.slot_at <= now:
            slot = slots.slot_of(row, rounds=one is not None and one.job in KEEPS_ROUNDS)
            if run and lateness(slot, run):
                run = await runs.with_turn(client, run)
            state, detail = judge(slot, run, kept.get(run.id) if run else None, now)
            overlapped = run is not None and overlaps(run, by_id.values())
            judged.append(JudgedSlot(row, state, detail, run, overlapped))
    return judged


def _run_of(row: SlotRow, by_id: Mapping[str, Run], by_slot: Mapping[SlotTime, Run]) -> Run | None:
    known, seen = by_id.get(row.flow_run_id or ""), by_slot.get((row.deployment, row.slot_at))
    return seen if known is None or (known.started_at is None and seen is not None) else known


async def _still_promised(named: Mapping[str, Deployment], rows: Sequence[SlotRow]) -> set[int | None]:
    """The rows of the slots that their schedules still promise."""
    by_name: dict[str, list[SlotRow]] = {}
    for row in rows:
        by_name.setdefault(row.deployment, []).append(row)
    found: set[int | None] = set()
    for name, same in by_name.items():
        at = [row.slot_at for row in same]
        dates = set(await runs.promised(named[name], min(at) - slots.A_SECOND, max(at))) if name in named else set()
        found |= {row.id for row in same if name == SELF_TEST or row.slot_at in dates}
    return found


async def _unpromised(deployment: Deployment | None, row: SlotRow) -> tuple[rules.SlotState, str]:
    """What became of a slot that its schedule promises no more."""
    if deployment and await runs.promised(deployment, row.slot_at - slots.A_SECOND, row.slot_at, stopped=True):
        return rules.SlotState.PAUSED, "its schedule is paused, and nothing of it runs until it is resumed"
    return rules.SlotState.SKIPPED, "its schedule was changed"


def runbook_of(entrypoint: str) -> Runbook:
    """What is written on the job of a deployment, whose module may not have been imported yet."""
    path = entrypoint.replace(":", ".")
    if path not in RUNBOOKS and path.startswith("flows.jobs."):
        with suppress(ImportError):
            importlib.import_module(path.rpartition(".")[0])
    return RUNBOOKS.get(path, UNWRITTEN)


def notice_maker(deployments: Sequence[Deployment]) -> slots.MakeNotice:
    """What makes a message of a trouble, and says who is to hear of it."""
    named = {one.name: one for one in deployments}

    def tell(trouble: RunTrouble) -> tuple[Notice, Sequence[str]]:
        one = named.get(trouble.deployment)
        runbook = runbook_of(one.entrypoint if one else f"{__name__}.{watch_jobs.fn.__name__}")
        named_owner = runbook.owner if runbook.owner != SITE_OWNER else ""
        notice = job_notice(
            deployment=trouble.deployment,
            site=trouble.site,
            kind=trouble.kind,
            message=trouble.message,
            at=trouble.at,
            runbook=runbook,
            owner=(one.owner if one else "") or named_owner or "nobody",
            link=(url_for("flow-run", trouble.run) or "") if trouble.run else "",
        )
        return notice, slots.channels_for(trouble.site)

    return tell


async def _ping(address: str, what: str) -> None:
    """Tell an outside address; that it can't be told changes nothing here, and it notices by itself."""
    if not address:
        return
    try:
        async with asyncio.timeout(PING_TIMEOUT_SECONDS), httpx.AsyncClient(follow_redirects=True) as client:
            (await client.get(f"{address.rstrip('/')}{what}")).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
        log.warning("The outside address could not be told: %s", type(error).__name__)
