"""A first look at an address of which nobody has promised anything: no server, no site file, no ledger."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from roundsman.cache.look import examine
from roundsman.cache.rules.judge import judge_rule
from roundsman.cli.output import InputError
from roundsman.http.cache_status import edges, read
from roundsman.http.copies import RuleVisits
from roundsman.http.fields import http_date
from roundsman.report.rules.exchange import Exchange, Phases, Probe
from roundsman.report.rules.report import Report
from roundsman.report.rules.text import without_credentials
from roundsman.report.rules.verdict import Finding, Outcome, Verdict
from roundsman.report.rules.visitor import STRANGER, Visitor
from roundsman.site.rules.first_look import infer
from roundsman.site.rules.site import Site

#: Of what is wrong with one address; the report has all of it.
MAX_SHOWN_FINDINGS = 4
#: Of a file of saved responses.
MAX_HAR_BYTES = 200_000_000
#: Methods whose responses a cache may use for the next reader.
_CACHED_METHODS = ("GET", "HEAD")
_HEADER = re.compile(r"(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*(?P<value>[\t\x20-\x7e]*)")


@dataclass(frozen=True, slots=True)
class FirstLook:
    """What was seen of one address, and what it means."""

    url: str
    seen: tuple[Exchange, ...]
    verdict: Verdict
    saved: bool = False
    """Whether the responses came from a file, and nobody was asked now."""

    @property
    def faults(self) -> list[Finding]:
        """What is wrong or unknown, the worst first."""
        found = [one for one in self.verdict.findings if one.outcome is not Outcome.PASS]
        return sorted(found, key=lambda one: one.outcome.weight, reverse=True)


async def look(url: str, visitor: Visitor = STRANGER, status_header: str = "") -> FirstLook:
    """Ask an address three times in a row and judge what came back.

    Args:
        url: An http(s) URL.
        visitor: Who asks; its headers are sent, and are in no report.
        status_header: A header in which the edge says what its cache did, beside those that are known.

    Raises:
        ValueError: it is no http(s) URL.
    """
    site = _site(url, status_header)
    visits = await examine(site, site.rules[0], visitor)
    return _judged(url, site, visits, visitor)


def from_har(path: Path, status_header: str = "") -> list[FirstLook]:
    """Judge the responses that a browser saved, in a HAR file; nobody is asked.

    Each address is judged once, by its responses in the order of the file. What a browser took from its own cache says
    nothing about the edge and is left out, as are addresses that are not http(s) and requests that no cache answers.

    Raises:
        InputError: the file can't be read, or holds no response that can be judged.
    """
    by_url: dict[str, list[Exchange]] = {}
    for entry in _entries(path):
        if (exchange := _exchange(entry)) is not None:
            by_url.setdefault(exchange.url, []).append(exchange)
    looks = []
    for url, seen in by_url.items():
        try:
            site = _site(url, status_header)
        except ValueError:
            continue
        heard = [replace(one, probe=replace(one.probe, status_header=status_header)) for one in seen]
        visits = RuleVisits({site.rules[0].routes[0]: heard})
        looks.append(_judged(url, site, visits, STRANGER, saved=True))
    if not looks:
        raise InputError(f"--har: saw no response in {path} that can be judged; wanted GET requests by http(s)")
    return looks


def report_of(looks: Sequence[FirstLook], begun: datetime) -> Report:
    """What was seen of some addresses as one report, which has no owner and no rollback."""
    site = ", ".join(dict.fromkeys(urlsplit(one.url).netloc for one in looks))
    return Report("", site, begun, datetime.now(UTC), tuple(one.verdict for one in looks))


def lines(one: FirstLook) -> Iterator[tuple[str, Outcome | None]]:
    """What was seen of one address, in ten lines at most; each with the outcome that it tells, if it tells one."""
    first = one.seen[0]
    yield f"{one.url}  {_answer(first)}", None
    if first.answered:
        yield f"asked    {_asked(one)}", None
        yield f"edge     {one.verdict.observed}{_by(first)}", None
        yield f"headers  {one.verdict.by_rfc or 'not judged'}", None
        if location := first.header("location"):
            yield f"goes to  {without_credentials(location)}", None
    for found in one.faults[:MAX_SHOWN_FINDINGS]:
        yield f"{found.outcome:<7}  {found.claim}: saw {found.saw}, wanted {found.wanted}", found.outcome
    if more := len(one.faults) - MAX_SHOWN_FINDINGS:
        yield from [(f"         and {more} more; --json has all of them", None)] if more > 0 else []
    if not one.faults:
        yield "pass     what the edge did agrees with what the headers say", Outcome.PASS
    yield f"next     {_next(one)}", None


def _site(url: str, status_header: str) -> Site:
    site = infer(url)
    return site.model_copy(update={"status_header": status_header}) if status_header else site


def _judged(url: str, site: Site, visits: RuleVisits, visitor: Visitor, *, saved: bool = False) -> FirstLook:
    [verdict] = judge_rule(site, site.rules[0], visits, visitor)
    seen = tuple(visits.seen[site.rules[0].routes[0]])
    shown = without_credentials(url)
    return FirstLook(shown, seen, replace(verdict, subject=shown, owner="", rollback="", expected_result=""), saved)


def _answer(first: Exchange) -> str:
    if not first.answered:
        return f"no answer: {first.detail or first.error}"
    kind = first.header("content-type").partition(";")[0] or "no content type"
    took = f", first byte after {first.phases.first_byte * 1000:.0f} ms" if first.phases.first_byte else ""
    return f"{first.status} {kind}, {first.size:,} bytes{took}"


def _asked(one: FirstLook) -> str:
    times = "once" if len(one.seen) == 1 else f"{len(one.seen)} times in a row"
    if one.saved:
        return f"{times}, by the browser that saved it"
    return f"{times} by HTTP/1.1{f' at {one.seen[0].node}' if one.seen[0].node else ''}"


def _by(first: Exchange) -> str:
    names = ", ".join(edges(first))
    header = read(first).header
    said = " ".join(filter(None, (names, f"by {header}" if header else "")))
    return f"  ({said})" if said else ""


def _next(one: FirstLook) -> str:
    first = one.seen[0]
    if not first.answered:
        return "check the name, the port and the certificate, then look again"
    if one.faults and one.faults[0].outcome is Outcome.FAIL:
        return f"roundsman explain {one.faults[0].claim}"
    if location := first.header("location"):
        return f"roundsman inspect {without_credentials(urljoin(one.url, location))}"
    if one.faults:
        return f"roundsman explain {one.faults[0].claim}"
    return f"roundsman init {one.url} writes down what this site should do"


def header_name(written: str) -> str:
    """The name of a header, as the command line has it; empty when none was named.

    Raises:
        InputError: no header can be called so.
    """
    if written and not _HEADER.fullmatch(f"{written}:"):
        raise InputError(f"--status-header: saw {written[:40]!r}, wanted the name of a header such as X-Cache")
    return written


def visitor_of(headers: Sequence[str]) -> Visitor:
    """Who sends some headers, each written as `Name: value`; a stranger when there are none.

    Raises:
        InputError: one is not written so, or would turn the caches off that are looked at.
    """
    sent = []
    for written in headers:
        found = _HEADER.fullmatch(written)
        if not found:
            name = written.partition(":")[0][:40]
            raise InputError(f"--header: saw {name!r}, wanted a header such as 'Accept-Language: de'")
        if found["name"].lower() in {"cache-control", "pragma"}:
            raise InputError(f"--header: saw {found['name']}, which some caches obey; wanted what readers send")
        sent.append((found["name"], found["value"].strip()))
    return Visitor("stranger with headers", tuple(sent)) if sent else STRANGER


def _entries(path: Path) -> list[Mapping[str, Any]]:
    try:
        if path.stat().st_size > MAX_HAR_BYTES:
            raise InputError(f"--har: saw {path}, of more than {MAX_HAR_BYTES:,} bytes; wanted a smaller one")
        written = json.loads(path.read_text(encoding="utf-8-sig"))
        entries = written["log"]["entries"]
        if not isinstance(entries, list):
            raise TypeError  # noqa: TRY301 - the same answer as for a file without entries
    except OSError as error:
        raise InputError(f"--har: saw {path}, which can't be read ({error.strerror}); wanted a HAR file") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise InputError(f"--har: saw {path}, wanted a HAR file: JSON with `log.entries`") from None
    return [one for one in entries if isinstance(one, dict)]


def _exchange(entry: Mapping[str, Any]) -> Exchange | None:
    """One saved response; None for what says nothing about a shared cache."""
    try:
        asked, answer = entry["request"], entry["response"]
        url, status = str(asked["url"]), int(answer["status"])
        headers = tuple((str(one["name"]), str(one["value"])) for one in answer["headers"])
        sent = tuple((str(one["name"]), str(one["value"])) for one in asked.get("headers", ()))
        seconds = max(float(entry.get("time") or 0), 0.0) / 1000
    except (KeyError, TypeError, ValueError):
        return None
    browser_cache = entry.get("_fromCache") or (entry.get("cache") or {}).get("beforeRequest")
    if asked.get("method") not in _CACHED_METHODS or not 100 <= status <= 599 or status == 304 or browser_cache:
        return None
    # HTTP/2's own fields, such as :status, are no headers.
    headers = tuple((name, value) for name, value in headers if not name.startswith(":"))
    started = _time(entry, headers)
    size = (answer.get("content") or {}).get("size")
    return Exchange(
        Probe(url.partition("#")[0], headers=sent),
        due=started,
        started=started,
        phases=Phases(total=seconds),
        status=status,
        headers=headers,
        size=size if isinstance(size, int) and size > 0 else 0,
    )


def _time(entry: Mapping[str, Any], headers: Sequence[tuple[str, str]]) -> float:
    """When a saved request was made, by the file's clock or that of the answer."""
    try:
        return datetime.fromisoformat(str(entry["startedDateTime"])).timestamp()
    except (KeyError, ValueError, OverflowError):
        dates = [http_date(value, datetime.now(UTC).year) for name, value in headers if name.lower() == "date"]
        return next((at for at in dates if at is not None), 0.0)
