"""Telling trouble of Roundsman's own services, Prefect's API and the ledger, from trouble of what it looks at."""

import httpx
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from sqlalchemy.exc import DBAPIError

from roundsman.ledger.ledger import LedgerError


def is_ours(error: BaseException | None, *, databases: bool = True) -> bool:
    """Whether an exception, or what caused it, says that Prefect's API or the ledger failed.

    `databases`: whether any database that failed is the ledger's. A review looks at other ones.
    """
    while error is not None:
        if isinstance(error, LedgerError | PrefectHTTPStatusError) or (databases and isinstance(error, DBAPIError)):
            return True
        if isinstance(error, httpx.HTTPError) and _is_of_prefect(error):
            return True
        if isinstance(error, RuntimeError) and str(error).startswith("Failed to reach API at "):  # Prefect's client
            return True
        error = error.__cause__
    return False


def _is_of_prefect(error: httpx.HTTPError) -> bool:
    try:
        asked = str(error.request.url)
    except RuntimeError:  # it was raised before there was a request
        return False
    return bool(api := PREFECT_API_URL.value()) and asked.startswith(api)
