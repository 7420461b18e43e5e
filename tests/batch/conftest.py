import pytest

from tests.batch.work import make_accounts, opened
from tests.ledgers import url

__all__ = ["engine", "url"]


@pytest.fixture
def engine(url):
    """An empty target, with accounts in it."""
    engine = opened(url)
    yield make_accounts(engine)
    engine.dispose()
