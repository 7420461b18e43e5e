"""A paged HTTP API as a source: read as a whole to a file first, and only then applied.

So a feed that breaks off is not applied in part, a job that was stopped goes on with exactly what it began with, and
pages that shift while they are read are noticed before anything depends on them.
"""

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import httpx

from roundsman.batch.errors import BatchError, SourceError
from roundsman.batch.files import JsonLines
from roundsman.batch.rules import pause
from roundsman.folders import state

#: Where editions are kept that were read, under the current folder. One for each address.
FOLDER = state() / "feeds"
#: So often a page is asked for, and so often all pages are read until two passes agree.
ASKS, PASSES = 4, 5
#: User and password of an address, also a password with a slash, which ends the host too early.
_LOGIN = re.compile(r"^([a-z]+://)(?:[^/]*@|[^/:]*:(?!\d*(?:/|$)).*@)", re.IGNORECASE)
#: Bytes of one page, at most.
MAX_PAGE_BYTES = 32 << 20
#: Pages of one feed, at most.
MAX_PAGES = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page as it was read: its validators, where its rows are in the file, and which page is next."""

    url: str
    etag: str
    modified: str
    offset: int
    size: int
    next: str


@dataclass(frozen=True, slots=True)
class Pass:
    """All pages, read once from the first to the last."""

    path: Path
    file: BinaryIO
    """Open, as another process may put a newer edition in its place."""
    pages: tuple[Page, ...]
    digest: str


class PagedApi(JsonLines):
    """Rows of an API that answers in JSON, page by page.

    A page is a list of rows, or an object with the rows under `items`; the next page's address is under `next`, or in a
    `Link` header with `rel="next"` (RFC 8288). Pages that were read before are asked for with `If-None-Match`, or
    without an ETag with `If-Modified-Since` (RFC 9110 section 13.1), so that an unchanged feed costs a 304 for each.
    `headers` may hold a key: they are sent to the first address's host only, and shown nowhere.
    """

    def __init__(  # noqa: PLR0913 - an API has as many habits
        self,
        url: str,
        *,
        items: str = "items",
        next_page: str = "next",
        headers: Mapping[str, str] | None = None,
        folder: Path = FOLDER,
        timeout: float = 30.0,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url, self.items, self.next_page = url, items, next_page
        self._headers, self._timeout, self._wait, self.folder = dict(headers or {}), timeout, wait, folder
        super().__init__(folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.jsonl")

    @property
    def name(self) -> str:
        """The address without user and password; of its query, which may hold a key, only what tells it from others."""
        where, _, query = self.url.partition("?")
        where = _LOGIN.sub(r"\1...@", where)
        return f"{where}?{hashlib.sha256(query.encode()).hexdigest()[:8]}" if query else where

    def prepare(self, *, fresh: bool) -> None:
        """Read the feed to a file, until two passes agree. With `fresh=False` what is there already is taken.

        Raises:
            SourceError: the feed broke off, or its pages shift all the time. What was read before stays.
            BatchError: it is not the feed that was described.
        """
        with ExitStack() as opened:
            kept = self._kept(opened)
            if kept and not fresh:
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            client = opened.enter_context(httpx.Client(headers={"user-agent": "roundsman"}, timeout=self._timeout))
            before = kept
            for _ in range(PASSES):
                last = self._read_all(client, before, opened)
                if before and before.digest == last.digest:
                    self._keep(last, kept)
                    return
                before = last
        raise SourceError(
            f"{self.name}: its pages shift while they are read: no two of {PASSES} passes are the same; nothing of "
            "them was applied. Ask for pages in an order that does not move, such as by a key that grows"
        )

    def _read_all(self, client: httpx.Client, before: Pass | None, opened: ExitStack) -> Pass:
        """One pass. A page that did not change since the pass before is taken from there."""
        known = {page.url: page for page in before.pages} if before else {}
        pages: dict[str, Page] = {}
        digest = hashlib.sha256()
        number, path = tempfile.mkstemp(dir=self.folder, suffix=".part")
        opened.callback(Path(path).unlink, missing_ok=True)
        file = opened.enter_context(os.fdopen(number, "w+b"))
        url = self.url
        while url:
            page, lines = self._page(client, url, known.get(url), before, len(pages) + 1)
            pages[url] = replace(page, offset=file.tell(), size=len(lines))
            digest.update(lines)
            file.write(lines)
            url = self._unseen(page.next, pages)
        file.flush()
        os.fsync(file.fileno())
        return Pass(Path(path), file, tuple(pages.values()), digest.hexdigest())

    def _unseen(self, url: str, pages: Mapping[str, Page]) -> str:
        if url in pages or len(pages) >= MAX_PAGES:
            raise BatchError(f"{self.name}: page {len(pages)} leads back to an earlier one, or there is no end")
        return url

    def _page(
        self, client: httpx.Client, url: str, known: Page | None, before: Pass | None, number: int
    ) -> tuple[Page, bytes]:
        headers = dict(self._headers)
        if known and known.etag:
            headers["if-none-match"] = known.etag
        elif known and known.modified:
            headers["if-modified-since"] = known.modified
        answer, body = self._ask(client, url, headers, number)
        if answer.status_code == 304 and known and before:
            before.file.seek(known.offset)
            return known, before.file.read(known.size)
        if answer.status_code != 200:
            raise SourceError(f"{self.name}: page {number} answers {answer.status_code}; nothing of it was applied")
        rows, following = self._taken(answer, body, number)
        lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        etag, modified = answer.headers.get("etag", ""), answer.headers.get("last-modified", "")
        return Page(url, etag, modified, 0, 0, following), lines

    def _ask(
        self, client: httpx.Client, url: str, headers: dict[str, str], number: int
    ) -> tuple[httpx.Response, bytes]:
        """A page's answer. A server in trouble, or one that asks for patience, is asked again."""
        trouble = ""
        for ask in range(ASKS):
            if ask:
                self._wait(pause(ask, 1.0))
            try:
                with client.stream("GET", url, headers=headers) as answer:
                    body = _bounded(answer.iter_bytes(), f"{self.name}: page {number}")
                if answer.status_code < 500 and answer.status_code != 429:
                    return answer, body
                trouble = f"answers {answer.status_code}"
            except httpx.HTTPError as error:
                trouble = f"can't be read: {type(error).__name__}"
        raise SourceError(f"{self.name}: page {number} {trouble}, {ASKS} times; nothing of the feed was applied")

    def _taken(self, answer: httpx.Response, body: bytes, number: int) -> tuple[list[Any], str]:
        where = f"{self.name}: page {number}"
        try:
            told = json.loads(body, object_pairs_hook=_all_kept)
        except (ValueError, RecursionError):
            raise SourceError(f"{where} is no JSON, or ends too early; nothing of the feed was applied") from None
        if isinstance(told, _Repeated):
            raise BatchError(f"{where}: saw a key more than once beside its rows; wanted each once")
        rows = told.get(self.items) if isinstance(told, dict) else told
        if not isinstance(rows, list):
            raise BatchError(f"{where} has no list of rows under {self.items!r}")
        following = told.get(self.next_page) if isinstance(told, dict) else None
        following = following or answer.links.get("next", {}).get("url") or ""
        if not isinstance(following, str):
            raise BatchError(f"{where}: saw no address under {self.next_page!r}; wanted text, or nothing")
        following = following and urljoin(str(answer.url), following)
        if following and urlsplit(following)[:2] != urlsplit(self.url)[:2]:
            raise BatchError(f"{where} leads to {urlsplit(following).hostname}; wanted the feed's own host")
        return rows, following

    @property
    def _index(self) -> Path:
        return self.path.with_suffix(".json")

    def _kept(self, opened: ExitStack) -> Pass | None:
        """The edition that was read before, if it is there as a whole."""
        try:
            told = json.loads(self._index.read_text())
            file = opened.enter_context(self.path.open("rb"))
            if hashlib.file_digest(file, "sha256").hexdigest() != told["digest"]:
                return None
            return Pass(self.path, file, tuple(Page(**page) for page in told["pages"]), told["digest"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _keep(self, last: Pass, kept: Pass | None) -> None:
        index = last.path.with_suffix(".index")
        index.write_text(json.dumps({"digest": last.digest, "pages": [asdict(page) for page in last.pages]}))
        # Between the two, the index does not fit the file, and counts for nothing.
        if kept is None or kept.digest != last.digest:  # else somebody may be reading it
            last.path.replace(self.path)
        index.replace(self._index)


class _Repeated(dict[str, Any]):
    """An object with a key more than once, which is written as it was read: who reads it as a row refuses it."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def items(self) -> Any:
        """All of them."""
        return self._pairs


def _all_kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeated(pairs)


def _bounded(pieces: Iterable[bytes], where: str) -> bytes:
    taken, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > MAX_PAGE_BYTES:
            raise BatchError(f"{where} has more than {MAX_PAGE_BYTES:,} bytes; ask for fewer rows at once")
        taken.append(piece)
    return b"".join(taken)
