"""One spelling for all ways to write the same path (RFC 3986 section 6.2.2, RFC 3987 section 3.1).

For comparing only: what is asked or purged stays as it was written, since a cache may keep each spelling by itself.
"""

import re
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

_KEPT = "/?#[]@!$&'()*+,;=:-._~%"
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_LETTERS = r"[A-Za-z0-9/?#\[\]@!$&'()*+,;=:._~-]*"
#: What nearly all paths look like: nothing to encode, and what is encoded in capitals and none of the unreserved.
_SPELLED = re.compile(rf"{_LETTERS}(?:%(?!2[DE]|3[0-9]|[46][1-9A-F]|[57][0-9A]|5F|7E)[0-9A-F]{{2}}{_LETTERS})*")


def spelled(path: str) -> str:
    """A path, or a part of one: what need not be encoded is not, and all else is, in capitals.

    A delimiter stays as it is written, for `%2F` and `/` are not the same.
    """
    return path if _SPELLED.fullmatch(path) else _respelled(path)


# A sweep holds each page against one rule after the other.
@lru_cache(maxsize=256)
def _respelled(path: str) -> str:
    encoded = quote(path, safe=_KEPT, errors="surrogatepass")
    return re.sub(r"%[0-9A-Fa-f]{2}", lambda found: _octet(unquote_to_bytes(found[0])), encoded)


def _octet(octet: bytes) -> str:
    letter = octet.decode("latin-1")
    return letter if _UNRESERVED.fullmatch(letter) else f"%{octet[0]:02X}"
