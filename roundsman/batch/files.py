"""Files as sources: JSON Lines and CSV, in UTF-8. A cursor is an offset in bytes."""

import codecs
import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from roundsman.batch.errors import BatchError, SourceChangedError, SourceError
from roundsman.batch.rules import PAYLOAD
from roundsman.batch.sources import Chunk, Row

#: Bytes that one row may have, and bytes after which a chunk is full however few rows it has.
LONGEST_ROW, FULL = 1 << 20, 16 << 20
_PIECE = 1 << 20
_LONG = "a line of"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _File:
    """What files share: they are one edition for as long as nobody writes to them."""

    def __init__(self, path: str | Path, *, longest_row: int = LONGEST_ROW) -> None:
        self.path = Path(path)
        self.longest_row = longest_row
        self._seen: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The path, as it was given."""
        return str(self.path)

    def prepare(self, *, fresh: bool) -> None:
        """Nothing to do: a file is there or not."""

    def fingerprint(self) -> str:
        """SHA-256 of the whole file.

        Raises:
            SourceError: it can't be read.
            SourceChangedError: somebody is writing to it.
            BatchError: it is not in UTF-8 at all.
        """
        self._seen = None
        with self._opened() as file:
            self._seen = _state(file)
            if file.read(2) in _UTF16:
                raise BatchError(f"{self.name} begins with the mark of UTF-16; wanted UTF-8")
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
            self._unchanged(file)
        return found

    def share(self, cursor: str) -> float | None:
        """By bytes."""
        size = self._seen[2] if self._seen else 0
        return int(cursor or 0) / size if size else None

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as file:
                if self._seen:
                    self._unchanged(file)
                yield file
        except OSError as error:
            raise SourceError(f"{self.name} can't be read: {error.strerror}") from error

    def _unchanged(self, file: BinaryIO) -> None:
        if _state(file) != self._seen:
            raise SourceChangedError(
                f"{self.name} was changed while it was read; wanted a file that is complete before the job begins: "
                "write it under another name and rename it"
            )


class JsonLines(_File):
    """A JSON value on each line. Empty lines are passed over."""

    def read(self, cursor: str, most: int) -> Chunk:
        """Up to `most` rows; a line that is no row is one with a problem."""
        rows: list[Row] = []
        digest = hashlib.sha256()
        with self._opened() as file:
            at = begin = file.seek(int(cursor or 0))
            while len(rows) < most and at - begin < FULL:
                line = file.readline(self.longest_row + 1)
                if not line:
                    return Chunk(rows, str(at), digest.hexdigest(), ended=True)
                first, at = at == 0, at + len(line)
                if line.isspace():
                    continue
                digest.update(line)
                if len(line) > self.longest_row and not line.endswith(b"\n"):
                    skipped = _skip_line(file, digest.update)
                    at += skipped
                    problem = _long(len(line) + skipped, self.longest_row)
                    rows.append(Row(_clip(line), None, problem, complete=False))
                else:
                    rows.append(_json_row(line.removeprefix(codecs.BOM_UTF8) if first else line))
            return Chunk(rows, str(at), digest.hexdigest(), ended=False)

    def parse(self, raw: str) -> Any:
        """From JSON, without NaN and without a key that is there twice."""
        return _json(raw)


class Csv(_File):
    """Records with a header, each a dict of text. A record may have line ends within quotes."""

    def __init__(self, path: str | Path, *, delimiter: str = ",", longest_row: int = LONGEST_ROW) -> None:
        super().__init__(path, longest_row=longest_row)
        self.delimiter = delimiter

    def read(self, cursor: str, most: int) -> Chunk:
        """Up to `most` records.

        Raises:
            BatchError: the header has a column twice, or is none.
        """
        rows: list[Row] = []
        digest = hashlib.sha256()
        with self._opened() as file:
            after_header, header = self._header(file)
            begin = file.seek(int(cursor or 0) or after_header)
            while len(rows) < most and file.tell() - begin < FULL:
                raw, fields, problem = self._record(file)
                if not raw:
                    return Chunk(rows, str(file.tell()), digest.hexdigest(), ended=True)
                if fields or problem:
                    digest.update(raw)
                    rows.append(_csv_row(raw, header, fields, problem))
            return Chunk(rows, str(file.tell()), digest.hexdigest(), ended=False)

    def parse(self, raw: str) -> Any:
        """From a record's text, by the file's header."""
        with self._opened() as file:
            _, header = self._header(file)
        row = _csv_row(raw.encode(), header, *self._fields(io.StringIO(raw, newline="\n")))
        if row.problem:
            raise ValueError(row.problem)
        return row.value

    def _header(self, file: BinaryIO) -> tuple[int, list[str]]:
        file.seek(0)
        raw, header, problem = self._record(file)
        if header:
            header[0] = header[0].removeprefix("\ufeff").strip('"')
        if not problem and (torn := [name for name in header if not name.isprintable()]):
            problem = f"the column {torn[0]!a}"
        twice = sorted({name for name in header if header.count(name) > 1})
        if problem or twice or (raw and not header):
            saw = problem or (f"column {', '.join(twice)} more than once" if twice else "an empty line")
            raise BatchError(f"{self.name}: saw {saw} as its header; wanted each column's name once")
        return file.tell(), header

    def _record(self, file: BinaryIO) -> tuple[bytes, list[str], str]:
        """The next record's bytes, its fields, and what is wrong with it. Without bytes the file is at its end."""
        begin = file.tell()
        taken: list[bytes] = []

        def lines() -> Iterator[str]:
            while line := file.readline(self.longest_row + 1):
                taken.append(line)
                if file.tell() - begin > self.longest_row:
                    raise csv.Error(f"a record of more than {self.longest_row:,} bytes; a quote without its end?")
                yield line.decode(errors="surrogateescape")

        fields, problem = self._fields(lines())
        if problem and taken:
            # Where a quote has no end the record is the rest of the file: only its first line is held for bad.
            file.seek(begin + len(taken[0]))
            if len(taken[0]) > self.longest_row and not taken[0].endswith(b"\n"):
                size = len(taken[0]) + _skip_line(file)
                return taken[0], [], _long(size, self.longest_row)
            return taken[0], [], problem
        return b"".join(taken), fields, problem

    def _fields(self, lines: Any) -> tuple[list[str], str]:
        csv.field_size_limit(max(csv.field_size_limit(), self.longest_row))
        try:
            return next(csv.reader(lines, delimiter=self.delimiter, strict=True), []), ""
        except csv.Error as error:
            return [], f"no CSV: {error}"


def _json_row(line: bytes) -> Row:
    try:
        raw = line.decode()
    except UnicodeDecodeError as error:
        return _not_utf8(line, error)
    try:
        return Row(raw, _json(raw))
    except (ValueError, RecursionError) as error:
        if not line.endswith(b"\n"):
            return Row(raw, None, f"the file ends in the midst of this line: {error}")
        return Row(raw, None, f"no JSON: {error}")


def _csv_row(raw: bytes, header: list[str], fields: list[str], problem: str) -> Row:
    if problem.startswith(_LONG):
        return Row(_clip(raw), None, problem, complete=False)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return _not_utf8(raw, error)
    if not problem and len(fields) != len(header):
        problem = f"saw {len(fields)} fields; wanted {len(header)}, as in the header"
    return Row(text, None if problem else dict(zip(header, fields, strict=True)), problem)


def _skip_line(file: BinaryIO, seen: Callable[[bytes], None] = lambda _piece: None) -> int:
    """Go behind the end of the line, however long it is; how many bytes that were."""
    size = 0
    while piece := file.readline(_PIECE):
        size += len(piece)
        seen(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _long(size: int, longest: int) -> str:
    return f"{_LONG} {size:,} bytes; wanted at most {longest:,}"


def _clip(raw: bytes) -> str:
    return raw[:PAYLOAD].decode(errors="backslashreplace")


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> Row:
    where = f"byte {error.start + 1} of the row is 0x{raw[error.start]:02x}"
    return Row(raw.decode(errors="backslashreplace"), None, f"not UTF-8: {where}", complete=False)


def _state(file: BinaryIO) -> tuple[int, ...]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} more than once")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number in JSON")


def _json(text: str) -> Any:
    """As `json.loads`, which looks for white space at both ends each time."""
    text = text.strip(" \t\r\n")
    try:
        value, end = _DECODER.scan_once(text, 0)
    except StopIteration as stop:
        raise ValueError(f"a value is wanted at character {stop.value + 1}") from None
    if end != len(text):
        raise ValueError(f"saw something more after the value, at character {end + 1}")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_each_once, parse_constant=_no_number)
