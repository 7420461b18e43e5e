"""Looking at cache headers, as Prefect tasks."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from roundsman.cache import look

examine = task(task_run_name="look at {rule.name}", cache_policy=NO_CACHE, persist_result=False)(look.examine)
look_again = task(task_run_name="look again", cache_policy=NO_CACHE, persist_result=False)(look.look_again)
