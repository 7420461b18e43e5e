"""Response times of a real Varnish before an origin that is slow, jitters or stalls."""

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from roundsman.ledger.tables import HistogramRow, SampleKeyRow, SampleRow
from tests.jobs.conftest import articles, site

pytestmark = [pytest.mark.harness, pytest.mark.slow]


def timed(varnish, name, budget, **more):
    page = f"/articles/{name}/one"
    rule = articles(name, examples={"cached": [page]}, response_time=budget)
    return page, site(varnish.url, [rule], **more)


def findings(report):
    return {
        one.claim.removeprefix("response-time/"): one
        for verdict in report.verdicts
        for one in verdict.findings
        if verdict.check == "response-time"
    }


async def test_a_round_keeps_its_samples_by_series_state_and_connection(inspect, varnish, origin, ledger):
    budget = {"hit": {"p95": "1s"}, "miss": {"p95": "1s"}, "origin": {"p50": "1s"}}
    page, written = timed(varnish, "kept", budget, origin=origin.url)
    said = findings(await inspect(written, ["response-time"]))
    assert {"hit-p95", "miss-p95", "origin-p50"} == said.keys()
    assert all(one.outcome == "pass" for one in said.values())
    engine = create_engine(ledger)
    with Session(engine) as session:
        keys = session.scalars(select(SampleKeyRow).filter_by(site="lab", path=page)).all()
        counts = {
            (key.series, key.cache_state, key.warm): len(
                session.scalars(select(SampleRow.at_us).filter_by(key_id=key.id)).all()
            )
            for key in keys
        }
        rolled_up = set(session.scalars(select(HistogramRow.key_id)))
    engine.dispose()
    wanted = {("edge", "hit", True): 80, ("edge", "miss", True): 80, ("origin", "", True): 80}
    assert wanted | {(series, state, False): 8 for series, state, _ in wanted} == counts
    assert {key.id for key in keys} == rolled_up


async def test_the_origin_hears_the_name_of_the_site_and_never_the_members(inspect, varnish, origin):
    page, written = timed(varnish, "named", {"origin": {"p50": "1s"}}, origin=origin.url)
    assert "pass" == findings(await inspect(written, ["response-time"]))["origin-p50"].outcome
    hosts = {request.headers["host"] for request in origin.asked(page)}
    assert {varnish.url.removeprefix("http://")} == hosts


async def test_a_stall_of_one_second_in_ten_is_seen_in_p95(inspect, varnish, origin):
    """A closed loop would send two or three requests into the stall and call p95 well."""
    manners = {"rate": 25, "timeout": "5s", "samples": 240}
    page, written = timed(varnish, "stalled", {"miss": {"p50": "300ms", "p95": "100ms"}}, manners=manners)
    origin.stall(page, 1.0, 10.0)
    said = findings(await inspect(written, ["response-time"]))
    assert "pass" == said["miss-p50"].outcome
    assert "fail" == said["miss-p95"].outcome


async def test_an_origin_that_hangs_makes_the_round_red_and_does_not_hold_it_up(inspect, varnish, origin):
    """All connections wait; what is three seconds late by then is not sent, and counted."""
    manners = {"rate": 500, "timeout": "3s", "samples": 800}
    page, written = timed(varnish, "hung", {"miss": {"p95": "100ms"}}, manners=manners)
    origin.delay(page, 0.5)
    said = findings(await inspect(written, ["response-time"]))
    assert "fail" == said["miss-p95"].outcome
    assert "warn" == said["sent"].outcome


async def test_an_origin_that_jitters_is_told_with_its_interval(inspect, varnish, origin):
    page, written = timed(varnish, "jitters", {"miss": {"p50": "500ms", "p95": "20ms"}})
    origin.jitter(page, 0.1)
    said = findings(await inspect(written, ["response-time"]))
    assert ("pass", "fail") == (said["miss-p50"].outcome, said["miss-p95"].outcome)
