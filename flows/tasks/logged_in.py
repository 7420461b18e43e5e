"""Visiting as members and as strangers, as a Prefect task."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from roundsman.logged_in import look

visit = task(task_run_name="visit {rule.name}", cache_policy=NO_CACHE, persist_result=False)(look.visit)
