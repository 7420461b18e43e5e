"""`roundsman import SITE FEED`: articles from a feed into the shop's database, and a purge of what changed."""

import argparse
from typing import Any

from flows.commands.common import carried_out, feed_ready, ledger_ready, open_database, quiet_prefect
from roundsman.cli.output import COULD_NOT_LOOK, InputError, say


def register(commands: Any) -> None:
    """Add the command."""
    about = "import a feed of articles, and purge the routes that changed; a dry run unless --apply"
    parser = commands.add_parser("import", help=about)
    parser.add_argument("site", metavar="SITE", help="a name in deployments/sites/, or a path to a site file")
    parser.add_argument(
        "feed",
        metavar="FEED",
        nargs="?",
        default="",
        help="a file of JSON lines or CSV, or the address of a paged API; the site file's when left out",
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--dry-run", action="store_true", help="say what would change (this is the default)")
    way.add_argument("--apply", action="store_true", help="import, and purge")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    quiet_prefect()
    from flows.jobs.import_catalogue import Imported, import_catalogue
    from flows.tasks.catalogue import VARIABLE
    from flows.tasks.site import load
    from roundsman.report.rules.text import plain

    site = load(args.site)
    feed = args.feed or (site.catalogue.feed if site.catalogue else "")
    if not feed:
        raise InputError(
            f"FEED: saw none, and no `catalogue: {{feed: ...}}` in the file of {site.site}; wanted a file or an address"
        )
    feed_ready(feed)
    open_database("", VARIABLE).dispose()
    ledger_ready()

    async def imported() -> tuple[str, bool, Imported | None]:
        state = await import_catalogue(args.site, feed, dry_run=not args.apply, return_state=True)
        result = await state.aresult(raise_on_failure=False)
        return state.message or "", state.is_completed(), result if isinstance(result, Imported) else None

    said, well, result = carried_out(
        imported(), "the import", "the same command goes on from there, and doubles nothing"
    )
    for change in result.outcome.changes if result else ():
        before = f"{plain(change.before)!r} -> " if change.before else "new: "
        say(f"{plain(change.key)}  {before}{plain(change.after)!r}")
    for position, kind, _ in result.outcome.bad if result else ():
        say(f"row {position}  would go into quarantine: {kind}")
    say(plain(said))
    if result and result.outcome.quarantined and args.apply:
        say("what is in quarantine: roundsman quarantine")
    if not well and result is None:
        return COULD_NOT_LOOK
    return 0 if well else 1
