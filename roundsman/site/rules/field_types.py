"""The words that the files of this project are made of, and what is said when one is written wrong."""

import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema, no_info_after_validator_function

#: RFC 9110 section 5.6.2.
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"


def _without_controls(text: str) -> str:
    """ValueError for a control character, which no command takes, no terminal shows and PostgreSQL does not keep."""
    if any(not (one.isprintable() or one in "\n\r\t") and ord(one) < ord("\xa0") for one in text):
        raise ValueError("wanted text without control characters")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_without_controls)]


@dataclass(frozen=True)
class _Form:
    """The form of a string, with words for what was wanted instead of the expression itself."""

    pattern: str
    wanted: str

    def check(self, text: str) -> str:
        """ValueError for a text of another form."""
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"wanted {self.wanted}")
        if not text.isprintable():
            raise ValueError(f"wanted {self.wanted}, without characters that can't be seen")
        return text

    def __get_pydantic_core_schema__(self, source: type[str], handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": f"^{self.pattern}$"}


def _address(text: str) -> str:
    """ValueError for a port or host that nobody can connect to."""
    if not text.isascii():
        scheme, _, host = text.partition("://")
        try:
            remedy = f"; did you mean {scheme}://{host.encode('idna').decode()}?"
        except UnicodeError:
            remedy = ""
        raise ValueError(f"wanted the host as it is sent, in ASCII{remedy}")
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("wanted a host and, if it is written, a port from 1 to 65535, such as http://10.0.0.7:8080")
    return text


def _tried(condition: str) -> str:
    """ValueError for a bypass, or a part of a key, that no probe can try."""
    kind, _, name = condition.partition(" ")
    if kind == "method" and name not in {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"}:
        raise ValueError("wanted a method that no copy answers, such as `method POST`")
    if kind in {"cookie", "header"} and not re.fullmatch(_WORD, name):
        raise ValueError(f"wanted the name of a {kind} alone, such as `{kind} preview`")
    if kind == "header" and name.lower() in {"cache-control", "pragma"}:
        raise ValueError("wanted another header: a probe never sends this one, as it would change what the cache does")
    return condition


Name = Annotated[str, _Form(r"[a-z0-9][a-z0-9-]*", "lower-case letters, digits and dashes, such as shop-de")]
BlockName = Annotated[
    str, _Form(r"[a-z0-9-]+/[a-z0-9-]+", "a block's type and name, such as varnish/shop or member/ada")
]
Path = Annotated[str, _Form(r"/\S*", "a path that starts with a slash, such as /articles/tomatoes")]
Address = Annotated[
    str,
    _Form(r"https?://[^/?#@\s\\]+", "scheme and host without a path, such as https://www.example.com"),
    AfterValidator(_address),
]
Condition = Annotated[
    str,
    _Form(
        r"(cookie|header|query|path|method) \S+",
        "`cookie NAME`, `header NAME`, `query NAME`, `path /GLOB` or `method NAME`",
    ),
    AfterValidator(_tried),
]
KeyPart = Annotated[
    str,
    _Form(
        r"(query|host|header|cookie) \S+|order|case|slash",
        "`query NAME`, `host NAME`, `header NAME`, `cookie NAME`, `order`, `case` or `slash`",
    ),
    AfterValidator(_tried),
]
HeaderName = Annotated[str, _Form(_WORD, "the name of a header, such as X-Cache-Status")]
EnvName = Annotated[str, _Form(r"[A-Z][A-Z0-9_]*", "the name of an environment variable, such as SHOP_ADA_PASSWORD")]


class Model(BaseModel):
    """A part of a file that people write: what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
