"""What a scheduled job found, told to its owner at the job's end."""

import logging

from prefect.runtime import deployment, flow_run
from prefect.utilities.annotations import quote
from prefect.utilities.urls import url_for

from flows.tasks.alerts import tell
from flows.tasks.outbox import deliver
from roundsman.report.rules.report import Report
from roundsman.site.rules.site import Site

log = logging.getLogger("roundsman")


async def tell_at_once(site: Site, report: Report, *, full: bool) -> None:
    """Put what a recorded report has to tell into the outbox, and send what waits there.

    Only for a deployment's run: who looks by hand has the report before them. A message that can't be put there is
    logged, and the job goes on.

    Args:
        site: Whose owner is told.
        report: What was found.
        full: Whether every check of a round was made; see `roundsman.alerts.alerts.tell`.
    """
    if not deployment.get_id():
        return
    link = url_for("flow-run", flow_run.get_id()) or ""
    told = await tell(site, quote(report), link, full=full, return_state=True)
    if not told.is_completed():
        log.warning("%s: nobody was told of this run: %s", site.site, told.message)
    await deliver(return_state=True)
