from collections.abc import Sequence

from prefect import flow

from flows.rules.drift import judge
from flows.rules.series import Series
from flows.rules.site import Site
from flows.rules.verdict import Verdict
from flows.tasks.before_after import look_back


@flow(name="check-drift", flow_run_name="{site.site}: drift", timeout_seconds=120, persist_result=False)
async def check_drift(site: Site, taken: Sequence[Series]) -> list[Verdict]:
    """Is each route as fast as it was, round after round? What this round has taken is the newest."""
    past = await look_back(site, taken)
    return judge(site, past.rounds, past.releases, past.rounds[-1].at)
