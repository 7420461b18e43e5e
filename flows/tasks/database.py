"""Indexes, query plans and migrations, as Prefect tasks."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from roundsman.database import index_store, migration_store, query_store
from roundsman.database import look_at_indexes as look_at_indexes_
from roundsman.database import look_at_queries as look_at_queries_
from roundsman.database import rehearse_migrations as rehearse_migrations_

watch_indexes = task(
    index_store.watch_indexes,
    task_run_name="watch the indexes of {database}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
look_at_indexes = task(
    look_at_indexes_.look_at_indexes,
    task_run_name="look at the indexes of {database.database}",
    retries=2,
    retry_delay_seconds=[1, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
remember_plans = task(
    query_store.remember_plans,
    task_run_name="remember the plans of {database}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
look_at_queries = task(
    look_at_queries_.look_at_queries,
    task_run_name="look at the plans of {database.database}",
    retries=2,
    retry_delay_seconds=[1, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
remember_rehearsal = task(
    migration_store.remember_rehearsal,
    task_run_name="remember the rehearsal",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
rehearse_migrations = task(
    rehearse_migrations_.rehearse_migrations,
    task_run_name="rehearse the migrations of {name}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
