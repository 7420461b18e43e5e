from pathlib import Path

import pytest
import trustme

from roundsman.ledger.ledger import open_ledger
from tests import postgres


@pytest.fixture(scope="session")
def postgres_server():
    with postgres.server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kept/ledger.db"
    return request.getfixturevalue("postgres_server").fresh()


@pytest.fixture
def ledger(url):
    """An open ledger without a round in it."""
    engine = open_ledger(url)
    yield engine
    engine.dispose()


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """A certificate authority that the probe trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return authority
