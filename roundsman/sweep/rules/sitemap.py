"""Reading sitemaps as they come in: bytes in, addresses out, and nothing that a hostile file could make large.

Source: https://www.sitemaps.org/protocol.html. It allows RSS 2.0, Atom, and a text file with an address on each line
as well.
"""

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, urljoin, urlsplit
from xml.parsers import expat

#: The protocol's own bounds: bytes of a file once it is unpacked, and its addresses.
MAX_SITEMAP_BYTES, MAX_URLS = 52_428_800, 50_000
#: Letters of one address.
MAX_URL_CHARACTERS = 2048
#: Elements within each other; a sitemap needs three, an extension one or two more.
_DEEPEST = 16
#: What may stand before the first letter, and how much of it: byte order marks, and spaces in UTF-8 or UTF-16.
_BEFORE, _BLANK = b"\xef\xbb\xbf\xfe\xff\x00 \t\r\n", 4096
_GZIP = b"\x1f\x8b"
_EITHER = "XML, or an address on each line"
#: How pages, and with them error messages, begin.
_HTML = re.compile(rb"(?:<\?[^>]*>|<!--.*?-->|\s)*+<(?:!doctype\s+)?html\b", re.IGNORECASE | re.DOTALL)
#: By root element: the elements between it and an address, and the last one's attribute when it has the address.
_PATHS = {
    "urlset": (("url", "loc"), ""),
    "sitemapindex": (("sitemap", "loc"), ""),
    "rss": (("channel", "item", "link"), ""),
    "RDF": (("item", "link"), ""),
    "feed": (("entry", "link"), "href"),
}


class SitemapKind(StrEnum):
    """What a file lists."""

    URLS = "urls"
    SITEMAPS = "sitemaps"


class SitemapError(ValueError):
    """A file that is no sitemap, or is not read to its end; what was read before it may be used.

    `transient`: it may be over soon, so that it is worth asking again. `found`: the addresses that stood before the
    trouble and were not returned yet.
    """

    def __init__(self, saw: str, wanted: str, *, transient: bool = False) -> None:
        super().__init__(f"saw {saw}, wanted {wanted}")
        self.saw, self.wanted, self.transient = saw, wanted, transient
        self.found: list[str] = []


def transient(status: int) -> bool:
    """Whether a status speaks of the server's state now, so that it is worth asking again."""
    return status == 429 or status >= 500


@dataclass(slots=True)
class Reader:
    """One file. `feed` it whatever has arrived, and `close` it in the end.

    Raises:
        SitemapError: by both; says what was seen and what was wanted.
    """

    kind: SitemapKind = SitemapKind.URLS
    count: int = 0
    """Addresses read."""
    _size: int = 0
    _first: bytes = b""
    """What has arrived until it can be told whether it is packed, or whether more that is packed follows."""
    _head: bytes = b""
    """What was unpacked until it can be told what it is."""
    _unpack: "zlib._Decompress | None" = None
    _parser: "_Xml | _Lines | None" = None
    _ended: bool = False
    """Whether something else follows what was packed; that is left aside, as gzip does."""

    def feed(self, chunk: bytes) -> list[str]:
        """The addresses that a piece brings to an end, as they are written."""
        if self._parser is None and not self._unpack:
            self._first += chunk
            if len(self._first) < 4:
                return []
            chunk, self._first = self._first, b""
            if chunk.startswith(_GZIP):
                self._unpack = zlib.decompressobj(wbits=31)
        return self._take(self._unpacked(chunk) if self._unpack else chunk)

    def close(self) -> list[str]:
        """The last addresses; the file has to be whole."""
        if self._unpack and (self._first or not self._unpack.eof):
            raise SitemapError("a packed file that is cut off", "all of it", transient=True)
        found = self._take(self._first) if self._first else []
        if self._parser is None:
            raise SitemapError("an empty file", "a sitemap")
        return found + self._count(self._parser.close())

    def _unpacked(self, chunk: bytes) -> bytes:
        """What is packed in a piece; several that are packed, one after the other, are one file (RFC 1952 2.2)."""
        found = b""
        # One byte more than may come, so that a bomb is noticed and not unpacked.
        room = MAX_SITEMAP_BYTES - self._size + 1
        chunk, self._first = self._first + chunk, b""
        while self._unpack and len(found) < room and (chunk := self._packed(self._unpack, chunk)):
            try:
                found += self._unpack.decompress(chunk, room - len(found))
            except zlib.error:
                raise SitemapError("a packed file that is broken", "gzip") from None
            chunk = self._unpack.unused_data
        return found

    def _packed(self, unpack: "zlib._Decompress", chunk: bytes) -> bytes:
        """What of a piece is to be unpacked: all of it, or what begins anew behind zeros."""
        if not unpack.eof:
            return chunk
        chunk = b"" if self._ended else chunk.lstrip(b"\0")
        if chunk.startswith(_GZIP):
            self._unpack = zlib.decompressobj(wbits=31)
            return chunk
        if chunk == _GZIP[:1]:
            self._first = chunk
        elif chunk:
            self._ended = True
        return b""

    def _take(self, chunk: bytes) -> list[str]:
        self._size += len(chunk)
        if self._size > MAX_SITEMAP_BYTES:
            raise SitemapError(f"more than {MAX_SITEMAP_BYTES:,} bytes", "a smaller file and an index of several")
        if self._parser is None:
            chunk, self._head = self._head + chunk, b""
            if not (begins := chunk[:_BLANK].lstrip(_BEFORE)) and len(chunk) < _BLANK:
                self._head = chunk
                return []
            if _HTML.match(begins):
                raise SitemapError("HTML", "a sitemap")
            self._parser = _Xml() if begins[:1] == b"<" else _Lines()
        try:
            found = self._parser.feed(chunk)
        except SitemapError as error:
            error.found = self._count(self._parser.taken())
            raise
        finally:
            self.kind = self._parser.kind
        return self._count(found)

    def _count(self, found: list[str]) -> list[str]:
        self.count += len(found)
        if self.count > MAX_URLS:
            raise SitemapError(f"more than {MAX_URLS:,} addresses", "fewer and an index of several files")
        return found


class _Lines:
    """A text file: an address on each line."""

    kind = SitemapKind.URLS

    def __init__(self) -> None:
        self._rest = b""
        self._found: list[str] = []

    def feed(self, chunk: bytes) -> list[str]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._add(line)
        if len(self._rest) > 4 * MAX_URL_CHARACTERS:
            raise SitemapError(f"a line of more than {4 * MAX_URL_CHARACTERS:,} bytes", _EITHER)
        return self.taken()

    def close(self) -> list[str]:
        self._add(self._rest)
        return self.taken()

    def taken(self) -> list[str]:
        """The addresses that were read and not returned yet."""
        found, self._found = self._found, []
        return found

    def _add(self, line: bytes) -> None:
        try:
            text = line.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise SitemapError("bytes that are no UTF-8", _EITHER) from None
        if text and not re.match(r"https?://", text, re.IGNORECASE):
            raise SitemapError(f"the line {text[:60]!r}", _EITHER)
        if text:
            self._found.append(text)


class _Xml:
    """The protocol's XML, RSS and Atom. Only what belongs to the root's namespace counts: no pictures, no languages.

    Two mistakes that real sites make are read as they are meant: a list within a list, and an address without <loc>.
    """

    def __init__(self) -> None:
        self.kind = SitemapKind.URLS
        self._found: list[str] = []
        self._open: list[str] = []
        self._namespace = ""
        self._path: tuple[str, ...] = ()
        self._attribute = ""
        self._elements = 0
        self._addresses = 0
        self._nested = 0
        self._text: list[str] | None = None
        self._text_depth = 0
        self._length = 0
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        # Entities and external files begin here.
        parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, chunk: bytes) -> list[str]:
        return self._parse(chunk, is_final=False)

    def close(self) -> list[str]:
        found = self._parse(b"", is_final=True)
        if not self._addresses and self._elements > 1:
            raise SitemapError(f"{self._elements:,} elements and no address among them", "addresses of pages")
        return found

    def taken(self) -> list[str]:
        """The addresses that were read and not returned yet."""
        found, self._found = self._found, []
        return found

    def _parse(self, chunk: bytes, *, is_final: bool) -> list[str]:
        try:
            self._parser.Parse(chunk, is_final)
        except expat.ExpatError as error:
            # What is broken only in the end was cut off.
            raise SitemapError(f"XML that is broken in line {error.lineno}", "a sitemap", transient=is_final) from None
        except (UnicodeError, LookupError, ValueError) as error:
            if isinstance(error, SitemapError):
                raise
            raise SitemapError("an encoding that can't be read", "UTF-8") from None
        return self.taken()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) + self._nested >= _DEEPEST:
            raise SitemapError(f"more than {_DEEPEST} elements within each other", "a sitemap")
        namespace, _gap, element = name.rpartition(" ")
        self._elements += 1
        if self._elements == 1:
            self._begin(namespace, element)
            return
        if not self._open and element in {"urlset", "sitemapindex"}:
            self._nested += 1
            return
        self._open.append(element if namespace == self._namespace else name)
        if not self._is_address():
            return
        self._text, self._text_depth, self._length = [], len(self._open), 0
        if self._attribute and attributes.get("rel", "alternate") == "alternate":
            self._text = [attributes.get(self._attribute, "")]

    def _begin(self, namespace: str, root: str) -> None:
        if root not in _PATHS:
            raise SitemapError(f"<{root[:40]}>", "<urlset> or <sitemapindex>")
        self.kind = SitemapKind.SITEMAPS if root == "sitemapindex" else SitemapKind.URLS
        self._path, self._attribute = _PATHS[root]
        # Of RSS 1.0 the root has another namespace than its items.
        self._namespace = "http://purl.org/rss/1.0/" if root == "RDF" else namespace

    def _is_address(self) -> bool:
        opened = tuple(self._open)
        return opened == self._path or (opened == self._path[:1] and "loc" in self._path)

    def _end(self, _: str) -> None:
        if self._text is not None and len(self._open) == self._text_depth:
            if text := "".join(self._text).strip():
                self._found.append(text)
                self._addresses += 1
            self._text = None
        if self._open:
            self._open.pop()
        else:
            self._nested -= 1

    def _data(self, data: str) -> None:
        if self._text is None or self._attribute or len(self._open) > self._text_depth:
            return
        self._length += len(data)
        if self._length > 4 * MAX_URL_CHARACTERS:
            raise SitemapError(f"a <loc> of more than {4 * MAX_URL_CHARACTERS:,} letters", "an address")
        self._text.append(data)

    def _doctype(self, *_: object) -> None:
        raise SitemapError("a DOCTYPE, which can name files and entities", "a sitemap without one")


@dataclass(slots=True)
class Left:
    """How many addresses are not asked, and why, with an example of each."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, why: str, address: str) -> None:
        """Count one."""
        self.counts[why] = self.counts.get(why, 0) + 1
        self.examples.setdefault(why, address[:200])

    def __str__(self) -> str:
        return "; ".join(f"{count:,} {why}, such as {self.examples[why]}" for why, count in self.counts.items())


def own_paths(base_url: str, addresses: Sequence[str], left: Left) -> list[str]:
    """The paths, with their queries, of the addresses that are the site's own; the others are counted in `left`."""
    plain = base_url.rstrip("/") + "/"
    found = []
    for address in addresses:
        # What nearly all look like, without the cost of taking them apart.
        if address.startswith(plain) and len(address) <= MAX_URL_CHARACTERS and _PLAIN.fullmatch(address):
            found.append(address[len(plain) - 1 :])
        elif path := _own(base_url, address, left):
            found.append(path)
    return found


def robots_at(base_url: str, url: str, location: str) -> str:
    """The address that the robots.txt at `url` leads to; empty when nobody is to ask for it.

    It may be one of another host (RFC 9309 section 2.3.1.2), but there only a text file without a query: it does
    nothing when it is asked for, whatever inner host a site that was broken into names.
    """
    try:
        address = urljoin(url, location)
        told, own = urlsplit(address), urlsplit(base_url)
        same = _origin(told) == _origin(own)
    except ValueError:
        return ""
    if told.scheme not in {"http", "https"} or not told.hostname or "@" in told.netloc:
        return ""
    if not address.isprintable() or " " in address or len(address) > MAX_URL_CHARACTERS:
        return ""
    return address if same or (told.path.endswith(".txt") and not told.query) else ""


_PLAIN = re.compile(r"[A-Za-z0-9:/?&=._~+,;@!$'()*%-]+")


def _own(base_url: str, address: str, left: Left) -> str:
    if len(address) > MAX_URL_CHARACTERS:
        left.add(f"longer than {MAX_URL_CHARACTERS:,} letters", address)
        return ""
    if any(letter.isspace() or not letter.isprintable() for letter in address):
        left.add("with spaces or control characters", repr(address))
        return ""
    try:
        told, own = urlsplit(address), urlsplit(base_url)
        same = _origin(told) == _origin(own)
    except ValueError:
        left.add("that are no addresses", address)
        return ""
    if told.scheme not in {"http", "https"} or not told.hostname:
        left.add("that are no addresses of http or https", address)
    elif told.username is not None or told.password is not None:
        left.add("with a user name", f"{told.scheme}://...@{told.hostname}")
    elif not same:
        left.add(f"of another host or scheme than {base_url}", address)
    else:
        return (told.path or "/") + (f"?{told.query}" if told.query else "")
    return ""


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or usual


def chosen(paths: Sequence[str], share: float) -> list[str]:
    """A sample of the paths, about `share` of them: always the same ones, whatever else is listed."""
    if share >= 1:
        return list(paths)
    bound = int(share * 2**64)
    return [path for path in paths if int.from_bytes(hashlib.blake2b(path.encode(), digest_size=8).digest()) < bound]
