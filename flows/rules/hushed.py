"""Evidence without secrets: of a member's page and its cookies only hashes are kept, and headers that tell nothing."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace

from flows.rules.exchange import TELLING, Exchange, without_key
from flows.rules.own_key import shown
from flows.rules.sentinel import stands_in
from flows.rules.verdict import Finding
from flows.rules.visitor import Visitor

#: Characters from which on a part of a session's header is looked for: a shorter one stands in many places by chance.
SHORTEST = 8


def secrets_of(members: Sequence[Visitor]) -> tuple[str, ...]:
    """What must be in no finding: the members' sentinels, and the values of their sessions."""
    sentinels = [value for member in members for value in member.sentinels]
    sessions = [part for member in members for _, value in member.headers for part in re.split(r"[;=\s]+", value)]
    return (*sentinels, *(part for part in sessions if len(part) >= SHORTEST))


def hushed(finding: Finding, secrets: Sequence[str]) -> Finding:
    """The finding with evidence that holds no body, no cookie, no request header and none of some secrets."""
    return finding._replace(evidence=tuple(_hidden(exchange, secrets) for exchange in finding.evidence))


def _hidden(exchange: Exchange, secrets: Sequence[str]) -> Exchange:
    headers = []
    for name, value in exchange.headers:
        if name.lower() == "set-cookie":
            cookie, is_named, _ = value.partition(";")[0].partition("=")
            headers.append((name, f"{cookie.strip()}={_hash(value)}" if is_named else _hash(value)))
        elif name.lower() in TELLING:
            plain = without_key(name, value)
            secret = stands_in(plain.encode("latin-1", "replace"), secrets)
            headers.append((name, _hash(plain) if secret else plain))
    probe = replace(exchange.probe, headers=(), url=shown(exchange.probe.url))
    return replace(exchange, probe=probe, headers=tuple(headers), body=None)


def _hash(value: str) -> str:
    return f"sha256:{hashlib.sha256(value.encode('utf-8', 'replace')).hexdigest()[:12]}"
