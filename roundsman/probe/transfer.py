"""One request and response with libcurl: how it is asked, and what has been seen of it."""

import hashlib
import string
import time
from functools import lru_cache
from urllib.parse import quote

import pycurl

from roundsman.probe.curl_errors import FailedTransfer, explain
from roundsman.report.rules.exchange import Exchange, Phases, Probe
from roundsman.site.rules.site import Manners

#: Unix time of the monotonic clock's zero, read once: what is reported never steps back.
EPOCH = time.time() - time.monotonic()


#: Until a handle is given one.
_NO_PROBE = Probe("")


class Transfer:
    """One of libcurl's easy handles, and what it has seen of the exchange under way."""

    def __init__(self, manners: Manners, user_agent: str, trusted: str) -> None:
        self.place = 0
        self._manners = manners
        self._trusted = trusted
        self._probe = _NO_PROBE
        self._settings: object = None
        self._lines: list[bytes] = []
        self._body: list[bytes] = []
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.USERAGENT, user_agent)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.PROXY, "")  # also those of the environment
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.TIMEOUT_MS, max(1, round(manners.timeout * 1000)))
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(manners.timeout * 1000)))
        curl.setopt(pycurl.CAINFO, trusted)
        curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._write)

    def take(self, place: int, probe: Probe, due: float) -> None:
        """Be ready for one exchange, which starts now."""
        settings = (probe.method, probe.headers, probe.accept_encoding, probe.node, probe.new_connection)
        if settings != self._settings:
            self._set(probe)
            self._settings = settings
        # An address may come from a page: as people write it, not as it is sent.
        plain = probe.url.isascii() and probe.url.isprintable()
        self.curl.setopt(pycurl.URL, probe.url if plain else quote(probe.url, string.punctuation, errors="replace"))
        self.place = place
        self._probe = probe
        self._lines.clear()
        self._body.clear()
        self._size = 0
        self._hash = hashlib.sha256()
        self._overflowed = False
        self._due = due
        self._started = time.monotonic()

    def _set(self, probe: Probe) -> None:
        curl = self.curl
        curl.setopt(pycurl.NOBODY, probe.method == "HEAD")
        curl.setopt(pycurl.CUSTOMREQUEST, probe.method)
        # pycurl takes an empty list for no change: one visitor's cookie would go along with the next visitor.
        curl.unsetopt(pycurl.HTTPHEADER)
        curl.unsetopt(pycurl.CONNECT_TO)
        # `Name:` would take libcurl's own header away; `Name;` sends it empty.
        lines = [f"{name}: {value}" if value.strip() else f"{name};" for name, value in probe.headers]
        curl.setopt(pycurl.HTTPHEADER, [line.encode("latin-1") for line in lines])
        if probe.accept_encoding:
            curl.setopt(pycurl.ACCEPT_ENCODING, probe.accept_encoding)
        else:
            curl.unsetopt(pycurl.ACCEPT_ENCODING)
        if probe.node:
            curl.setopt(pycurl.CONNECT_TO, [f"::{probe.node}"])
        curl.setopt(pycurl.FRESH_CONNECT, probe.new_connection)
        curl.setopt(pycurl.FORBID_REUSE, probe.new_connection)

    def _write(self, chunk: bytes) -> int | None:
        if self._size + len(chunk) > self._manners.max_body:
            self._overflowed = True
            return 0
        self._size += len(chunk)
        self._hash.update(chunk)
        if self._probe.keep_body:
            self._body.append(chunk)
        return None

    def exchange(self, code: int, message: str) -> Exchange:
        """What came of it; `code` and `message` are libcurl's."""
        info = self.curl.getinfo
        status = info(pycurl.RESPONSE_CODE)
        headers, whole = _headers(self._lines)
        error = detail = ""
        if code:
            error, detail = self._explain(code, message, status)
        elif not whole:
            # libcurl takes the end of the connection for the end of the headers.
            error, detail = "reset", "the connection was closed in the middle of the headers"
        reused = status > 0 and info(pycurl.NUM_CONNECTS) == 0
        address = info(pycurl.PRIMARY_IP)
        if ":" in address:
            address = f"[{address}]"
        return Exchange(
            probe=self._probe,
            due=EPOCH + self._due,
            started=EPOCH + self._started,
            phases=self._phases(answered=status > 0, reused=reused),
            status=status,
            headers=headers,
            size=self._size,
            wire_size=info(pycurl.SIZE_DOWNLOAD_T),
            body_hash="" if error else self._hash.hexdigest(),
            body=b"".join(self._body) if self._probe.keep_body and not error else None,
            reused=reused,
            node=f"{address}:{info(pycurl.PRIMARY_PORT)}" if address else "",
            error=error,
            detail=detail,
        )

    def _phases(self, *, answered: bool, reused: bool) -> Phases:
        """A phase that did not end is 0; on a connection that was open already, so are those of connecting."""
        info = self.curl.getinfo
        total = info(pycurl.TOTAL_TIME_T) / 1e6
        late = max(0.0, self._started - self._due)
        if not answered:
            connected = info(pycurl.CONNECT_TIME_T) / 1e6
            dns = info(pycurl.NAMELOOKUP_TIME_T) / 1e6
            return Phases(dns=dns, connect=max(0.0, connected - dns), total=total, late=late)
        ready = info(pycurl.PRETRANSFER_TIME_T) / 1e6
        first = info(pycurl.STARTTRANSFER_TIME_T) / 1e6
        waiting, body = first - ready, max(0.0, total - first)
        if reused:
            return Phases(waiting=waiting, body=body, first_byte=first, total=total, late=late)
        dns = info(pycurl.NAMELOOKUP_TIME_T) / 1e6
        connected = info(pycurl.CONNECT_TIME_T) / 1e6
        secured = info(pycurl.APPCONNECT_TIME_T) / 1e6
        tls = secured - connected if secured else 0.0
        return Phases(dns, connected - dns, tls, waiting, body, first, total, late)

    def _explain(self, code: int, message: str, status: int) -> tuple[str, str]:
        info = self.curl.getinfo
        return explain(
            FailedTransfer(
                probe=self._probe,
                manners=self._manners,
                code=code,
                message=message,
                status=status,
                received=info(pycurl.SIZE_DOWNLOAD_T),
                connected=info(pycurl.CONNECT_TIME_T) > 0,
                overflowed=self._overflowed,
                unpacked=any(line.lower().startswith(b"content-encoding:") for line in self._lines),
                os_error=info(pycurl.OS_ERRNO),
                trusted=self._trusted,
            )
        )


def _headers(lines: list[bytes]) -> tuple[tuple[tuple[str, str], ...], bool]:
    """The final response's headers without those of a 1xx and without trailers, and whether their end was seen."""
    found: list[tuple[str, str]] = []
    inside = False
    for line in lines:
        if inside:
            header = _known(line) if len(line) <= _SHORT else _header(line)
            if header:
                found.append(header)
            else:
                inside = False
        elif line.startswith(b"HTTP/"):
            found, inside = [], True
    return tuple(found), not inside


def _header(line: bytes) -> tuple[str, str] | None:
    """Name and value; None of a line that is none."""
    name, colon, value = line.decode("latin-1").partition(":")
    return (name, value.strip(" \t\r\n")) if colon else None


#: Most lines of a site come again and again. The long ones, such as cookies, do not, and would need memory.
_SHORT = 128
_known = lru_cache(maxsize=1024)(_header)
