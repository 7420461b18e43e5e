"""What the board shows, read from the ledger at most every few seconds, however often it is asked for."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Generic, TypeVar

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlmodel import col

from flows.jobs.publish_status import OWNER
from flows.tasks.site import all_sites, cached
from flows.tasks.status import ui
from roundsman.alerts.outbox import DeadLetter, TargetOutbox, dead_letters, target_outboxes, undelivered
from roundsman.ledger.ledger import LedgerError, kept_ledger
from roundsman.ledger.releases import ROUND
from roundsman.ledger.tables import RunRow
from roundsman.purge.queue import QuarantinedChange, counts, oldest, quarantined
from roundsman.report.rules.text import scrubbed
from roundsman.rollback.store import rollback_faults_of
from roundsman.site.rules.site import Site
from roundsman.site.rules.site_file import SiteFileError
from roundsman.status.facts import read_facts, read_jobs, read_rehearsals, read_reviews, stale_at, watched_at
from roundsman.status.picture import history
from roundsman.status.rules.answers import broken, promises, shared, status
from roundsman.status.rules.facts import WATCH_LASTS_SECONDS, Answer, Facts, SiteStatus
from roundsman.status.rules.page import ranked
from roundsman.status.rules.standing import Promises
from roundsman.status.standing import read_promises

log = logging.getLogger("roundsman.board")

#: Seconds for which an answer is good, and that the ledger may take for one.
FRESH_SECONDS, READ_TIMEOUT_SECONDS = 5.0, 8.0
#: Dead messages that are shown, and changes that could not be purged.
MAX_LETTERS = 20

Found = TypeVar("Found")


class LedgerSilentError(Exception):
    """The ledger does not answer."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why not all is well with the service itself: a kind, and the names of the sites that it is about."""

    kind: str
    sites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that is shown: each site's status, the heaviest first, and the facts behind them."""

    at: datetime
    statuses: tuple[SiteStatus, ...]
    facts: tuple[Facts, ...]
    watched_at: datetime | None
    dead: tuple[DeadLetter, ...] = ()
    """Messages that are not tried any more, the newest first; not more than fit on a page."""
    dead_count: int = 0
    kept: tuple[QuarantinedChange, ...] = ()
    """Changes that could not be purged, the newest first; not more than fit on a page."""
    promises: Mapping[str, Promises] = field(default_factory=dict)
    """What is known of the promises of each site and database."""
    queued: Mapping[str, int] = field(default_factory=dict)
    """Changes in the purge queue by their state."""
    oldest: float = 0.0
    """Seconds that the oldest of those has waited that are not at their end."""

    def status_of(self, site: str) -> SiteStatus | None:
        """The status of a site; None when there is no such site."""
        return next((one for one in self.statuses if one.site == site and site), None)


class Fresh(Generic[Found]):
    """A value that is found again when it is older than `FRESH_SECONDS`: once, however many wait for it."""

    def __init__(self, find: Callable[[], Found], whose: str = "The ledger") -> None:
        self._find, self._whose = find, whose
        self._turn = asyncio.Lock()
        self._found: Found | None = None
        self._until = 0.0

    async def get(self) -> Found:
        """The value.

        Raises:
            LedgerSilentError: the ledger gave an error, or no answer in time.
        """
        clock = asyncio.get_running_loop().time
        async with self._turn:
            if clock() >= self._until:
                self._found = await self._look()
                self._until = clock() + FRESH_SECONDS
        if self._found is None:
            raise LedgerSilentError
        return self._found

    async def _look(self) -> Found | None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                return await asyncio.to_thread(self._find)
        except (LedgerError, SQLAlchemyError, OSError, TimeoutError) as error:
            # What a database says can name its user and host.
            log.warning("%s does not answer: %s", self._whose, type(error).__name__)
            return None


async def asked(find: Callable[..., Found], *how: str) -> Found:
    """What a page finds for itself.

    Raises:
        LedgerSilentError: the ledger gave an error, or no answer in time.
    """
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return await asyncio.to_thread(find, *how)
    except (LedgerError, SQLAlchemyError, OSError, TimeoutError) as error:
        log.warning("The ledger does not answer: %s", type(error).__name__)
        raise LedgerSilentError from None


def read_board() -> Board:
    """All sites and what can be said of them."""
    now = datetime.now(UTC)
    with _ledger() as session:
        statuses, known = [], []
        reviews = read_reviews(session, now, ui())
        for name, site, problem in _sites():
            if site:
                known.append(facts := read_facts(session, site, now, ui()))
                statuses.append(status(facts))
            else:
                statuses.append(broken(name, now, problem))
        statuses += [made for made, _ in reviews]
        statuses.append(shared(read_jobs(session, "", now), now, OWNER, ui()))
        engine = session.get_bind().engine
        found = {facts.site.site: facts.promises for facts in known} | {made.site: one for made, one in reviews}
        return Board(
            now,
            tuple(ranked(statuses)),
            tuple(known),
            watched_at(session),
            dead=tuple(dead_letters(engine, MAX_LETTERS)),
            dead_count=undelivered(engine)[1],
            kept=tuple(quarantined(engine, MAX_LETTERS)),
            promises=found,
            queued=counts(engine),
            oldest=oldest(engine),
        )


def read_answers() -> tuple[tuple[SiteStatus, Promises], ...]:
    """Whether each site and database keeps its promises, the heaviest first, and nothing else of them."""
    now = datetime.now(UTC)
    with _ledger() as session:
        found = {made.site: (made, known) for made, known in read_reviews(session, now, ui())}
        for name, site, problem in _sites():
            if site is None:
                made, known = broken(name, now, problem), Promises()
            else:
                known = read_promises(session, site, now, partial(stale_at, site))
                proofs, faults = read_rehearsals(session, site), rollback_faults_of(session, name)
                facts = Facts(site, now, known, rehearsals=proofs, rollback_faults=faults, ui=ui())
                made = SiteStatus(name, now, (promises(facts),))
            found[name] = made, known
    return tuple(found[made.site] for made in ranked(made for made, _ in found.values()))


def read_letters() -> tuple[TargetOutbox, ...]:
    """What is dead in the outboxes of batch jobs, which are in databases of their own."""
    return target_outboxes(MAX_LETTERS)


def read_reasons() -> tuple[Reason, ...]:
    """What keeps the service from being trusted: rounds that are late or never came, and a watch that does not pass."""
    now = datetime.now(UTC)
    with _ledger() as session:
        watched = watched_at(session)
        late = {name: _late(session, site, now) for name, site, _ in _sites()}
    reasons = [Reason(kind, tuple(name for name in late if late[name] == kind)) for kind in _KINDS]
    if watched is None or (now - watched).total_seconds() > WATCH_LASTS_SECONDS:
        reasons.append(Reason("no watch yet" if watched is None else "watch is late"))
    return tuple(reason for reason in reasons if reason.sites or reason.kind not in _KINDS)


_KINDS = ("site file is wrong", "no round yet", "round is late")


def _late(session: Session, site: Site | None, now: datetime) -> str:
    """What is wrong with the rounds of a site; empty when nothing is."""
    if site is None:
        return "site file is wrong"
    if site.schedule is None:
        return ""
    rounds = select(col(RunRow.started_at)).where(col(RunRow.site) == site.site, col(RunRow.job) == ROUND)
    last = session.scalar(rounds.order_by(col(RunRow.started_at).desc()).limit(1))
    if last is None:
        return "no round yet"
    return "round is late" if stale_at(site, last) < now else ""


def _sites() -> Iterator[tuple[str, Site | None, str]]:
    """Each site file of the project: its name, and the site or what is wrong with it."""
    for path in all_sites():
        try:
            yield path.stem, cached(path), ""
        except SiteFileError as error:
            yield path.stem, None, f"its site file is wrong: {scrubbed(str(error))}"


@contextmanager
def _ledger() -> Iterator[Session]:
    with kept_ledger() as engine, Session(engine) as session:
        yield session


@lru_cache(maxsize=512)
def drawn(answer: Answer, now: datetime) -> str:
    """The picture of an answer's history, which takes a moment to draw."""
    return history(answer.history, now, answer.moments)
