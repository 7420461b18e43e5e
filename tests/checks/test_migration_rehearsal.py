"""The check of migrations under a real Prefect server: an unchanged rehearsal is used again, and says so."""

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from roundsman.database import rehearse_migrations
from roundsman.database.rules.migration_facts import MigrationFacts, MigrationRun
from tests.database.migrating import Project, plan, told
from tests.database.reviewing import file

pytestmark = [pytest.mark.harness, pytest.mark.slow]


@pytest.fixture
def storage(prefect, tmp_path):
    """Where Prefect keeps results, for this test alone."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    with temporary_settings(updates={PREFECT_LOCAL_STORAGE_PATH: tmp_path / "storage"}):
        yield tmp_path / "storage"


@pytest.fixture
def project(tmp_path, ledger, monkeypatch):
    for name in ("live", "golden"):
        url = file(tmp_path / f"{name}.db", ["CREATE TABLE page (id integer PRIMARY KEY, title text)"])
        monkeypatch.setenv(f"SHOP_{name.upper()}", url)
    monkeypatch.setenv("SHOP_TOKEN", "hush-4711")
    project = Project(tmp_path / "project")
    project.add("adds a note", "ALTER TABLE page ADD note text", "ALTER TABLE page DROP COLUMN note")
    return project


@pytest.fixture
def rehearsals(monkeypatch):
    """Rehearsals that are no more than counted, and what each of them finds."""
    done = []

    async def rehearse(*about):
        done.append(about)
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    found = [MigrationFacts("sqlite", ("0001",), ("0001",), up=MigrationRun(revisions=("0001",), seconds=2.0))]
    monkeypatch.setattr(rehearse_migrations, "rehearse_on_copy", rehearse)
    return done, found


async def check(project, **more):
    """The verdict on all migrations."""
    from flows.checks.migration_rehearsal import check_migration_rehearsal
    from flows.tasks.report import verdicts_of

    about = ("shop", "content", plan(**more), "SHOP_LIVE", project.folder)
    return (await verdicts_of(check_migration_rehearsal, *about))[-1]


async def states_of_tasks(client, name):
    """The states of task runs of a name; the server records them some seconds after they ended."""
    from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterName

    wanted = TaskRunFilter(name=TaskRunFilterName(any_=[name]))
    for _ in range(60):
        states = [one.state_name for one in await client.read_task_runs(task_run_filter=wanted)]
        if "Cached" in states:
            break
        await asyncio.sleep(1)
    return states


def reused(verdict):
    return told(verdict).get("as-rehearsed")


async def test_an_unchanged_rehearsal_is_used_again_and_marked_with_its_age(project, storage, ledger):
    from prefect import get_client
    from sqlalchemy import text

    from roundsman.ledger.ledger import open_ledger

    first = await check(project)
    assert reused(first) is None
    second = await check(project)
    outcome, saw = reused(second)
    assert "pass" == outcome
    assert re.fullmatch(r"as rehearsed (just now|\d+ \w+ ago); nothing has changed since", saw)
    assert told(first) == {name: one for name, one in told(second).items() if name != "as-rehearsed"}
    # It is one rehearsal, however often it is quoted.
    engine = open_ledger(ledger)
    with engine.connect() as connection:
        assert 1 == connection.execute(text("SELECT count(*) FROM migration_rehearsal")).scalar_one()
    engine.dispose()
    async with get_client() as client:
        pages = [one for one in await client.read_artifacts() if one.key == "migrations-shop"]
        newest = max(pages, key=lambda one: one.created)
        states = await states_of_tasks(client, "rehearse the migrations of shop")
    assert "nothing has changed since" in newest.data
    assert "nothing has changed since" in newest.description
    assert "Cached" in states
    for kept in storage.rglob("*"):
        assert not kept.is_file() or b"hush" not in kept.read_bytes()


async def test_production_is_asked_each_time(project, storage, rehearsals, tmp_path):
    await check(project)
    file(tmp_path / "live.db", ["CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('0009')"])  # fmt: skip
    second = await check(project)
    assert (1, True) == (len(rehearsals[0]), reused(second) is not None)
    assert ("fail", "0009") == told(second)["db315-production"]


async def test_what_changed_is_rehearsed_anew(project, storage, rehearsals, tmp_path, monkeypatch):
    await check(project)
    await check(project)
    assert 1 == len(rehearsals[0])
    project.add("adds another", "ALTER TABLE page ADD more text")
    assert reused(await check(project)) is None
    file(tmp_path / "golden.db", ["INSERT INTO page VALUES (1, 'one')"])
    assert reused(await check(project)) is None
    assert reused(await check(project, budget={"reads_blocked": "3s"})) is None
    monkeypatch.setattr("roundsman.database.rehearsal_key.VERSION", "9.9.9")
    assert reused(await check(project)) is None
    assert 5 == len(rehearsals[0])


async def test_it_is_rehearsed_anew_after_a_time(project, storage, rehearsals, monkeypatch):
    from flows.tasks.database import rehearse_on_copy

    monkeypatch.setattr(rehearse_on_copy, "cache_expiration", timedelta(seconds=-1))
    await check(project)
    assert reused(await check(project)) is None
    assert 2 == len(rehearsals[0])


async def test_an_error_is_never_kept(project, storage, rehearsals):
    done, found = rehearsals
    well = found[0]
    for wrong in (RuntimeError("broke down"), replace(well, up=MigrationRun(error="no room on the disk"))):
        found[0] = wrong
        if isinstance(wrong, Exception):
            with pytest.raises(RuntimeError):
                await check(project)
        else:
            await check(project)
    found[0] = well
    assert reused(await check(project)) is None
    assert 3 == len(done)
    assert reused(await check(project)) is not None


async def test_where_something_can_not_be_known_nothing_is_kept(project, storage, rehearsals):
    for _ in range(2):
        assert reused(await check(project, smoke=("sh", "/opt/old-release/smoke"))) is None
    assert 2 == len(rehearsals[0])
    assert [] == [one for one in storage.rglob("*") if one.is_file()]
