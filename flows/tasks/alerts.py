"""Alerts and the outbox, as Prefect tasks."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from roundsman.alerts import alerts

tell = task(
    alerts.tell,
    task_run_name="tell {report.site}",
    retries=3,
    retry_delay_seconds=[0.5, 2, 5],
    cache_policy=NO_CACHE,
    persist_result=False,
)
tell_new_channels = task(
    alerts.tell_new_channels, task_run_name="tell new channels", cache_policy=NO_CACHE, persist_result=False
)
