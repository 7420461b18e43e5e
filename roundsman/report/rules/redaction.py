"""Evidence without secrets, and of a bounded size: of cookies and of a member's page only hashes are kept."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from roundsman.report.rules.exchange import TELLING, Exchange, cookie_of
from roundsman.report.rules.grouping import urgency
from roundsman.report.rules.text import hidden, shortened, without_credentials
from roundsman.report.rules.verdict import Finding, Verdict
from roundsman.report.rules.visitor import Visitor, stands_in

#: Characters from which on a part of a session's header is looked for: a shorter one stands in many places by chance.
MIN_SECRET_CHARACTERS = 8
#: Of one exchange: headers that are shown, cookies among them, and the characters of one value and of an address.
MAX_HEADERS, MAX_COOKIES, MAX_VALUE_CHARACTERS, MAX_URL_CHARACTERS = 60, 10, 300, 2000
#: Exchanges that are shown of one finding, and the characters of all that are shown of one report.
MAX_EXCHANGES, MAX_EVIDENCE_CHARACTERS = 20, 4_000_000

#: The cache key in a Cache-Status (RFC 9211 section 2.7), a string or a token.
_KEY = re.compile(r';\s*key\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^;,\s]*)', re.IGNORECASE)
#: What stands in the place of a header's value.
_HASHED = re.compile(r"(?:[^=;]*=)?sha256:[0-9a-f]{12}")
#: Request headers that hold a visitor's secret; what an answer repeats of them is hashed.
_SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization"})


def secrets_of(members: Sequence[Visitor]) -> tuple[str, ...]:
    """What must be in no finding: the members' sentinels, and the values of their sessions."""
    sentinels = [value for member in members for value in member.sentinels]
    sessions = [part for member in members for _, value in member.headers for part in _parts(value)]
    return (*sentinels, *sessions)


def redacted(finding: Finding, secrets: Sequence[str]) -> Finding:
    """The finding with evidence that holds no body, no cookie, no request header and none of some secrets."""
    return finding._replace(evidence=tuple(_hidden(exchange, secrets) for exchange in finding.evidence))


def exchange_json(exchange: Exchange) -> dict[str, Any]:
    """What of an exchange may be kept and shown: no body, no cookie, no header that could carry a person's data.

    Bounded, whatever a server sends: what is left out is counted in a last header without a name.
    """
    headers = _headers(exchange, _own_secrets(exchange))
    return {
        "method": exchange.probe.method,
        "url": shortened(exchange.url, MAX_URL_CHARACTERS),
        "at": round(exchange.started, 3),
        "status": exchange.status,
        "error": exchange.error,
        "detail": shortened(hidden(exchange.detail), MAX_VALUE_CHARACTERS),
        "first_byte_ms": round(exchange.phases.first_byte * 1000, 3),
        "node": exchange.node,
        "size": exchange.size,
        "body_hash": exchange.body_hash,
        "headers": headers,
    }


def evidence_json(verdicts: Sequence[Verdict]) -> Mapping[int, list[dict[str, Any]]]:
    """The evidence of each finding, by the finding's `id`, as much as a report may hold: that of the worst first."""
    room, shown_of = MAX_EVIDENCE_CHARACTERS, {}
    for finding in sorted((one for verdict in verdicts for one in verdict.findings), key=urgency):
        exchanges = [exchange_json(one) for one in _each_once(finding.evidence)[:MAX_EXCHANGES]]
        room -= sum(map(_size, exchanges))
        if room < 0:
            break
        shown_of[id(finding)] = exchanges
    return shown_of


def exchanges_left_out(finding: Finding, exchanges: Sequence[Any]) -> int:
    """How many exchanges of a finding's evidence are not among those that are shown."""
    return len(_each_once(finding.evidence)) - len(exchanges)


def _each_once(evidence: Sequence[Exchange]) -> list[Exchange]:
    return list({id(one): one for one in evidence}.values())


def _size(exchange: Mapping[str, Any]) -> int:
    return 300 + len(exchange["url"]) + sum(len(name) + len(value) + 8 for name, value in exchange["headers"])


def _hidden(exchange: Exchange, secrets: Sequence[str]) -> Exchange:
    secrets = (*secrets, *_own_secrets(exchange))
    headers = []
    for name, value in exchange.headers:
        if name.lower() == "set-cookie":
            headers.append((name, _cookie(value, secrets)))
        elif name.lower() in TELLING:
            said = _without_key(name, value)
            secret = stands_in(said.encode("latin-1", "replace"), secrets)
            headers.append((name, _hash(said) if secret else said))
    probe = replace(exchange.probe, headers=(), url=without_random_names(exchange.probe.url))
    return replace(exchange, probe=probe, headers=tuple(headers), body=None)


def _headers(exchange: Exchange, secrets: Sequence[str]) -> list[list[str]]:
    """The headers that may be shown, cookies last, and how many there were more."""
    names = TELLING | {exchange.probe.status_header.lower()} - {"set-cookie"}
    telling = [(name, value) for name, value in exchange.headers if name.lower() in names]
    cookies = exchange.all("set-cookie")
    shown = telling[:MAX_HEADERS]
    headers = [[shortened(name, MAX_VALUE_CHARACTERS), _value(name, value, secrets)] for name, value in shown]
    headers += [["set-cookie", _cookie(value)] for value in cookies[:MAX_COOKIES]]
    more = [(len(telling) - MAX_HEADERS, "headers"), (len(cookies) - MAX_COOKIES, "cookies")]
    said = ", ".join(f"{count:,} more {what}" for count, what in more if count > 0)
    return [*headers, ["", f"{said} left out"]] if said else headers


def _value(name: str, value: str, secrets: Sequence[str]) -> str:
    said = _without_key(name, value)
    if any(secret in said for secret in secrets):
        return _hash(said)
    return shortened(without_credentials(shortened(said, 10 * MAX_VALUE_CHARACTERS)), MAX_VALUE_CHARACTERS)


def _without_key(name: str, value: str) -> str:
    """The value of a header without the cache key that Cache-Status may tell, which carries queries and tokens."""
    return _KEY.sub("", value) if name.lower() == "cache-status" else value


def _own_secrets(exchange: Exchange) -> tuple[str, ...]:
    """The values of the cookies that an exchange set, and of what its request was known by."""
    sent = [value for name, value in exchange.probe.headers if name.lower() in _SECRET_HEADERS]
    given = [cookie_of(value)[1] for value in exchange.all("set-cookie")[: 10 * MAX_COOKIES]]
    return tuple(part for value in (*sent, *given) for part in _parts(value))


def _parts(value: str) -> Iterator[str]:
    return (part for part in re.split(r"[;=\s]+", value) if len(part) >= MIN_SECRET_CHARACTERS)


def _cookie(field: str, secrets: Sequence[str] = ()) -> str:
    if _HASHED.fullmatch(field):
        return field
    name = cookie_of(field)[0]
    named = name and not any(secret in name for secret in secrets)
    return f"{shortened(name, MAX_VALUE_CHARACTERS) if named else ''}={_hash(field)}"


def _hash(value: str) -> str:
    return f"sha256:{hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:12]}"


def without_random_names(text: str) -> str:
    """A text in which no random name can be read, as who knows it could fetch what may be stored there."""
    return re.sub(r"[0-9a-f]{32}", "<random>", text)
