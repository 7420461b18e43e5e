"""What the watch needs of Prefect: deployments and their runs, ending a run that never would, hooks of failed ones.

A run that broke down is reported by an event of our own, and written into the ledger.

Prefect's own state events can be held back for 15 minutes when a run fails soon after it was scheduled; an event that
follows no other is not. So the hook sends two events. `roundsman.job.failed` carries the message and is told at once.
`roundsman.job.told` follows the state's own event, so that the server handles it after that one however late it is, and
the second net (see `deployments/automations.py`) knows that nothing is left to tell.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid5

import httpx
from prefect import Flow, State
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas import filters
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun, StateType
from prefect.client.schemas.objects import State as PrefectState
from prefect.client.schemas.responses import DeploymentResponse, SetStateStatus
from prefect.events import Event, RelatedResource, Resource
from prefect.events.filters import EventFilter, EventNameFilter, EventOrder, EventResourceFilter
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_logger
from prefect.server.schemas.schedules import SCHEDULE_TYPES, CronSchedule
from prefect.settings import PREFECT_API_URL, get_current_settings
from prefect.utilities.urls import url_for
from pydantic import TypeAdapter
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from roundsman.alerts.rules.notice import job_notice
from roundsman.alerts.rules.runbook import RUNBOOKS, UNWRITTEN
from roundsman.ledger.ledger import LedgerError, use_ledger
from roundsman.ledger.tables import JobEventRow
from roundsman.report.rules.text import clipped, scrubbed
from roundsman.watch.failures import FailedRun, look_up, write_failure
from roundsman.watch.rules.slots import CLOSED, RECORDED, TURN, LifeSigns, Run
from roundsman.watch.slots import channels_for

Found = TypeVar("Found")

#: A run could not speak for itself; the payload holds the message.
FAILED_EVENT = "roundsman.job.failed"
#: The automation that tells a channel of that event.
AUTOMATION = "roundsman: a job could not speak for itself -> {channel}"
#: Somebody was, or is being, told of a run's state.
REPORTED_EVENT = "roundsman.job.told"

#: Which the ledger may take; a message must not wait for a database that is down.
LEDGER_SECONDS = 10.0

_PREFIX = "Flow run encountered an exception: "
# Long words with a digit in them are keys more often than anything that helps.
_TOKEN = re.compile(r"(?=[\w+=~-]*\d)[\w+=~-]{20,}")


async def notify_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell of a deployment's run that failed or crashed, unless that is told already.

    For `on_failure` and `on_crashed`. Runs without a deployment (subflows, rounds by hand) are watched by whoever
    started them.
    """
    if flow_run.deployment_id is None:
        return
    path = f"{flow.fn.__module__}.{flow.fn.__name__}"
    runbook = RUNBOOKS.get(path, UNWRITTEN)
    async with get_client() as client:
        deployment = await client.read_deployment(flow_run.deployment_id)
        site = _tagged(deployment, "site")
        recorded = state.name in RECORDED
        run_id = str(flow_run.id)
        looked_up = await _from_ledger(lambda engine: look_up(engine, run_id, site, runbook, recorded=recorded))
        failed_run = looked_up or FailedRun()
        if failed_run.is_reported:
            await _send(client, _reported(flow_run, state, deployment))
            return
        kind = "timed_out" if state.name == "TimedOut" else state.type.value.lower()
        message, at = bounded(state.message or ""), state.timestamp.astimezone(UTC)
        notice = job_notice(
            deployment=deployment.name,
            site=site,
            kind=kind,
            message=message,
            at=at,
            runbook=runbook,
            owner=_tagged(deployment, "owner") or runbook.owner,
            link=url_for("flow-run", flow_run.id) or "",
            release=failed_run.release,
            rehearsal=failed_run.rehearsal,
        )
        failed = Event(
            # The same however often it is sent, and the server drops what it knows.
            id=uuid5(flow_run.id, f"{FAILED_EVENT} {kind}"),
            event=FAILED_EVENT,
            resource=Resource(
                {
                    "prefect.resource.id": f"roundsman.job.{deployment.name}",
                    "prefect.resource.name": deployment.name,
                }
            ),
            related=[_related_run(flow_run), *_related(deployment)],
            payload={
                "subject": notice.subject,
                "body": notice.body,
                "dedup_key": f"job/{deployment.name}/{flow_run.id}",
                "deployment": deployment.name,
                "site": site,
                "kind": kind,
            },
        )
        row = JobEventRow(
            flow_run_id=str(flow_run.id),
            kind=kind,
            deployment=deployment.name,
            job=flow.name,
            site=site,
            at=at,
            message=message,
        )
        await _send(client, failed, _reported(flow_run, state, deployment))
        channels = channels_for(site)
        automated = [name for name in channels if await _is_automated(client, name)]
        # Only then: what is not written here, `watch_jobs` tells.
        await _from_ledger(lambda engine: write_failure(engine, row, notice, channels, automated))


async def mark_reported(flow_run: FlowRun, state: State[Any]) -> None:
    """Say that somebody was told of a run's state, so that the second net does not tell of it again.

    For whoever closes a run from outside, where no hook is called. To be called once the state is set.
    """
    if flow_run.deployment_id is None:
        return
    async with get_client() as client:
        await _send(client, _reported(flow_run, state, await client.read_deployment(flow_run.deployment_id)))


def bounded(message: str) -> str:
    """The first line of a state's message, with nothing in it that may be a secret."""
    first = next(iter(message.strip().removeprefix(_PREFIX).splitlines()), "")
    return clipped(_TOKEN.sub("...", scrubbed(first)))


async def _send(client: PrefectClient, *events: Event) -> None:
    # Not by `emit_event`: its queue dies with the process, and this answer says that the server has them.
    await client.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])


def _reported(flow_run: FlowRun, state: State[Any], deployment: DeploymentResponse) -> Event:
    return Event(
        id=uuid5(state.id, REPORTED_EVENT),
        event=REPORTED_EVENT,
        # As in the state's own event, so that one trigger covers both.
        resource=Resource(
            {
                "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
                "prefect.resource.name": flow_run.name,
                "prefect.state-type": state.type.value,
                "prefect.state-name": state.name or "",
            }
        ),
        related=_related(deployment),
        follows=state.id,
    )


def _related_run(flow_run: FlowRun) -> RelatedResource:
    return RelatedResource(
        {
            "prefect.resource.id": f"prefect.flow-run.{flow_run.id}",
            "prefect.resource.name": flow_run.name,
            "prefect.resource.role": "flow-run",
        }
    )


def _related(deployment: DeploymentResponse) -> list[RelatedResource]:
    """The deployment and its tags, as Prefect's own events name them."""
    itself = {
        "prefect.resource.id": f"prefect.deployment.{deployment.id}",
        "prefect.resource.name": deployment.name,
        "prefect.resource.role": "deployment",
    }
    tags = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in deployment.tags]
    return [RelatedResource(one) for one in (itself, *tags)]


def _tagged(deployment: DeploymentResponse, key: str) -> str:
    """The value of a tag such as `site:shop`; empty when there is none."""
    return next((tag.partition(":")[2] for tag in deployment.tags if tag.startswith(f"{key}:")), "")


async def _from_ledger(do: Callable[[Engine], Found]) -> Found | None:
    """Work on the ledger; None when it can't be reached in time."""

    def work() -> Found:
        with use_ledger() as engine:
            return do(engine)

    try:
        async with asyncio.timeout(LEDGER_SECONDS):
            return await asyncio.to_thread(work)
    except (LedgerError, SQLAlchemyError, OSError) as error:
        get_logger("roundsman").warning("The ledger could not be used: %s", type(error).__name__)
        return None


async def _is_automated(client: PrefectClient, channel: str) -> bool:
    """Whether an automation of Prefect's sends our own event to a channel."""
    found = await client.read_automations_by_name(AUTOMATION.format(channel=channel))
    return any(one.enabled for one in found)


#: What marks a deployment as ours.
TAG = "roundsman"

_UNDER_WAY = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_PAGE = 200
_BEAT = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
_SCHEDULE = TypeAdapter(SCHEDULE_TYPES)
#: By how much clocks change, and more.
_CLOCKS_CHANGE = timedelta(hours=2)
#: Prefect looks at 1000 dates at most, and a job may run each minute.
_WINDOW = timedelta(hours=12)


class NoServerError(Exception):
    """The Prefect server can't be asked; says why."""


@dataclass(frozen=True)
class Deployment:
    """One of our deployments. `heartbeat` are the seconds between two signs of life of its runs."""

    id: UUID
    name: str
    entrypoint: str
    site: str
    owner: str
    created: datetime
    active: tuple[DeploymentSchedule, ...]
    """Its schedules that are not paused; none while it is paused itself."""
    stopped: tuple[DeploymentSchedule, ...]
    """Its other ones."""
    heartbeat: float

    @property
    def changed(self) -> datetime | None:
        """When one of its schedules was last made, changed, paused or resumed; None when it has no schedule."""
        return max((_time(one.updated) or self.created for one in (*self.active, *self.stopped)), default=None)

    @property
    def job(self) -> str:
        """The name of the job's function."""
        return self.entrypoint.replace(":", ".").rpartition(".")[2]


@asynccontextmanager
async def server(patience: float = 10.0) -> AsyncIterator[PrefectClient]:
    """A client of a server that answers.

    Raises:
        NoServerError: none is named, it does not answer within `patience` seconds, or it refuses.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise NoServerError("no Prefect server is named: set PREFECT_API_URL, such as http://127.0.0.1:4200/api")
    try:
        async with httpx.AsyncClient(timeout=patience) as probe:
            answer = await probe.get(f"{url}/ready")
        if not answer.is_success:
            raise NoServerError(f"the Prefect server answers {answer.status_code}: it is not ready")
        async with get_client() as client:
            yield client
    except PrefectHTTPStatusError as error:
        raise NoServerError(f"the Prefect server refused with status {error.response.status_code}") from error
    except httpx.HTTPError as error:
        raise NoServerError(f"the Prefect server does not answer: {type(error).__name__}") from error


async def read_deployments(client: PrefectClient) -> list[Deployment]:
    """Every deployment with our tag."""
    ours = filters.DeploymentFilter(tags=filters.DeploymentFilterTags(all_=[TAG]))
    found = await _pages(lambda offset: client.read_deployments(deployment_filter=ours, limit=_PAGE, offset=offset))
    return [_deployment(one) for one in found]


async def promised(
    deployment: Deployment, since: datetime, until: datetime, *, known: bool = True, stopped: bool = False
) -> list[datetime]:
    """When a deployment's schedules start a run after `since` and up to `until`.

    A schedule of more than 1000 runs in twelve hours is not read in full.

    Without `known`, only from when each schedule was made or last resumed: what it promised before can't be known.
    With `stopped`, when its paused schedules would have.
    """
    dates: set[datetime] = set()
    for one in deployment.stopped if stopped else deployment.active:
        start = since if known else max(since, deployment.created, _time(one.updated) or since)
        if start >= until:
            continue
        schedule = _schedule(one.schedule.model_dump_json())
        while start < until:
            end = min(until, start + _WINDOW)
            found = await schedule.get_dates(n=1000, start=start, end=end)
            if isinstance(schedule, CronSchedule):
                # On Python 3.13 Prefect forgets a time soon after the start when clocks have changed just before it.
                early, late = start - _CLOCKS_CHANGE, min(end, start + _CLOCKS_CHANGE)
                found = [*found, *await schedule.get_dates(n=1000, start=early, end=late)]
            # When clocks change, Prefect also gives times before the start.
            dates |= {date for date in map(_time, found) if date and start < date <= end}
            start = end
    return sorted(dates)


@lru_cache(maxsize=4096)
def _schedule(written: str) -> Any:
    """A schedule that can be asked for its dates. Prefect lists the machine's time zones for each that it makes."""
    return _SCHEDULE.validate_json(written)


async def foreseen(deployment: Deployment, at: datetime) -> bool:
    """Whether one of a deployment's schedules, paused or not, starts a run at a time.

    When clocks change, Prefect gives some times only to who asks from further back.
    """
    for since in (at - timedelta(seconds=1), at - timedelta(days=1)):
        for stopped in (False, True):
            if at in await promised(deployment, since, at, stopped=stopped):
                return True
    return False


async def read_runs(
    client: PrefectClient, deployments: Iterable[Deployment], since: datetime, until: datetime
) -> list[Run]:
    """The runs that deployments were to start between two times."""
    between = filters.FlowRunFilterExpectedStartTime(after_=since, before_=until)
    return await _runs(client, deployments, expected_start_time=between)


async def read_begun(client: PrefectClient, deployments: Iterable[Deployment], since: datetime) -> list[Run]:
    """The runs of deployments that have begun since a time, whenever they were to."""
    # Of a run that has not begun, Prefect compares the expected time.
    begun = filters.FlowRunFilterStartTime(after_=since, is_null_=False)
    return await _runs(client, deployments, start_time=begun)


async def with_turn(client: PrefectClient, run: Run) -> Run:
    """A run that tells whether it waited for the end of the one before it."""
    states = await client.read_flow_run_states(UUID(run.id))
    return replace(run, queued=any(state.name == TURN for state in states))


async def read_under_way(client: PrefectClient, deployments: Iterable[Deployment]) -> list[Run]:
    """The runs of deployments that are pending, running or being cancelled."""
    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=_UNDER_WAY))
    return await _runs(client, deployments, state=state)


async def read_these(client: PrefectClient, deployments: Iterable[Deployment], ids: Sequence[str]) -> list[Run]:
    """Some runs by their ids; one that was deleted is left out."""
    if not ids:
        return []
    return await _runs(client, deployments, id=filters.FlowRunFilterId(any_=[UUID(one) for one in ids]))


async def signs_of(client: PrefectClient, run: Run) -> LifeSigns:
    """Whether a run's process is there, and when its last heartbeat was."""
    beats = EventFilter(
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        order=EventOrder.DESC,
    )
    page = await client.read_events(beats, limit=1)
    return LifeSigns(process(run), page.events[0].occurred.astimezone(UTC) if page.events else None)


def process(run: Run) -> bool | None:
    """Whether a run's process is on this machine; None when that can't be seen from here.

    Prefect keeps the number of the process and not its machine. So that a process is gone can only be said of a worker
    whose name ends with `@` and this machine's name.
    """
    if run.pid is None or not Path("/proc/self/environ").exists():
        return None
    try:
        # The number may belong to another process by now.
        if f"PREFECT__FLOW_RUN_ID={run.id}".encode() in Path(f"/proc/{run.pid}/environ").read_bytes():
            return True
    except PermissionError:
        return None
    except OSError:
        pass
    return False if run.worker.endswith(f"@{socket.gethostname()}") else None


async def close(client: PrefectClient, run: Run, why: str, others: int) -> bool:
    """End a run as crashed and give its deployment's concurrency slot back. False when it has to wait, or moved on.

    Args:
        client: A client of the server.
        run: A run that is dead, as it was read.
        why: Why it is.
        others: How many other runs of its deployment are alive.
    """
    if not await _may_let_go(client, run, others):
        return False
    read = await client.read_flow_run(UUID(run.id))
    if read.state is None or str(read.state.id) != run.state_id:
        return False
    state = PrefectState(type=StateType.CRASHED, name=CLOSED, message=f"Closed from outside: {why}.")
    # Prefect's rules refuse it when the run has ended in this moment. They also keep a run in Cancelling for ever.
    done = await client.set_flow_run_state(read.id, state, force=run.kind == "CANCELLING")
    return done.status == SetStateStatus.ACCEPT


async def mark_run_reported(client: PrefectClient, run_id: str) -> None:
    """Say that a run's trouble was told, so that Prefect's own automations do not tell it again."""
    try:
        run = await client.read_flow_run(UUID(run_id))
    except ObjectNotFound:
        return
    if run.state:
        await mark_reported(run, run.state)


async def _may_let_go(client: PrefectClient, run: Run, others: int) -> bool:
    """Whether the slot that Prefect frees when a run ends is the run's own.

    Once a run's lease ran out its slot is free, and may be held by the next run; Prefect then frees that one's.
    """
    if not run.lease:
        return True
    try:
        renewal = {"lease_duration": 60}
        await client.request(
            "POST",
            "/v2/concurrency_limits/leases/{lease_id}/renew",
            path_params={"lease_id": run.lease},
            json=renewal,
        )
    except (PrefectHTTPStatusError, ObjectNotFound):
        read = await client.read_flow_run(UUID(run.id))
        if read.deployment_id is None:
            return True
        limit = (await client.read_deployment(read.deployment_id)).global_concurrency_limit
        return limit is None or limit.active_slots == 0 or limit.active_slots > others
    return True


async def _runs(client: PrefectClient, deployments: Iterable[Deployment], **which: Any) -> list[Run]:
    names = {one.id: one.name for one in deployments}
    if not names:
        return []
    ours = filters.FlowRunFilterDeploymentId(any_=list(names))
    wanted = filters.FlowRunFilter(deployment_id=ours, **which)
    found = await _pages(lambda offset: client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE, offset=offset))
    return [_run(one, names) for one in found]


async def _pages(read: Callable[[int], Awaitable[list[Any]]]) -> list[Any]:
    found: list[Any] = []
    while page := await read(len(found)):
        found += page
        if len(page) < _PAGE:
            break
    return found


def _deployment(read: DeploymentResponse) -> Deployment:
    tags = dict(tag.partition(":")[::2] for tag in read.tags)
    active = () if read.paused else tuple(one for one in read.schedules if one.active)
    beat = (read.job_variables.get("env") or {}).get(_BEAT) or get_current_settings().flows.heartbeat_frequency
    return Deployment(
        id=read.id,
        name=read.name,
        entrypoint=read.entrypoint or "",
        site=tags.get("site", ""),
        owner=tags.get("owner", ""),
        created=_time(read.created) or datetime.now(UTC),
        active=active,
        stopped=tuple(one for one in read.schedules if one not in active),
        heartbeat=float(beat or 180),
    )


def _run(read: FlowRun, names: Mapping[UUID, str]) -> Run:
    state = read.state or PrefectState(type=StateType.PENDING)
    lease = state.state_details.deployment_concurrency_lease_id
    pid = read.infrastructure_pid or ""
    at = _time(state.timestamp) or datetime.now(UTC)
    return Run(
        id=str(read.id),
        deployment=names[read.deployment_id] if read.deployment_id else "",
        kind=state.type.value,
        state=state.name or "",
        message=(state.message or "").partition("\n")[0],
        state_id=str(state.id),
        state_at=at,
        expected_at=_time(read.expected_start_time) or at,
        started_at=_time(read.start_time),
        ended_at=_time(read.end_time),
        scheduled=bool(read.auto_scheduled),
        made_at=_time(read.created),
        pid=int(pid) if pid.isdecimal() else None,
        worker=str(read.labels.get("prefect.worker.name", "")),
        lease=str(lease or ""),
    )


def _time(read: Any) -> datetime | None:
    """A time as everybody else has it; Prefect's are of another class."""
    return datetime.fromtimestamp(read.timestamp(), UTC) if read else None


def is_ours(error: BaseException | None, *, databases: bool = True) -> bool:
    """Whether an exception, or what caused it, says that Prefect's API or the ledger failed.

    `databases`: whether any database that failed is the ledger's. A review looks at other ones.
    """
    while error is not None:
        if isinstance(error, LedgerError | PrefectHTTPStatusError) or (databases and isinstance(error, DBAPIError)):
            return True
        if isinstance(error, httpx.HTTPError) and _is_of_prefect(error):
            return True
        if isinstance(error, RuntimeError) and str(error).startswith("Failed to reach API at "):  # Prefect's client
            return True
        error = error.__cause__
    return False


def _is_of_prefect(error: httpx.HTTPError) -> bool:
    try:
        asked = str(error.request.url)
    except RuntimeError:  # it was raised before there was a request
        return False
    return bool(api := PREFECT_API_URL.value()) and asked.startswith(api)
