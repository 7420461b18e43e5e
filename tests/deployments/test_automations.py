"""Who is told when a job breaks down: by our own event at once, by Prefect's when nobody spoke, and each once."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from deployments.automations import (
    KINDS,
    ChannelError,
    Subscriber,
    find,
    heard,
    main_automations,
    upsert,
    wanted,
)
from roundsman.site.rules.site import Site
from tests.receiver import webhook

OPS = Subscriber("custom-webhook/ops", uuid4())
SHOP = Subscriber("custom-webhook/shop", uuid4(), ("shop", "shop-de"))

SPOKE = "a job could not speak for itself"
NET = "a job broke down and nobody spoke for it"
LATE = "a run is late"
STUCK = "a run is stuck before its start"
REFUSED = "a run was refused its slot"
META = "a message could not be sent"


def server_side(automation):
    """The automation as a Prefect server reads it."""
    from prefect.server.events.schemas.automations import Automation

    return Automation.model_validate({"id": uuid4()} | automation.model_dump(mode="json"))


def named(channel=OPS):
    found = {}
    for automation in wanted([channel]):
        what = automation.name.removeprefix("roundsman: ").partition(" -> ")[0]
        found[what] = server_side(automation)
    return found


DEPLOYED = [
    {
        "prefect.resource.id": f"prefect.deployment.{uuid4()}",
        "prefect.resource.role": "deployment",
        "prefect.resource.name": "inspect-shop",
    },
    {"prefect.resource.id": "prefect.tag.roundsman", "prefect.resource.role": "tag"},
    {"prefect.resource.id": "prefect.tag.site:shop", "prefect.resource.role": "tag"},
]
ELSEWHERE = [DEPLOYED[0]]
SUBFLOW = [
    {"prefect.resource.id": f"prefect.task-run.{uuid4()}", "prefect.resource.role": "task-run"},
    *DEPLOYED[1:],
]
AD_HOC = [{"prefect.resource.id": f"prefect.flow.{uuid4()}", "prefect.resource.role": "flow"}]


def event(name, related=DEPLOYED, *, kind="FAILED", message="", resource=None):
    from prefect.server.events.schemas.events import ReceivedEvent

    state = name.rpartition(".")[2]
    labels = {
        "prefect.resource.id": resource or f"prefect.flow-run.{uuid4()}",
        "prefect.resource.name": "shop",
        "prefect.state-name": state,
        "prefect.state-type": kind,
        "prefect.state-message": message,
    }
    return ReceivedEvent(id=uuid4(), occurred=datetime.now(UTC), event=name, resource=labels, related=related)


@pytest.mark.parametrize(
    ("covered", "what", "seen"),
    [
        (True, SPOKE, event("roundsman.job.failed", resource="roundsman.job.inspect-shop")),
        (False, SPOKE, event("roundsman.job.told")),
        (True, NET, event("prefect.flow-run.Failed")),
        (True, NET, event("prefect.flow-run.TimedOut")),
        (True, NET, event("prefect.flow-run.Crashed", kind="CRASHED")),
        (True, NET, event("prefect.flow-run.Breach")),
        (True, NET, event("roundsman.job.told")),
        (True, NET, event("roundsman.job.told", kind="CRASHED")),
        (False, NET, event("prefect.flow-run.Completed", kind="COMPLETED")),
        (False, NET, event("prefect.flow-run.Failed", SUBFLOW)),
        (False, NET, event("prefect.flow-run.Failed", AD_HOC)),
        (False, NET, event("prefect.flow-run.Failed", ELSEWHERE)),
        (False, NET, event("prefect.task-run.Failed", resource=f"prefect.task-run.{uuid4()}")),
        (True, LATE, event("prefect.flow-run.Late", kind="SCHEDULED")),
        (True, LATE, event("prefect.flow-run.Running", kind="RUNNING")),
        (False, LATE, event("prefect.flow-run.Late", AD_HOC, kind="SCHEDULED")),
        (True, STUCK, event("prefect.flow-run.Pending", kind="PENDING")),
        (True, STUCK, event("prefect.flow-run.Running", kind="RUNNING")),
        (False, STUCK, event("prefect.flow-run.Pending", SUBFLOW, kind="PENDING")),
        (
            True,
            REFUSED,
            event("prefect.flow-run.Cancelled", kind="CANCELLED", message="Deployment concurrency limit reached."),
        ),
        (False, REFUSED, event("prefect.flow-run.Cancelled", kind="CANCELLED", message="by an operator")),
    ],
)
def test_only_what_a_deployment_of_ours_did_is_covered(covered, what, seen):
    assert covered == named()[what].trigger.covers(seen)


@pytest.mark.parametrize(
    ("starts", "ends", "what", "name"),
    [
        (True, False, NET, "prefect.flow-run.Failed"),
        (False, True, NET, "roundsman.job.told"),
        (True, True, LATE, "prefect.flow-run.Late"),
        (False, True, LATE, "prefect.flow-run.Pending"),
        (False, True, LATE, "roundsman.job.told"),
        (True, True, STUCK, "prefect.flow-run.Pending"),
        (True, True, STUCK, "prefect.flow-run.Submitting"),
        (False, True, STUCK, "prefect.flow-run.Crashed"),
        (False, True, STUCK, "roundsman.job.told"),
    ],
)
def test_what_waits_begins_with_one_event_and_is_ended_by_another(starts, ends, what, name):
    trigger = named()[what].trigger
    assert (starts, ends) == (trigger.starts_after(name), trigger.expects(name))


def test_what_waits_counts_the_state_and_its_telling_as_of_one_run():
    resource = f"prefect.flow-run.{uuid4()}"
    pair = event("prefect.flow-run.Failed", resource=resource), event("roundsman.job.told", resource=resource)
    assert 1 == len({named()[NET].trigger.bucketing_key(one) for one in pair})


@pytest.mark.parametrize("what", [SPOKE, NET, LATE, STUCK, REFUSED])
def test_a_channel_of_a_site_hears_of_no_other_site(what):
    name = {SPOKE: "roundsman.job.failed", REFUSED: "prefect.flow-run.Cancelled"}.get(what, "prefect.flow-run.Late")
    seen = {
        "resource": "roundsman.job.inspect" if what is SPOKE else None,
        "message": "Deployment concurrency limit reached.",
    }
    other = [*DEPLOYED[:2], {"prefect.resource.id": "prefect.tag.site:other", "prefect.resource.role": "tag"}]
    trigger = named(SHOP)[what].trigger
    if what in {LATE, STUCK}:
        name = "prefect.flow-run.Pending"
    assert (True, False) == (trigger.covers(event(name, **seen)), trigger.covers(event(name, other, **seen)))


@pytest.mark.parametrize(
    ("covered", "name"), [(True, f"roundsman: {LATE} -> a/b"), (False, f"roundsman: {META} -> a/b")]
)
def test_a_message_that_was_not_sent_is_told_but_not_of_the_telling_itself(covered, name):
    from prefect.server.events.schemas.events import ReceivedEvent

    seen = ReceivedEvent(
        id=uuid4(),
        occurred=datetime.now(UTC),
        event="prefect.automation.action.failed",
        resource={"prefect.resource.id": f"prefect.automation.{uuid4()}", "prefect.resource.name": name},
    )
    assert covered == named()[META].trigger.covers(seen)


def contexts():
    from prefect.server.schemas.core import FlowRun
    from prefect.server.schemas.responses import DeploymentResponse
    from prefect.server.schemas.states import Failed

    run = FlowRun(name="shop", flow_id=uuid4(), state=Failed(name="TimedOut", message="token=hunter2"))
    notes = "\n".join(["Walk the round.", "", *(f"- **line {number}**" for number in range(20))])
    deployment = DeploymentResponse(name="inspect-shop", flow_id=uuid4(), description=notes)
    payload = {"subject": "CRASHED inspect-shop", "body": "CRASHED: job inspect-shop, site shop"}
    seen = event("prefect.flow-run.TimedOut").model_copy(update={"payload": payload})
    return {
        "everything": {"flow_run": run, "deployment": deployment, "event": seen},
        "no deployment": {"flow_run": run, "event": seen},
        "no description": {
            "flow_run": run,
            "deployment": deployment.model_copy(update={"description": None}),
            "event": seen,
        },
        "nothing": {},
    }


@pytest.mark.parametrize("context", contexts())
@pytest.mark.parametrize("what", [SPOKE, NET, LATE, STUCK, REFUSED, META])
def test_every_template_renders_in_at_most_twelve_lines_whatever_there_is(context, what):
    from prefect.server.events.jinja_filters import all_filters
    from prefect.server.utilities.user_templates import register_user_template_filters, render_user_template_sync

    register_user_template_filters(all_filters)
    (action,) = named()[what].actions
    subject, body = (render_user_template_sync(text, contexts()[context]) for text in (action.subject, action.body))
    assert "hunter2" not in subject + body
    assert "None" not in body
    assert 12 >= len(body.splitlines())
    if context == "everything" and what is not META:
        assert "inspect-shop" in subject
        assert "inspect-shop" in body


def site(name, *channels):
    rule = {
        "name": "pages",
        "paths": ["/**"],
        "cache": {"by": "everyone"},
        "examples": {"cached": ["/"]},
        "expected_result": "A copy.",
        "rollback": {"note": "kept", "command": ["make", "back"]},
    }
    notify = {"notify": {"channels": list(channels)}} if channels else {}
    return Site.model_validate(
        {"site": name, "base_url": "https://www.example.com", "owner": "web", "rules": [rule], **notify}
    )


@pytest.mark.parametrize(
    ("told", "sites", "everything"),
    [
        ({}, [site("shop")], ""),
        ({"slack-webhook/ops": None}, [site("shop")], " slack-webhook/ops, "),
        (
            {"slack-webhook/web": ("shop", "blog")},
            [site("shop", "slack-webhook/web"), site("blog", "slack-webhook/web")],
            "",
        ),
        ({"slack-webhook/ops": None}, [site("shop", "slack-webhook/ops")], "slack-webhook/ops"),
    ],
)
def test_a_channel_hears_of_its_sites_or_of_everything(told, sites, everything):
    assert told == heard(sites, everything)


def test_the_kinds_are_prefects_own():
    assert {"slack-webhook", "custom-webhook", "pager-duty-webhook"} <= KINDS
    assert "apprise" not in KINDS
    assert 9 == len(KINDS)


@pytest.fixture
async def api(prefect):
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        yield client
        for one in await client.read_automations(limit=200):
            await client.delete_automation(one.id)


@pytest.mark.harness
@pytest.mark.parametrize("name", ["apprise/mail", "slack-webhook/", "custom-webhook/nobody-saved-it"])
async def test_a_block_that_the_server_can_not_load_is_refused(api, name):
    with pytest.raises(ChannelError, match=f"{name!r}"):
        await find(api, name, None)


@pytest.mark.harness
async def test_automations_are_made_once_mended_and_removed_by_their_name(api):
    from prefect.events.schemas.automations import AutomationCore

    await webhook("http://127.0.0.1:9/").asave("ops", overwrite=True)
    ops = await find(api, "custom-webhook/ops", None)
    first = wanted([ops])
    assert [f"create {one.name}" for one in first] == await upsert(api, first, dry_run=True)
    assert [] == await api.read_automations()
    assert [f"create {one.name}" for one in first] == await upsert(api, first)
    kept = {one.id for one in await api.read_automations()}
    assert [] == await upsert(api, wanted([ops]))

    changed, twice = [await api.read_automations_by_name(one.name) for one in first[:2]]
    there = AutomationCore(**changed[0].model_dump(exclude={"id", "owner_resource"}) | {"tags": [], "enabled": False})
    await api.update_automation(changed[0].id, there)
    await api.create_automation(AutomationCore(**twice[0].model_dump(exclude={"id"})))
    theirs = wanted([ops])[0].model_copy(update={"name": "somebody else's"})
    await api.create_automation(theirs)
    assert [f"update {first[0].name}", f"delete {first[1].name}"] == await upsert(api, wanted([ops]))
    found = {one.id: one for one in await api.read_automations()}
    assert kept < found.keys()
    assert len(kept) + 1 == len(found)
    mended = found[changed[0].id]
    assert (["roundsman"], False) == (mended.tags, mended.enabled)

    assert [f"delete {one.name}" for one in first] == sorted(
        await upsert(api, []), key=[f"delete {one.name}" for one in first].index
    )
    assert ["somebody else's"] == [one.name for one in await api.read_automations()]


@pytest.mark.harness
def test_the_command_says_what_it_would_do_does_it_and_finds_nothing_left(prefect, capsys, monkeypatch):
    async def settled():
        from prefect.client.orchestration import get_client

        await webhook("http://127.0.0.1:9/").asave("ops", overwrite=True)
        async with get_client() as client:
            await upsert(client, [])

    asyncio.run(settled())
    monkeypatch.setenv("ROUNDSMAN_NOTIFY", "custom-webhook/ops")
    assert (0, 6) == (main_automations(dry_run=True), capsys.readouterr().out.count("would create roundsman: "))
    assert (0, 6) == (main_automations(dry_run=False), capsys.readouterr().out.count("create roundsman: "))
    assert (0, "the automations are as they should be\n") == (main_automations(dry_run=False), capsys.readouterr().out)
    monkeypatch.setenv("ROUNDSMAN_NOTIFY", "apprise/mail")
    assert 3 == main_automations(dry_run=False)
    assert "wanted TYPE/NAME" in capsys.readouterr().out
    monkeypatch.delenv("ROUNDSMAN_NOTIFY")
    assert 0 == main_automations(dry_run=False)
    out = capsys.readouterr().out
    assert "nobody is notified: set ROUNDSMAN_NOTIFY" in out
    assert 6 == out.count("delete roundsman: ")
