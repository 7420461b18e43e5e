"""A site that nobody has written down yet: what to look at when all there is is an address."""

import difflib
import re
from urllib.parse import urlsplit

from roundsman.report.rules.text import nearest
from roundsman.site.rules.promises import Audience, CachePromise, Examples, Rollback, Rule
from roundsman.site.rules.site import Site

_NAME = r"(?:[^\W_](?:[\w-]*[^\W_])?\.)+(?:[^\W\d_]{2,}|xn--[a-z0-9-]+)\.?"
_LITERAL = r"localhost|\[[0-9a-f:.]+\]|(?:\d{1,3}\.){3}\d{1,3}"
#: Half a scheme at most, then a host; one without a dot only beside a scheme or a port.
_ADDRESS = re.compile(
    rf"(?:(?P<scheme>https?):?)?/{{0,3}}(?P<host>{_NAME}|{_LITERAL}|[a-z0-9-]+(?=:\d))"
    r"(?P<port>:\d{1,5})?(?P<path>[/?#]\S*)?",
    re.IGNORECASE,
)
_ONE_SLASH = re.compile(
    r"(?P<scheme>https?):/?(?P<host>[a-z0-9-]+)(?P<port>:\d{1,5})?(?P<path>[/?#]\S*)?", re.IGNORECASE
)
_PRIVATE = re.compile(r"localhost|\[|127\.|10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|[^.]+$", re.IGNORECASE)
_FILE_TYPES = ("yaml", "yml", "json", "toml", "txt", "py", "sql", "csv")
_WANTED = "wanted an address such as https://www.example.com/articles/tomatoes"


def address_meant(word: str) -> str:
    """The address that somebody may mean by a word without a scheme, or with half of one; empty when it is none.

    `www.example.com` is https://www.example.com/; what is on this machine or in a private net is asked by http.
    """
    found = _ADDRESS.fullmatch(word) or _ONE_SLASH.fullmatch(word)
    ending = word.rpartition(".")[2]
    if not found or (
        "/" not in word.lstrip("/") and len(ending) > 2 and difflib.get_close_matches(ending, _FILE_TYPES, 1, 0.75)
    ):
        return ""
    try:
        host = found["host"] if found["host"].isascii() else found["host"].encode("idna").decode()
    except UnicodeError:
        return ""
    scheme = (found["scheme"] or ("http" if _PRIVATE.match(host) else "https")).lower()
    path = found["path"] or "/"
    if re.fullmatch(rf".*\.(?:{'|'.join(_FILE_TYPES[:2])})", path):
        return ""
    return f"{scheme}://{host}{found['port'] or ''}{path if path.startswith('/') else f'/{path}'}"


def infer(url: str) -> Site:
    """A site with one rule for one address, which promises nothing yet.

    Raises:
        ValueError: it is no http(s) URL; what was seen and what was wanted, with `; ` between them.
    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ValueError(f"no address with a usable host and port; {_WANTED}") from None
    if parts.scheme not in {"http", "https"}:
        near = nearest(parts.scheme, ["http", "https"], 1)
        meant = f"did you mean {near[0]}://{url.partition('://')[2]}?" if near and "@" not in url else _WANTED
        raise ValueError(f"the scheme {parts.scheme!r}; {meant}")
    if "@" in parts.netloc:
        raise ValueError(f"a name or password before the host; {_WANTED}, without them")
    if not usable or re.search(r"[\s\\]", url):
        raise ValueError(f"no address with a usable host and port; {_WANTED}")
    if not parts.netloc.isascii():
        raise ValueError("a host that is not ASCII; wanted it as it is sent, such as xn--bcher-kva.example")
    route = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    rule = Rule(
        name="first-look",
        paths=(parts.path or "/",),
        cache=CachePromise(by=Audience.UNSAID),
        examples=Examples(not_cached=(route,)),
        expected_result="Nobody has written down yet what this route should do.",
        rollback=Rollback(note="Write a site file to name one.", command=("true",)),
    )
    return Site(
        site=re.sub(r"[^a-z0-9]+", "-", parts.netloc.lower()).strip("-") or "site",
        base_url=f"{parts.scheme}://{parts.netloc}",
        owner="nobody yet",
        rules=(rule,),
    )
