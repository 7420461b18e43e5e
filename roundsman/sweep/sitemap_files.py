"""Sitemaps on the disk, each with the validators that it was sent with, so that an unchanged one is not sent again."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

#: Bytes of the line that holds the validators, at most.
_LINE = 1 << 16
#: What asks whether a file is as it was, and the header of the answer that it repeats (RFC 9110 section 13.1).
_VALIDATORS = {"if-none-match": "etag", "if-modified-since": "last-modified"}


@contextmanager
def opened(place: Path) -> Iterator[tuple[BinaryIO | None, dict[str, str]]]:
    """A kept file, read from here on, and the headers that ask whether it is as it was; None and none without one."""
    try:
        kept = place.open("rb")
    except FileNotFoundError:
        yield None, {}
        return
    with kept:
        try:
            asks = dict(json.loads(kept.readline(_LINE)))
        except ValueError:
            asks = {}
        yield kept, asks


@contextmanager
def keeping(place: Path, headers: Mapping[str, str]) -> Iterator[BinaryIO]:
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
