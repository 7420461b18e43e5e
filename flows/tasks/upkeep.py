"""Upkeep of the ledger, as Prefect tasks."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from roundsman.upkeep import prune as upkeep

prune = task(
    task_run_name="prune the ledger",
    retries=2,
    retry_delay_seconds=[5, 30],
    cache_policy=NO_CACHE,
    persist_result=False,
)(upkeep.prune)
