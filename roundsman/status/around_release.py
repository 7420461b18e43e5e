"""The rounds before and after a release, as the ledger has them."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session
from sqlmodel import col

from roundsman.ledger.ledger import use_ledger
from roundsman.ledger.releases import read_releases
from roundsman.ledger.rounds import last_look_before
from roundsman.ledger.rules.releases import deployments
from roundsman.ledger.tables_rounds import RunRow
from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.release import Release
from roundsman.site.rules.site import Site
from roundsman.status.facts import read_facts
from roundsman.status.rules.change import compare
from roundsman.status.rules.facts import Facts
from roundsman.timing.rounds import read_rounds, rounds_of
from roundsman.timing.rules.judge_before_after import MAX_ROUNDS, RoundTimes


@dataclass(frozen=True, slots=True)
class ReleaseRounds:
    """A release, and the rounds of its site before and after it; `why` says why there are none."""

    release: Release | None = None
    before: tuple[RoundTimes, ...] = ()
    after: tuple[RoundTimes, ...] = ()
    claims: tuple[Outcome, str] | None = None
    """What became of everything else that rounds claim; None when it is not the last release."""
    why: str = ""


async def find_around(site: Site, version: str) -> ReleaseRounds:
    """The rounds around a release, the last one when `version` is empty."""
    return await asyncio.to_thread(_find, site, version)


def around(session: Session, site: Site, version: str, now: datetime) -> ReleaseRounds:
    """As `find_around`, in an open ledger."""
    made = deployments(read_releases(session, site.site))
    place = next((at for at in reversed(range(len(made))) if version in {"", made[at].version}), None)
    if place is None:
        known = ", ".join(one.version for one in made[-5:]) or "none"
        return ReleaseRounds(
            why=f"no release {version} is known (known: {known})" if version else "no release is known yet"
        )
    release = made[place]
    last = place == len(made) - 1
    until = [] if last else [col(RunRow.started_at) < made[place + 1].seen_at]
    # What ran between two looks at the version page nobody knows.
    old_until = last_look_before(session, site.site, release.seen_at) or release.seen_at
    rounds = rounds_of(site.site).limit(MAX_ROUNDS)
    before = rounds.where(col(RunRow.ended_at) <= old_until).order_by(col(RunRow.started_at).desc())
    after = rounds.where(col(RunRow.started_at) >= release.seen_at, *until).order_by(col(RunRow.started_at))
    claims = _claims(release, read_facts(session, site, now)) if last else None
    return ReleaseRounds(release, read_rounds(session, before)[::-1], read_rounds(session, after), claims)


def _claims(release: Release, facts: Facts) -> tuple[Outcome, str] | None:
    if facts.before is None or facts.after is None:
        return Outcome.UNKNOWN, "there is no whole round on both sides of it"
    outcome, says, details = compare(release.version, facts.before, facts.after)
    return outcome, "; ".join([says.rstrip("."), *(one for one in details if not one.endswith("not compared"))])


def _find(site: Site, version: str) -> ReleaseRounds:
    with use_ledger() as engine, Session(engine) as session:
        return around(session, site, version, datetime.now(UTC))
