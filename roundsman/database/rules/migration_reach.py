"""What a rehearsal's commands may reach: which variables would lead them to the live database, and what they tried."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

#: Left as they are whatever they hold: without them nothing runs, and none of them is read as an address.
_PLAIN_NAMES = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TERM", "PWD", "TMPDIR", "VIRTUAL_ENV"}
)
_OURS = ("PREFECT_", "ROUNDSMAN_")
#: libpq, "Environment Variables": each begins with these letters and has no underscore after them.
_LIBPQ = re.compile(r"PG[A-Z]+")
_DATABASE_URL = re.compile(
    r"(?i)\b(?:postgres(?:ql)?|psql|pgsql|postgis|cockroachdb|redshift|mysql|mariadb|mssql|oracle|sqlite3?|spatialite)"
    r"(?:\+\w+)?:(?://|/)"
)
_CONNECTION_WORDS = re.compile(r"(?i)(?:^|[\s;])(?:host|hostaddr|dbname|service|server|data source)\s*=\s*\S")
_OF_A_DATABASE = re.compile(r"(?i)db|database|pg|postgres|sql|host|server|user|port|pass|pwd|live|prod")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})
#: A shorter password stands in too many values that have nothing to do with it.
_MIN_SECRET_CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class Address:
    """A live database, in the parts that a variable may hold."""

    hosts: frozenset[str] = frozenset()
    """Names and addresses of its server, the folder of its socket among them."""
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    """Its name, or on SQLite the file's path."""
    file: bool = False


@dataclass(frozen=True, slots=True)
class ReachAttempt:
    """One attempt to reach something else than the copy, as the end of a sentence: `tried to reach ...`."""

    what: str
    target: str
    database: bool = False
    """Whether it was after a database."""
    leg: str = ""
    """Which command of the rehearsal it was."""


def attempt_messages(attempts: Iterable[ReachAttempt]) -> list[str]:
    """Sentences on what was tried, each once, those after databases first.

    A name that was only looked up is left out where a connection to it is reported as well.
    """
    known = list(dict.fromkeys(attempts))
    reached = {(one.leg, one.target.split(" ")[-1].rpartition(":")[0]) for one in known if one.what != "looked up"}
    kept = [one for one in known if one.what != "looked up" or (one.leg, one.target) not in reached]
    legs: dict[str, list[str]] = {}
    for one in sorted(kept, key=lambda one: not one.database):
        legs.setdefault(f"{one.what} {one.target}", []).append(one.leg)
    return [f"{' and '.join(filter(None, by)) or 'the command'} {what}" for what, by in legs.items()]


def withheld(environment: Mapping[str, str], live: Iterable[Address]) -> frozenset[str]:
    """Names of the variables that lead to a database, or that only Roundsman needs."""
    addresses = tuple(live)
    return frozenset(
        name
        for name, value in environment.items()
        if name.startswith(_OURS)
        or _LIBPQ.fullmatch(name)
        or (name not in _PLAIN_NAMES and any(_leads(name, form, addresses) for form in _forms(value)))
    )


def decoys(environment: Mapping[str, str], names: Iterable[str], live: Iterable[Address], file: str) -> dict[str, str]:
    """Values for withheld variables that lead to where each use of them is seen, for those that are a whole address.

    Args:
        environment: What the variables hold.
        names: Those that are withheld.
        live: The live database.
        file: A file to open in the place of an SQLite database.
    """
    paths = [address.database for address in live if address.file]
    found = {}
    for name in environment.keys() & set(names):
        value = environment[name]
        scheme, is_url, _ = value.partition("://")
        for path in paths:
            if path in value:
                found[name] = value.replace(path, file)
        if name not in found and is_url and re.fullmatch(r"[\w+.-]+", scheme) and "sqlite" not in scheme:
            found[name] = f"{scheme}://{decoy_host(name)}:5432/live"
    return found


def decoy_host(name: str) -> str:
    """A host that is not there, for a variable."""
    return f"{name.lower().replace('_', '-')}.withheld"


def of_the_project(names: Iterable[str]) -> list[str]:
    """Those of the withheld variables that the reviewed project may have been about to read."""
    return sorted(name for name in names if not name.startswith(_OURS))


def _forms(value: str) -> set[str]:
    """A value as it is, out of a URL, and out of base64."""
    forms = {value, unquote(value)}
    for word in re.findall(r"[A-Za-z0-9+/_-]{12,}={0,2}", value):
        try:
            plain = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_" if set(word) & set("-_") else None)
            forms.add(plain.decode())
        except (binascii.Error, ValueError):
            continue
    return forms


def _leads(name: str, value: str, live: Iterable[Address]) -> bool:
    return bool(_DATABASE_URL.search(value) or _CONNECTION_WORDS.search(value)) or any(
        _is_part(name, value, address) for address in live
    )


def _is_part(name: str, value: str, live: Address) -> bool:
    """Whether a value holds a part of an address that can only be meant as that."""
    if live.file:
        return live.database in value or _has_word(value, live.database.rpartition("/")[2])
    if len(live.password) >= _MIN_SECRET_CHARACTERS and live.password in value:
        return True
    if any(_has_word(value, host) for host in live.hosts - _LOOPBACK):
        return True
    parts = {live.user, live.password, live.database, str(live.port or ""), *live.hosts} - {""}
    return value in parts and bool(_OF_A_DATABASE.search(name))


def _has_word(value: str, word: str) -> bool:
    return bool(word) and re.search(rf"(?i)(?<![\w.-]){re.escape(word)}(?![\w-]|\.\w)", value) is not None


def named(attempts: Iterable[ReachAttempt], leg: str) -> list[ReachAttempt]:
    """The attempts as those of one command."""
    return [replace(one, leg=leg) for one in attempts]


#: What may stand in braces in `env:` of a database file.
PARTS = ("url", "host", "port", "user", "password", "database")
_PART = re.compile(r"\{([^{}]*)\}")


def unknown_parts(template: str) -> list[str]:
    """What stands in braces and is no part of an address."""
    return [part for part in _PART.findall(template) if part not in PARTS]


def filled(template: str, parts: Mapping[str, str]) -> str:
    """A template with the parts of an address in it."""
    return _PART.sub(lambda found: parts[found[1]], template)
