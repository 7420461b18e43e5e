"""The whole round on real caches, honest ones and broken ones."""

import asyncio
import io
import socket
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.jobs.conftest import articles, control, inbox, site, troubles

pytestmark = [pytest.mark.harness]

MARKED = {"marker": {"header": "etag"}}
BUDGET = {"hit": {"p95": "1s"}, "miss": {"p95": "1s"}}


def whole_site(url, name, edge):
    bypass = [{"when": "cookie sessionid", "because": "the page greets by name"}] if edge.startswith("varnish") else []
    drill = {"canary": f"/articles/{name}/one", **MARKED}
    return site(
        url,
        [articles(name, purge=drill, response_time=BUDGET, bypass=bypass), inbox(name), control(name)],
        edge,
        health={"path": "/health"},
    )


@pytest.mark.parametrize("cache", ["varnish", "nginx"])
async def test_a_round_of_an_honest_cache_finds_nothing(cache, request, inspect, ledger):
    edge = request.getfixturevalue(cache)
    report = await inspect(whole_site(edge.url, f"honest-{cache}", f"{cache}/lab"))
    assert {} == troubles(report)
    assert {"cache-headers", "logged-in-traffic", "targeted-purge", "response-time", "rollback-ready"} == {
        verdict.check for verdict in report.verdicts
    }
    assert ("Completed", report.summary) == (inspect.state().name, inspect.state().message)
    engine = create_engine(ledger)
    with engine.connect() as connection:
        assert len(report.verdicts) == connection.execute(text("select count(*) from verdict")).scalar()
        assert connection.execute(text("select count(*) from exchange")).scalar() > 0
    engine.dispose()


async def test_a_cache_that_keeps_members_pages_fails_logged_in_traffic(leaky_varnish, inspect):
    report = await inspect(site(leaky_varnish.url, [inbox("leaky")]), ["logged-in-traffic"])
    found = troubles(report)
    assert "ben got a page of ada; stranger got a page of ada" == found["logged-in-traffic/leak", "/inbox/leaky"]
    assert ("logged-in-traffic/stored", "/inbox/leaky") in found
    assert "1 failed" == report.summary
    assert "Breach" == inspect.state().name


async def test_prefects_pages_say_what_is_broken_first(leaky_varnish, inspect, caplog):
    """The round's state, the run of the check that failed, the log and the artifact."""
    from prefect.client.orchestration import get_client

    caplog.set_level("WARNING", "roundsman.faults")
    drill = {"canary": "/articles/first/one", **MARKED}
    written = site(leaky_varnish.url, [articles("first", purge=drill), inbox("first")])
    report = await inspect(written, ["cache-headers", "logged-in-traffic"])
    worst = "worst: CRITICAL logged-in-traffic/leak /inbox/first: saw ben got a page of ada; stranger got a page of ada"
    assert f"{report.summary}; {worst}" in inspect.state().message
    async with get_client() as client:
        runs = {run.name: run.state for run in await client.read_flow_runs(sort="START_TIME_ASC")}
        pages = [one for one in await client.read_artifacts() if one.key == "round-lab"]
    checked = runs["lab: logged-in traffic"]
    assert ("FAILED", "Breach") == (checked.type.value, checked.name)
    assert checked.message.startswith("1 failed, 1 passed; worst: CRITICAL logged-in-traffic/leak /inbox/first: saw ")
    assert {"logged-in-traffic", "cache-headers"} == {one.check for one in report.verdicts}
    said = {(one.levelname, one.message) for one in caplog.records if one.name == "roundsman.faults"}
    (leak,) = [text for level, text in said if level == "ERROR" and "logged-in-traffic/leak" in text]
    for word in ("FAIL /inbox/first", "saw ben got a page", "wanted ", "severity critical", "owner web-platform"):
        assert word in leak
    page = max(pages, key=lambda one: one.created).data
    title, wrong, *_ = page.split("\n\n## ")
    head, first = wrong.split("\n\n")[0], wrong.splitlines()[2]
    assert (f"# lab: {report.summary}", "What is wrong") == (title, head)
    assert "logged-in-traffic/leak" in first


async def test_a_leak_is_told_without_what_leaked(leaky_varnish, inspect, ledger):
    """Neither Prefect nor the ledger learns a name, a session or a page."""
    report = await inspect(site(leaky_varnish.url, [inbox("hush")]), ["logged-in-traffic"])
    assert ("logged-in-traffic/leak", "/inbox/hush") in troubles(report)
    await no_secret_is_told("Ada Lovelace", "ada@members", "sessionid=ada")
    kept = Path(ledger.removeprefix("sqlite:///")).read_bytes()
    assert b"logged-in-traffic/leak" in kept
    assert [] == [secret for secret in (b"Lovelace", b"ada@members", b"sessionid=ada") if secret in kept]


async def test_headers_alone_call_a_leaking_page_what_it_says(nginx, inspect):
    """The page is wrongly public and nginx keeps it whatever the cookie: both columns tell."""
    report = await inspect(
        site(nginx.url, [inbox("both", "profile")], "nginx/lab"), ["cache-headers", "logged-in-traffic"]
    )
    found = troubles(report)
    assert "public, max-age=600" == found["cache-headers/private", "/profile/both"]
    assert ("logged-in-traffic/leak", "/profile/both") in found


@pytest.mark.parametrize(
    ("cache", "marked"), [("varnish", True), ("nginx", True), ("varnish", False), ("nginx", False)]
)
async def test_an_honest_purge_is_proven(cache, marked, request, inspect):
    edge = request.getfixturevalue(cache)
    name = f"purge-{cache}-{marked}"
    drill = {"canary": f"/articles/{name}/one", **(MARKED if marked else {})}
    report = await inspect(
        site(edge.url, [articles(name, purge=drill), control(name)], f"{cache}/lab"), ["targeted-purge"]
    )
    assert {} == troubles(report)
    saw = next(f.saw for v in report.verdicts for f in v.findings if f.claim == "targeted-purge/refreshed")
    assert ("by birth time" if cache == "varnish" else "by label only") in saw


async def test_a_purge_that_takes_the_neighbours_along_fails_them(prefix_ban_varnish, inspect):
    drill = {"canary": "/articles/wide/one", **MARKED}
    written = site(prefix_ban_varnish.url, [articles("wide", purge=drill), control("wide")])
    found = troubles(await inspect(written, ["targeted-purge"]))
    assert {("targeted-purge/neighbour", "/articles/wide/one")} == set(found)
    assert "MISS" in found["targeted-purge/neighbour", "/articles/wide/one"]


async def test_a_purge_that_says_200_and_does_nothing_fails_the_target(noop_varnish, inspect):
    drill = {"canary": "/articles/noop/one", **MARKED}
    written = site(noop_varnish.url, [articles("noop", purge=drill), control("noop")])
    found = troubles(await inspect(written, ["targeted-purge"]))
    assert {("targeted-purge/refreshed", "/articles/noop/one")} == set(found)
    assert "before the purge (by birth time)" in found["targeted-purge/refreshed", "/articles/noop/one"]


@pytest.mark.parametrize(
    ("path", "saw"),
    [("/error", "500"), ("/redirect-loop", "302 to /redirect-loop")],
    ids=["a 500 with perfect cache headers", "a redirect loop"],
)
async def test_what_is_no_page_fails_and_the_next_route_is_judged(path, saw, varnish, inspect):
    rule = articles("x", paths=[path], examples={"cached": [path]})
    report = await inspect(site(varnish.url, [rule, control(f"after{path[1:]}")]), ["cache-headers"])
    assert {("cache-headers/status", path): saw} == troubles(report)
    assert ["fail", "pass"] == [verdict.outcome for verdict in report.verdicts]


async def test_a_dead_port_leaves_everything_unknown_and_the_run_says_so(inspect):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    written = site(
        f"http://127.0.0.1:{port}", [articles("dead", purge={"canary": "/articles/dead/one"}), inbox("dead")]
    )
    report = await inspect(written, ["cache-headers", "logged-in-traffic", "targeted-purge"])
    assert {"unknown"} == {verdict.outcome for verdict in report.verdicts}
    assert {f"no answer: connection refused at 127.0.0.1:{port}"} == set(troubles(report).values())
    assert "Unknown" == inspect.state().name
    assert inspect.state().message.startswith("7 unknown; worst: UNKNOWN ")
    assert 2 == report.exit_code


async def test_an_origin_that_dies_half_way_leaves_the_rest_unknown_and_the_round_goes_on(inspect):
    from tests.edges.lab import Origin

    with Origin() as mortal:
        mortal.fail(after=4)
        rule = articles("mortal", cache={"by": "unsaid"}, examples={"not_cached": ["/articles/mortal/one"]})
        other = control("mortal") | {"cache": {"by": "unsaid"}, "examples": {"not_cached": ["/guides/mortal/far"]}}
        report = await inspect(site(mortal.url, [rule, other]), ["cache-headers"])
    assert ["pass", "unknown"] == [verdict.outcome for verdict in report.verdicts]
    (saw,) = troubles(report).values()
    assert saw.startswith("no answer: ")
    assert "Unknown" == inspect.state().name
    assert inspect.state().message.startswith(
        "1 unknown, 1 passed; worst: UNKNOWN cache-headers/answers /guides/mortal/far"
    )


async def test_an_answer_that_does_not_come_is_unknown_in_the_words_that_a_user_reads(inspect, origin):
    origin.delay("/articles/endless/one", 30)
    rule = articles(
        "endless", examples={"cached": ["/articles/endless/one", "/articles/endless/two"]}, cache={"by": "everyone"}
    )
    written = site(origin.url, [rule], manners={"timeout": "300ms", "rate": 500})
    found = troubles(await inspect(written, ["cache-headers"]))
    origin.delay("/articles/endless/one", 0)
    assert "no answer: no answer after 300ms" == found["cache-headers/answers", "/articles/endless/one"]
    assert ("cache-headers/answers", "/articles/endless/two") not in found


async def test_without_a_terminal_a_round_says_in_plain_lines_where_it_is(varnish, prefect, ledger, tmp_path):
    import yaml
    from rich.console import Console

    from flows.terminal import walk

    path, out = tmp_path / "lab.yaml", io.StringIO()
    path.write_text(yaml.safe_dump(site(varnish.url, [articles("lines")])))
    report = await walk(str(path), ["cache-headers", "rollback-ready"], Console(file=out, width=20))
    first, *said = out.getvalue().splitlines()
    assert first.startswith("asking Prefect at http://127.0.0.1:")
    assert [
        "lab: looking at cache headers",
        "lab: cache headers: 3 passed",
        "lab: looking at rollback ready",
        "lab: rollback ready: 1 warned",
    ] == said
    assert 4 == len(report.verdicts)


async def test_a_check_that_breaks_down_is_unknown_and_the_round_goes_on(varnish, inspect, monkeypatch):
    """A block that is gone is found when it is needed."""
    written = site(varnish.url, [articles("gone", purge={"canary": "/articles/gone/one"})])
    written["blocks"] = {}
    report = await inspect(written, ["targeted-purge", "rollback-ready"])
    broken = report.verdicts[0]
    assert ("unknown", "targeted-purge", "lab") == (broken.outcome, broken.check, broken.subject)
    assert "no such block, neither in the site file nor in Prefect" in broken.findings[0].saw
    assert "rollback-ready" == report.verdicts[-1].check


async def test_a_check_whose_end_had_to_be_said_twice_keeps_its_verdicts(varnish, inspect, monkeypatch):
    """As by a client that the busy server did not answer in time: the run's state then comes back without them."""
    from prefect.client.base import PrefectHttpxAsyncClient

    send, doubled = PrefectHttpxAsyncClient.send, []

    async def twice(self, request, *args, **more):
        # The first run to end is the check's.
        if not doubled and request.url.path.endswith("/set_state") and b"COMPLETED" in request.content:
            doubled.append(request.url.path)
            await send(self, request, *args, **more)
        return await send(self, request, *args, **more)

    monkeypatch.setattr(PrefectHttpxAsyncClient, "send", twice)
    report = await inspect(site(varnish.url, [articles("twice")]), ["cache-headers"])
    assert doubled
    assert {("cache-headers", "pass")} == {(one.check, one.outcome) for one in report.verdicts}


async def test_a_member_who_can_not_log_in_is_told_without_the_password(varnish, inspect, monkeypatch):
    monkeypatch.setenv("EVE_PASSWORD", "hunter2-secret")
    written = site(varnish.url, [inbox("locked")])
    written["blocks"]["member/ada"] = {"login": "/login", "form": {"user": "eve", "password": {"env": "EVE_PASSWORD"}}}
    report = await inspect(written, ["logged-in-traffic"])
    (saw,) = troubles(report).values()
    assert saw.startswith("ada: login failed: ")
    assert "hunter2" not in str(report)
    await no_secret_is_told("hunter2", "sessionid=ben")


async def no_secret_is_told(*secrets):
    """Nothing that Prefect's API shows of any run holds them."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        runs = [run.model_dump_json() for run in await client.read_flow_runs()]
        artifacts = [artifact.model_dump_json() for artifact in await client.read_artifacts()]
        logs = [log.model_dump_json() for log in await client.read_logs()]
    assert any("lab: logged-in traffic" in run for run in runs)
    assert [] == [told for told in runs + artifacts + logs if any(secret in told for secret in secrets)]


async def test_a_round_that_can_not_be_recorded_says_so_and_still_reports(varnish, inspect, monkeypatch):
    import flows.jobs.inspect_site as job

    async def broken(*_, **__):
        from prefect.states import Failed

        return Failed(message="the disk is full")

    monkeypatch.setattr(job, "record", broken)
    report = await inspect(site(varnish.url, [articles("lost")]), ["rollback-ready"])
    assert "the round was not recorded: the disk is full" == report.verdicts[-1].findings[0].saw
    assert "unknown" == report.outcome


async def test_the_artifacts_hold_the_page_the_picture_and_the_table(varnish, inspect):
    from prefect.client.orchestration import get_client

    await inspect(whole_site(varnish.url, "artifacts", "varnish/lab"))
    async with get_client() as client:
        artifacts = {one.key: one for one in sorted(await client.read_artifacts(), key=lambda one: one.created)}
    page, table = artifacts["round-lab"], artifacts["verdicts-lab"]
    assert "![Time to first byte by route and cache state](data:image/svg+xml;base64," in page.data
    assert "Nothing needs anybody." in page.data
    assert "targeted-purge" in table.data


async def test_runs_and_tasks_are_named_after_site_and_rule(varnish, inspect):
    from prefect.client.orchestration import get_client

    await inspect(site(varnish.url, [articles("named")]), ["cache-headers"])
    async with get_client() as client:
        runs = {run.name for run in await client.read_flow_runs()}
        for _ in range(100):
            names = {run.name for run in await client.read_task_runs()}
            if "look at articles" in names:
                break
            await asyncio.sleep(0.1)
    assert "lab: cache headers" in runs
    assert "look at articles" in names
