import pytest

from tests.tasks.batch.work import make_accounts, opened


@pytest.fixture
def engine(url):
    """An empty target, with accounts in it."""
    engine = opened(url)
    yield make_accounts(engine)
    engine.dispose()
