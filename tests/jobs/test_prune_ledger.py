"""The job that keeps the ledger small: a dry run says what would go, the real one does it."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from flows.jobs.prune_ledger import prune_ledger, summary_of
from flows.tasks.timing import keep_samples
from roundsman.ledger.ledger import VARIABLE, open_ledger
from roundsman.ledger.rules.samples import Sample, SampleKey
from roundsman.ledger.rules.size import COMFORT_BYTES
from roundsman.ledger.tables_samples import SampleRow
from roundsman.timing.samples import record_samples
from roundsman.upkeep.prune import Pruned

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


def count(ledger) -> int:
    with Session(ledger) as session:
        return session.scalar(select(func.count()).select_from(SampleRow))


@pytest.mark.harness
@pytest.mark.slow
async def test_it_changes_nothing_unless_told_to(ledger):
    record_samples(ledger, fortnight(40))
    dry = await prune_ledger(return_state=True)
    assert ("COMPLETED", 40) == (dry.type, count(ledger))
    assert "a dry run: would roll up" in dry.message
    assert "40 samples, one by one" in dry.message
    done = await prune_ledger(dry_run=False, return_state=True)
    assert ("COMPLETED", 0) == (done.type, count(ledger))
    assert "deleted 40 samples, one by one" in done.message


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
