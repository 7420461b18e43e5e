"""Whatever a header holds, the judge answers; and what means the same is judged the same."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roundsman.http.fields import (
    delta_seconds,
    dictionary,
    directives,
    edge_control,
    http_date,
    members,
    pairs,
    surrogate,
)
from roundsman.http.rfc9111_reuse import HttpRequest, HttpResponse, judge
from roundsman.http.target import target, varies_on

URL = "https://www.example.com/a"
NAMES = ["Cache-Control", "Expires", "Date", "Age", "Vary", "CDN-Cache-Control", "Surrogate-Control", "Edge-Control"]
NAMES += ["Content-Location", "Pragma", "Authorization", "Range"]
FIELDS = ("edge-control", "surrogate-control", "cdn-cache-control")

#: The bytes of a header as the prober reads them, any text at all, and what nearly is a policy.
wild = st.binary(max_size=60).map(lambda value: value.decode("latin-1")) | st.text(max_size=60)
pieces = [
    "max-age",
    "s-maxage",
    "no-store",
    "private",
    "no-cache",
    "=",
    "60",
    "-1",
    '"',
    "\\",
    ",",
    ";",
    " ",
    "\t",
    "+",
    "(",
    "?0",
    "é",
]
nearly = st.lists(st.sampled_from(pieces), max_size=12).map("".join)
values = wild | nearly


@given(values)
@example("9" * 5000)
@example("Fri, 01 Jan 0000 00:00:00 GMT")
def test_no_value_makes_a_parser_stumble(value):
    for read in (directives, dictionary, surrogate, edge_control, delta_seconds, varies_on, target):
        read(value)
    http_date(value, 2026)
    assert all(name == name.lower() for name, _ in pairs(value))


headers = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=6).map(tuple)
methods = st.sampled_from(["GET", "HEAD", "POST", "", "é"])
asked = st.builds(HttpRequest, values | st.just(URL), methods, headers)


@given(asked, st.integers(0, 700), headers, asked, st.floats(0, 1e9), st.booleans())
def test_no_exchange_makes_the_judge_stumble(first, status, response, second, after, shared):
    for targeted in ((), FIELDS):
        decision = judge(
            first,
            HttpResponse(status, response, 1767225600.5, 0.2),
            second,
            after=after,
            targeted=targeted,
            shared=shared,
        )
        assert "RFC " in decision.why_storable
        assert "RFC " in decision.why_reuse
        assert decision.storable or decision.reuse in {"miss", "gateway-timeout"}


def written(said):
    """Directives as a Cache-Control value."""
    escaped = {name: re.sub(r'(["\\])', r"\\\1", argument or "") for name, argument in said.items()}
    return ", ".join(f'{name}="{argument}"' if argument else name for name, argument in escaped.items())


@given(values)
def test_what_was_read_reads_the_same_again(value):
    once = directives(value)
    assert once == directives(written(once))
    listed = list(members(value))
    assert listed == list(members(", ".join(listed)))


parts = ["/", ".", "..", "%2e", "%2F", "%41", "%zz", "a", "A", "?", "#", ":", "443", "80", "é", " "]
addresses = st.tuples(
    st.sampled_from(["https://WWW.example.com", "http://example.com", "http://example.com:80", "https://[::1]"]),
    st.lists(st.sampled_from(parts), max_size=10).map("".join),
).map("".join)


@given(addresses)
def test_an_address_in_its_one_form_stays_in_it(url):
    once = target(url)
    if len(once) == 5:
        scheme, host, port, path, query = once
        host = f"[{host}]" if ":" in host else host
        assert once == target(f"{scheme}://{host}:{port}{path}{'' if query is None else f'?{query}'}")


KNOWN = [
    "public",
    "private",
    "no-store",
    "no-cache",
    "max-age=60",
    "max-age=5",
    "s-maxage=60",
    "must-revalidate",
    "proxy-revalidate",
]
KNOWN += [
    "must-understand",
    "stale-while-revalidate=30",
    "stale-if-error=30",
    'private="set-cookie"',
    'no-cache="set-cookie"',
    "max-age=soon",
]
UNKNOWN = [
    "immutable",
    "no-transform",
    "x",
    'x="no-store, max-age=9"',
    "post-check=0",
    "community=UCI",
    'ext="\\"private"',
]
space = st.text(" \t", max_size=3)


@st.composite
def the_same_twice(draw):
    """A policy, and one that says the same with other case, other space and unknown directives elsewhere."""
    known = draw(st.lists(st.sampled_from(KNOWN), max_size=4))
    other = list(known)
    for unknown in draw(st.lists(st.sampled_from(UNKNOWN), max_size=3)):
        other.insert(draw(st.integers(0, len(other))), unknown)
    cased = [
        "".join(draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in one.partition("=")[0])
        + "".join(one.partition("=")[1:])
        for one in other
    ]
    spaced = ",".join(draw(space) + one + draw(space) for one in cased) + draw(st.sampled_from(["", ",", " , "]))
    return ", ".join(known), spaced


@given(
    the_same_twice(), st.sampled_from([200, 201, 404, 500, 599]), st.booleans(), st.sampled_from([0, 10, 61, 80, 100])
)
def test_case_space_and_unknown_directives_change_no_verdict(said, status, authorized, after):
    request = HttpRequest(URL, headers=(("Authorization", "x"),) if authorized else ())
    found = [
        judge(request, HttpResponse(status, (("Cache-Control", value),), 1767225600.0), request, after=after)
        for value in said
    ]
    seen = [
        (
            one.storable,
            one.why_storable,
            one.explicit_lifetime,
            one.heuristic_allowed,
            one.age,
            one.fresh,
            one.reuse,
            one.why_reuse,
        )
        for one in found
    ]
    assert seen[0] == seen[1]


@given(st.lists(st.sampled_from(KNOWN), max_size=4).map(", ".join), st.booleans())
def test_the_case_of_a_header_name_and_how_its_lines_are_cut_change_no_verdict(said, upper):
    first, _, rest = said.partition(", ")
    name = "CACHE-CONTROL" if upper else "cache-control"
    whole, cut = (("Cache-Control", said),), ((name, first), ("X-Other", "1"), (name, rest))
    found = [
        judge(HttpRequest(URL), HttpResponse(200, lines, 1767225600.0), HttpRequest(URL), after=10)
        for lines in (whole, cut)
    ]
    assert found[0].why_storable == found[1].why_storable
    assert found[0].why_reuse == found[1].why_reuse


@pytest.mark.parametrize("value", ['"' + '\\"' * 50_000, '"' * 100_001, 'a="' * 30_001, ',"' * 50_000, "a," * 50_000])
def test_a_long_value_is_read_in_time_that_grows_with_its_length(value):
    """Were it to grow with the square, these would take minutes."""
    begun = time.process_time()
    directives(value)
    assert time.process_time() - begun < 10
