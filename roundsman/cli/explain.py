"""`roundsman explain CLAIM`: what a claim means, why it fails, and what to do."""

import argparse
import importlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from roundsman.cli.output import InputError, say
from roundsman.cli.parser import not_one_of
from roundsman.report.rules.verdict import Claim, Outcome


class Advice(NamedTuple):
    """What helps a person who reads that a claim failed."""

    cause: str
    look: str
    fix: str


def register(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("explain", help="what a claim means, why it fails, and what to do")
    parser.add_argument("claim", nargs="?", metavar="CLAIM", help="such as cache-headers/agree; all claims without one")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    known = claims()
    if not args.claim:
        width = max(map(len, known))
        for name, claim in known.items():
            say(f"{name:<{width}}  {claim.says}")
        return 0
    if args.claim not in known:
        raise InputError(f"explain: {not_one_of(args.claim, _likely(args.claim, known))}")
    claim = known[args.claim]
    say(f"{claim.id}: {claim.says}")
    say(f"when it does not hold: {'a warning' if claim.breach is Outcome.WARN else 'a failure'}")
    if advice := ADVICE.get(claim.id):
        say(f"likely cause: {advice.cause}")
        say(f"look first:   {advice.look}")
        say(f"fix:          {advice.fix}")
    if claim.see:
        say(f"source:       {claim.see}")
    return 0


def _likely(word: str, known: dict[str, Claim]) -> list[str]:
    """The claims of the same check, where the check is known; else all."""
    same = [one for one in known if one.partition("/")[0] == word.partition("/")[0]]
    return same or list(known)


@cache
def claims() -> dict[str, Claim]:
    """Every claim that stands in the rules, by its id; of two with one id the stricter."""
    import roundsman

    found: dict[str, Claim] = {}
    library = Path(roundsman.__file__).parent
    # Only what makes claims is imported: all would take two seconds.
    for path in sorted([*library.glob("*/rules/*.py"), *library.glob("*/rules.py"), *library.glob("http/*.py")]):
        if "Claim(" not in path.read_text(encoding="utf-8"):
            continue
        name = ".".join(path.relative_to(library.parent).with_suffix("").parts)
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, Claim) and (value.id not in found or value.breach is Outcome.FAIL):
                found[value.id] = value
    for check in sorted({one.partition("/")[0] for one in found}):
        for suffix, says in _EVERYWHERE.items():
            found.setdefault(f"{check}/{suffix}", Claim(f"{check}/{suffix}", says))
    return dict(sorted(found.items()))


#: Claims that every check makes of what it looks at.
_EVERYWHERE = {
    "answers": "The route answers.",
    "status": "The route answers with the promised status.",
    "looked": "The check could look.",
    "services": "Roundsman's own services answer.",
}

_HEADERS = "the response headers of the route: curl -sD - -o /dev/null URL"

ADVICE = {
    "cache-headers/agree": Advice(
        "a setting of the edge, such as one to cache everything, overrides the headers",
        "the edge's rule for this path, then the Cache-Control that the origin sends",
        "let the headers say what the edge does (s-maxage or a CDN-Cache-Control of its own), or remove the setting",
    ),
    "cache-headers/answers": Advice(
        "the host name, port or certificate is wrong, or the server is down or refuses this client",
        "curl -v URL from the same machine",
        "correct the address, or let this machine through",
    ),
    "cache-headers/clear": Advice(
        "two places set the same header, such as the application and a proxy before it",
        _HEADERS,
        "send one Cache-Control, with each directive once",
    ),
    "cache-headers/confirmed": Advice(
        "the page says no-cache or max-age=0, and the edge keeps it by a setting of its own",
        "the edge's rule for this path",
        "give the page a lifetime in its headers, or let the edge ask the origin each time",
    ),
    "cache-headers/dated": Advice(
        "a proxy strips Date, or the application writes headers by itself",
        _HEADERS,
        "let the server send Date; without it nobody can tell how old a copy is",
    ),
    "cache-headers/overdue": Advice(
        "the edge serves stale copies while it can't reach the origin, or has a longer lifetime of its own",
        "the origin's health as the edge sees it, then the edge's lifetime for this path",
        "purge the route, then correct the lifetime; if staleness is wanted, say so with stale-while-revalidate",
    ),
    "cache-headers/set-cookie": Advice(
        "the application starts a session on every page, and the edge keeps the response with its Set-Cookie",
        "which part of the application sets the cookie that is named",
        "set no cookie on pages for everyone, or let the edge pass such responses by; then purge the route",
    ),
    "cache-headers/storable": Advice(
        "a framework's default, such as Cache-Control: private or no-store, is left on a page for everyone",
        _HEADERS,
        "send Cache-Control: public, s-maxage=SECONDS on this route",
    ),
    "cache-headers/hit": Advice(
        "the response has Set-Cookie, Vary: Cookie or a short lifetime, or each request goes to another cache server",
        "the edge's status header over three requests, then Set-Cookie and Vary",
        "remove what keeps the page from being kept, or write down that it is not cached",
    ),
    "cache-headers/validator": Advice(
        "the application makes the page anew each time and sends neither ETag nor Last-Modified",
        _HEADERS,
        "send an ETag; then a browser's question costs a 304 and no body",
    ),
    "cache-headers/vary-any": Advice(
        "a proxy or framework sends Vary: *",
        _HEADERS,
        "name the headers that really change the page, such as Accept-Encoding",
    ),
    "cache-headers/vary-sane": Advice(
        "the page varies on a header with many values, such as Cookie or User-Agent, so that no copy is used twice",
        "which part of the application adds the header to Vary",
        "vary on Accept-Encoding only; let the edge turn the other header into a few values before it is compared",
    ),
}
