"""What libcurl's error codes mean to an operator: the class of an exchange's error, and a plain sentence.

The numbers are part of libcurl's ABI and never change: https://curl.se/libcurl/c/libcurl-errors.html
"""

import errno
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from roundsman.report.rules.durations import spoken
from roundsman.report.rules.exchange import UNPACKED, Probe
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
