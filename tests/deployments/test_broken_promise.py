"""A member's page is given to a stranger through a real Varnish: one round later it is the first thing everywhere."""

import asyncio

import pytest
import yaml

from tests.deployments.boards import client, metrics_of
from tests.edges.conftest import leaky_varnish, origin
from tests.jobs.conftest import articles, inbox, site

__all__ = ["leaky_varnish", "origin"]

pytestmark = [pytest.mark.harness]

LEAK = "CRITICAL logged-in-traffic/leak"


@pytest.fixture
def leaking(leaky_varnish, tmp_path, monkeypatch):
    """The site of a lab whose edge keeps members' pages, as the only one of the project."""
    from roundsman.site import site_file

    folder = tmp_path / "sites"
    folder.mkdir()
    monkeypatch.setattr(site_file, "SITES", folder.resolve())
    rules = [articles("leaking"), inbox("leaking")]
    (folder / "lab.yaml").write_text(yaml.safe_dump(site(leaky_varnish.url, rules, schedule={"inspect": "hourly"})))


async def test_a_leak_is_the_first_thing_everywhere_after_one_round(leaking, prefect, ledger, capsys):
    from prefect.client.orchestration import get_client

    from flows.__main__ import main
    from flows.jobs.inspect_site import inspect_site
    from flows.jobs.publish_status import publish_status

    ended = await inspect_site("lab", return_state=True)
    published = await publish_status(return_state=True)
    async with client() as board:
        index, page, health = [await board.get(path) for path in ("/", "/sites/lab", "/health")]
        metrics = await metrics_of(board)
    async with get_client() as server:
        runs = {run.name: run.state for run in await server.read_flow_runs(sort="START_TIME_ASC")}
        kept = {one.key: one.data for one in sorted(await server.read_artifacts(), key=lambda one: one.created)}
    code = await asyncio.to_thread(main, ["status"])
    told = capsys.readouterr().out

    assert f"worst: {LEAK} /inbox/leaking: saw " in ended.message
    assert ("FAILED", True) == (
        runs["lab: logged-in traffic"].type.value,
        LEAK in runs["lab: logged-in traffic"].message,
    )
    assert "lab needs somebody now: it breaks promises" == published.message

    pages = {
        "board": index.text,
        "site": page.text,
        "artifact": kept["status-lab"],
        "overview": kept["status"],
        "status": told,
    }
    for name, text in pages.items():
        first = text[text.index("Does the site keep its promises?") :].partition("Is it up?")[0]
        assert f"No: {LEAK} on /inbox/leaking: saw " in first.replace("\\", ""), name
    assert 1 == code
    for word in ("since 20", "owner: web-platform", "rollback: true (never rehearsed)"):
        assert word in told

    (lab,) = health.json()["promises"]["sites"]
    assert (503, "fail", "critical") == (health.status_code, lab["outcome"], lab["worst"]["severity"])
    assert ("logged-in-traffic/leak", "/inbox/leaking") == (lab["worst"]["claim"], lab["worst"]["where"])
    assert metrics["roundsman_claims", 'check="logged-in-traffic",outcome="fail",severity="critical",site="lab"'] >= 1
    assert 1 == metrics["roundsman_round_outcome", 'outcome="fail",site="lab"']
    assert "ada@" not in told + index.text + page.text + health.text
