"""The picture of a comparison."""

import base64
import re
from dataclasses import replace

import pytest

from flows.rules.aligned_ranks import Shift, Tail
from flows.rules.comparison import Speed, Word
from flows.tasks.picture import forest

SPEED = Speed("/a", "miss", 600, 300, 0.01, Shift(1.3, 1.2, 1.4, 0.001), Tail(0.1, 0.05, 0.1, 1.5, 0.01), None)


def svg(uri):
    assert uri.startswith("data:image/svg+xml;base64,")
    return base64.b64decode(uri.partition(",")[2]).decode()


def lines(drawn):
    """The comments that matplotlib writes beside each text, in order."""
    return re.findall(r"<!-- (.*?) -->", drawn)


def test_a_forest_names_each_route_and_what_became_of_it():
    said = lines(svg(forest([replace(SPEED, word=word, path=f"/{place}") for place, word in enumerate(Word)], 0.05)))
    assert {f"/{place}  miss" for place in range(5)} | {str(word) for word in Word} <= {*said}


def test_only_the_slowest_are_drawn_where_there_are_too_many():
    many = [replace(SPEED, path=f"/{place}", shift=replace(SPEED.shift, ratio=1 + place / 100)) for place in range(60)]
    said = [text for text in lines(svg(forest(many, 0.05))) if text.endswith("miss")]
    assert [f"/{place}  miss" for place in range(20, 60)] == said


@pytest.mark.parametrize("ends", [(0.0, float("inf")), (1e-9, 1e9), (1.3, 1.3)])
def test_an_interval_without_an_end_can_be_drawn(ends):
    low, high = ends
    assert "/a  miss" in lines(svg(forest([replace(SPEED, shift=Shift(1.3, low, high, 0.5))], 0.05)))


def test_without_a_speed_there_is_no_picture():
    assert "" == forest([], 0.05)
