"""`roundsman rehearse SITE`: deploy, roll back and deploy again, and prove each."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.commands.common import carried_out, ledger_ready, quiet_prefect
from roundsman.cli.output import InputError, add_json, writable, write_json

if TYPE_CHECKING:
    from rich.console import Console

    from roundsman.rollback.rules.judge_rehearsal import ReleaseRehearsal


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("rehearse", help="rehearse a release and its rollback; a dry run unless --apply")
    parser.add_argument("site", metavar="SITE", help="a name in deployments/sites/, or a path to a site file")
    parser.add_argument("--environment", default="staging", metavar="NAME", help="staging (the default) or production")
    parser.add_argument("--confirm", default="", metavar="SITE:VERSION", help="for production: what runs there now")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--dry-run", action="store_true", help="print the plan and run no command (this is the default)")
    way.add_argument("--apply", action="store_true", help="rehearse it")
    add_json(parser, "plan and report")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows.tasks.site import load
    from roundsman.report.rules.text import without_credentials
    from roundsman.rollback.rules.judge_rehearsal import ReleaseRehearsal, rehearsal_json
    from roundsman.rollback.rules.plan import plan_by_file

    if "://" in args.site:
        saw = without_credentials(args.site)
        raise InputError(f"rehearse: saw the URL {saw}, wanted a site file: its commands are written there")
    writable(args.json)
    site = load(args.site)
    foreseen = plan_by_file(site, args.environment, args.confirm)
    if foreseen.refusals:
        refused = ReleaseRehearsal(site.site, datetime.now(UTC), foreseen)
        show(refused)
        write_json(args.json, rehearsal_json(refused))
        return refused.exit_code
    if args.apply:
        ledger_ready()
    done = "the next rehearsal looks where it stands, and ends it" if args.apply else "no command was run"
    how = {"environment": args.environment, "confirm": args.confirm, "dry_run": not args.apply}
    one = carried_out(rehearse(args.site, **how), "the rehearsal", done)
    show(one)
    write_json(args.json, rehearsal_json(one))
    return one.exit_code


async def rehearse(site: str, console: "Console | None" = None, **how: Any) -> "ReleaseRehearsal":
    """Run `rehearse_release` here and now, and say where it is."""
    from flows.terminal import follow
    from roundsman.rollback.rules.judge_rehearsal import ReleaseRehearsal

    async def run() -> Any:
        from flows.jobs.rehearse_release import rehearse_release

        return await rehearse_release(site, **how, return_state=True)

    return await follow(run, ReleaseRehearsal, console)


def show(rehearsing: "ReleaseRehearsal", console: "Console | None" = None) -> None:
    """Print the plan; then, when it was carried out, each leg, and where the site was left."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from flows.terminal import heading, words
    from roundsman.report.rules.verdict import Outcome
    from roundsman.rollback.rules.judge_rehearsal import legs
    from roundsman.rollback.rules.plan import LegState, is_safe, planned, where

    styles = {LegState.PASSED: "green", LegState.FAILED: "bold red", LegState.BEGUN: "magenta"}
    console = console or Console()
    for line in (*planned(rehearsing.plan), *(f"refused: {reason}" for reason in rehearsing.refused)):
        console.print(words(line), soft_wrap=True)
    if rehearsing.plan.refusals or rehearsing.refused:
        console.print("nothing was run")
        return
    if rehearsing.rehearsed is None or rehearsing.report is None:
        console.print("a dry run: no command was run; --apply rehearses it")
        return
    console.print(heading(f"{rehearsing.site}: {rehearsing.report.summary}"))
    table = Table(box=None, pad_edge=False)
    for head in ("leg", "state", "saw"):
        table.add_column(head, overflow="fold", no_wrap=head != "saw")
    for step in legs(rehearsing.rehearsed.state.steps):
        styled = Text(step["state"], style=styles[LegState(step["state"])])
        table.add_row(words(step["leg"]), styled, words(step["saw"]))
    console.print(table)
    console.print()
    for verdict in rehearsing.report.verdicts:
        for finding in verdict.findings:
            if finding.outcome is not Outcome.PASS or finding.claim.endswith("/proven"):
                wanted = "" if finding.outcome is Outcome.PASS else f", wanted {finding.wanted}"
                said = f"{finding.outcome.upper()} {finding.claim}  saw {finding.saw}{wanted}"
                console.print(words(said), soft_wrap=True)
    state = rehearsing.rehearsed.state
    style = "green" if is_safe(state) else "bold red"
    console.print(words(f"{rehearsing.plan.environment}: {where(state)}", style), soft_wrap=True)
