"""What many rooms' tests need: a Prefect server, and a ledger of their own."""

import os

import pytest

from flows.commands.common import EMBEDDED

os.environ.update(EMBEDDED)


@pytest.fixture(scope="session")
def prefect():
    """An embedded Prefect server, once for all: it takes some ten seconds."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    return url


@pytest.fixture(scope="session")
def postgres_server():
    from tests import postgres

    with postgres.server() as server:
        yield server


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A certificate authority that the probe trusts."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority


def pytest_collection_modifyitems(items):
    """Files with slow tests come first: what one process does at last, with nobody beside it, is then soon over."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
