"""A site's response times as people look at them: the last comparison, each route's last round, and one's history."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlalchemy.orm import Session

from roundsman.ledger.ledger import kept_ledger
from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.rules.samples import EDGE, ORIGIN
from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.report import Report, markdown
from roundsman.report.rules.text import for_markdown
from roundsman.site.rules.release import Release
from roundsman.timing.comparisons import last_ratios, past
from roundsman.timing.pictures import Course, courses, forest, spreads
from roundsman.timing.rules.change_points import ChangeKind
from roundsman.timing.rules.drift import ROUNDS, attributed, changed
from roundsman.timing.rules.histogram import Histogram
from roundsman.timing.rules.judge_before_after import Key, RoundTimes
from roundsman.timing.samples import distribution

#: How far back the times before a release are put together.
BEFORE = timedelta(days=14)
#: Routes whose history is drawn under a comparison: those with the greatest change.
ROUTES = 3
#: Routes and states of the table, at most.
MAX_ROUTES = 200
_STATES = ("hit", "miss", "origin")


@dataclass(frozen=True, slots=True)
class RouteSummary:
    """One route in one cache state: its last round, in seconds, and what changed."""

    path: str
    state: str
    p50: float
    p95: float
    rounds: int
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """All routes of a site, the changed ones first, and its last comparison as a picture."""

    lines: tuple[RouteSummary, ...]
    more: int
    comparison: str
    compared: str
    """What was compared, and when."""


@dataclass(frozen=True, slots=True)
class Route:
    """The pictures of one route, and its changes in words."""

    course: str
    spread: str
    since: str
    """The release that the times before and since are of."""
    changes: tuple[str, ...]


def read_overview(site: str) -> Overview:
    """What the ledger knows of a site's times."""
    with kept_ledger() as engine, Session(engine) as session:
        found, compared = past(session, site, ROUNDS), last_ratios(session, site)
    keys = sorted({key for timed_round in found.rounds for key in timed_round.times})
    lines = sorted((_line(key, found.rounds, found.releases) for key in keys), key=lambda one: not one.changes)
    picture = said = ""
    if compared:
        run, ratios, margin, version = compared
        picture = forest(ratios, margin)
        said = f"{version or 'side by side'}, compared {run.started_at:%Y-%m-%d %H:%M} UTC, margin {margin:.0%}"
    return Overview(tuple(lines[:MAX_ROUTES]), max(0, len(lines) - MAX_ROUTES), picture, said)


def read_route(site: str, path: str) -> Route | None:
    """The history of one route, and how its times are spread before and since the last release; None without one."""
    with kept_ledger() as engine, Session(engine) as session:
        found = past(session, site, ROUNDS)
        made = deployments(found.releases)
        spread = _spread(session, site, path, made[-1].seen_at) if made else {}
    keys = [
        (path, state) for state in _STATES if any((path, state) in timed_round.times for timed_round in found.rounds)
    ]
    if not keys:
        return None
    shown = [_course(key, found.rounds) for key in keys]
    named = {one.seen_at: one.version for one in made}
    said = tuple(f"{key[1]}: {one}" for key in keys for one in _line(key, found.rounds, found.releases).changes)
    since = f"{made[-1].version}, {made[-1].seen_at:%Y-%m-%d %H:%M} UTC" if made else ""
    return Route(courses(shown, named), spreads(spread), since, said)


def comparison_page(report: Report, ratios: Sequence[Ratio], margin: float, version: str = "") -> str:
    """A comparison as Markdown with a picture; one of before and after also with the history of some routes."""
    picture = forest(ratios, margin)
    page = markdown(report, picture, "How much longer the new release takes, by route and cache state")
    return "\n\n".join([page, *(_histories(report.site, ratios) if version else [])])


def _histories(site: str, ratios: Sequence[Ratio]) -> Iterator[str]:
    paths = dict.fromkeys(one.path for one in sorted(ratios, key=lambda one: one.ratio, reverse=True))
    for path in list(paths)[:ROUTES]:
        if route := read_route(site, path):
            yield f"## {for_markdown(path)}"
            yield f"![Median and p95 of each round, with releases]({route.course})"
            if route.spread:
                yield f"![Share of requests answered within a time, before and since]({route.spread})"


def _own(key: Key, rounds: tuple[RoundTimes, ...]) -> list[RoundTimes]:
    return [timed_round for timed_round in rounds if key in timed_round.times]


def _line(key: Key, rounds: tuple[RoundTimes, ...], releases: tuple[Release, ...]) -> RouteSummary:
    own = _own(key, rounds)
    told = tuple(f"x{one.ratio:.2f} {attributed(one, own, releases)}" for one in changed(key, own))
    last = own[-1].times[key]
    return RouteSummary(*key, last.p50, last.p95, len(own), told)


def _course(key: Key, rounds: tuple[RoundTimes, ...]) -> Course:
    own = _own(key, rounds)
    times = [timed_round.times[key] for timed_round in own]
    found = changed(key, own)
    medians = [one.p50 for one in times]
    if found and found[0].kind is ChangeKind.DRIFT:
        first = sorted(medians[:5])[2]
        levels = [(0, 0, first), (len(own) - 1, len(own) - 1, first * found[0].ratio)]
        return Course(key[1], [one.at for one in own], medians, [one.p95 for one in times], levels, crept=True)
    edges = [0, *(one.first for one in found), len(own)]
    levels = [(begin, end - 1, sorted(medians[begin:end])[(end - begin) // 2]) for begin, end in pairwise(edges)]
    return Course(key[1], [one.at for one in own], medians, [one.p95 for one in times], levels)


def _spread(session: Session, site: str, path: str, at: datetime) -> Mapping[str, tuple[Histogram, Histogram]]:
    """By state: the times before a release and since. Hours are whole, so that of the release itself is in neither."""
    hour = at.replace(minute=0, second=0, microsecond=0)

    def times(series: str, state: str, since: datetime, until: datetime) -> Histogram:
        if until <= since:
            return Histogram.of(())
        return distribution(session, site, path, series, cache_state=state, since=since, until=until)

    now = datetime.now(UTC)
    named = {"hit": (EDGE, "hit"), "miss": (EDGE, "miss"), "origin": (ORIGIN, "")}
    return {
        name: (times(series, state, hour - BEFORE, hour), times(series, state, hour + timedelta(hours=1), now))
        for name, (series, state) in named.items()
    }
