"""Path patterns and robots.txt lines mean what their plain reading says, and no path makes them slow."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roundsman.site.rules.promises import glob
from roundsman.sweep.rules.robots import Robots

PATHS = st.text(alphabet="ab/", max_size=12).map("/".__add__)


def matches(words, pattern, path):
    """By backtracking, which is right and slow."""
    parts = re.split(f"({'|'.join(map(re.escape, words))})", pattern)
    return re.fullmatch("".join(words.get(part, re.escape(part)) for part in parts), path) is not None


@given(st.lists(st.sampled_from(["a", "b", "/", "*", "**"]), max_size=9).map(lambda parts: "/" + "".join(parts)), PATHS)
def test_a_star_stays_within_a_segment_and_two_cross_them(pattern, path):
    assert matches({"**": ".*", "*": "[^/]*"}, pattern, path) is (glob(pattern).fullmatch(path) is not None)


@given(st.lists(st.sampled_from(["a", "b", "/", "*"]), max_size=9).map(lambda parts: "/" + "".join(parts)), PATHS)
def test_a_line_of_robots_is_a_beginning_with_any_text_for_a_star(pattern, path):
    for end, rest in (("", ".*"), ("$", "")):
        forbidden = matches({"*": ".*", "~": rest}, f"{pattern}~", path)
        assert forbidden is not Robots.of(f"User-agent: *\nDisallow: {pattern}{end}".encode()).allows(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/blog/*-*-*-*", "/blog/" + "-" * 1990 + "/"),
        ("/" + "*a" * 20 + "b", "/" + "a" * 2000),
        ("/**" + "*a" * 20 + "/b", "/" + "a" * 2000 + "/"),
        ("/**" + "/*a" * 20 + "b", "/a" * 1000),
        ("/" + "**a" * 20 + "b", "/" + "a" * 2000),
    ],
)
def test_a_pattern_that_backtracking_would_never_finish_is_answered(pattern, path):
    assert not glob(pattern).fullmatch(path)
