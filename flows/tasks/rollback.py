"""Rollback commands and rehearsals, as Prefect tasks."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from roundsman.rollback import find_and_run, proofs

find_commands = task(
    find_and_run.find_commands, task_run_name="find rollback commands", cache_policy=NO_CACHE, persist_result=False
)
find_rehearsals = task(
    proofs.find_rehearsals,
    task_run_name="find rehearsals of {site.site}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
hold_against_now = task(
    proofs.hold_against_now,
    task_run_name="hold {site.site}'s rehearsal against what runs",
    cache_policy=NO_CACHE,
    persist_result=False,
)
find_rollback_faults = task(
    proofs.find_rollback_faults,
    task_run_name="find what is wrong with rollbacks of {site.site}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
