"""How far a job is, where people look for it."""

import io

import pytest
from rich.console import Console

from flows.tasks.progress import everywhere, in_prefect
from roundsman.batch import Progress, on_terminal, run
from roundsman.batch.progress import words
from tests.batch.work import feed, make_accounts, opened, transfers


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (Progress(12_000, 0, 0.5, 31_000.4), "12,000 rows, 31,000 rows/s"),
        (Progress(5, 2, None, 0), "5 rows, 2 in quarantine, 0 rows/s"),
    ],
)
def test_it_is_said_in_rows(progress, said):
    assert said == words(progress)


@pytest.fixture
def job(tmp_path):
    engine = make_accounts(opened(f"sqlite:///{tmp_path}/target.db"))
    yield transfers(engine, feed(tmp_path / "feed.jsonl", 20))
    engine.dispose()


async def test_a_terminal_shows_it_until_the_end(job):
    shown = io.StringIO()
    with on_terminal("transfers", Console(file=shown, force_terminal=True, width=100)) as progress:
        await run(job, progress=progress)
    assert "20 rows, " in shown.getvalue().rpartition("transfers")[2]


async def test_where_there_is_no_terminal_there_is_no_bar(job):
    shown = io.StringIO()
    with on_terminal("transfers", Console(file=shown)) as progress:
        await run(job, progress=progress)
    assert "" == shown.getvalue()


@pytest.mark.harness
async def test_prefect_shows_it_at_the_run(prefect, job):
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.runtime import flow_run

    @flow
    async def import_transfers():
        async with everywhere("transfers") as progress:
            await run(job, progress=progress, run_id=str(flow_run.get_id()))
        return str(flow_run.get_id())

    run_id = await import_transfers()
    async with get_client() as client:
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]))
        [artifact] = await client.read_artifacts(artifact_filter=mine)
    assert ("progress", 100.0) == (artifact.type, float(artifact.data))
    assert artifact.description.startswith("transfers: 20 rows, ")


async def test_a_server_that_goes_meanwhile_stops_no_job(job, monkeypatch, caplog):
    async def made(*_, **__):
        return "an artifact"

    async def gone(*_, **__):
        raise OSError("no route to hush-hush")

    monkeypatch.setattr("flows.tasks.progress.acreate_progress_artifact", made)
    monkeypatch.setattr("flows.tasks.progress.aupdate_progress_artifact", gone)
    async with in_prefect("transfers") as progress:
        assert 20 == (await run(job, progress=progress)).rows
    assert "Prefect can't be told of the progress: OSError" in caplog.text
