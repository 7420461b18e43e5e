"""Results that our cached tasks leave in Prefect's storage. Prefect never deletes one, also when it has expired."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.settings import get_current_settings

#: What the keys of our cached tasks begin with, and so the names of their files.
KEY_PREFIX = "roundsman-"
#: How long an expired result stays: a run that took it in its last moment may still be reading it.
GRACE = timedelta(days=1)


@task(task_run_name="delete expired results", cache_policy=NO_CACHE, persist_result=False)
async def delete_expired_results(now: datetime, *, dry_run: bool) -> int:
    """Delete our results that expired more than a day ago from this machine's storage, or only count them.

    A block that Prefect keeps results in, such as a bucket, is left alone: such storage has rules of its own for that.
    """
    folder = get_current_settings().results.local_storage_path.expanduser()
    return await asyncio.to_thread(_delete, folder, now, dry_run=dry_run)


def _delete(folder: Path, now: datetime, *, dry_run: bool) -> int:
    expired = [path for path in folder.glob(f"{KEY_PREFIX}*") if _expired_before(now - GRACE, path)]
    if not dry_run:
        for path in expired:
            path.unlink(missing_ok=True)
    return len(expired)


def _expired_before(moment: datetime, path: Path) -> bool:
    """Whether a result had expired by then; it is not unpickled. A file that does not say is none of our results."""
    try:
        return datetime.fromisoformat(json.loads(path.read_bytes())["metadata"]["expiration"]) < moment
    except (OSError, ValueError, KeyError, TypeError):
        return False
