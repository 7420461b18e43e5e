"""Speaking for a run that broke down: it is told by an event of our own, and written into the ledger.

Prefect's own state events can be held back for 15 minutes when a run fails soon after it was scheduled; an event that
follows no other is not. So the hook sends two events. `roundsman.job.failed` carries the message and is told at once.
`roundsman.job.told` follows the state's own event, so that the server handles it after that one however late it is, and
the second net (see `deployments/automations.py`) knows that nothing is left to tell.
"""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import uuid5

from prefect import Flow, State
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.events import Event, RelatedResource, Resource
from prefect.logging import get_logger
from prefect.utilities.urls import url_for
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.alerts.alerts import JOB, clock, tell_of_job
from roundsman.alerts.rules.notice import Notice, job_notice
from roundsman.alerts.rules.runbook import RUNBOOKS, UNWRITTEN, Command, Runbook
from roundsman.ledger.insert import insert_row
from roundsman.ledger.ledger import LedgerError, command_hash, known, use_ledger
from roundsman.ledger.outbox import OutboxRow
from roundsman.ledger.tables_rounds import RehearsalRow, RunRow
from roundsman.ledger.tables_service import IncidentRow, JobEventRow, ReleaseRow
from roundsman.ledger.transaction import writing_session
from roundsman.report.rules.rehearsed import Rehearsal
from roundsman.report.rules.text import clipped, scrubbed
from roundsman.site.rules.release import Release
from roundsman.watch.rules.slots import RECORDED
from roundsman.watch.slots import channels_for

#: A run could not speak for itself; the payload holds the message.
FAILED = "roundsman.job.failed"
#: The automation that tells a channel of that event.
AUTOMATION = "roundsman: a job could not speak for itself -> {channel}"
#: Somebody was, or is being, told of a run's state.
TOLD = "roundsman.job.told"

#: What a run's bad end is called, by whoever tells of it.
ENDS = ("failed", "crashed", "timed_out", "closed")

#: Seconds that the ledger may take; a message must not wait for a database that is down.
PATIENCE = 10.0

_PREFIX = "Flow run encountered an exception: "
# Long words with a digit in them are keys more often than anything that helps.
_TOKEN = re.compile(r"(?=[\w+=~-]*\d)[\w+=~-]{20,}")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger knows of a run and its site."""

    told: bool = False
    """That it ended is told already: by its own round, or by `watch_jobs`, which waits for it and no longer."""
    release: Release | None = None
    rehearsal: Rehearsal | None = None


async def speak_for(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
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
        known = await _from_ledger(_look_up, str(flow_run.id), site, runbook, recorded) or _Known()
        if known.told:
            await _send(client, _told(flow_run, state, deployment))
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
            release=known.release,
            rehearsal=known.rehearsal,
        )
        failed = Event(
            # The same however often it is sent, and the server drops what it knows.
            id=uuid5(flow_run.id, f"{FAILED} {kind}"),
            event=FAILED,
            resource=Resource(
                {
                    "prefect.resource.id": f"roundsman.job.{deployment.name}",
                    "prefect.resource.name": deployment.name,
                }
            ),
            related=[_run(flow_run), *_related(deployment)],
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
        await _send(client, failed, _told(flow_run, state, deployment))
        channels = channels_for(site)
        heard = [name for name in channels if await _is_automated(client, name)]
        # Only then: what is not written here, `watch_jobs` tells.
        await _from_ledger(_write, row, notice, channels, heard)


async def told(flow_run: FlowRun, state: State[Any]) -> None:
    """Say that somebody was told of a run's state, so that the second net does not tell of it again.

    For whoever closes a run from outside, where no hook is called. To be called once the state is set.
    """
    if flow_run.deployment_id is None:
        return
    async with get_client() as client:
        await _send(client, _told(flow_run, state, await client.read_deployment(flow_run.deployment_id)))


def bounded(message: str) -> str:
    """The first line of a state's message, with nothing in it that may be a secret."""
    first = next(iter(message.strip().removeprefix(_PREFIX).splitlines()), "")
    return clipped(_TOKEN.sub("...", scrubbed(first)))


async def _send(client: PrefectClient, *events: Event) -> None:
    # Not by `emit_event`: its queue dies with the process, and this answer says that the server has them.
    await client.request("POST", "/events", json=[event.model_dump(mode="json") for event in events])


def _told(flow_run: FlowRun, state: State[Any], deployment: DeploymentResponse) -> Event:
    return Event(
        id=uuid5(state.id, TOLD),
        event=TOLD,
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


def _run(flow_run: FlowRun) -> RelatedResource:
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


async def _from_ledger(do: Any, *args: Any) -> Any:
    """Work on the ledger; None when it can't be reached in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.to_thread(_opened, do, *args)
    except (LedgerError, SQLAlchemyError, OSError) as error:
        get_logger("roundsman").warning("The ledger could not be used: %s", type(error).__name__)
        return None


def _opened(do: Any, *args: Any) -> Any:
    with use_ledger() as engine:
        return do(engine, *args)


def _look_up(engine: Engine, flow_run_id: str, site: str, runbook: Runbook, recorded: bool) -> _Known:  # noqa: FBT001
    """What is known of a run; `recorded` says whether its state is one that a round ends in, which then has told."""
    with Session(engine) as session:
        ends = [select(col(JobEventRow.id)).filter_by(flow_run_id=flow_run_id).where(col(JobEventRow.kind).in_(ENDS))]
        # A run that broke down after it was recorded may have told nobody.
        ends += [select(col(RunRow.id)).filter_by(flow_run_id=flow_run_id)] if recorded else []
        if any(session.scalar(one.limit(1)) for one in ends):
            return _Known(told=True)
        seen = select(ReleaseRow).filter_by(site=site).order_by(col(ReleaseRow.seen_at).desc()).limit(1)
        release = session.scalars(seen).first()
        rehearsal = None
        if isinstance(runbook.rollback, Command):
            tried = select(RehearsalRow).filter_by(site=site, command_hash=command_hash(runbook.rollback.argv))
            rehearsal = session.scalars(tried.order_by(col(RehearsalRow.finished_at).desc()).limit(1)).first()
        return _Known(
            release=release and Release(release.version, release.seen_at),
            rehearsal=known(rehearsal),
        )


def _write(engine: Engine, row: JobEventRow, notice: Notice, channels: list[str], heard: list[str]) -> None:
    """Write down that a run broke down. Channels that Prefect's automation does not tell get it from the outbox."""
    with writing_session(engine) as session:
        if insert_row(session, row, "flow_run_id", "kind") is None:
            return
        key, now = f"{JOB}{row.deployment}/{row.flow_run_id}", clock(session)
        about = {"deployment": row.deployment, "site": row.site, "kind": row.kind}
        tell_of_job(session, notice, key=key, **about, channels=channels, now=now)
        mine = update(OutboxRow).where(col(OutboxRow.channel).in_(heard), col(OutboxRow.sent_at).is_(None))
        letters = select(col(IncidentRow.key)).filter_by(check=row.kind, subject=row.deployment, resolved_at=None)
        session.execute(mine.where(col(OutboxRow.dedup_key).in_(letters)).values(sent_at=now))


async def _is_automated(client: PrefectClient, channel: str) -> bool:
    """Whether an automation of Prefect's sends our own event to a channel."""
    found = await client.read_automations_by_name(AUTOMATION.format(channel=channel))
    return any(one.enabled for one in found)
