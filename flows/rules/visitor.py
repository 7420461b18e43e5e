"""Who asks: a test member with a session, or a stranger without one."""

import base64
import html
import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from flows.rules.exchange import Exchange


@dataclass(frozen=True, slots=True)
class Visitor:
    """A test member. `headers` make a request theirs, `sentinels` appear on no one else's page; both are secrets.

    `problem` is empty, or why the login failed.
    """

    name: str
    headers: tuple[tuple[str, str], ...] = ()
    sentinels: tuple[str, ...] = ()
    problem: str = ""

    def __repr__(self) -> str:
        return f"Visitor({self.name}{', not logged in' if self.problem else ''})"

    @property
    def cookies(self) -> bool:
        """Whether the session is kept in a cookie."""
        return any(name.lower() == "cookie" for name, _ in self.headers)

    @property
    def authorized(self) -> bool:
        """Whether the session is kept in an Authorization header."""
        return any(name.lower() == "authorization" for name, _ in self.headers)

    def shows_in(self, exchange: Exchange) -> bool:
        """Whether one of the sentinels stands in the body or a header, plain or encoded the usual ways."""
        held = (exchange.body or b"") + "\n".join(value for _, value in exchange.headers).encode("latin-1", "replace")
        return any(form in held for form in _forms(self.sentinels))


STRANGER = Visitor("stranger")
NO_MEMBER = Visitor("member", problem="the site file names no sessions")


def _forms(sentinels: Iterable[str]) -> set[bytes]:
    """A value as it stands, and HTML-escaped, JSON-escaped, URL-encoded and in base64."""
    return {
        form.encode()
        for value in sentinels
        for form in (
            value,
            html.escape(value),
            json.dumps(value)[1:-1],
            quote(value),
            base64.b64encode(value.encode()).decode().rstrip("="),
        )
    }
