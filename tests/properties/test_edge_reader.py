"""Whatever headers come, the edge reader answers, and what carries no meaning never changes the answer."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.http import cache_status, vendor_headers
from roundsman.http.cache_status import CacheState, OriginContacted, read
from tests.make import exchange

HEARD = sorted(cache_status._STATUS_HEADERS)
EDGES = st.sampled_from(["", "an edge of tomorrow", *vendor_headers.EDGES])
ANYTHING = st.text(alphabet=st.characters(max_codepoint=255), max_size=60)
#: Nearly right values: the words and the punctuation of all vendors, in any order.
NEARLY = st.lists(
    st.sampled_from(
        [
            *("HIT", "Miss", "stale", "hit-stale", "TCP_REFRESH_HIT", "TCP_X_HIT", "RefreshHit", "REVALIDATED", "N/A"),
            *("edge", "hit", "fwd", "fwd-status", "304", "ttl", "detail", "?0", "?1", "-1", "12", "desc", "cdn-cache"),
            *(";", "=", ",", '"', "\\", " ", "\t", "(", ")", "from", "child", "cloudfront", "[uScSsN", "c", "]", "::"),
        ]
    ),
    max_size=12,
).map("".join)
VALUES = st.one_of(ANYTHING, NEARLY)
NAMES = st.one_of(st.sampled_from(HEARD), st.text(alphabet=st.characters(max_codepoint=255), max_size=20))
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=8)
#: Names that no reader knows.
UNRELATED = st.tuples(st.text(alphabet=string.ascii_letters, min_size=1).map("Z-".__add__), VALUES)


def heard(headers, edge="", status_header=""):
    seen = exchange()
    probe = replace(seen.probe, edge=edge, status_header=status_header)
    return read(replace(seen, probe=probe, headers=tuple(headers)))


def meaning(told):
    return told.state, told.origin_contacted, told.layers, told.header, told.node.casefold()


def folded(value):
    """Swapped case, as far as it is letters of HTTP."""
    return value.translate({ord(letter): letter.swapcase() for letter in string.ascii_letters})


@given(HEADERS, EDGES, NAMES)
def test_no_header_makes_the_reader_stumble(headers, edge, own):
    told = heard(headers, edge, own)
    assert told.state in CacheState
    assert told.origin_contacted in OriginContacted
    assert bool(told.header) == bool(told.layers)
    assert "" == told.header or told.header in {name.lower() for name, _ in headers}


@pytest.mark.parametrize("header", HEARD)
@given(value=st.one_of(ANYTHING, NEARLY, NEARLY.map("edge".__add__)), edge=EDGES)
def test_no_value_makes_the_reader_of_its_header_stumble(header, value, edge):
    assert heard([(header, value)], edge).state in CacheState
    assert heard([(header, value), ("x-cache", "hit-stale"), ("x-cache-lookup", value)], edge).state in CacheState


@given(HEADERS, EDGES)
def test_reading_twice_says_the_same(headers, edge):
    fresh = heard(headers, edge)
    cache_status._summary.cache_clear()
    cache_status._status_layout.cache_clear()
    assert fresh == heard(headers, edge) == heard(headers, edge)


@given(HEADERS, EDGES)
def test_the_case_of_names_and_values_never_changes_the_answer(headers, edge):
    """But for Via: the letters of Traffic Server are large for a value and small for a name."""
    other = [(folded(name), value if name.lower() == "via" else folded(value)) for name, value in headers]
    assert meaning(heard(headers, edge)) == meaning(heard(other, edge))


@given(HEADERS, EDGES, st.text(alphabet=" \t", max_size=3), st.text(alphabet=" \t", max_size=3))
def test_white_space_around_a_value_never_changes_the_answer(headers, edge, before, after):
    other = [(name, f"{before}{value}{after}") for name, value in headers]
    assert meaning(heard(headers, edge)) == meaning(heard(other, edge))


MEMBER = st.tuples(
    st.sampled_from(["edge", '"an edge"', "10.0.0.1"]),
    st.lists(st.sampled_from(["hit", "hit=?0", "fwd=stale", "fwd=miss", "fwd-status=304", "ttl=-3", 'key="a b"'])),
)


@given(st.lists(MEMBER, min_size=1, max_size=3), st.sampled_from(["", " ", "  ", "\t"]))
def test_white_space_inside_cache_status_never_changes_the_answer(members, gap):
    def written(space):
        return f",{space}".join(f"{space};{space}".join([name, *parameters]) for name, parameters in members)

    assert heard([("cache-status", written(""))]) == heard([("cache-status", written(gap))])


@given(HEADERS, st.lists(UNRELATED, max_size=5), EDGES, st.randoms(use_true_random=False))
def test_unrelated_headers_and_their_order_never_matter(headers, unrelated, edge, random):
    """The values of one name keep their order; all else may come as it likes."""
    mixed = [*headers, *unrelated]
    random.shuffle(mixed)
    for name in {name.lower() for name, _ in headers}:
        places = [place for place, (other, _) in enumerate(mixed) if other.lower() == name]
        values = [header for header in headers if header[0].lower() == name]
        for place, header in zip(places, values, strict=True):
            mixed[place] = header
    assert heard(headers, edge) == heard(mixed, edge)


@given(st.sampled_from(["HIT", "MISS", "BYPASS", "EXPIRED", "REVALIDATED", "STALE"]), EDGES, HEADERS)
def test_a_header_that_the_site_names_is_the_outermost_layer(word, edge, headers):
    told = heard([*headers, ("X-Front", word.lower())], edge, "x-Front")
    assert ("x-front", word) == (told.header, told.layers[0].state)
