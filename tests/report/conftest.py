from tests.ledgers import ledger, url

__all__ = ["ledger", "url"]
