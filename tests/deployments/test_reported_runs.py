"""A Prefect server tells what our automations make it tell, and keeps quiet about the rest."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from deployments.automations import find, upsert, wanted
from flows.tasks.watch import mark_reported
from tests import postgres, service
from tests.receiver import receiver, webhook

pytestmark = [pytest.mark.slow, pytest.mark.harness]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server on PostgreSQL: with SQLite, Prefect drops an event that finds another writer at work."""
    home = tmp_path_factory.mktemp("server")
    with postgres.server() as database:
        kept = database.fresh().replace("postgresql:", "postgresql+asyncpg:")
        variables = service.environment(home, PREFECT_SERVER_DATABASE_CONNECTION_URL=kept)
        with service.serving_prefect(home, variables):
            yield variables["PREFECT_API_URL"]


@pytest.fixture
async def client(server):
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: server}):
        async with get_client() as client:
            yield client
            await upsert(client, [])


@pytest.fixture
def inbox():
    with receiver() as inbox:
        yield inbox


async def told_to(client, inbox):
    """Tell a receiver of everything, and of what is waited for within seconds."""
    await webhook(inbox.url()).asave("ops", overwrite=True)
    made = wanted([await find(client, "custom-webhook/ops", None)])
    for one in made:
        one.trigger.within = min(one.trigger.within, timedelta(seconds=10))
    await upsert(client, made)


async def a_deployment(client, **more):
    from prefect import flow

    @flow(name="break-down")
    async def break_down():
        pass

    flow_id = await client.create_flow(break_down)
    return await client.create_deployment(flow_id, f"inspect-{uuid4().hex}", tags=["roundsman"], **more)


async def a_run(client, deployment, *states, force=True):
    """A run that came through some states."""
    run = await client.create_flow_run_from_deployment(deployment)
    for state in states:
        await client.set_flow_run_state(run.id, state, force=force)
    return await client.read_flow_run(run.id)


async def heard(inbox, words, seconds=60):
    return await asyncio.to_thread(service.until, f"{words} is told", lambda: inbox.about(words), seconds)


async def test_what_stays_untold_is_told_once_and_what_moved_on_or_was_told_is_not(client, inbox):
    from prefect.states import Completed, Crashed, Failed, Pending, Running, Scheduled

    await told_to(client, inbox)
    late = Scheduled(name="Late")
    deployment = await a_deployment(client)
    quiet = [
        await a_run(client, deployment, late, Pending(), Running()),
        await a_run(client, deployment, Pending(), Pending(name="Submitting"), Running(), Completed()),
    ]
    for state in (late, Pending(), Failed(), Crashed()):
        quiet.append(await a_run(client, deployment, state))
        await mark_reported(quiet[-1], quiet[-1].state)
    untold = {
        state: await a_run(client, deployment, made)
        for state, made in {
            "LATE": late,
            "STUCK": Pending(),
            "TIMEDOUT": Failed(name="TimedOut"),
            "CRASHED": Crashed(),
        }.items()
    }
    for state, run in untold.items():
        (message,) = await heard(inbox, str(run.id))
        assert message["subject"].startswith(state)
    assert [[]] * len(quiet) == [inbox.about(str(run.id)) for run in quiet]
    assert len(untold) == len(inbox.messages)


async def test_a_run_that_found_no_slot_is_told_and_the_next_is_folded(client, inbox):
    from prefect.client.schemas.objects import ConcurrencyOptions
    from prefect.states import Pending

    await told_to(client, inbox)
    limit = {"concurrency_limit": 1, "concurrency_options": ConcurrencyOptions(collision_strategy="CANCEL_NEW")}
    busy = await a_deployment(client, **limit)
    other = await a_deployment(client, **limit)
    for deployment in (busy, other):
        await a_run(client, deployment, Pending(), force=False)
    refused = [await a_run(client, busy, Pending(), force=False) for _ in range(2)]
    refused.append(await a_run(client, other, Pending(), force=False))
    assert ["Cancelled"] * 3 == [run.state_name for run in refused]
    (message,) = await heard(inbox, str(refused[0].id))
    assert message["subject"].startswith("CANCELLED inspect-")
    await heard(inbox, str(refused[2].id))
    assert [] == inbox.about(str(refused[1].id))
    # As nobody else is told of them.
    assert 2 == len([one for one in inbox.messages if "CANCELLED" in one["subject"]])


async def test_a_message_that_could_not_be_sent_is_told_through_another_channel(client, inbox):
    from prefect.blocks.notifications import MattermostWebhook

    await webhook(inbox.url()).asave("ops", overwrite=True)
    dead = MattermostWebhook(hostname="127.0.0.1", port=9, secure=False, token="hunter2")
    await dead.asave("dead", overwrite=True)
    channels = [await find(client, name, None) for name in ("mattermost-webhook/dead", "custom-webhook/ops")]
    await upsert(client, wanted(channels))
    job = {"prefect.resource.id": "roundsman.job.inspect-shop"}
    related = [
        {"prefect.resource.id": f"prefect.deployment.{uuid4()}", "prefect.resource.role": "deployment"},
        {"prefect.resource.id": "prefect.tag.roundsman", "prefect.resource.role": "tag"},
    ]
    payload = {"subject": "CRASHED inspect-shop", "body": "the job"}
    event = {"event": "roundsman.job.failed", "resource": job, "related": related, "payload": payload}
    await client.request("POST", "/events", json=[event | {"id": str(uuid4()), "occurred": "2026-03-01T00:00:00Z"}])
    await heard(inbox, "the job")
    (message,) = await heard(inbox, "was not sent")
    assert message["subject"] == "A message could not be sent"
    assert 2 == len(inbox.messages)
