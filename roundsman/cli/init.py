"""`roundsman init [DIR] [URL]`: a folder of your own, with first rules for a site that was looked at."""

import argparse
import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from roundsman.cli.output import InputError, say
from roundsman.version import VERSION

#: Addresses that are looked at for a first site file: the one named, and some that its page leads to.
MAX_PAGES, MAX_ASSETS = 4, 2
#: Of the page whose links are read.
MAX_PAGE_BYTES = 2_000_000
_ASSET = re.compile(r"\.(?:css|js|mjs|png|jpe?g|gif|svg|webp|avif|ico|woff2?)$", re.IGNORECASE)


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "init",
        help="make a folder of your own; with a URL, propose first rules for it",
        description="Make a folder for your site files. What is already there stays as it is.",
    )
    parser.add_argument("targets", nargs="*", metavar="DIR|URL", help="the folder (this one), and a site to look at")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from roundsman.site.rules.first_look import address_meant, infer

    urls = [one for one in args.targets if "://" in one or (address_meant(one) and not Path(one).exists())]
    folders = [one for one in args.targets if one not in urls]
    if len(urls) > 1 or len(folders) > 1:
        raise InputError("init: saw more than one folder or address, wanted one of each at most")
    folder = Path(folders[0] if folders else ".")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"init: saw {folder}, which is no folder; wanted a folder, or one to be made")
    if urls:
        url = urls[0] if "://" in urls[0] else address_meant(urls[0])
        try:
            site = infer(url)
        except ValueError as error:
            raise InputError(f"init: saw {error}") from None
        name = site.site.removeprefix("www-")
        text = asyncio.run(_proposed(name, url))
    else:
        name, text = "example", _EXAMPLE
    for path, content in _files(folder, name, text):
        _write(path, content)
    say(f"next: roundsman lint{'' if folder == Path() else f' (in {folder})'}")
    return 0


def _write(path: Path, content: str) -> None:
    """Write a new file; one that is there belongs to its writer."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        say(f"kept     {path}")
    except OSError as error:
        raise InputError(f"init: {path} could not be written: {error.strerror}; wanted a folder that can be") from None
    else:
        say(f"wrote    {path}")


def _files(folder: Path, name: str, site: str) -> Iterator[tuple[Path, str]]:
    yield folder / "sites" / f"{name}.yaml", site
    yield folder / "databases" / ".gitkeep", ""
    for path, content in _OTHERS.items():
        yield folder / path, content


@dataclass(frozen=True, slots=True)
class Guess:
    """One rule for addresses that were looked at."""

    name: str
    paths: tuple[str, ...]
    routes: tuple[str, ...]
    by: str
    edge_ttl: str
    because: str


async def _proposed(name: str, url: str) -> str:
    """A site file with rules that are true of what was seen, each marked as a guess.

    Raises:
        InputError: the address does not answer, so that there is nothing to propose.
    """
    from roundsman.cli.first_look import look

    parts = urlsplit(url)
    base, start = f"{parts.scheme}://{parts.netloc}", parts.path or "/"
    pages, assets = await _linked(url, base)
    guesses = []
    for path in dict.fromkeys([start, *pages[: MAX_PAGES - 1], *assets[:MAX_ASSETS]]):
        seen = await look(f"{base}{path}")
        if not seen.seen[0].answered:
            if path == start:
                detail = seen.seen[0].detail or seen.seen[0].error
                raise InputError(f"init: {url} does not answer ({detail}); wanted a site that can be looked at")
            continue
        if seen.seen[0].status == 200:
            guesses.append(_guess(path, seen))
    return _site_file(name, base, _merged(guesses))


def _guess(path: str, seen: Any) -> Guess:
    from roundsman.http.copies import kept
    from roundsman.http.freshness import lifetime, storable
    from roundsman.report.rules.durations import spoken
    from roundsman.report.rules.verdict import Outcome

    first = seen.seen[0]
    answer, seconds = storable(first), lifetime(first)
    paths = (f"{path.rpartition('/')[0]}/**",) if _ASSET.search(path) and path.count("/") > 1 else (path,)
    is_well = seen.verdict.outcome is not Outcome.FAIL
    if answer.yes and kept(seen.seen[1:]) and is_well:
        edge_ttl = f"<={spoken(seconds)}" if seconds else ""
        return Guess(_rule_name(path), paths, (path,), "everyone", edge_ttl, f"seen: {seen.verdict.observed}")
    if "no-store" in first.header("cache-control").lower():
        return Guess(_rule_name(path), paths, (path,), "nobody", "", "seen: Cache-Control says no-store")
    shown = seen.verdict.by_rfc or seen.verdict.observed
    return Guess(_rule_name(path), paths, (path,), "unsaid", "", f"seen: {shown}")


def _merged(guesses: Sequence[Guess]) -> list[Guess]:
    """One rule for addresses that behave alike and lie under the same paths."""
    found: dict[tuple[tuple[str, ...], str, str], Guess] = {}
    for one in guesses:
        key = one.paths, one.by, one.edge_ttl
        known = found.get(key)
        routes = (*known.routes, *one.routes) if known else one.routes
        found[key] = Guess(one.name, one.paths, routes, one.by, one.edge_ttl, one.because)
    names: dict[str, int] = {}
    merged = []
    for one in found.values():
        names[one.name] = number = names.get(one.name, 0) + 1
        name = one.name if number == 1 else f"{one.name}-{number}"
        merged.append(Guess(name, one.paths, one.routes, one.by, one.edge_ttl, one.because))
    return merged


def _rule_name(path: str) -> str:
    if _ASSET.search(path):
        return "assets"
    words = re.sub(r"[^a-z0-9]+", "-", path.partition("?")[0].lower()).strip("-")
    return words[:40].strip("-") or "home"


def _site_file(name: str, base: str, guesses: Sequence[Guess]) -> str:
    import yaml

    def quoted(value: object) -> str:
        return yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).splitlines()[0]

    lines = [
        "# Proposed from a first look. Each rule marked GUESS is true of what was seen, and may not be what you want:",
        "# correct it, and then delete the mark.",
        f"site: {name}",
        f"base_url: {base}",
        "owner: web-platform <web-oncall@example.com>  # GUESS: who answers for the site",
        "rules:",
    ]
    for one in guesses:
        ttl = f", edge_ttl: {quoted(one.edge_ttl)}" if one.edge_ttl else ""
        kind = "cached" if one.by == "everyone" else "not_cached"
        lines += [
            f"  - name: {one.name}  # GUESS, {one.because}",
            f"    paths: {quoted(list(one.paths))}",
            f"    cache: {{by: {one.by}{ttl}}}",
            f"    examples: {{{kind}: {quoted(list(one.routes))}}}",
            "    expected_result: Write what a reader should get.",
            "    rollback: {note: write how to go back, command: [make, cdn-rollback]}",
        ]
    return "\n".join([*lines, "# Without a schedule nothing is deployed.", "# schedule: {inspect: hourly}", ""])


class _Links(HTMLParser):
    """The addresses that a page leads to or needs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what a tag points to."""
        for name, value in attrs:
            wanted = {"a": "href", "link": "href", "script": "src", "img": "src"}.get(tag)
            if name == wanted and value:
                self.found.append(value)


async def _linked(url: str, base: str) -> tuple[list[str], list[str]]:
    """Pages and assets of the same site that a page leads to, without those with a query."""
    from roundsman.probe.ask import ask
    from roundsman.report.rules.exchange import Probe
    from roundsman.site.rules.first_look import infer

    [answer] = await ask(infer(url), [Probe(url, keep_body=True)])
    reader = _Links()
    reader.feed((answer.body or b"")[:MAX_PAGE_BYTES].decode("utf-8", "replace"))
    pages: dict[str, None] = {}
    assets: dict[str, None] = {}
    for link in reader.found:
        try:
            parts = urlsplit(urljoin(url, link))
        except ValueError:
            continue
        # Only what a site file takes as a path, and what no session is behind.
        if f"{parts.scheme}://{parts.netloc}" != base or parts.query or not re.fullmatch(r"/[!-~]*", parts.path):
            continue
        if not re.search(r"log.?in|log.?out|sign|account|cart|basket|admin", parts.path, re.IGNORECASE):
            (assets if _ASSET.search(parts.path) else pages)[parts.path] = None
    return list(pages), list(assets)


_EXAMPLE = """\
# A site file. `roundsman lint` says what is wrong in it, `roundsman inspect example` looks at the site now.
site: example
base_url: https://www.example.com
owner: web-platform <web-oncall@example.com>
rules:
  - name: articles
    paths: ["/articles/**"]
    cache: {by: everyone, edge_ttl: 10m..24h, browser_ttl: "<=5m"}
    examples: {cached: [/articles/tomatoes]}
    expected_result: A reader gets a copy at most ten minutes old.
    rollback: {note: the previous rules are kept for 30 days, command: [make, cdn-rollback]}
# Without a schedule nothing is deployed.
# schedule: {inspect: hourly}
"""

_OTHERS = {
    ".gitignore": ".env\n.roundsman/\n",
    ".env.example": """\
# Secrets that site files name as {env: NAME}. Copy it to .env, which is not committed.
# SHOP_ADA_PASSWORD=
# Where the Prefect server answers; `roundsman up` starts one of its own.
# PREFECT_API_URL=https://prefect.example.com/api
# The ledger; a file in .roundsman/ when left out.
# ROUNDSMAN_LEDGER_URL=postgresql://USER:PASSWORD@HOST/NAME
""",
    "README.md": f"""\
# What our sites promise

    pip install roundsman=={VERSION}
    roundsman lint                    # check the files of sites/ and databases/
    roundsman inspect SITE            # look at a site now
    roundsman up                      # Prefect, worker and board in one terminal
    roundsman deploy                  # bring the jobs to the server that PREFECT_API_URL names

One file a site in `sites/`, one file a database in `databases/`; secrets are environment variables (`.env.example`).
""",
    ".github/workflows/roundsman.yml": f"""\
# Checks the site files on each change, and deploys them from main.
name: roundsman
on:
  push: {{branches: [main]}}
  pull_request:
permissions: {{contents: read}}
jobs:
  lint:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "3.12"}}
      - run: pip install roundsman=={VERSION}
      - run: roundsman lint --format github
      - if: github.ref == 'refs/heads/main' && vars.PREFECT_API_URL != ''
        run: roundsman deploy
        env:
          PREFECT_API_URL: ${{{{ vars.PREFECT_API_URL }}}}
          PREFECT_API_AUTH_STRING: ${{{{ secrets.PREFECT_API_AUTH_STRING }}}}
""",
}
