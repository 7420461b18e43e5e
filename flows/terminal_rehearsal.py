"""A rehearsal on a terminal: the plan, and each leg with what came of it."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.terminal import follow, heading, words
from roundsman.report.rules.verdict import Outcome
from roundsman.rollback.rules.judge_rehearsal import Rehearsing, legs
from roundsman.rollback.rules.legs import State, is_safe, where
from roundsman.rollback.rules.plan import planned

_STYLES = {State.PASSED: "green", State.FAILED: "bold red", State.BEGUN: "magenta"}


async def rehearse(site: str, console: Console | None = None, **how: Any) -> Rehearsing:
    """Run `rehearse_release` here and now, and say where it is."""

    async def run() -> Any:
        from flows.jobs.rehearse_release import rehearse_release

        return await rehearse_release(site, **how, return_state=True)

    return await follow(run, Rehearsing, console)


def show_rehearsal(one: Rehearsing, console: Console | None = None) -> None:
    """Print the plan; then, when it was carried out, each leg, and where the site was left."""
    console = console or Console()
    for said in (*planned(one.plan), *(f"refused: {because}" for because in one.refused)):
        console.print(words(said), soft_wrap=True)
    if one.plan.refusals or one.refused:
        console.print("nothing was run")
        return
    if one.rehearsed is None or one.report is None:
        console.print("a dry run: no command was run; --apply rehearses it")
        return
    console.print(heading(f"{one.site}: {one.report.summary}"))
    table = Table(box=None, pad_edge=False)
    for head in ("leg", "state", "saw"):
        table.add_column(head, overflow="fold", no_wrap=head != "saw")
    for step in legs(one.rehearsed.stand.steps):
        state = Text(step["state"], style=_STYLES[State(step["state"])])
        table.add_row(words(step["leg"]), state, words(step["saw"]))
    console.print(table)
    console.print()
    for verdict in one.report.verdicts:
        for finding in verdict.findings:
            if finding.outcome is not Outcome.PASS or finding.claim.endswith("/proven"):
                wanted = "" if finding.outcome is Outcome.PASS else f", wanted {finding.wanted}"
                said = f"{finding.outcome.upper()} {finding.claim}  saw {finding.saw}{wanted}"
                console.print(words(said), soft_wrap=True)
    stand = one.rehearsed.stand
    style = "green" if is_safe(stand) else "bold red"
    console.print(words(f"{one.plan.environment}: {where(stand)}", style), soft_wrap=True)
