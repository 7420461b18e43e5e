"""A board over sites and a ledger of a test's own."""

from datetime import UTC, datetime

import httpx
import pytest
import yaml

from tests.tasks.test_status import RULE


@pytest.fixture
def write_site(tmp_path, monkeypatch):
    """Writes site files into a folder that takes the place of the project's."""
    from flows.tasks import site_file

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
    from flows.tasks.ledger import open_ledger

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
