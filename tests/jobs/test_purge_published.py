"""The purge queue as a job, before real caches: what is published is purged, and one of its pages is proven."""

from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import ArtifactSort
from sqlalchemy import text

from flows.__main__ import main
from flows.jobs.purge_published import purge_published
from flows.tasks.blocks import edges_of
from flows.tasks.site import load
from roundsman.alerts.rules.runbook import RUNBOOKS
from roundsman.ledger.ledger import open_ledger
from roundsman.purge import queue
from roundsman.purge.rules.queue import LATE_SECONDS, SLOWEST_EDGE_SECONDS
from roundsman.purge.work_queue import prove_sample
from tests.deployments.boards import client, write_site
from tests.edges.asking import ask, told
from tests.jobs.conftest import articles, control, site
from tests.purge.queueing import SlowApi, publish, rows_of, slow_edge, written
from tests.vendor_api import TOKEN, Said, VendorApi, served

__all__ = ["write_site"]
pytestmark = [pytest.mark.harness, pytest.mark.slow]


@pytest.fixture
def engine(ledger):
    engine = open_ledger(ledger)
    yield engine
    engine.dispose()


@pytest.fixture
def place(tmp_path, engine):
    """A site file for a cache, with pages of this test's own."""

    def write(url, name):
        rule = articles(name, purge={"canary": f"/articles/{name}/one", "marker": {"header": "x-origin-gen"}})
        path = tmp_path / "lab.yaml"
        path.write_text(yaml.safe_dump(site(url, [rule, control(name)])))
        return str(path)

    return write


async def run(place, **more):
    state = await purge_published(place, **{"dry_run": False, "again": False, **more}, return_state=True)
    return state, await state.aresult(raise_on_failure=False)


def pages(name):
    return [f"/articles/{name}/{page}" for page in ("one", "two", "three")]


def generation(edge, path):
    return told(ask(edge, path))[1]


def recorded(engine):
    asked = 'SELECT job, "check", verdict.outcome FROM run JOIN verdict ON verdict.run_id = run.id ORDER BY "check"'
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(asked))]


def test_a_run_may_take_what_two_purges_at_the_slowest_edge_take():
    runbook = RUNBOOKS["flows.jobs.purge_published.purge_published"]
    assert 2 * SLOWEST_EDGE_SECONDS < purge_published.timeout_seconds < runbook.max_runtime


async def test_a_dry_run_says_what_is_next_and_purges_nothing(prefect, engine, varnish, origin, place):
    one, *_ = pages("published-dry")
    before = generation(varnish, one)
    origin.bump(one)
    publish(engine, one, "/else", site="lab")
    state, _ = await run(place(varnish.url, "published-dry"), dry_run=True)
    assert state.is_completed()
    assert "a dry run: 1 requests are next, and refused: saw '/else'" in state.message
    assert before == generation(varnish, one)
    assert {"waiting"} == {state for _, state in rows_of(engine)}


async def test_what_is_published_is_new_for_every_reader_and_a_sample_is_proven(
    prefect, engine, varnish, origin, place
):
    mine = pages("published")
    before = {page: generation(varnish, page) for page in mine}
    for page in mine:
        origin.bump(page)
    publish(engine, *mine, mine[0], site="lab")
    state, done = await run(place(varnish.url, "published"))
    assert state.is_completed(), state.message
    assert (4, 3, 0) == (done.done, done.purged, done.exit_code)
    assert state.message.startswith("4 changes done with 3 purges; ")
    assert all(before[page] != generation(varnish, page) for page in mine)
    assert [("purge-published", check, "pass") for check in ("purge-queue", "purge-sample")] == recorded(engine)
    again, nothing = await run(place(varnish.url, "published"))
    assert (True, 0, 2) == (again.is_completed(), nothing.done, len(recorded(engine))), "nothing to prove"


async def test_what_is_posted_to_the_board_is_purged_by_the_next_run(
    prefect, engine, varnish, origin, place, write_site
):
    page, path = pages("posted")[1], place(varnish.url, "posted")
    write_site("lab", **yaml.safe_load(Path(path).read_text()))
    before = generation(varnish, page)
    origin.bump(page)
    async with client("hush", headers={"Authorization": "Bearer hush", "Idempotency-Key": "save-1"}) as board:
        answers = [await board.post("/purges", json={"site": "lab", "routes": [page]}) for _ in range(2)]
    assert [202, 202] == [answer.status_code for answer in answers]
    _, done = await run(path, proof=False)
    assert (1, 1) == (done.done, done.purged)
    assert before != generation(varnish, page)


async def test_a_cache_that_only_says_it_purged_makes_the_run_red(prefect, engine, noop_varnish, place):
    mine = pages("published-noop")
    publish(engine, *mine, site="lab")
    state, done = await run(place(noop_varnish.url, "published-noop"))
    assert ("FAILED", "Breach", 1) == (state.type, state.name, done.exit_code)
    said = {check: outcome for _, check, outcome in recorded(engine)}
    assert {"purge-queue": "pass", "purge-sample": "fail"} == said
    assert {"done"} == {state for _, state in rows_of(engine)}, "each was purged as far as anybody said"


async def test_an_edge_that_is_down_makes_the_run_red_when_changes_wait_too_long(prefect, engine, place):
    publish(engine, "/articles/down/one", site="lab")
    state, done = await run(place("http://127.0.0.1:9", "down"))
    assert (True, 2) == (state.is_completed(), done.exit_code)
    assert "0 changes done with 0 purges, 1 wait" in state.message
    with engine.begin() as connection:
        late = f"UPDATE published_change SET due_ms = 0, created_ms = created_ms - {int(LATE_SECONDS * 1000) + 1000}"
        connection.execute(text(late))
    state, done = await run(place("http://127.0.0.1:9", "down"))
    assert ("FAILED", "Breach", 1) == (state.type, state.name, done.exit_code)


async def test_a_run_whose_time_is_over_gives_back_what_is_not_done(prefect, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("QUEUE_TOKEN", TOKEN)
    short, slow, path = purge_published.with_options(timeout_seconds=4), SlowApi(), tmp_path / "shop.yaml"
    slow.never_done = b"two"
    publish(engine, "/articles/one", "/articles/two", "/articles/three")
    with served(slow) as address:
        path.write_text(yaml.safe_dump({**written(address), **slow_edge(address), "purge_at_most": 1}))
        state = await short(str(path), dry_run=False, again=False, return_state=True)
    assert "TimedOut" == state.name
    assert [("done", 1), ("waiting", 1), ("done", 1)] == rows_of(engine, "state, attempts")


class Quotes(VendorApi):
    """A vendor that says back whatever it was told."""

    async def answer(self, asked):
        return Said(403, f"no rights for {asked.headers}")


async def test_no_secret_gets_into_a_run_its_pages_or_the_ledger(
    prefect, engine, ledger, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("QUEUE_TOKEN", TOKEN)
    path = tmp_path / "shop.yaml"
    publish(engine, "/articles/one")
    with served(Quotes()) as address, caplog.at_level("DEBUG"):
        path.write_text(yaml.safe_dump(written(address)))
        state, done = await run(str(path))
    async with get_client() as api:
        pages = await api.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=50)
    shown = [page.data for page in pages if (page.key or "").endswith("-shop")]
    assert [True, True] == ["answered 403" in str(one) for one in (shown, rows_of(engine, "error"))]
    told = [state.message, str(done), str(shown), caplog.text, Path(ledger.removeprefix("sqlite:///")).read_bytes()]
    assert not [one for one in told if TOKEN in str(one)]


async def test_a_proof_beside_another_worker_s_purges_says_nothing(engine, prefix_ban_varnish, place):
    mine, shop = pages("beside"), load(place(prefix_ban_varnish.url, "beside"))
    alone = await prove_sample(shop, await edges_of(shop), mine)
    assert ["fail"] == [verdict.outcome for verdict in alone.verdicts], "it takes its neighbours"
    publish(engine, mine[1], site="lab")
    queue.claim(engine, "lab")
    beside = await prove_sample(shop, await edges_of(shop), mine)
    assert ((), ("no sample was proven: other changes were purged meanwhile",)) == (beside.verdicts, beside.troubles)


def test_by_hand_it_is_worked_off_at_once(prefect, engine, varnish, origin, place, capsys):
    mine = pages("by-hand")
    before = generation(varnish, mine[2])
    origin.bump(mine[2])
    publish(engine, mine[2], site="lab")
    assert 0 == main(["purges", "--now", place(varnish.url, "by-hand")])
    said = capsys.readouterr().out.splitlines()
    assert "pass lab: 1 changes done with 1 purges" in said
    assert f"pass lab: {mine[2]}: new, by birth time; 6 of 6 neighbours" in said[-1]
    assert before != generation(varnish, mine[2])
