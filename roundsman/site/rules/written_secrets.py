"""Secrets that are written into a file which everybody may read, instead of `{env: NAME}`. No secret is ever quoted."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

Place = tuple[str | int, ...]

#: What calls itself a secret. Words are divided as in `api_key`, `Api-Key`, `apiKey`.
_CALLED = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|pin|otp|totp|apikey|auth(?:orization)?|bearer|cookie|credentials?|"
    r"(?:api|access|private|secret|signing|shared|auth|integration|license|account|encryption)_?key|"
    r"(?:access_key|client|session)_(?:id|secret)|sessionid|sid|csrf|signature"
)
_SECRET_NAME = re.compile(rf"(?:^|.*_)(?:{_CALLED})s?")
#: Such as PGPASSWORD.
_ENDS_SECRET = re.compile(r"(?:password|passwd|passphrase|secret|token|apikey)s?$")
#: Such as `token_header`, which says where a secret is, and `secret_name`, which says what it is called.
_ABOUT = re.compile(r".*_(?:name|field|env|file|path|header|length|policy|type|kind|ttl|url|variable|domain)")
#: A header or a form field that carries one under another name.
_CARRIES = re.compile(r"(?:.*_)?(?:key|sess(?:ion)?|code)")
_CARRIERS = frozenset(["headers", "form", "form_data", "cookies", "params", "secrets"])
#: A secret that is filled in later: a shell's variable, a template, a file.
_FILLED_IN = re.compile(r"(?s)^['\"]?(?:$|\$|.*\$\{|.*\$\(|.*\{\{|@|<|%|\*+$|\.{3}$|…$)")
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
_LOGIN = re.compile(rf"({_SCHEME})([^\s/?#@]*)@")
#: One whose password has a slash, so that it is not read as one.
_BROKEN_LOGIN = re.compile(rf"{_SCHEME}[^\s/?#@]+:(?!\d*[/?#])[^\s@]+@")
_QUERY = re.compile(r"[?&;]([\w.~%\[\]-]+)=([^&;#\s'\"]+)")
_PAIR = re.compile(r"(?<![\w?&;-])(-{0,2}[A-Za-z][\w.-]*)=([^\s'\"]+|'[^']*'|\"[^\"]*\")")
_OPTION = re.compile(r"(?<!\S)--?([A-Za-z][\w-]*)\s+([^\s-][^\s]*)")
_HEADER = re.compile(
    r"(?:(authorization)\s*:\s*(?:(?:basic|bearer|token|digest)\s+)?|((?:set-)?cookie|x-[\w-]*(?:key|token|secret|auth))\s*:\s*)"
    r"([^\s'\"]+)",
    re.IGNORECASE,
)
_LOGIN_OPTIONS = frozenset(["-u", "--user", "--proxy-user", "-U"])
#: Secrets that are known by their looks.
_LOOKS = re.compile(
    r"""-----BEGIN\ [A-Z ]*PRIVATE\ KEY | \bAKIA[0-9A-Z]{16}\b | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
    | \bglpat-[\w-]{16,} | \bxox[abeoprs]-[\w-]{10,} | \b[rs]k_(?:live|test)_\w{10,} | \bAIza[\w-]{30,}
    | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]* | hooks\.slack\.com/services/\w+/\w+/\w+
    | discord(?:app)?\.com/api/webhooks/\d+/[\w-]+ | webhook\.office\.com/webhookb2/[\w-]+""",
    re.VERBOSE,
)
#: Letters and digits that nobody makes up for an example.
_RANDOM = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.~+/=-]{16,}")

_ENV_NAME = re.compile(r"[A-Z][A-Z0-9_]*")

#: Sections of a site or database file in which `{env: NAME}` stands for a secret.
_READ_FROM_ENVIRONMENT = frozenset(["blocks", "url", "nodes"])
_MEND = "wanted `{env: NAME}`, with the value in that environment variable where this runs; rotate the secret"
_OUTSIDE = "take it out of the file, leave it to the environment of what needs it, and rotate the secret"


def written_secrets(data: Any) -> Iterator[tuple[Place, str, str]]:
    """Each place of a file's data that holds a secret: what was seen, without the secret, and what to do."""
    for place, what in _walk(data, ()):
        is_read = bool(place) and place[0] in _READ_FROM_ENVIRONMENT
        yield place, f"{what} in plain text", _MEND if is_read else _OUTSIDE


def is_secret_name(name: str, inside: str = "") -> bool:
    """Whether something of this name, such as `api_key` or `X-Auth-Token`, is a secret by its name.

    `inside` is the name of the mapping that it stands in, such as `headers`.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").replace(".", "_").lower()
    if _ABOUT.fullmatch(words):
        return False
    return bool(
        _SECRET_NAME.fullmatch(words)
        or _ENDS_SECRET.search(words)
        or (inside in _CARRIERS and _CARRIES.fullmatch(words))
    )


def what_is_secret(text: str) -> str:
    """What kind of secret a text holds, such as `a login in an address`; empty when there is none."""
    if _LOOKS.search(text):
        return "a secret"
    return next(chain(_logins(text), _named(text)), "")


def _logins(text: str) -> Iterator[str]:
    for scheme, login in _LOGIN.findall(text):
        user, colon, password = login.partition(":")
        is_user = not colon and scheme.lower() not in {"http://", "https://"}
        if not is_user and not _FILLED_IN.match(password or user):
            yield "a login in an address"
    if _BROKEN_LOGIN.search(text):
        yield "a login in an address"


def _named(text: str) -> Iterator[str]:
    # In a path or an address it is the query's: see below.
    for name, value in () if text.startswith("/") or "://" in text else _PAIR.findall(text):
        if is_secret_name(name.lstrip("-")) and not _FILLED_IN.match(value.strip("'\"")):
            yield f"a secret as `{name}`"
    for name, value in _QUERY.findall(text):
        # A route may well be tried with `?token=example`; and `key` is a usual name for anything.
        is_sure = is_secret_name(name) and not text.startswith("/")
        is_random = is_secret_name(name, "params") and _RANDOM.fullmatch(value)
        if (is_sure or is_random) and not _FILLED_IN.match(value):
            yield f"a secret as the query parameter `{name}`"
    for authorization, header, value in _HEADER.findall(text):
        if not _FILLED_IN.match(value):
            yield f"a secret as the header `{authorization or header}`"


def _walk(data: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(data, Mapping):
        inside = str(place[-1]) if place else ""
        if set(data) == {"env"} and not isinstance(data["env"], Mapping):
            if not (isinstance(data["env"], str) and _ENV_NAME.fullmatch(data["env"])):
                yield (*place, "env"), "what is no variable's name, such as SHOP_PASSWORD: perhaps a secret"
            return
        for key, value in data.items():
            here = (*place, str(key))
            if _is_value(value) and is_secret_name(str(key), inside) and not _FILLED_IN.match(str(value)):
                yield here, f"a secret (`{key}`)"
            else:
                yield from _walk(value, here)
    elif isinstance(data, list | tuple):
        yield from _in_command(data, place)
        for index, value in enumerate(data):
            yield from _walk(value, (*place, index))
    elif isinstance(data, str) and (what := what_is_secret(data)):
        yield place, what


def _in_command(words: Sequence[Any], place: Place) -> Iterator[tuple[Place, str]]:
    """A secret that stands as the word after its option, or within words that a shell reads."""
    for index, word in enumerate(words):
        if not isinstance(word, str):
            continue
        following = words[index + 1] if index + 1 < len(words) else None
        if following is not None and _is_value(following) and not _FILLED_IN.match(str(following)):
            if re.fullmatch(r"--?[A-Za-z][\w-]*", word) and is_secret_name(word.lstrip("-")):
                if not str(following).startswith("-"):
                    yield (*place, index + 1), f"a secret as `{word}`"
            elif word in _LOGIN_OPTIONS and ":" in str(following):
                yield (*place, index + 1), f"a login as `{word}`"
        for name, value in _OPTION.findall(word) if " " in word else ():
            if is_secret_name(name) and not _FILLED_IN.match(value):
                yield (*place, index), f"a secret as `--{name}`"
                break


def _is_value(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)
