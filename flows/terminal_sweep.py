"""A sweep on a terminal."""

import logging
from typing import Any

from rich.console import Console

from flows.terminal import follow, heading, show_groups, words
from roundsman.sweep.rules.judge import Swept


async def sweep(site: str, edition: str, console: Console | None = None) -> Swept:
    """Run `sweep_site` here and now, and say how far it is."""

    async def run() -> Any:
        from flows.jobs.sweep_site import sweep_site

        return await sweep_site(site, edition, here=True, return_state=True)

    chunks = logging.getLogger("roundsman.batch")
    before = chunks.level
    chunks.setLevel(logging.WARNING)  # how far the sweep is, it says itself
    try:
        return await follow(run, Swept, console)
    finally:
        chunks.setLevel(before)


def show(swept: Swept, console: Console | None = None) -> None:
    """What is wrong, with a count and three examples each, then what was not looked at."""
    console = console or Console()
    console.print(heading(f"{swept.site}: {swept.summary}"))
    if swept.groups:
        show_groups(swept.groups, console)
    if swept.listing:
        console.print(words(swept.listing), soft_wrap=True)
    for note in swept.notes:
        console.print(words(f"not looked at: {note}"), soft_wrap=True)
