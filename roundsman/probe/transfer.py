"""One request and response with libcurl: how it is asked, and what has been seen of it.

What libcurl's error codes mean to an operator: the class of an exchange's error, and a plain sentence.

The numbers are part of libcurl's ABI and never change: https://curl.se/libcurl/c/libcurl-errors.html
"""

import errno
import hashlib
import os
import re
import string
import time
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlsplit

import pycurl

from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import UNPACKED, Exchange, Phases, Probe
from roundsman.site.rules.site import Manners

UNSUPPORTED_PROTOCOL = 1
URL_MALFORMAT = 3
COULDNT_RESOLVE_HOST = 6
COULDNT_CONNECT = 7
WEIRD_SERVER_REPLY = 8
PARTIAL_FILE = 18
OPERATION_TIMEDOUT = 28
SSL_CONNECT_ERROR = 35
GOT_NOTHING = 52
RECV_ERROR = 56
SSL_CERTPROBLEM = 58
SSL_CIPHER = 59
PEER_FAILED_VERIFICATION = 60
BAD_CONTENT_ENCODING = 61
SSL_CACERT_BADFILE = 77
SSL_ISSUER_ERROR = 83
TOO_LARGE = 100

_TLS = frozenset([SSL_CONNECT_ERROR, SSL_CERTPROBLEM, SSL_CIPHER, PEER_FAILED_VERIFICATION, SSL_ISSUER_ERROR])
_PROBLEM = re.compile(r"SSL certificate (?:problem|OpenSSL verify result): (.*?)(?: \(\d+\))?$")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class FailedTransfer:
    """How far an exchange came: what libcurl said, and what had been seen until then.

    `received` counts the bytes of the body as they came over the network; `overflowed` says that more of it was there
    than the site's manners allow, `unpacked` that it came compressed. `os_error` is an errno or 0.
    """

    probe: Probe
    manners: Manners
    code: int
    message: str
    status: int
    received: int
    connected: bool
    overflowed: bool
    unpacked: bool
    os_error: int
    trusted: str


def explain(failed: FailedTransfer) -> tuple[str, str]:
    """The class of an error (see `Exchange`) and a sentence for an operator."""
    if failed.overflowed:
        words = " after decompression" if failed.unpacked else ""
        return "too-large", f"the body is larger than {failed.manners.max_body} bytes{words}"
    if failed.code == OPERATION_TIMEDOUT:
        missed = "end" if failed.status else "answer" if failed.connected else "connection"
        return "timeout", f"no {missed} after {spoken(failed.manners.timeout)}"
    return _unreached(failed) or _broken(failed)


@lru_cache(maxsize=4096)
def where(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL, as far as it has them."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", "", 0


def _unreached(failed: FailedTransfer) -> tuple[str, str] | None:
    scheme, host, port = where(failed.probe.url)
    node = failed.probe.node
    if failed.code == COULDNT_RESOLVE_HOST:
        return "dns", f"no address for {node.rpartition(':')[0] or host}"
    if failed.code == COULDNT_CONNECT:
        at = node or f"{host}:{port}"
        if failed.os_error == errno.ECONNREFUSED:
            return "refused", f"connection refused at {at}"
        return "other", f"{os.strerror(failed.os_error).lower() if failed.os_error else 'no connection'} at {at}"
    if failed.code == SSL_CACERT_BADFILE:
        return "tls", f"the file of trusted certificates cannot be read: {failed.trusted}"
    if failed.code in _TLS:
        return "tls", _distrust(failed.message, host)
    if failed.code == UNSUPPORTED_PROTOCOL and scheme not in _PORTS:
        return "other", f"only http and https are asked, not {scheme}"
    if failed.code == URL_MALFORMAT:
        return "other", f"this is not an address: {failed.message.removeprefix('URL rejected: ').lower()}"
    return None


def _distrust(message: str, host: str) -> str:
    if "no alternative certificate subject name" in message or "does not match target host" in message:
        return f"the certificate does not name {host}"
    if problem := _PROBLEM.match(message):
        return f"the certificate is not trusted: {problem[1]}"
    return f"no TLS connection: {message.rpartition('::')[2]}"


def _broken(failed: FailedTransfer) -> tuple[str, str]:
    """The other side was there, but what came of it was no whole response."""
    message = failed.message
    after = f"after {failed.received} bytes of the body" if failed.status else "before an answer"
    # A server that closes without TLS's own goodbye, as one that is started anew does.
    if failed.code in (PARTIAL_FILE, GOT_NOTHING) or "unexpected eof while reading" in message:
        return "reset", f"the connection was closed {after}"
    if "reset by peer" in message or "Broken pipe" in message:
        return "reset", f"the connection was reset {after}"
    if failed.code == TOO_LARGE or message.startswith("Too large response headers"):
        return "too-large", "the headers are larger than any client takes"
    if failed.code == BAD_CONTENT_ENCODING:
        return "protocol", f"{UNPACKED}: {message.rpartition(': ')[2]}"
    if failed.code in (WEIRD_SERVER_REPLY, UNSUPPORTED_PROTOCOL, RECV_ERROR):
        return "protocol", f"the answer is not HTTP: {message}"
    return "other", message or f"libcurl's error {failed.code}"


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
