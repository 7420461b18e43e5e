"""Pictures of a comparison, of a history, and of times before and since a release."""

import base64
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.report.rules.quantiles import Ratio
from roundsman.timing.pictures import Course, courses, forest, spreads
from roundsman.timing.rules.histogram import Histogram
from roundsman.timing.rules.judge_side_by_side import Word

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


AT = [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(20)]


@pytest.mark.parametrize("crept", [False, True])
def test_a_history_names_its_releases_and_its_changes(crept):
    levels = [(0, 9, 0.02), (10, 19, 0.026)]
    one = Course("miss", AT, [0.02] * 10 + [0.026] * 10, [0.06] * 20, levels, crept=crept)
    said = lines(svg(courses([one], {AT[9]: "1.8.1", AT[0] - timedelta(days=9): "1.0"})))
    assert {"1.8.1", "x1.30 crept" if crept else "x1.30", "miss in ms"} <= {*said}
    assert "1.0" not in said


def test_versions_that_would_stand_on_each_other_are_left_out():
    one = Course("hit", AT, [0.02] * 20, [0.06] * 20)
    said = lines(svg(courses([one], {AT[3]: "1.1", AT[4]: "1.2", AT[19]: "a-name-that-is-too-long"})))
    assert {"1.2", "a-name-that\N{HORIZONTAL ELLIPSIS}"} == {*said} & {
        "1.1",
        "1.2",
        "a-name-that\N{HORIZONTAL ELLIPSIS}",
    }


@pytest.mark.parametrize("times", [[0.02], [0.02] * 50, [0.0004, 3.0]])
def test_times_before_and_since_can_be_drawn_however_they_are_spread(times):
    pair = (Histogram.of(times), Histogram.of([2 * one for one in times]))
    said = lines(svg(spreads({"miss": pair, "hit": (Histogram.of(()), Histogram.of(times))})))
    assert {"before", "since", "miss: answered within so many ms"} <= {*said}
    assert "hit: answered within so many ms" not in said


def test_without_data_there_is_no_history_and_no_spread():
    assert ("", "") == (courses([Course("hit", [], [], [])], {}), spreads({"hit": (Histogram.of(()),) * 2}))
