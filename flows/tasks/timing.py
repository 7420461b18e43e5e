"""Response times and comparisons, as Prefect tasks."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from roundsman.timing import ask_side_by_side, comparisons, look, rounds, samples

keep_samples = task(
    samples.keep_samples,
    task_run_name="keep samples",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
look_back = task(
    rounds.look_back, task_run_name="look back at {site.site}", retries=2, cache_policy=NO_CACHE, persist_result=False
)
keep_ratios = task(
    comparisons.keep_ratios,
    task_run_name="keep the ratios",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
)
sample = task(look.sample, task_run_name="time {rule.name}", cache_policy=NO_CACHE, persist_result=False)
glance = task(look.glance, task_run_name="look at {path}", cache_policy=NO_CACHE, persist_result=False)
ask_in_turn = task(
    ask_side_by_side.ask_in_turn, task_run_name="compare {rule.name}", cache_policy=NO_CACHE, persist_result=False
)
