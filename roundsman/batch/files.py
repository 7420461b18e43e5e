"""Files as sources: JSON Lines and CSV, in UTF-8. A cursor is an offset in bytes."""

import codecs
import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from io import BufferedReader
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO

from roundsman.batch.errors import BatchError, SourceChangedError, SourceError
from roundsman.batch.rules import MAX_PAYLOAD_CHARACTERS
from roundsman.batch.sources import Chunk, Row

#: Bytes that one row may have, and bytes after which a chunk is full however few rows it has.
MAX_ROW_BYTES, FULL_CHUNK_BYTES = 1 << 20, 16 << 20
#: Bytes within which a CSV record that is too long has its end, or the job stops.
MAX_SKIPPED_BYTES = 256 << 20
_PIECE = 1 << 20
_LONG = "a line of"
_WANTED = 'in "a ""quoted"" word"; nothing of the file is applied from there on: correct it, and run the job again'
_GZIP = b"\x1f\x8b"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class _File:
    """What files share: they are one edition for as long as nobody writes to them."""

    def __init__(self, path: str | Path, *, longest_row: int = MAX_ROW_BYTES) -> None:
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
            BatchError: it is no text in UTF-8 at all.
        """
        self._seen = None
        with self._opened() as file:
            self._seen = _state(file)
            begin = file.read(2)
            if begin in _UTF16:
                raise BatchError(f"{self.name} begins with the mark of UTF-16; wanted UTF-8")
            if begin == _GZIP:
                raise BatchError(f"{self.name} is compressed with gzip; wanted plain text: gunzip it first")
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
            self._unchanged(file)
        return found

    def share(self, cursor: str) -> float | None:
        """By bytes."""
        size = self._seen[2] if self._seen else 0
        return int(cursor or 0) / size if size else None

    @contextmanager
    def _opened(self) -> Iterator[BufferedReader]:
        try:
            with self.path.open("rb") as file:
                if self._seen:
                    self._unchanged(file)
                yield file
        except OSError as error:
            raise SourceError(f"{self.name} can't be read: {error.strerror}") from error

    def _unchanged(self, file: BufferedReader) -> None:
        if _state(file) != self._seen:
            raise SourceChangedError(
                f"{self.name} was changed while it was read; wanted a file that is complete before the job begins: "
                "write it under another name and rename it"
            )


class JsonLines(_File):
    """A JSON value on each line. Empty lines are passed over."""

    def fingerprint(self) -> str:
        """SHA-256 of the whole file.

        Raises:
            SourceError, SourceChangedError: as any file.
            BatchError: it is one JSON document, whose last lines may look like rows.
        """
        found = super().fingerprint()
        with self._opened() as file:
            lines = (line for line in iter(lambda: file.readline(self.longest_row), b"") if not line.isspace())
            first = next(lines, b"").removeprefix(codecs.BOM_UTF8).strip()
            if first[:1] in (b"[", b"{") and len(first) < self.longest_row:
                row = _json_row(first + b"\n")
                several = bool(row.problem) and first[-1:] in (b"[", b"{", b",")
                listed = isinstance(row.value, list) and any(isinstance(one, dict) for one in row.value)
                if several or (listed and next(lines, None) is None):
                    raise BatchError(
                        f"{self.name} is one JSON document; wanted JSON Lines, a value on each line, as "
                        "`jq -c '.[]' FILE` makes them of a list"
                    )
        return found

    def read(self, cursor: str, most: int) -> Chunk:
        """Up to `most` rows; a line that is no row is one with a problem."""
        rows: list[Row] = []
        digest = hashlib.sha256()
        with self._opened() as file:
            at = begin = file.seek(int(cursor or 0))
            while len(rows) < most and at - begin < FULL_CHUNK_BYTES:
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
                    problem = f"{_LONG} {len(line) + skipped:,} bytes; wanted at most {self.longest_row:,}"
                    rows.append(Row(_clip(line), None, problem, complete=False))
                else:
                    rows.append(_json_row(line.removeprefix(codecs.BOM_UTF8) if first else line))
            return Chunk(rows, str(at), digest.hexdigest(), ended=False)

    def parse(self, raw: str) -> Any:
        """From JSON, without NaN, a number that is too large, and a key that is there twice."""
        return _json(raw)


class Csv(_File):
    """Records with a header, each a dict of text (RFC 4180). A record may have line ends within quotes.

    Read as Python's `csv` does in strict mode: a quote opens a field only at its beginning, and is doubled within it.
    Where quotes are used otherwise nobody can tell where a record ends, and text inside a field could be taken for a
    record: such a file is refused before anything of it is applied.
    """

    def __init__(self, path: str | Path, *, delimiter: str = ",", longest_row: int = MAX_ROW_BYTES) -> None:
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise ValueError(f"saw the delimiter {delimiter!r}; wanted one character, such as ';' or '\\t'")
        super().__init__(path, longest_row=longest_row)
        self.delimiter = delimiter
        self._field_end = re.compile(f"[{re.escape(delimiter)}\r\n]")
        self._spaces = " \t".replace(delimiter, "")
        self._perhaps_late = re.compile(rf'(?:^|{re.escape(delimiter)})[{self._spaces}]+"'.encode())

    def fingerprint(self) -> str:
        """SHA-256 of the whole file, which was read to its end by then.

        Raises:
            SourceError, SourceChangedError: as any file.
            BatchError: a quote has no end, text follows a closing one, or spaces stand before an opening one; or the
                header is none.
        """
        found = super().fingerprint()
        with self._opened() as file:
            self._header(file)
            for _ in self._records(file):
                pass
        return found

    def read(self, cursor: str, most: int) -> Chunk:
        """Up to `most` records.

        Raises:
            BatchError: as `fingerprint`.
        """
        rows: list[Row] = []
        digest = hashlib.sha256()
        with self._opened() as file:
            header = self._header(file)
            begin = file.seek(int(cursor)) if cursor else file.tell()
            at, ended = begin, True
            for record in self._records(file, digest.update):
                at += record.size
                if record.fields or record.problem:
                    rows.append(_csv_row(record, header))
                if len(rows) >= most or at - begin >= FULL_CHUNK_BYTES:
                    ended = False
                    break
            return Chunk(rows, str(at), digest.hexdigest(), ended=ended)

    def parse(self, raw: str) -> Any:
        """From a record's text, by the file's header."""
        with self._opened() as file:
            header = self._header(file)
        try:
            found = list(self._records(io.BytesIO(raw.encode(errors="surrogateescape"))))
        except BatchError as error:
            raise ValueError(f"no CSV: {error}") from None
        records = [record for record in found if record.fields or record.problem]
        if len(records) != 1:
            raise ValueError(f"saw {len(records)} records; wanted one")
        row = _csv_row(records[0], header)
        if row.problem:
            raise ValueError(row.problem)
        return row.value

    def _header(self, file: BinaryIO) -> list[str]:
        """The names of the columns; the file stands behind them."""
        begin = file.seek(len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0)
        record = next(self._records(file), _Record(b"", 0, []))
        file.seek(begin + record.size)
        header, problem = record.fields, record.problem
        if not problem and (torn := [name for name in header if not name.isprintable()]):
            problem = f"the column {torn[0]!a}"
        if twice := sorted({name for name in header if header.count(name) > 1}):
            problem = problem or f"column {', '.join(twice)} more than once"
        if problem or (record.size and not header):
            saw = problem or "an empty line"
            raise BatchError(f"{self.name}: saw {saw} as its header; wanted each column's name once")
        others = [other for other in ",;\t|" if other != self.delimiter and other in header[0]] if header else []
        if len(header) == 1 and others:
            raise BatchError(
                f"{self.name}: saw one column {header[0][:200]!r} as its header; wanted columns separated by "
                f"{self.delimiter!r}, or another delimiter, such as Csv(..., delimiter={others[0]!r})"
            )
        return header

    def _records(self, file: BinaryIO, seen: Callable[[bytes], None] = lambda _piece: None) -> Iterator["_Record"]:
        """Records from where the file stands on; `seen` is given the bytes of each that is not an empty line."""
        csv.field_size_limit(max(csv.field_size_limit(), self.longest_row))
        taken: list[bytes] = []

        def lines() -> Iterator[str]:
            size = 0
            while line := file.readline(self.longest_row + 1):
                size = size + len(line) if taken else len(line)
                taken.append(line)
                if size > self.longest_row:
                    raise csv.Error
                yield line.decode(errors="surrogateescape")

        at = file.tell()
        while True:
            try:
                for fields in csv.reader(lines(), delimiter=self.delimiter, strict=True):
                    raw = b"".join(taken)
                    taken.clear()
                    if self._perhaps_late.search(raw):
                        text = raw.decode(errors="surrogateescape")
                        within, end = self._walked(_Within.START, text)
                        self._refuse(within, file, at, text.count("\n", 0, end))
                    at += len(raw)
                    if fields:
                        seen(raw)
                    yield _Record(raw, len(raw), fields)
            except csv.Error:
                taken.clear()
                file.seek(at)
                record = self._odd(file, at, seen)
                at += record.size
                yield record
            else:
                return

    def _odd(self, file: BinaryIO, at: int, seen: Callable[[bytes], None]) -> "_Record":
        """A record that is too long, or has a carriage return where none may be: behind its end the next one begins."""
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        within, kept, size, lines = _Within.START, bytearray(), 0, 0
        while within not in (_Within.BROKEN, _Within.LATE, _Within.ENDED) and size <= MAX_SKIPPED_BYTES:
            piece = file.read(_PIECE)
            text = decoder.decode(piece, final=not piece)
            within, end = self._walked(within, text)
            raw = text[:end].encode(errors="surrogateescape")
            seen(raw)
            kept += raw[: self.longest_row - len(kept)]
            size, lines = size + len(raw), lines + text.count("\n", 0, end)
            if not piece:
                break
        self._refuse(within, file, at, lines)
        if within is _Within.QUOTED or size > MAX_SKIPPED_BYTES:
            raise BatchError(
                f"{self.name}: line {_line(file, at)}: saw a record without an end within {size:,} bytes; wanted "
                f"a closing quote, as {_WANTED}"
            )
        file.seek(at + size)
        if size > self.longest_row:
            over = f" over {lines:,} lines: a quote without its end?" if lines > 1 else ""
            problem = f"{_LONG} {size:,} bytes{over}; wanted at most {self.longest_row:,}"
            return _Record(bytes(kept[:MAX_PAYLOAD_CHARACTERS]), size, [], problem, complete=False)
        return _Record(bytes(kept), size, [], "no CSV: a carriage return alone outside quotes")

    def _refuse(self, within: "_Within", file: BinaryIO, at: int, lines: int) -> None:
        """Refuse a file in which nobody can tell where a record ends, so many lines behind the beginning of one."""
        if within is _Within.BROKEN:
            saw, wanted = "text after a closing quote", "a quote inside a quoted field doubled"
        elif within is _Within.LATE:
            saw, wanted = "spaces before an opening quote", "a quote at the very beginning of its field"
        else:
            return
        raise BatchError(f"{self.name}: line {_line(file, at) + lines}: saw {saw}; wanted {wanted}, as {_WANTED}")

    def _walked(self, within: "_Within", text: str) -> tuple["_Within", int]:
        """Where in a record one is behind a piece of it, or behind its end or its fault, and how far into the piece.

        A carriage return alone may be an end or not: text behind it is no row, and a quote there opens a field.
        """
        at = 0
        while at < len(text):
            if within is _Within.QUOTED:
                at = text.find('"', at) + 1
                if not at:
                    return _Within.QUOTED, len(text)
                within = _Within.CLOSING
            elif text[at] == '"' and within in (_Within.START, _Within.CLOSING):
                within, at = _Within.QUOTED, at + 1
            elif within is _Within.CLOSING and not self._field_end.match(text, at):
                return _Within.BROKEN, at
            elif within in (_Within.START, _Within.SPACED) and text[at] in self._spaces:
                within, at = _Within.SPACED, at + 1
            elif within is _Within.SPACED and text[at] == '"':
                return _Within.LATE, at
            elif found := self._field_end.search(text, at):
                within, at = _Within.START, found.end()
                if found[0] == "\n":
                    return _Within.ENDED, at
            else:
                return _Within.PLAIN, len(text)
        return within, at


class _Within(Enum):
    """Where in a CSV record one is."""

    START = "at the beginning of a field"
    SPACED = "behind spaces at the beginning of a field"
    LATE = "at a quote behind them, which opens a field to some readers and not to others"
    PLAIN = "in a field without quotes"
    QUOTED = "in a field with quotes"
    CLOSING = "behind a quote, which ends the field unless it is one of two"
    BROKEN = "at text that follows a closing quote"
    ENDED = "behind its end"


@dataclass(frozen=True, slots=True)
class _Record:
    """A CSV record: its bytes, or the first of them, how many it has in the file, and its fields or its problem."""

    raw: bytes
    size: int
    fields: list[str]
    problem: str = ""
    complete: bool = True


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


def _csv_row(record: _Record, header: list[str]) -> Row:
    if not record.complete:
        return Row(_clip(record.raw), None, record.problem, complete=False)
    try:
        text = record.raw.decode()
    except UnicodeDecodeError as error:
        return _not_utf8(record.raw, error)
    problem = record.problem
    if not problem and len(record.fields) != len(header):
        problem = f"saw {len(record.fields)} fields; wanted {len(header)}, as in the header"
    return Row(text, None if problem else dict(zip(header, record.fields, strict=True)), problem)


def _line(file: BinaryIO, at: int) -> int:
    """The number of the line that begins at so many bytes."""
    file.seek(0)
    line = 1
    while at > 0 and (piece := file.read(min(at, _PIECE))):
        line, at = line + piece.count(b"\n"), at - len(piece)
    return line


def _skip_line(file: BinaryIO, seen: Callable[[bytes], None] = lambda _piece: None) -> int:
    """Go behind the end of the line, however long it is; how many bytes that were."""
    size = 0
    while piece := file.readline(_PIECE):
        size += len(piece)
        seen(piece)
        if piece.endswith(b"\n"):
            break
    return size


def _clip(raw: bytes) -> str:
    return raw[:MAX_PAYLOAD_CHARACTERS].decode(errors="backslashreplace")


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> Row:
    where = f"byte {error.start + 1} of the row is 0x{raw[error.start]:02x}"
    return Row(raw.decode(errors="backslashreplace"), None, f"not UTF-8: {where}", complete=False)


def _state(file: BufferedReader) -> tuple[int, ...]:
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


def _number(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _json(text: str) -> Any:
    """As `json.loads`, which looks for white space at both ends each time."""
    text = text.strip(" \t\r\n")
    try:
        value, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        if error.msg != "Expecting value":
            raise
        raise ValueError(f"a value is wanted at character {error.pos + 1}") from None
    if end != len(text):
        raise ValueError(f"saw something more after the value, at character {end + 1}")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_each_once, parse_constant=_no_number, parse_float=_number)
