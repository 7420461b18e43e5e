"""The job that keeps the ledger small: a dry run says what would go, the real one does it."""

import importlib
import pkgutil
from datetime import UTC, datetime, timedelta

import pytest
from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from sqlalchemy import func, select
from sqlalchemy.orm import Session

import flows.tasks
from flows.jobs.prune_ledger import prune_ledger, summary_of
from flows.tasks.results import GRACE, KEY_PREFIX, delete_expired_results
from flows.tasks.timing import keep_samples
from roundsman.ledger.ledger import VARIABLE, open_ledger
from roundsman.ledger.rules.retention import COMFORT_BYTES
from roundsman.ledger.rules.samples import Sample, SampleKey
from roundsman.ledger.tables import SampleRow
from roundsman.timing.samples import record_samples
from roundsman.upkeep.prune import Pruned
from tests.make import site

KEY = SampleKey("shop", "articles", "/a", cache_state="hit")


def fortnight(many: int) -> list[Sample]:
    at = (datetime.now(UTC) - timedelta(days=15)).timestamp()
    return [Sample(KEY, at + number, 0.01, 0.02) for number in range(many)]


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv(VARIABLE, url)
    engine = open_ledger(url)
    yield engine
    engine.dispose()


@pytest.fixture
def storage(prefect, tmp_path):
    """Where Prefect keeps results, for this test alone."""
    with temporary_settings(updates={PREFECT_LOCAL_STORAGE_PATH: tmp_path / "storage"}):
        yield tmp_path / "storage"


def count(ledger) -> int:
    with Session(ledger) as session:
        return session.scalar(select(func.count()).select_from(SampleRow))


@pytest.mark.harness
@pytest.mark.slow
async def test_it_changes_nothing_unless_told_to(storage, ledger):
    record_samples(ledger, fortnight(40))
    dry = await prune_ledger(return_state=True)
    assert ("COMPLETED", 40) == (dry.type, count(ledger))
    assert "a dry run: would roll up" in dry.message
    assert "40 samples, one by one" in dry.message
    done = await prune_ledger(dry_run=False, return_state=True)
    assert ("COMPLETED", 0) == (done.type, count(ledger))
    assert "deleted 40 samples, one by one" in done.message


@flow
async def cached(key: str, lasts: timedelta) -> None:
    """Leave a result in Prefect's storage, as our cached tasks do."""

    @task(cache_key_fn=lambda *_: key, cache_expiration=lasts, persist_result=True)
    async def found() -> str:
        return "found"

    await found()


@pytest.mark.harness
@pytest.mark.slow
async def test_our_results_go_a_day_after_they_expired_and_nothing_else_goes(storage, ledger):
    for key, lasts in {
        "roundsman-old": -GRACE - timedelta(seconds=1),
        "roundsman-just-expired": timedelta(seconds=-1),
        "roundsman-fresh": timedelta(days=7),
        "of-another-project": -2 * GRACE,
    }.items():
        await cached(key, lasts)
    (storage / "roundsman-folder").mkdir()
    for name, text in {"notes": "no JSON", "list": "[]", "timeless": '{"metadata": {"expiration": null}}'}.items():
        (storage / f"roundsman-{name}").write_text(text)
    before = {path.name for path in storage.iterdir()}
    assert 8 == len(before)
    assert "1 expired results" in (await prune_ledger(return_state=True)).message
    assert before == {path.name for path in storage.iterdir()}
    assert "deleted 1 expired results" in (await prune_ledger(dry_run=False, return_state=True)).message
    assert before - {"roundsman-old"} == {path.name for path in storage.iterdir()}


def test_a_task_is_cached_only_for_a_time_and_under_a_name_of_ours(ledger):
    parameters = {"site": site(), "edition": "today", "key": "unchanged"}
    modules = [importlib.import_module(f"flows.tasks.{one.name}") for one in pkgutil.iter_modules(flows.tasks.__path__)]
    tasks = {one.name: one for module in modules for one in vars(module).values() if isinstance(one, Task)}
    cached = {name: one for name, one in tasks.items() if one.cache_policy is not NO_CACHE}
    assert {"read_listing", "rehearse_on_copy"} == set(cached)
    for one in cached.values():
        assert one.cache_expiration
        assert one.cache_key_fn(None, parameters).startswith(KEY_PREFIX)


async def test_a_machine_without_stored_results_has_none_to_delete(tmp_path):
    with temporary_settings(updates={PREFECT_LOCAL_STORAGE_PATH: tmp_path / "none"}):
        assert 0 == await delete_expired_results.fn(datetime.now(UTC), dry_run=False)


async def test_a_round_keeps_its_samples_and_rolls_them_up(ledger):
    assert 40 == await keep_samples.fn(fortnight(40))
    assert "deleted nothing" in summary_of(Pruned(0, {"alerts": 0}), dry_run=False)


@pytest.mark.parametrize(
    ("said", "pruned", "dry"),
    [
        ("rolled up 2 hours of samples; deleted 1,200 alerts", Pruned(2, {"alerts": 1200, "messages": 0}), False),
        ("a dry run: would roll up 0 hours of samples and delete nothing", Pruned(0), True),
        (
            "rolled up 0 hours of samples; deleted nothing; gave back 2.5 MB, 0.5 MB are free inside the file",
            Pruned(0, {}, 2_500_000, 500_000),
            False,
        ),
    ],
)
def test_what_it_did_is_said_in_a_sentence(said, pruned, dry):
    assert said == summary_of(pruned, dry_run=dry)


@pytest.mark.parametrize("dry", [True, False])
def test_a_file_that_has_outgrown_sqlite_is_told_with_what_to_do(pytestconfig, dry):
    said = summary_of(Pruned(0, size=3 * COMFORT_BYTES), dry_run=dry)
    assert (
        f"the ledger has {3 * COMFORT_BYTES / 1e9:.1f} GB; SQLite is comfortable up to {COMFORT_BYTES / 1e9:g} GB"
        in said
    )
    heading = said.partition('see "')[2].partition('"')[0]
    assert f"## {heading}\n" in (pytestconfig.rootpath / "README.md").read_text(encoding="utf-8")
    assert "comfortable" not in summary_of(Pruned(0, size=COMFORT_BYTES), dry_run=dry)
