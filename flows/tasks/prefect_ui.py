"""Where Prefect's own pages are."""

from prefect.settings import PREFECT_UI_URL


def ui() -> str:
    """Where Prefect's pages are, by its own setting PREFECT_UI_URL; empty when there is none."""
    url = str(PREFECT_UI_URL.value() or "")
    return url if url.startswith(("http://", "https://")) else ""
