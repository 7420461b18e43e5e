"""The picture of a comparison."""

import base64
import re
from dataclasses import replace

import pytest

from flows.rules.comparison import Word
from flows.rules.ratio import Ratio
from flows.tasks.picture_times import forest

RATIO = Ratio("/a", "miss", 1.3, 1.2, 1.4, Word.SLOWER)


def svg(uri):
    assert uri.startswith("data:image/svg+xml;base64,")
    return base64.b64decode(uri.partition(",")[2]).decode()


def lines(drawn):
    """The comments that matplotlib writes beside each text, in order."""
    return re.findall(r"<!-- (.*?) -->", drawn)


def test_a_forest_names_each_route_and_what_became_of_it():
    said = lines(svg(forest([replace(RATIO, word=word, path=f"/{place}") for place, word in enumerate(Word)], 0.05)))
    assert {f"/{place}  miss" for place in range(5)} | {str(word) for word in Word} <= {*said}


def test_only_the_slowest_are_drawn_where_there_are_too_many():
    many = [replace(RATIO, path=f"/{place}", ratio=1 + place / 100) for place in range(60)]
    said = [text for text in lines(svg(forest(many, 0.05))) if text.endswith("miss")]
    assert [f"/{place}  miss" for place in range(20, 60)] == said


@pytest.mark.parametrize("ends", [(0.0, float("inf")), (1e-9, 1e9), (1.3, 1.3)])
def test_an_interval_without_an_end_can_be_drawn(ends):
    low, high = ends
    assert "/a  miss" in lines(svg(forest([replace(RATIO, low=low, high=high)], 0.05)))


def test_without_a_speed_there_is_no_picture():
    assert "" == forest([], 0.05)
