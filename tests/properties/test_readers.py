"""Whatever a header holds, reading it never stumbles. Apart from the rules' own tests, which take under a second."""

from hypothesis import given
from hypothesis import strategies as st

from roundsman.http.cache_status import cache_state
from roundsman.http.freshness import directives, lifetime, storable
from tests.make import exchange


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_header_value_makes_the_readers_stumble(value):
    seen = exchange(cache_control=value, cache_status=value, age=value, expires=value, date=value, x_cache=value)
    cache_state(seen)
    storable(seen)
    lifetime(seen)
    assert all(name == name.lower() for name in directives(value))
