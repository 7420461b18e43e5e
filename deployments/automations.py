"""Automations from code: who is told when a job breaks down, and what catches that nobody spoke for it.

First our own event: a hook sends `roundsman.job.failed` (see `flows/tasks/watch.py`). It is told within a second; of a
process that was killed within some ten, as the worker has to start another one for the hook.

Then the second net, from Prefect's own events. A run that ended FAILED or CRASHED is told when no `roundsman.job.told`
came within three minutes, so what our event or a recorded round told is not told again. That leaves:

- a run whose code could not be imported has no hook: it is told by the second net three to six minutes later, or 15
  to 18 when it was scheduled less than five minutes before, as after a deploy: Prefect holds its events back;
- a run without an end state, as a stopped worker leaves it, is nobody's event: `watch_jobs` closes it and says so;
- a server that restarts meanwhile forgets the events that it held back;
- a message that needs longer than three minutes to the server is told by the net as well;
- a message that a channel refuses is told by another automation, except a custom webhook's: Prefect tries that five
  times at once, and then drops it without an event;
- with SQLite, Prefect drops an event as well when it finds another writer at work five times in a row, which takes a
  tenth of a second: whoever relies on messages keeps Prefect on PostgreSQL.

Late, stuck and refused runs have no hook either; `flows.tasks.watch.mark_reported` keeps these automations quiet for a
run that somebody else has reported. State messages are left out of what Prefect itself tells: they may hold anything.
An operator's pause of an automation is kept.
"""

import asyncio
import os
from abc import ABC
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.blocks import notifications
from prefect.blocks.abstract import NotificationBlock
from prefect.client.orchestration import PrefectClient, get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from rich.console import Console

from deployments.specs import TAG
from flows.tasks.site import all_sites, check
from flows.tasks.watch import AUTOMATION, FAILED_EVENT, REPORTED_EVENT
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import SiteFileError

#: Blocks that hear of everything: `TYPE/NAME`, more of them apart by commas.
VARIABLE = "ROUNDSMAN_NOTIFY"
#: What the names of our automations begin with; one of another name is never touched.
PREFIX = "roundsman: "

#: The kinds of notification block that a Prefect server can load: its own.
KINDS = {
    kind.get_block_type_slug()
    for kind in vars(notifications).values()
    if isinstance(kind, type)
    and issubclass(kind, NotificationBlock)
    and kind.__module__ == notifications.__name__
    and ABC not in kind.__bases__
}

DONE, COULD_NOT_ASK, WRONG_INPUT = 0, 2, 3
#: Automations that are read from the server at once.
PAGE_SIZE = 200

_META = "a message could not be sent"
_RUN = "prefect.flow-run.*"
_PENDING = {f"prefect.flow-run.{name}" for name in ("Pending", "Submitting", "InfrastructurePending")}
_DEPLOYED = {"prefect.resource.role": "deployment", "prefect.resource.id": "prefect.deployment.*"}


class ChannelError(ValueError):
    """A block that can't be used to notify; says what was seen, what was wanted, and what to do."""


@dataclass(frozen=True)
class Subscriber:
    """A notification block, and the sites that it hears of. None: all of them, and the project's own jobs."""

    name: str
    block: UUID
    sites: tuple[str, ...] | None = None


def heard(sites: Iterable[Site], everything: str) -> dict[str, tuple[str, ...] | None]:
    """Which block hears of which sites: those of ROUNDSMAN_NOTIFY of everything, a site's own of that site."""
    found: dict[str, tuple[str, ...] | None] = {name.strip(): None for name in everything.split(",") if name.strip()}
    for site in sites:
        for name in site.notify.channels if site.notify else ():
            known = found.setdefault(name, ())
            found[name] = None if known is None else (*known, site.site)
    return found


async def find(client: PrefectClient, name: str, sites: tuple[str, ...] | None) -> Subscriber:
    """The channel of a block that is kept in Prefect.

    Raises:
        ChannelError: the server can't load blocks of this kind, or there is none of this name.
    """
    kind, _, short = name.partition("/")
    if not _loadable(name):
        can = ", ".join(sorted(KINDS))
        raise ChannelError(
            f"no channel: saw {name!r}, wanted TYPE/NAME, and as TYPE what a Prefect server knows: {can}"
        )
    try:
        block = await client.read_block_document_by_name(short, kind, include_secrets=False)
    except ObjectNotFound:
        remedy = f"save it under Blocks in Prefect, or correct {VARIABLE} or the site file"
        raise ChannelError(f"no channel: Prefect keeps no block {name!r}; {remedy}") from None
    return Subscriber(name, block.id, sites)


def _loadable(name: str) -> bool:
    kind, _, short = name.partition("/")
    return kind in KINDS and bool(short)


def wanted(channels: Sequence[Subscriber]) -> list[AutomationCore]:
    """Every automation that there should be; each channel has its own."""
    # Who hears of everything hears of failing messages; without such a channel, all do.
    meta = [channel for channel in channels if channel.sites is None] or channels
    return [
        *(automation for channel in channels for automation in _of_jobs(channel)),
        *(_of_messages(channel) for channel in meta),
    ]


def _of_jobs(channel: Subscriber) -> list[AutomationCore]:
    return [
        _automation(
            AUTOMATION.removeprefix(PREFIX).partition(" -> ")[0],
            channel,
            ("{{ event.payload.subject }}", "{{ event.payload.body }}"),
            expect={FAILED_EVENT},
            match={"prefect.resource.id": "roundsman.job.*"},
        ),
        _automation(
            "a job broke down and nobody spoke for it",
            channel,
            _message("{{ flow_run.state.name | upper }}", "It sent no message of its own."),
            posture=Posture.Proactive,
            after={_RUN},
            expect={REPORTED_EVENT},
            within=timedelta(minutes=3),
            match={"prefect.resource.id": _RUN, "prefect.state-type": ["FAILED", "CRASHED"]},
            for_each={"prefect.resource.id"},
        ),
        _automation(
            "a run is late",
            channel,
            _message("LATE", "It has not begun. First look: does a worker of its pool run?"),
            posture=Posture.Proactive,
            after={"prefect.flow-run.Late"},
            expect={_RUN, REPORTED_EVENT},
            within=timedelta(minutes=5),
            match={"prefect.resource.id": _RUN},
            for_each={"prefect.resource.id"},
        ),
        _automation(
            "a run is stuck before its start",
            channel,
            _message("STUCK", "A worker took it, and it has not begun. First look: the worker's log."),
            posture=Posture.Proactive,
            after=_PENDING,
            expect={_RUN, REPORTED_EVENT},
            within=timedelta(minutes=10),
            match={"prefect.resource.id": _RUN},
            for_each={"prefect.resource.id"},
        ),
        _automation(
            "a run was refused its slot",
            channel,
            _message("CANCELLED", "An earlier run holds its slot; told once an hour. First look: what is that one at?"),
            expect={"prefect.flow-run.Cancelled"},
            within=timedelta(hours=1),
            match={"prefect.resource.id": _RUN, "prefect.state-message": "Deployment concurrency *"},
            for_each={"related:deployment:prefect.resource.id"},
        ),
    ]


def _of_messages(channel: Subscriber) -> AutomationCore:
    """Plain words only: a template that can't be rendered may be what failed."""
    lines = (
        "An automation's message was not sent, so a job may have failed unheard.",
        "First look: the event feed, prefect.automation.action.failed; its payload says why.",
    )
    # Not of its own failures: that would never end.
    match = {"prefect.resource.id": "prefect.automation.*", "prefect.resource.name": f"!{PREFIX}{_META}*"}
    return _automation(
        _META,
        channel,
        ("A message could not be sent", "\n".join(lines)),
        expect={"prefect.automation.action.failed"},
        within=timedelta(minutes=10),
        match=match,
        match_related=[],
    )


def _automation(what: str, channel: Subscriber, message: tuple[str, str], **trigger: Any) -> AutomationCore:
    wanted_tags: list[str | list[str]] = [f"prefect.tag.{TAG}"]
    if channel.sites is not None:
        wanted_tags.append([f"prefect.tag.site:{site}" for site in channel.sites])
    related = [_DEPLOYED, *({"prefect.resource.role": "tag", "prefect.resource.id": tag} for tag in wanted_tags)]
    return AutomationCore(
        name=f"{PREFIX}{what} -> {channel.name}",
        description="Kept by `python -m deployments automations`; what is changed here is changed back.",
        tags=[TAG],
        trigger=EventTrigger(**{"posture": Posture.Reactive, "threshold": 1, "match_related": related} | trigger),
        actions=[SendNotification(block_document_id=channel.block, subject=message[0], body=message[1])],
    )


def _message(state: str, says: str) -> tuple[str, str]:
    """Subject and body of what Prefect tells; the runbook stands in the deployment's description."""
    lines = (
        f"{state}: job {{{{ deployment.name }}}}",
        says,
        "since: {{ event.occurred }}",
        "{{ ((deployment.description or '').splitlines() | select | list)[:8] | join('\n') }}",
        "run: {{ flow_run | ui_url or flow_run.id }}",
    )
    return f"{state} {{{{ deployment.name }}}}", "\n".join(lines)


async def upsert(client: PrefectClient, automations: Sequence[AutomationCore], *, dry_run: bool = False) -> list[str]:
    """Make the server's automations of ours those that are wanted; says what was, or would be, changed.

    What is as it should be is left alone: an update would forget which runs a trigger is waiting for.
    """
    changes, left = [], await _ours(client)
    for automation in automations:
        same = [one for one in left if one.name == automation.name]
        left = [one for one in left if one.name != automation.name] + same[1:]
        if not same:
            changes.append(f"create {automation.name}")
            if not dry_run:
                await client.create_automation(automation)
        elif _content(same[0]) != _content(automation):
            changes.append(f"update {automation.name}")
            if not dry_run:
                # Only what is set is sent, and a server refuses an owner here.
                content = automation.model_dump(exclude={"owner_resource"}) | {"enabled": same[0].enabled}
                await client.update_automation(same[0].id, AutomationCore(**content))
    for one in left:
        changes.append(f"delete {one.name}")
        if not dry_run:
            await client.delete_automation(one.id)
    return changes


async def _ours(client: PrefectClient) -> list[Any]:
    found: list[Any] = []
    while page := await client.read_automations(limit=PAGE_SIZE, offset=len(found)):
        found += page
    return [one for one in found if one.name.startswith(PREFIX)]


def _content(automation: Any) -> dict[str, Any]:
    content: dict[str, Any] = automation.model_dump(include={"name", "description", "tags", "trigger", "actions"})
    return content


async def settle(dry_run: bool, console: Console) -> None:  # noqa: FBT001 - the command's own switch
    """Find the channels, and bring the server's automations to what they should be.

    Raises:
        SiteFileError: a site file is wrong.
        ChannelError: a channel is.
    """
    subscriptions = heard(map(check, all_sites()), os.environ.get(VARIABLE, ""))
    if not subscriptions:
        console.print(f"nobody is notified: set {VARIABLE}=TYPE/NAME, or write notify: to a site file")
    elif None not in subscriptions.values():
        console.print(f"jobs of the whole project have no channel: set {VARIABLE}=TYPE/NAME")
    channels = []
    async with get_client() as client:
        for name, sites in subscriptions.items():
            try:
                channels.append(await find(client, name, sites))
            except ChannelError as error:
                # A site's own may be kept in its file only; rounds are told through it all the same.
                if sites is None:
                    raise
                console.print(f"{name} hears of rounds, and not of jobs that break down: {error}")
        changes = await upsert(client, wanted(channels), dry_run=dry_run)
    for line in changes or ["the automations are as they should be"]:
        console.print(f"would {line}" if dry_run and changes else line)


def main_automations(dry_run: bool) -> int:  # noqa: FBT001 - the command's own switch
    """Settle the automations. Exit codes: 0 done, 2 the server can't be asked, 3 a site file or a channel is wrong."""
    console = Console(soft_wrap=True, markup=False, highlight=False)
    if not PREFECT_API_URL.value():
        console.print("no server: set PREFECT_API_URL to the server's address, such as http://127.0.0.1:4200/api")
        return WRONG_INPUT
    try:
        asyncio.run(settle(dry_run, console))
    except (SiteFileError, ChannelError) as error:
        console.print(str(error))
        return WRONG_INPUT
    except httpx.HTTPError as error:
        console.print(f"the server at {PREFECT_API_URL.value()} could not be asked: {error or type(error).__name__}")
        return COULD_NOT_ASK
    return DONE
