"""A value is found in whatever dress it comes, and not where it is none."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from roundsman.report.rules.visitor import shows
from tests.make import exchange

VALUE = "Ada Lovelace+1 <ada@members.test> é/\"'&"


def numeric(text, form="&#{};"):
    return "".join(form.format(ord(letter)) for letter in text)


def in_base64(text, before=0):
    return base64.b64encode(b"#" * before + text.encode() + b"some more")


DRESSES = {
    "plain": VALUE.encode(),
    "in latin-1": VALUE.encode("latin-1"),
    "entities": html.escape(VALUE).encode(),
    "decimal entities": numeric(VALUE).encode(),
    "hexadecimal entities": numeric(VALUE, "&#x{:X};").encode(),
    "JSON": json.dumps(VALUE).encode(),
    "JSON as it stands": json.dumps(VALUE, ensure_ascii=False).encode(),
    "JSON all escaped": "".join(f"\\u{ord(letter):04X}" for letter in VALUE).encode(),
    "JSON with slashes": json.dumps(VALUE).replace("/", "\\/").encode(),
    "JavaScript": "".join(f"\\x{ord(letter):02x}" for letter in VALUE).encode(),
    "URL": quote(VALUE, safe="").encode(),
    "URL in lower case": quote(VALUE, safe="").lower().replace("ada%20lovelace", "Ada%20Lovelace").encode(),
    "URL with plus": quote_plus(VALUE).encode(),
    "URL all encoded": "".join(f"%{byte:02X}" for byte in VALUE.encode()).encode(),
    "a URL in a URL": quote(quote(VALUE, safe=""), safe="").encode(),
    "JSON in HTML": html.escape(json.dumps({"who": VALUE})).encode(),
    "a URL in JSON in HTML": html.escape(json.dumps({"who": quote(VALUE, safe="")}).replace("%", "\\u0025")).encode(),
    "base64": base64.b64encode(VALUE.encode()),
    "base64, one in": in_base64(VALUE, 1),
    "base64, two in": in_base64(VALUE, 2),
    "base64 for URLs": base64.urlsafe_b64encode(b"~~~" + VALUE.encode()),
    "base64 in a URL": quote(in_base64(VALUE, 2).decode(), safe="").encode(),
    "JSON in base64": base64.b64encode(b"{" + json.dumps({"n": VALUE}).encode() + b"}"),
}


@pytest.mark.parametrize("dress", DRESSES.values(), ids=DRESSES)
@pytest.mark.parametrize("place", ["body", "header"])
def test_a_value_is_found_in_every_dress(dress, place):
    page = b"<p>" + dress + b"</p>"
    location = {} if place == "body" else {"location": "/?next=" + page.decode("latin-1")}
    assert shows(exchange(body=b"" if location else page, **location), ["nobody", VALUE])


@pytest.mark.parametrize("before", [0, 1, 2])
def test_both_alphabets_of_base64_are_read(before):
    value = "???>>>~~~who???>>>"
    text = b"#" * before + value.encode()
    assert all(sign in base64.urlsafe_b64encode(text).decode() for sign in "-_")
    assert shows(exchange(body=base64.urlsafe_b64encode(text)), [value])
    assert shows(exchange(body=base64.b64encode(text)), [value])


EMOJI = "Ada \U0001f600 L"


@pytest.mark.parametrize("page", [json.dumps(EMOJI), numeric(EMOJI), EMOJI, quote(EMOJI)])
def test_a_character_of_two_halves_is_found(page):
    assert shows(exchange(body=page.encode()), [EMOJI])


@pytest.mark.parametrize(
    ("values", "body"),
    [
        (["ada@members.test"], b"ben@members.test"),
        (["ada@members.test"], in_base64("ben@members.test", 1)),
        (["", "  "], b"  "),
        ([], b"anything"),
        (["42"], base64.b64encode(b"a42b42c42")),
        (["ada"], b"\\u"),
        (["ada"], b"\xff\xfe%zz&#xffffffff;\\ud800\\"),
    ],
)
def test_what_is_not_there_is_not_found(values, body):
    assert not shows(exchange(body=body), values)


def test_a_page_without_a_body_shows_nothing():
    assert not shows(exchange(error="refused", body=b""), ["ada"])
