"""Listing the pages of a sweep: from the site's sitemaps, cut into shards."""

import hashlib
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from sqlalchemy import Engine, Row, insert, select, update

from roundsman.ledger.tables import LISTING, SHARD, SWEEP, write_groups
from roundsman.ledger.transaction import insert_new, writing
from roundsman.report.rules.durations import rounded
from roundsman.site.rules.site import Site
from roundsman.sweep.rules.judge import BUCKETS, Begun, bucket, edition_of, shards, unread_sitemap
from roundsman.sweep.rules.sitemap import chosen
from roundsman.sweep.sitemaps import Listed, read_sitemaps

#: Sitemaps that are told by name when they could not be read; the others are counted.
_TOLD = 50


@dataclass(frozen=True, slots=True)
class Listing:
    """The pages of one edition, which the ledger holds under the sweep's number."""

    sweep: int
    edition: str
    pages: int
    read_at: datetime
    """When the sitemaps were read."""
    cached: bool = False
    """Whether an earlier run's listing was taken instead of asking the ledger and the site."""

    def described(self, now: datetime) -> str:
        """What a report says of a listing that was cached; empty for any other."""
        age = rounded(max(0.0, round((now - self.read_at).total_seconds())))
        return f"the listing of {self.pages:,} pages is {age} old (cached)" if self.cached else ""

    def as_data(self) -> dict[str, int | str]:
        """As plain data; `from_data` reads it."""
        return {
            "sweep": self.sweep,
            "edition": self.edition,
            "pages": self.pages,
            "read_at": self.read_at.isoformat(),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, int | str], *, cached: bool = False) -> Self:
        """What `as_data` wrote."""
        read_at = datetime.fromisoformat(str(data["read_at"]))
        return cls(int(data["sweep"]), str(data["edition"]), int(data["pages"]), read_at, cached)


def begin_sweep(engine: Engine, site: Site, edition: str = "", due: datetime | None = None) -> str:
    """Write a sweep down unless it is there, and return its edition.

    Args:
        engine: The ledger's.
        site: Whose pages.
        edition: What makes this sweep another one than the last; when left out, an unfinished one, or a new one.
        due: When the run was to start: now, when left out.
    """
    now = datetime.now(UTC)
    with writing(engine) as connection:
        if not edition:
            begun = select(SWEEP.c.edition, SWEEP.c.started_at, SWEEP.c.ended_at).filter_by(site=site.site)
            edition = edition_of(due or now, now, [Begun(*row) for row in connection.execute(begun)])
        values = {"site": site.site, "edition": edition, "status": "listing", "notes": [], "listed": 0}
        connection.execute(insert_new(engine, SWEEP, "site", "edition").values(**values, started_at=now))
    return edition


def list_pages(engine: Engine, site: Site, edition: str) -> Listing:
    """List the pages of a sweep that was begun, unless that was done before. Blocks until they are listed.

    Raises:
        RobotsError: nobody could say what may be asked for.
    """
    row = _sweep(engine, site, edition)
    read_at: datetime = row.started_at
    if row.status == "listing":
        read_at = datetime.now(UTC)
        with tempfile.TemporaryDirectory() as folder:
            buckets = _Buckets(Path(folder))
            with buckets.opened():
                listed = read_sitemaps(site, buckets.take, start=site.sweep.sitemaps, most=site.sweep.most)
            _write_shards(engine, row.id, buckets, site, listed)
        row = _sweep(engine, site, edition)
    return Listing(row.id, edition, row.listed, read_at)


def still_stands(engine: Engine, site: Site, listing: Listing) -> bool:
    """Whether the ledger has the pages of a listing: it may have been pruned, moved or replaced since."""
    found = select(SWEEP.c.id).filter_by(
        id=listing.sweep, site=site.site, edition=listing.edition, listed=listing.pages
    )
    with engine.connect() as connection:
        return connection.execute(found.where(SWEEP.c.status != "listing")).first() is not None


def enlist(engine: Engine, site: Site, edition: str = "", due: datetime | None = None) -> int:
    """Begin a sweep as `begin_sweep`, list its pages as `list_pages`, and return its number."""
    return list_pages(engine, site, begin_sweep(engine, site, edition, due)).sweep


def _sweep(engine: Engine, site: Site, edition: str) -> Row[Any]:
    with engine.connect() as connection:
        return connection.execute(select(SWEEP).filter_by(site=site.site, edition=edition)).one()


class _Buckets:
    """Pages on the disk while they are listed, so that a million of them need no memory."""

    def __init__(self, folder: Path) -> None:
        self._places = [folder / f"{number:03}" for number in range(BUCKETS)]
        self._files: list[BinaryIO] = []

    @contextmanager
    def opened(self) -> Iterator[None]:
        try:
            self._files = [place.open("wb") for place in self._places]
            yield
        finally:
            for file in self._files:
                file.close()

    def take(self, paths: Sequence[str]) -> None:
        for path in paths:
            self._files[bucket(path)].write(path.encode("utf-8", "surrogatepass") + b"\n")

    def pages(self, number: int, share: float) -> list[str]:
        """Those of one bucket, each once and in an order that does not hang on that of the sitemaps."""
        lines = set(self._places[number].read_bytes().split(b"\n")) - {b""}
        return chosen(sorted(line.decode("utf-8", "surrogatepass") for line in lines), share)

    def sizes(self, share: float) -> list[int]:
        return [len(self.pages(number, share)) for number in range(BUCKETS)]


def _write_shards(engine: Engine, sweep: int, buckets: _Buckets, site: Site, listed: Listed) -> None:
    """All at once, so that nobody begins a sweep that is listed in part; and once, whoever else has listed it."""
    how = site.sweep
    sizes = buckets.sizes(how.share)
    unread = [unread_sitemap(site, *one) for one in listed.unread]
    with writing(engine, patience=300.0) as connection:
        own = select(SWEEP.c.status).where(SWEEP.c.id == sweep).with_for_update()
        if connection.execute(own).scalar_one() != "listing":
            return
        for number, members in enumerate(shards(sizes, how.shard)):
            text = "\n".join(path for one in members for path in buckets.pages(one, how.share))
            plain = text.encode("utf-8", "surrogatepass")
            connection.execute(
                insert(SHARD).values(
                    sweep_id=sweep,
                    number=number,
                    pages=sum(sizes[one] for one in members),
                    paths=zlib.compress(plain),
                    digest=hashlib.sha256(plain).hexdigest(),
                )
            )
        write_groups(connection, sweep, LISTING, unread)
        done = update(SWEEP).where(SWEEP.c.id == sweep)
        connection.execute(done.values(status="sweeping", listed=sum(sizes), notes=_notes(listed, how.most)))


def _notes(listed: Listed, most: int) -> list[str]:
    notes = [str(one) for one in listed.unread[:_TOLD]]
    if more := len(listed.unread) - len(notes):
        notes.append(f"{more:,} more sitemaps that could not be read")
    if listed.enough:
        notes.append(f"not read: {listed.enough:,} more files, because {most:,} paths are enough")
    if listed.disallowed:
        notes.append(f"{listed.disallowed:,} pages that robots.txt does not allow")
    if told := str(listed.left):
        notes.append(f"addresses: {told}")
    return notes


def unpacked(paths: bytes) -> list[str]:
    """The paths of a shard, as they are kept."""
    return zlib.decompress(paths).decode("utf-8", "surrogatepass").split("\n")
