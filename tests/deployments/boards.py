"""A board over sites and a ledger of a test's own."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.status.test_facts import RULE
from tests.watch.weeks import MINUTE, add, look, release, slot, walk, watch


@pytest.fixture
def write_site(tmp_path, monkeypatch):
    """Writes site files into a folder that takes the place of the project's."""
    from roundsman.site import site_file

    folder = tmp_path / "sites"
    folder.mkdir()
    monkeypatch.setattr(site_file, "SITES", folder.resolve())

    def write(name="shop", **more):
        site = {
            "site": name,
            "base_url": "http://example.test",
            "owner": "web <w@example.com>",
            "health": {"path": "/health"},
            "rules": [RULE],
            "release": {"version": {"path": "/version"}, "rollback": ["make", "rollback"]},
            "schedule": {"inspect": "7 * * * *"},
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(site | more))

    return write


@pytest.fixture
def open_ledger(ledger):
    from roundsman.ledger.ledger import open_ledger

    engine = open_ledger(ledger)
    yield engine
    engine.dispose()


def now():
    return datetime.now(UTC)


def client(token="", address="http://127.0.0.1:8481", **settings):
    """A client of a new board, which was made when the environment held this token."""
    from deployments.board.app import VARIABLE, create

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, token)
        transport = httpx.ASGITransport(create())
    return httpx.AsyncClient(transport=transport, base_url=address, **settings)


@pytest.fixture
def fresh(write_site, open_ledger):
    """A site that was looked at just now, in every way."""
    write_site("shop")
    add(open_ledger, look(now()), watch(now()), slot(now() - MINUTE), release("4f2a9c1", now() - timedelta(days=1)))
    walk(open_ledger, now() - 5 * MINUTE)
    return open_ledger


async def metrics_of(board):
    """Every sample by name and labels, in the order of their names, as Prometheus' own parser reads them."""
    answer = await board.get("/metrics")
    assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["content-type"]
    found = {}
    for family in text_string_to_metric_families(answer.text):
        kind = "summary" if family.name == "roundsman_latency_seconds" else "gauge"
        assert (kind, True) == (family.type, bool(family.documentation))
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            assert (sample.name, labels) not in found
            found[sample.name, labels] = sample.value
    return found
