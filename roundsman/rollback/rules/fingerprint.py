"""What a release looks like from outside: version, schema head, and what chosen pages answer. Hashes only."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from roundsman.report.rules.exchange import Exchange
from roundsman.site.rules.promises import Audience
from roundsman.site.rules.site import Site

#: Stands for a body that is another one each time it is asked for.
VOLATILE = "volatile"


@dataclass(frozen=True, slots=True)
class PageFingerprint:
    """What one page answered. `body` and the values of `headers` are SHA-256; without an answer `status` is 0."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A release as it looks from outside. What the site file does not name is empty."""

    version: str
    schema_head: str = ""
    pages: Mapping[str, PageFingerprint] = field(default_factory=dict)
    data: str = ""
    """A checksum of the data that a release must not change."""
    ms: float = 0.0
    """The median time to the first byte of a page, in milliseconds. It is shown and not judged: few are asked for."""

    def as_json(self) -> dict[str, Any]:
        """As plain data, to be kept."""
        pages = {
            path: {"status": page.status, "body": page.body, "headers": dict(page.headers)}
            for path, page in self.pages.items()
        }
        known = {"version": self.version, "schema_head": self.schema_head, "data": self.data, "ms": self.ms}
        return {**known, "pages": pages}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> "Fingerprint":
        """One that was kept."""
        pages = {path: PageFingerprint(**page) for path, page in kept["pages"].items()}
        return cls(**{**kept, "pages": pages})


def pages_of(site: Site) -> tuple[str, ...]:
    """The pages that are compared: those of the site file, or the first cached example of each rule."""
    if site.release and site.release.rehearsal.pages:
        return site.release.rehearsal.pages
    shared = [rule for rule in site.rules if rule.cache.by is Audience.EVERYONE and rule.examples.cached]
    return tuple(rule.examples.cached[0] for rule in shared)[:20]


def page(seen: Sequence[Exchange], headers: Iterable[str]) -> PageFingerprint:
    """A page of some exchanges that asked for the same: what differs among them differs by itself."""
    first, *others = seen
    if not all(one.answered for one in seen):
        return PageFingerprint(0)
    if any(one.status != first.status for one in others):
        return PageFingerprint(0)
    same = all(one.body_hash == first.body_hash for one in others)
    steady = [name for name in headers if all(one.header(name) == first.header(name) for one in others)]
    return PageFingerprint(
        first.status, first.body_hash if same else VOLATILE, {name: _hash(first.header(name)) for name in steady}
    )


def changes(before: Fingerprint, back: Fingerprint) -> tuple[str, ...]:
    """What is not as it was before, in a few words each; empty when all is."""
    found = []
    if back.version != before.version:
        found.append(f"version {back.version or 'unreadable'} instead of {before.version}")
    found += _schema_change(before, back)
    if back.data != before.data:
        found.append(f"data checksum {back.data or 'unreadable'} instead of {before.data or 'unreadable'}")
    for path, was in before.pages.items():
        found += [f"{path}: {what}" for what in _page_changes(was, back.pages.get(path, PageFingerprint(0)))]
    return tuple(found)


def broken(was: Fingerprint, now: Fingerprint) -> tuple[str, ...]:
    """Why a version that was seen to be good is not so now: other schema, other status. Content may be news."""
    found = [*_schema_change(was, now)]
    for path, page_was in was.pages.items():
        status = now.pages.get(path, PageFingerprint(0)).status
        if status != page_was.status:
            found.append(f"{path}: status {status or 'unknown'} instead of {page_was.status}")
    return tuple(found)


def unseen(fingerprint: Fingerprint) -> tuple[str, ...]:
    """Pages that could not be looked at, or not twice alike."""
    return tuple(path for path, one in fingerprint.pages.items() if not one.status)


def unread(site: Site, fingerprint: Fingerprint) -> tuple[str, ...]:
    """What the site file says where to read and nobody could: two that are both unread are not equal."""
    release = site.release
    asked = release and (
        ("schema head", release.schema_head, fingerprint.schema_head),
        ("data checksum", release.data_checksum, fingerprint.data),
    )
    return tuple(f"the {what} at {where.path}" for what, where, value in asked or () if where and not value)


def volatile(fingerprint: Fingerprint) -> tuple[str, ...]:
    """Pages of which only status and headers can be compared."""
    return tuple(path for path, one in fingerprint.pages.items() if one.body == VOLATILE)


def _schema_change(was: Fingerprint, now: Fingerprint) -> Iterable[str]:
    if now.schema_head != was.schema_head:
        yield f"schema head {now.schema_head or 'unreadable'} instead of {was.schema_head or 'unreadable'}"


def _page_changes(was: PageFingerprint, now: PageFingerprint) -> Iterable[str]:
    if was.status != now.status:
        yield f"status {now.status or 'unknown'} instead of {was.status}"
        return
    if was.body not in {VOLATILE, now.body}:
        yield "a body that is another one each time" if now.body == VOLATILE else "another body"
    for name, value in was.headers.items():
        if name in now.headers and now.headers[name] != value:
            yield f"another {name}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()
