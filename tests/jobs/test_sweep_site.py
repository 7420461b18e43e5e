"""A sweep by real workers: shards as runs of a deployment, and none lost when one is killed."""

import asyncio
import io
import os
import re
import signal
import time

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console
from sqlalchemy import select, text

from deployments.specs import specs
from flows.commands.sweep import sweep
from flows.jobs.sweep_site import sweep_site
from flows.tasks import sweep as tasks
from flows.tasks.site import check
from roundsman.ledger.ledger import open_ledger
from roundsman.ledger.tables import PAGE, SHARD
from roundsman.report.rules.verdict import Outcome
from roundsman.sweep.listing import unpacked
from tests import service
from tests.database.shop import serving

PAGES = 600
#: Of a shard: a worker that is killed keeps its shard for so long.
LEASE_SECONDS = 30


def site_file(folder, shop, **sweep):
    rule = {
        "name": "articles",
        "paths": ["/articles/**"],
        "cache": {"by": "everyone", "edge_ttl": "5m..1h"},
        "examples": {"cached": ["/articles/1"]},
        "expected_result": "A copy at most an hour old.",
        "rollback": {"note": "kept", "command": ["make", "back"]},
    }
    site = {"site": "shop", "base_url": shop.url, "owner": "web <web@shop.test>", "rules": [rule]}
    path = folder / "shop.yaml"
    path.write_text(
        yaml.safe_dump(
            {**site, "sweep": {"rate": 100_000, **sweep}, "schedule": {"inspect": "daily", "sweep": "daily"}}
        )
    )
    return path


def looked_at(number):
    engine = open_ledger()
    with engine.connect() as connection:
        rows = connection.execute(select(PAGE.c.shard, PAGE.c.position).where(PAGE.c.sweep_id == number)).all()
        paths = {
            row.number: unpacked(row.paths) for row in connection.execute(select(SHARD).filter_by(sweep_id=number))
        }
    engine.dispose()
    return [paths[shard][position] for shard, position in rows]


def positions():
    engine = open_ledger()
    with engine.connect() as connection:
        found = connection.execute(text("SELECT run_id, position FROM import_job WHERE status = 'running'")).all()
    engine.dispose()
    return dict(found)


@pytest.fixture
def shop():
    with serving() as server:
        yield server


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    monkeypatch.chdir(tmp_path)
    return url


async def another_second():
    """An edition has the second at which it was due."""
    begun = int(time.time())
    while int(time.time()) == begun:  # noqa: ASYNC110 - nobody tells that a second is over
        await asyncio.sleep(0.02)


@pytest.mark.slow
@pytest.mark.harness
async def test_here_every_page_is_looked_at_and_what_is_wrong_is_told(prefect, shop, ledger, tmp_path):
    shop.urls("/sitemap.xml", *(f"/articles/{number}" for number in range(300)), "/gone")
    site = str(site_file(tmp_path, shop))
    state = await sweep_site(site, edition="first", here=True, return_state=True)
    assert "Breach" == state.name
    assert state.message.startswith(
        "301 pages: 1 failed, 300 passed; worst: FAIL sweep/status /gone: saw 404, wanted 200"
    )
    swept = await state.aresult(raise_on_failure=False)
    assert [("/gone",)] == [one.examples for one in swept.groups]
    shop.urls("/more.xml", "/articles/1")
    asked = len(shop.asked)
    again = await sweep_site(site, edition="first", here=True, return_state=True)
    assert (state.message, asked) == (again.message, len(shop.asked))
    shop.urls("/sitemap.xml", "/articles/1", ETag='"2"')
    for looks in (1, 2):
        await another_second()
        mended = await sweep_site(site, here=True, return_state=True)
        assert ("Completed", "1 pages: 1 passed") == (mended.name, mended.message)
        assert looks == shop.asked[asked:].count("/articles/1")
    shop.index("/sitemap.xml", "/more.xml", "/lost.xml")
    await another_second()
    lost = await sweep_site(site, here=True, return_state=True)
    assert "Unknown" == lost.name
    assert lost.message.startswith("1 pages: 1 passed; 1 sitemaps could not be read; worst: UNKNOWN sweep/sitemap ")


@pytest.mark.slow
@pytest.mark.harness
async def test_without_a_terminal_a_sweep_says_in_lines_how_far_it_is(prefect, shop, ledger, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "POLL_SECONDS", 0)
    shop.urls("/sitemap.xml", *(f"/articles/{number}" for number in range(300)))
    out = io.StringIO()
    swept = await sweep(str(site_file(tmp_path, shop, shard=100)), "first", Console(file=out, width=40))
    _, *said = out.getvalue().splitlines()
    assert "300 pages: 300 passed" == swept.summary
    assert ["shop: 0 of 300 pages", "shop: 300 of 300 pages"] == [said[0], said[-1]]
    assert len(said) > 2
    assert all(re.fullmatch(r"shop: \d+ of 300 pages", one) for one in said)


@pytest.mark.slow
@pytest.mark.harness
async def test_a_shard_whose_process_is_killed_is_begun_anew_and_no_page_is_lost_or_doubled(shop, ledger, tmp_path):
    paths = [f"/articles/{number}" for number in range(PAGES)]
    shop.urls("/sitemap.xml", *paths)
    path = site_file(tmp_path, shop, workers=2, rate=30, shard=240)
    variables = service.environment(tmp_path, ROUNDSMAN_LEDGER_URL=ledger, ROUNDSMAN_SWEEP_LEASE=str(LEASE_SECONDS))
    with service.serving_prefect(tmp_path, variables) as api:
        service.make_pool(api, "roundsman")
        [shard] = [one for one in specs([check(path)]) if one.name.startswith("sweep-shard")]
        deploy(api, shard)
        with (
            service.working("roundsman", variables, tmp_path / "worker.log"),
            temporary_settings(updates={PREFECT_API_URL: variables["PREFECT_API_URL"]}),
        ):
            sweeping = asyncio.create_task(sweep_site(str(path), edition="first", return_state=True))
            killed = await asyncio.to_thread(kill_one, api)
            state = await sweeping
        runs = api.post("/flow_runs/filter", json={"flows": {"name": {"any_": ["sweep-shard"]}}}).json()
    assert (Outcome.PASS.value, f"{PAGES:,} pages: {PAGES:,} passed") == (
        (await state.aresult()).outcome,
        state.message,
    )
    assert sorted(paths) == sorted(looked_at(1))
    states = {one["id"]: one["state"]["type"] for one in runs}
    assert "CRASHED" == states.pop(killed)
    assert {"COMPLETED"} == set(states.values())
    assert 4 == len(runs), "three shards, and one of them twice"


def deploy(api, spec):
    flow = api.post("/flows/", json={"name": spec.job.name}).raise_for_status().json()
    made = {
        "name": spec.name,
        "flow_id": flow["id"],
        "entrypoint": spec.rendered()["entrypoint"],
        "work_pool_name": "roundsman",
        "parameters": spec.parameters,
        "concurrency_limit": spec.limit,
        "concurrency_options": {"collision_strategy": "ENQUEUE"},
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": str(service.ROOT)}}],
    }
    api.post("/deployments/", json=made).raise_for_status()


def kill_one(api):
    """Kill the process of a run that has written down some pages; the run's id."""

    def busy():
        return next((run for run, position in positions().items() if position), None)

    run = service.until("a shard has written pages", busy, 180)
    pid = service.until("its process is known", lambda: api.get(f"/flow_runs/{run}").json()["infrastructure_pid"])
    os.killpg(int(pid), signal.SIGKILL)
    return run
