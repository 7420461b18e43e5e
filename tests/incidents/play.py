"""Incidents, played: what a round or the watch says of each, and what a plain look at status and headers says."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import httpx
import pytest
from prefect import Flow, Task

from flows.checks.cache_headers import check_cache_headers
from flows.checks.logged_in_traffic import check_logged_in_traffic
from flows.checks.targeted_purge import check_targeted_purge
from roundsman.alerts.rules.notice import Notice
from roundsman.ledger.ledger import open_ledger
from roundsman.report.rules.grouping import group
from roundsman.report.rules.verdict import Outcome, Verdict
from roundsman.site.rules.site import Site
from roundsman.watch import slots
from roundsman.watch.rules.slots import EXTRA_RUN, extra_runs, judge, overlaps
from tests.edges import lab
from tests.edges.pages import MEMBERS
from tests.incidents.edge import at_work
from tests.incidents.table import SLOT, Incident, OfAJob, OnTheWeb

#: Threads for the looks of all incidents, which mostly wait.
THREADS = 16
CHECKS = (check_cache_headers, check_logged_in_traffic, check_targeted_purge)
_CACHES = {"varnish": lab.Varnish, "nginx": lab.Nginx}
_STATUS_HEADERS = {"x-cache", "x-cache-status", "cf-cache-status", "x-vercel-cache", "cache-status"}


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that is not as it should be: the claim, the route or the deployment, how bad, and what was seen."""

    claim: str
    route: str
    outcome: str
    saw: str


@dataclass(frozen=True, slots=True)
class Told:
    """All that was said of an incident, the first fault first, and the complaints of the plain check."""

    seen: tuple[Seen, ...]
    plain: str

    def names(self, claim: str, route: str) -> bool:
        """Whether the route is said to break the claim."""
        return any((one.claim, one.route) == (claim, route) and one.outcome in {"fail", "warn"} for one in self.seen)

    @property
    def red(self) -> set[tuple[str, str]]:
        """What failed: claim and route."""
        return {(one.claim, one.route) for one in self.seen if one.outcome == "fail"}

    def surplus(self, incident: Incident) -> set[tuple[str, str]]:
        """What failed beside the incident."""
        route = incident.wanted[1]
        return self.red - {incident.wanted} - {(claim, route) for claim in incident.also}


def side_by_side(incidents: Sequence[Incident]) -> list[Told | BaseException]:
    """Play incidents at the same time, as most of it is waiting; what one raised stands in its place."""

    async def every() -> list[Told | BaseException]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        return await asyncio.gather(*map(play, incidents), return_exceptions=True)

    return asyncio.run(every())


async def play(incident: Incident) -> Told:
    """Rebuild an incident, and look at it."""
    if isinstance(incident, OfAJob):
        return await asyncio.to_thread(watched, incident)
    with _at_work(incident) as urls:
        site = written(incident, urls)
        return Told(wrong(await look(site)), await plainly(site))


async def look(site: Site, checks: Sequence[Flow[..., Any]] = CHECKS) -> list[Verdict]:
    """What some checks of a round find, those that speak of caches when left out. No server is needed."""
    return [verdict for check in checks for verdict in await _bare(check)(site)]


def _bare(check: Flow[..., Any]) -> Callable[[Site], Awaitable[list[Verdict]]]:
    """A check as it is written, which calls its tasks as the functions that they are."""
    itself = check.fn.__wrapped__
    known = {name: one.fn if isinstance(one, Task) else one for name, one in itself.__globals__.items()}
    return FunctionType(itself.__code__, known, itself.__name__)


def watched(incident: OfAJob) -> Told:
    """What one pass of the watch says, by a ledger of its own and the incident's clock."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_ledger(f"sqlite:///{folder}/ledger.db")
        slots.promise(engine, [(SLOT, "shop")], SLOT.at)
        (row,) = slots.open_slots(engine, incident.at)
        first, begun = incident.runs[0], [run for run in incident.runs if run.started_at]
        became = judge(slots.slot_of(row, rounds=True), first, incident.kept.get(first.id), incident.at)
        judged = [slots.JudgedSlot(row, *became, first, overlaps(first, begun))]
        more = [
            slots.RunTrouble(run.id, EXTRA_RUN, run.deployment, "", "shop", incident.at, why, run.id)
            for run, why in extra_runs(begun, slots.holders(engine, begun), ())
        ]
        found = slots.WatchFindings(incident.at, judged, jobs={SLOT.deployment: ""}, more=more)
        done = slots.write(engine, found, lambda trouble: (Notice(trouble.kind, trouble.message), ()), lambda: 0.0)
        engine.dispose()
    seen = tuple(Seen(one.kind, one.deployment, "fail", one.message) for one in done.new)
    return Told(seen, "; ".join(run.state for run in incident.runs if run.kind in {"FAILED", "CRASHED"}))


async def plainly(site: Site) -> str:
    """The complaints of a check such as many teams have: status, Cache-Control, a status header, a purge's answer."""
    complaints = []
    async with httpx.AsyncClient(base_url=site.base_url, trust_env=False, verify=False) as client:
        for rule in site.rules:
            for path in rule.routes:
                answer = await client.get(path)
                # A stranger may be sent to the login, or be told to log in.
                if answer.status_code not in {rule.status, 302, 401}:
                    complaints.append(f"{path} answers {answer.status_code}")
                if "cache-control" not in answer.headers:
                    complaints.append(f"{path} has no Cache-Control")
                if _STATUS_HEADERS.isdisjoint(answer.headers):
                    complaints.append(f"{path} has no status header")
            if rule.purge and (purged := await client.request("PURGE", rule.purge.canary)).status_code != 200:
                complaints.append(f"the purge answers {purged.status_code}")
    return "; ".join(complaints)


def wrong(verdicts: Sequence[Verdict]) -> tuple[Seen, ...]:
    """Every finding that is no pass, in the order of the report, which puts the worst first."""
    place = {(one.claim, one.outcome): number for number, one in enumerate(group(verdicts))}
    found = [
        Seen(finding.claim, verdict.subject, finding.outcome.value, finding.saw)
        for verdict in verdicts
        for finding in verdict.findings
        if finding.outcome is not Outcome.PASS
    ]
    return tuple(sorted(found, key=lambda one: place[one.claim, one.outcome]))


@contextmanager
def _at_work(incident: OnTheWeb) -> Iterator[tuple[str, ...]]:
    """The addresses of the incident's edges."""
    if not incident.cache:
        with at_work(*incident.edges()) as urls:
            yield urls
        return
    kind = _CACHES[incident.cache.partition(".")[0].partition("-")[0]]
    try:
        with lab.Origin() as origin, kind(incident.cache, origin) as edge:
            yield (edge.url,)
    except pytest.skip.Exception as lacking:
        # Nobody gathers what is no Exception.
        raise CacheMissingError(str(lacking)) from lacking


class CacheMissingError(Exception):
    """This machine lacks the cache that the incident is about."""


def written(incident: OnTheWeb, urls: Sequence[str]) -> Site:
    """The site file of an incident whose edges answer at these addresses."""
    session = "Authorization: Bearer {}" if incident.tokens else "Cookie: sessionid={}"
    name, _, form = session.partition(": ")
    members = {
        f"member/{who}": {"headers": {name: form.format(who)}, "sentinels": [whose]} for who, whose in MEMBERS.items()
    }
    settings = {"edge": "varnish/lab", "blocks": {"varnish/lab": {}}, **incident.settings}
    plain = {
        "site": "incident",
        "base_url": urls[0],
        "owner": "web-platform <web-oncall@example.com>",
        "servers": urls if len(urls) > 1 else (),
        "sessions": list(members),
        "manners": {"rate": 500, "timeout": "10s"},
        "rules": incident.rules,
        **settings,
        "blocks": {**settings["blocks"], **members},
    }
    return Site.model_validate(plain)
