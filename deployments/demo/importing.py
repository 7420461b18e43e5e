"""`make demo-import`: a feed is imported, the import is killed half-way and run again, and nothing is done twice."""

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from sqlalchemy import Row, Select

from deployments.demo.__main__ import SITE_FILE, WRITTEN_ADDRESS, serving
from flows.commands.common import quiet_prefect

ROUTES = tuple(f"/articles/plant-{number:02}" for number in range(1, 41))
#: The articles of the second edition that are other ones.
CHANGED = frozenset(ROUTES[place] for place in (1, 4, 12, 27, 38))


@dataclass(frozen=True)
class ImportSeen:
    """What the demo saw of the second edition."""

    killed: bool
    before: int
    """Articles that were committed when the import was killed."""
    purged_early: frozenset[str]
    """Routes without a copy when it was killed."""
    rows: int
    changed: int
    articles: Counter[str]
    """How often each article of the new edition is in the database."""
    asked: Counter[str]
    """How often a purge of each route stands in the outbox since."""
    purged: frozenset[str]
    """Routes without a copy in the end."""
    again: int
    """Purges that one more import sent."""


def main() -> int:
    """Run the demo. Exit codes: 0 nothing was doubled, lost, or purged without need; 1 anything else."""
    with tempfile.TemporaryDirectory(prefix="roundsman-demo-") as folder:
        os.environ["PREFECT_HOME"] = f"{folder}/prefect"
        os.environ["ROUNDSMAN_LEDGER_URL"] = f"sqlite:///{folder}/ledger.db"
        os.environ["ROUNDSMAN_CATALOGUE_URL"] = f"sqlite:///{folder}/shop.db"
        os.environ.pop("PREFECT_API_URL", None)
        quiet_prefect()
        with serving() as address:
            site = Path(folder) / "demo.yaml"
            site.write_text(SITE_FILE.read_text(encoding="utf-8").replace(WRITTEN_ADDRESS, address), encoding="utf-8")
            return conclude(asyncio.run(imports(str(site), address, Path(folder) / "feed.jsonl")))


async def imports(site: str, address: str, feed: Path) -> ImportSeen:
    """Import one edition; kill the import of the next, and run it again, twice."""
    from sqlalchemy import func, select

    from flows.jobs.import_catalogue import import_catalogue
    from flows.tasks.catalogue import ARTICLE, VARIABLE
    from roundsman.batch import open_target
    from roundsman.ledger.tables import JOB, OUTBOX

    logging.getLogger("roundsman.batch").setLevel(logging.WARNING)  # the terminal is for the story
    shop = open_target(VARIABLE)
    ARTICLE.metadata.create_all(shop)

    def ask(question: "Select[Any]") -> "Sequence[Row[Any]]":
        with shop.connect() as connection:
            return connection.execute(question).all()

    async def imported() -> Any:
        state = await import_catalogue(site, str(feed), dry_run=False, return_state=True)
        print(f"  {state.message}")
        return await state.aresult()

    try:
        print(f"A feed of {len(ROUTES)} articles is imported:")
        written(feed, frozenset())
        await imported()
        without_copy(address)
        newest = ask(select(func.max(OUTBOX.c.id)))[0][0]
        print(f"A new edition, in which {len(CHANGED)} articles are other ones. Its import is killed (SIGKILL) in its")
        print("second chunk of ten, when the articles are written and the transaction is not committed:")
        written(feed, CHANGED)
        killed = crash(site, feed)
        before = ask(select(JOB.c.position).order_by(JOB.c.id.desc()).limit(1))[0][0]
        early = without_copy(address)
        print(f"  {before} rows are committed; {len(early)} routes are purged")
        print("It is run again, and goes on from there; and once more, which finds nothing to do:")
        done = await imported()
        purged = without_copy(address)
        once_more = await imported()
        bodies = ask(select(OUTBOX.c.body).where(OUTBOX.c.id > newest))
        return ImportSeen(
            killed,
            before,
            early,
            done.outcome.rows,
            done.outcome.changed,
            Counter(route for (route,) in ask(select(ARTICLE.c.route).where(ARTICLE.c.text == "new"))),
            Counter(route for (body,) in bodies for route in json.loads(body)["routes"]),
            purged,
            once_more.delivered.sent,
        )
    finally:
        shop.dispose()


def written(feed: Path, changed: frozenset[str]) -> None:
    """An edition of the feed."""
    rows = ({"route": route, "title": route, "text": "new" if route in changed else "old"} for route in ROUTES)
    feed.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def crash(site: str, feed: Path) -> bool:
    """Import in a process that is killed half-way, as by a power cut; whether it was."""
    command = [sys.executable, "-m", "deployments.demo.import_worker", site, str(feed)]
    died = subprocess.run(command, check=False)  # noqa: S603 - our own words
    return died.returncode == -9


def without_copy(address: str) -> frozenset[str]:
    """The routes that the edge has no copy of; it has one afterwards."""
    with httpx.Client(base_url=address, timeout=10) as reader:
        told = {route: reader.get(route).headers.get("cache-status", "") for route in ROUTES}
    return frozenset(route for route, said in told.items() if not said.endswith("; hit"))


def faults(seen: ImportSeen) -> Sequence[str]:
    """What is not as it should be."""
    once = Counter(CHANGED)
    held = {
        "the import was not killed where it should be": seen.killed and seen.before == 10,
        "routes were purged before their articles were there to be read": not seen.purged_early,
        "the import did not come to its end": seen.rows == len(ROUTES),
        "an article was written twice, or not at all": seen.changed == len(CHANGED) and seen.articles == once,
        "a purge was asked for twice, or not at all": seen.asked == once,
        "other routes were purged than those that changed": seen.purged == CHANGED,
        "an import of what was imported before purged something": seen.again == 0,
    }
    return [fault for fault, well in held.items() if not well]


def conclude(seen: ImportSeen) -> int:
    """Say what came of it."""
    found = faults(seen)
    for fault in found:
        print(f"WRONG: {fault}")
    if found:
        return 1
    print(f"Nothing was lost and nothing done twice: {seen.rows} articles, {seen.changed} changed, each written once.")
    print(
        f"Of {len(ROUTES)} routes, the edge purged the {len(seen.purged)} that changed: {', '.join(sorted(CHANGED))}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
