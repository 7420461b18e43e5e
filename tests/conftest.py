"""What many rooms' tests need: a Prefect server, and a ledger of their own."""

import functools
import os
import ssl
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import certifi
import pytest

from flows.commands.common import EMBEDDED
from tests import needs

os.environ.update(EMBEDDED)

#: A test for which this process and its children compute longer is not fast, however busy the machine is.
FAST_TEST_CPU_SECONDS = 20
SLOW_MARKERS = ("slow", "harness", "waits")
SLOW_FIXTURES = {"prefect", "postgres_server"}


def pytest_addoption(parser):
    parser.addoption(
        "--fast", action="store_true", help="only what needs no Prefect server, real cache, database server or browser"
    )


def _share_certificate_authorities():
    """Each client of httpx reads all authorities anew, which takes longer than most tests."""
    create, usual = ssl.create_default_context, {"cafile": certifi.where()}
    shared = functools.cache(lambda: create(**usual))
    ssl.create_default_context = lambda *args, **more: (
        shared() if (args, more) == ((), usual) else create(*args, **more)
    )


def pytest_configure(config):
    _share_certificate_authorities()
    if not hasattr(config, "workerinput"):
        # Workers of xdist inherit the variable.
        shared = TemporaryDirectory(prefix="roundsman-tests-")
        config.add_cleanup(shared.cleanup)
        os.environ["ROUNDSMAN_TESTS_SHARED"] = shared.name
    if config.getoption("--fast"):
        needs.fast = True
        # A Prefect server that nobody asked for by its fixture fails the test that would start it.
        os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"


@pytest.fixture(scope="session")
def prefect():
    """An embedded Prefect server, once for all: it takes some ten seconds, and minutes on a very busy machine."""
    from prefect.testing import utilities

    from tests.service import migrated

    folder = Path(mkdtemp())
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch, migrated(folder / "prefect-test.db"):
            # The harness makes a folder for its database.
            patch.setattr(utilities, "mkdtemp", lambda: str(folder))
            stack.enter_context(utilities.prefect_test_harness(server_startup_timeout=600))
        yield


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The interpreter of an environment with the project's wheel and the packages of the lock, but not this folder."""
    from tests.installed import install

    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/ledger.db"
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url)
    return url


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory):
    """An SQLite ledger to be copied: to run its migrations takes longer than most tests."""
    from roundsman.ledger.ledger import open_ledger

    place = tmp_path_factory.mktemp("empty") / "ledger.db"
    open_ledger(f"sqlite:///{place}").dispose()
    return place


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


def _params(item):
    return item.callspec.params if hasattr(item, "callspec") else {}


def is_fast(item):
    """By its markers, its fixtures, and the database that it is run on."""
    words = {word for word in _params(item).values() if isinstance(word, str)}
    return (
        not any(item.get_closest_marker(name) for name in SLOW_MARKERS)
        and SLOW_FIXTURES.isdisjoint(item.fixturenames)
        and "postgresql" not in words
    )


def pytest_collection_modifyitems(config, items):
    """Files with slow tests come first: what one process does at last, with nobody beside it, is then soon over."""
    if config.getoption("--fast"):
        config.hook.pytest_deselected(items=[item for item in items if not is_fast(item)])
        items[:] = [item for item in items if is_fast(item)]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """So that no slow test slips in among the fast ones."""
    before = sum(os.times()[:4])
    result = yield
    took = sum(os.times()[:4]) - before
    if needs.fast and took > FAST_TEST_CPU_SECONDS:
        pytest.fail(f"took {took:.1f} s of CPU time: mark it slow, or make it faster", pytrace=False)
    return result
