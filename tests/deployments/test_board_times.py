"""The pages of response times: the last comparison, each route, and the history of one."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from roundsman.ledger.ledger import write_round
from roundsman.ledger.rules.samples import EDGE, Sample, SampleKey
from roundsman.ledger.tables import LatencyRow, RunRow
from roundsman.report.rules.quantiles import Ratio
from roundsman.timing.comparisons import write_ratios
from roundsman.timing.samples import record_samples
from tests.deployments.boards import client, fresh, now, open_ledger, write_site
from tests.watch.weeks import add, release

__all__ = ["fresh", "open_ledger", "write_site"]

HOUR = timedelta(hours=1)
PAGE = "/articles/one"


@pytest.fixture
def shop(fresh):
    """Sixty rounds, of which the last twelve are slower, with a release between them, and its samples."""
    begun = now() - 60 * HOUR
    with Session(fresh.execution_options(writes=True)) as session, session.begin():
        for place in range(60):
            at = begun + place * HOUR
            run = RunRow(
                id=f"r{place}", site="shop", job="inspect-site", started_at=at, ended_at=at, outcome="pass", counts={}
            )
            session.add(run)
            session.flush()
            p50 = (20.0 if place < 48 else 26.0) + place % 3 / 10
            more = {"samples": 80, "p50_ms": p50, "p95_ms": 3 * p50}
            session.add(LatencyRow(run_id=run.id, path=PAGE, cache_state="miss", **more))
    at = begun + 47.5 * HOUR
    add(fresh, release("b2", at))
    key = SampleKey("shop", "articles", PAGE, EDGE, "miss")
    record_samples(
        fresh, [Sample(key, (at + 2 * side * HOUR).timestamp() + n, 0.02, 0.03) for side in (-1, 1) for n in range(9)]
    )
    return fresh


async def page(address):
    async with client() as board:
        return await board.get(address)


async def test_every_route_is_listed_with_its_last_round_and_what_changed(shop):
    answer = await page("/sites/shop/times")
    assert 200 == answer.status_code
    assert (
        f'<a href="?path={PAGE}">{PAGE}</a></td><td>miss</td><td>26.2&nbsp;ms</td><td>78.6&nbsp;ms</td>' in answer.text
    )
    assert "with release b2" in answer.text
    assert "No two releases were compared yet" in answer.text


async def test_the_last_comparison_is_shown_as_a_picture(shop):
    at = now()
    write_round(shop, run_id="c", site="shop", job="compare-release", started_at=at, ended_at=at, verdicts=[])
    write_ratios(shop, "c", [Ratio(PAGE, "miss", 1.3, 0.0, float("inf"), "not enough data")], 0.2, "b2")
    answer = await page("/sites/shop/times")
    assert "b2, compared " in answer.text
    assert 'src="data:image/svg+xml;base64,' in answer.text


async def test_a_route_has_its_history_with_releases_and_its_times_before_and_since(shop):
    answer = await page(f"/sites/shop/times?path={PAGE}")
    assert 200 == answer.status_code
    assert 2 == answer.text.count('src="data:image/svg+xml;base64,')
    assert "miss: x1.3" in answer.text.replace("x1.30", "x1.3").replace("x1.29", "x1.3")
    assert "Before and since b2, " in answer.text


@pytest.mark.parametrize("address", ["/sites/nowhere/times", "/sites/shop/times?path=/nowhere"])
async def test_what_nobody_timed_is_not_found(shop, address):
    assert 404 == (await page(address)).status_code


async def test_a_site_that_was_never_timed_says_so(write_site, open_ledger):
    write_site("bare")
    answer = await page("/sites/bare/times")
    assert 200 == answer.status_code
    assert "No round has taken response times yet." in answer.text
