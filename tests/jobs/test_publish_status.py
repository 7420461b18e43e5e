"""The questions of all sites, asked and published."""

import base64
import re

import pytest
import yaml
from sqlalchemy import create_engine, text

from tests.status.test_facts import RULE, serving

pytestmark = [pytest.mark.harness]


@pytest.fixture
def sites(tmp_path, monkeypatch):
    """A folder of site files; gives what writes one into it."""
    from roundsman.site import site_file

    folder = tmp_path / "sites"
    folder.mkdir()
    monkeypatch.setattr(site_file, "SITES", folder.resolve())

    def write(name, url, **more):
        site = {
            "site": name,
            "base_url": url,
            "owner": "web <w@example.com>",
            "rules": [RULE],
            "health": {"path": "/health"},
        }
        site["release"] = {"version": {"path": "/version"}, "rollback": ["make", "rollback"]}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(site | more))

    return write


@pytest.fixture
def publish(prefect, ledger):
    from flows.jobs.publish_status import publish_status

    async def run(**words):
        state = await publish_status(**words, return_state=True)
        return state, await artifacts()

    return run


async def artifacts():
    """The newest artifact of each key."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        return {one.key: one for one in sorted(await client.read_artifacts(), key=lambda one: one.created)}


def looks(ledger):
    engine = create_engine(ledger)
    with engine.connect() as connection:
        found = connection.execute(text("select site, up from health order by site")).all()
    engine.dispose()
    return [tuple(row) for row in found]


async def test_every_site_is_looked_at_and_has_a_page_with_its_pictures(publish, sites, ledger):
    with serving({"/health": (200, b"fine"), "/version": (200, b"4f2a9c1")}) as address:
        sites("shop", address)
        sites("blog", address, health={"path": "/nowhere"})
        state, published = await publish()
    assert ("Completed", "blog needs somebody now") == (state.name, state.message)
    assert [("blog", 0), ("shop", 1)] == looks(ledger)
    page = published["status-shop"].data
    assert "Yes: /health answers 200" in page
    assert "it runs 4f2a9c1 as it did when first looked at" in page
    (picture,) = re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", page)
    assert b"<svg" in base64.b64decode(picture)
    assert "No: /nowhere answers 404." in published["status-blog"].data
    table = published["status"].data
    assert table.index("| blog |") < table.index("| shop |") < table.index("| Shared jobs |")
    assert "blog needs somebody now" == published["status"].description


async def test_a_site_that_breaks_down_does_not_stop_the_others_and_the_run_says_so(
    publish, sites, ledger, monkeypatch
):
    from flows.jobs import publish_status as job

    with serving({"/health": (200, b"fine")}) as address:
        sites("broken", address, rules=[])
        sites("strange", address)
        sites("well", address)
        publish_one = job.publish_answers

        async def fail_once(made):
            if made.site == "strange":
                raise RuntimeError("the token=hunter2 was refused")
            await publish_one(made)

        monkeypatch.setattr(job, "publish_answers", fail_once)
        state, published = await publish()
    assert ("Failed", "no status of broken, strange") == (state.name, state.message)
    assert "Yes: /health answers 200" in published["status-well"].data
    assert {"status-broken", "status-strange"}.isdisjoint(published)
    assert "| broken | Is it up? | Unknown: SiteFileError:" in published["status"].data
    assert "Unknown: RuntimeError: the token=... was refused" in published["status"].data.replace("\\", "")


async def test_one_site_can_be_asked_for_alone(publish, sites, ledger):
    with serving({"/health": (200, b"fine")}) as address:
        sites("alone", address)
        sites("other", address)
        state, published = await publish(site="alone")
    assert "Completed" == state.name
    assert [("alone", 1)] == looks(ledger)
    assert "status-alone" in published


async def test_a_ledger_that_can_not_be_used_fails_the_run(publish, sites, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", "mysql://nowhere/x")
    sites("lost", "http://127.0.0.1:1")
    state, _ = await publish()
    assert "Failed" == state.name
    assert "the ledger can't be opened" in state.message


def test_the_job_needs_no_parameter_and_has_a_runbook():
    from flows.jobs.publish_status import publish_status
    from roundsman.alerts.rules.runbook import RUNBOOKS

    assert [] == publish_status.parameters.required
    assert "roundsman operators" == RUNBOOKS["flows.jobs.publish_status.publish_status"].owner
