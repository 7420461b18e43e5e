"""Reading a site's robots.txt and sitemaps: piece by piece, unchanged files from the disk.

Nothing is asked of another host, but for a robots.txt that stands there.
"""

import hashlib
import json
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, TypeVar
from urllib.parse import urljoin

import httpx

from roundsman.folders import state
from roundsman.probe.ask import user_agent
from roundsman.site.rules.site import Site
from roundsman.site.rules.wording import shown_location
from roundsman.sweep.rules.robots import MAX_ROBOTS_BYTES, NOTHING, Robots, allowed, robots_of
from roundsman.sweep.rules.sitemap import (
    MAX_SITEMAP_BYTES,
    Left,
    Reader,
    SitemapError,
    SitemapKind,
    own_paths,
    robots_at,
    transient,
)

#: Where files are kept that were read, under the current folder.
FOLDER = state() / "sitemaps"
#: Files of one site (an index may list so many, by the protocol), redirects of one file, seconds for all of it, and for
#: all that is asked again.
MAX_FILES, MAX_REDIRECTS, MAX_FILE_SECONDS = 50_000, 3, 300.0
#: Seconds before each time that a file is asked again: a server that starts anew is back after some of them.
RETRY_PAUSES_SECONDS = (1.0, 4.0, 10.0)
#: Redirects of robots.txt, which may lead to other hosts (RFC 9309 section 2.3.1.2).
ROBOTS_REDIRECTS = 5
_RULES = "its rules, or 404 when it has none"
_PIECE = 1 << 16

#: Bytes of the line that holds the validators, at most.
_LINE_BYTES = 1 << 16
#: What asks whether a file is as it was, and the header of the answer that it repeats (RFC 9110 section 13.1).
_VALIDATORS = {"if-none-match": "etag", "if-modified-since": "last-modified"}

Result = TypeVar("Result")
#: Takes some paths of the site that are to be asked, with their queries. One may come twice.
Take = Callable[[list[str]], None]


class RobotsError(Exception):
    """Nobody could say what may be asked for."""


class Unread(NamedTuple):
    """A file that was not read, or not to its end, and why."""

    path: str
    saw: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.path}: saw {self.saw}, wanted {self.wanted}"


@dataclass(slots=True)
class Listed:
    """What a site's sitemaps listed."""

    files: int = 0
    unchanged: int = 0
    """Files that were not sent again, because they are as they were."""
    paths: int = 0
    disallowed: int = 0
    """By robots.txt."""
    left: Left = field(default_factory=Left)
    """Addresses that are not the site's."""
    unread: list[Unread] = field(default_factory=list)
    """Nobody knows all the pages that these list."""
    enough: int = 0
    """Files that were not begun, because there were paths enough."""

    def counts(self) -> tuple[int, int, int, Left, tuple[Unread, ...]]:
        """What one file adds to."""
        return self.unchanged, self.paths, self.disallowed, deepcopy(self.left), tuple(self.unread)

    def count(self, unchanged: int, paths: int, disallowed: int, left: Left, unread: tuple[Unread, ...]) -> None:
        """Count anew from there, as if the file had not been asked yet."""
        self.unchanged, self.paths, self.disallowed, self.left = unchanged, paths, disallowed, deepcopy(left)
        self.unread = list(unread)


def read_sitemaps(
    site: Site, take: Take, *, start: Sequence[str] = (), most: int = 1_000_000, folder: Path = FOLDER
) -> Listed:
    """Read all sitemaps of a site, and hand over the paths that they list, some at a time. Blocks until the end.

    Args:
        site: The site; of another host than its own only a robots.txt is asked to which its own leads.
        take: Is given the paths that robots.txt allows.
        start: Addresses or paths of sitemaps; those that robots.txt names when left out, else `/sitemap.xml`.
        most: Paths after which no further file is begun.
        folder: Where files are kept, so that an unchanged one is not sent again.

    Raises:
        RobotsError: robots.txt was not read to its end: nobody knows what may be asked for (RFC 9309 section 2.3.1.4).
    """
    folder.mkdir(parents=True, exist_ok=True)
    with httpx.Client(headers={"user-agent": user_agent(site)}, timeout=site.manners.timeout) as client:
        reading = _Reading(site, client, folder)
        robots = reading.robots()
        first = start or robots.sitemaps or ["/sitemap.xml"]
        listed = reading.listed
        named = dict.fromkeys(reading.sitemaps(first, "/robots.txt" if first is robots.sitemaps else "sitemaps"))
        waiting = deque((path, False) for path in named)
        known = set(named)

        def read(path: str, *, indexed: bool) -> None:
            for kind, addresses in reading.file(path, indexed=indexed):
                if kind is SitemapKind.URLS:
                    paths, refused = allowed(robots, reading.own(addresses))
                    listed.disallowed += refused
                    listed.paths += len(paths)
                    take(paths)
                    continue
                paths = reading.sitemaps(addresses, path)
                fresh = [one for one in dict.fromkeys(paths) if one not in known]
                room = MAX_FILES - len(known)
                known.update(fresh[:room])
                waiting.extend((one, True) for one in fresh[:room])
                if len(fresh) > room:
                    raise SitemapError(f"more than {MAX_FILES:,} files", "fewer")

        while waiting and listed.paths < most:
            path, indexed = waiting.popleft()
            listed.files += 1
            try:
                reading.again(partial(read, path, indexed=indexed))
            except SitemapError as error:
                listed.unread.append(Unread(path, error.saw, error.wanted))
        listed.enough = len(waiting)
        if waiting:
            saw = f"{len(waiting):,} files that were not begun, as {most:,} paths are enough"
            listed.unread.append(Unread(waiting[0][0], saw, "`most` above what the site lists"))
        return listed


@dataclass(slots=True)
class _Reading:
    """One walk through a site's sitemaps."""

    site: Site
    client: httpx.Client
    folder: Path
    listed: Listed = field(default_factory=Listed)
    patience: float = field(default_factory=lambda: MAX_FILE_SECONDS)
    """Seconds that are left for what is asked again: of many dead files not each is worth it."""

    def again(self, attempt: Callable[[], Result]) -> Result:
        """What an attempt brings; it is made again, a few times, after a trouble that may be over soon.

        Raises:
            SitemapError: what became of the last attempt.
        """
        counts = self.listed.counts()
        for pause in (0.0, *RETRY_PAUSES_SECONDS):
            begun = time.monotonic()
            time.sleep(pause)
            self.listed.count(*counts)
            try:
                with _in_words():
                    return attempt()
            except SitemapError as error:
                last = error
                if not error.transient or self.patience <= 0:
                    break
            finally:
                if pause:
                    self.patience -= time.monotonic() - begun
        raise last

    def own(self, addresses: Iterable[str]) -> list[str]:
        return own_paths(self.site.base_url, list(addresses), self.listed.left)

    def sitemaps(self, addresses: Sequence[str], named_by: str) -> list[str]:
        """The paths of the site's own sitemaps among some; that others are left out is told."""
        found, others = [], []
        for address in addresses:
            with suppress(ValueError):
                if own := self.own([urljoin(self.site.base_url, address)]):
                    found += own
                    continue
            others.append(address)
        # An index comes in pieces, and is told of once.
        if others and not any(one.path == named_by for one in self.listed.unread):
            such_as = shown_location(others[0])
            saw = f"{len(others):,} or more sitemaps that are not the site's own, such as {such_as}"
            self.listed.unread.append(Unread(named_by, saw, "sitemaps on the site's own host"))
        return found

    def robots(self) -> Robots:
        try:
            status, body = self.again(self._robots)
        except SitemapError as error:
            saw = error.saw
        else:
            robots = robots_of(status, body)
            if robots is not NOTHING:
                return robots
            saw = str(status)
        raise RobotsError(f"{self.site.url('/robots.txt')}: saw {saw}, wanted {_RULES}")

    def _robots(self) -> tuple[int, bytes]:
        """The status and the first bytes of robots.txt, also of another host that it stands on."""
        url, body = self.site.url("/robots.txt"), b""
        for _ in range(ROBOTS_REDIRECTS + 1):
            with self._got(url, {}) as response:
                if response.has_redirect_location:
                    location = response.headers["location"]
                    url = robots_at(self.site.base_url, url, location)
                    if not url:
                        raise SitemapError(f"a redirect to {shown_location(location)}, which is no text file", _RULES)
                    continue
                if transient(response.status_code):
                    raise SitemapError(str(response.status_code), _RULES, transient=True)
                for piece in _in_time(response):
                    body += piece
                    if len(body) > MAX_ROBOTS_BYTES:
                        break
                if body[:2] == b"\x1f\x8b":  # some pack it unasked
                    with suppress(zlib.error):
                        body = zlib.decompressobj(wbits=31).decompress(body, MAX_ROBOTS_BYTES + 1)
                return response.status_code, body
        # Section 2.3.1.2 lets a robot take such a file as missing, and so all as allowed; it need not. Who asks for
        # every page of a site had better know.
        raise SitemapError(f"more than {ROBOTS_REDIRECTS} redirects", _RULES)

    def file(self, path: str, *, indexed: bool) -> Iterator[tuple[SitemapKind, list[str]]]:
        """The addresses of one file, some at a time, and what they are of."""
        place = self.folder / hashlib.sha256(self.site.url(path).encode()).hexdigest()[:32]
        try:
            yield from self._addresses(path, place, indexed=indexed)
        except SitemapError:
            place.unlink(missing_ok=True)  # nobody would send it anew as long as it is kept
            raise

    def _addresses(self, path: str, place: Path, *, indexed: bool) -> Iterator[tuple[SitemapKind, list[str]]]:
        reader = Reader()
        for piece in self._pieces(path, place):
            try:
                found = reader.feed(piece) if piece else reader.close()
            except SitemapError as error:
                if error.found and not (indexed and reader.kind is SitemapKind.SITEMAPS):
                    yield reader.kind, error.found
                raise
            if indexed and reader.kind is SitemapKind.SITEMAPS:
                raise SitemapError("an index that another index lists", "addresses of pages")
            if found:
                yield reader.kind, found
        if not reader.count:
            self.listed.left.add("sitemaps that list nothing", path)

    def _pieces(self, path: str, place: Path) -> Iterator[bytes]:
        """A file's bytes as they come, from the site or, when it says that nothing changed, from the disk.

        An empty piece says that all have come: only a file that turns out to be whole is kept.
        """
        with _kept_file(place) as (kept, validators), self._asked(path, validators) as response:
            if response.status_code == 304 and kept and validators:
                self.listed.unchanged += 1
                while piece := kept.read(_PIECE):
                    yield piece
                yield b""
                return
            if (status := response.status_code) != 200:
                raise SitemapError(str(status), "200", transient=transient(status))
            coding = response.headers.get("content-encoding", "identity")
            if coding.lower() not in {"identity", "gzip", "x-gzip"}:
                raise SitemapError(f"the content coding {coding[:20]!r}", "none, or gzip")
            with _keeping(place, response.headers) as copy:
                size = 0
                for piece in _in_time(response):
                    size += len(piece)
                    if size > MAX_SITEMAP_BYTES:
                        raise SitemapError(f"more than {MAX_SITEMAP_BYTES:,} bytes", "a smaller file")
                    copy.write(piece)
                    yield piece
                yield b""

    def _got(self, url: str, headers: dict[str, str]) -> AbstractContextManager[httpx.Response]:
        # What is packed is unpacked by the reader, which knows when it is too much.
        return self.client.stream("GET", url, headers={"accept-encoding": "identity", **headers})

    @contextmanager
    def _asked(self, path: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The answer to a GET; redirects are followed on the site's own host."""
        for _ in range(MAX_REDIRECTS + 1):
            with self._got(self.site.url(path), headers) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                left = Left()
                found = own_paths(
                    self.site.base_url, [urljoin(self.site.url(path), response.headers["location"])], left
                )
                if not found:
                    raise SitemapError(f"a redirect to addresses {left}", "the site's own host")
                [path] = found
        raise SitemapError(f"more than {MAX_REDIRECTS} redirects", "the file itself")


@contextmanager
def _in_words() -> Iterator[None]:
    """Whatever goes wrong with a file, in the words of a SitemapError."""
    try:
        yield
    except SitemapError:
        raise
    # Of what an address can be wrong in, each library has its own error; most of them are ValueErrors.
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        over = isinstance(error, httpx.TransportError)
        raise SitemapError(f"no whole answer ({type(error).__name__})", "all of it", transient=over) from error


def _in_time(response: httpx.Response) -> Iterator[bytes]:
    """The bytes as they were sent; one that trickles is given up."""
    end = time.monotonic() + MAX_FILE_SECONDS
    # As they come: of one byte a second, a piece of some thousands would be an hour.
    for piece in response.iter_raw():
        yield piece
        if time.monotonic() > end:
            raise SitemapError(f"no end after {MAX_FILE_SECONDS:g} s", "a quicker answer")


@contextmanager
def _kept_file(place: Path) -> Iterator[tuple[IO[bytes] | None, dict[str, str]]]:
    """A kept file, read from here on, and the headers that ask whether it is as it was; None and none without one."""
    try:
        kept = place.open("rb")
    except FileNotFoundError:
        yield None, {}
        return
    with kept:
        try:
            asks = dict(json.loads(kept.readline(_LINE_BYTES)))
        except ValueError:
            asks = {}
        yield kept, asks


@contextmanager
def _keeping(place: Path, headers: Mapping[str, str]) -> Iterator[IO[bytes]]:
    """Where to write a file to; it is kept when all of it was written, and the answer had something to ask by."""
    asks = {ask: headers[name] for ask, name in _VALIDATORS.items() if name in headers}
    with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as copy:
        fresh = Path(copy.name)
        try:
            copy.write(json.dumps(asks).encode() + b"\n")
            yield copy
            copy.flush()
            if asks:
                fresh.replace(place)
        finally:
            fresh.unlink(missing_ok=True)
