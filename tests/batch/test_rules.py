"""What is judged about batch jobs without touching one."""

import math
from dataclasses import dataclass
from decimal import Decimal

import pytest
from pydantic import BaseModel

from roundsman.batch.rules import Applied, Limits, find_bad, goes_carefully, job_key, refuse_non_finite, together


def test_halving_asks_seldom_when_little_is_bad():
    asked = []

    def works(part):
        asked.append(part)
        return ValueError() if 700 in part else None

    assert [700] == [row for row, _ in find_bad(range(1000), works)]
    assert len(asked) <= 21


@pytest.mark.parametrize(
    ("limits", "bad", "rows", "ended", "said"),
    [
        (Limits(), 50, 60, True, ""),
        (Limits(), 51, 1_000_000, False, "saw 51 bad rows; wanted at most 50 (max_bad_rows)"),
        (Limits(max_bad_rows=0), 1, 10, False, "saw 1 bad rows; wanted at most 0 (max_bad_rows)"),
        (Limits(max_bad_share=0.01), 2, 100, False, ""),
        (Limits(max_bad_share=0.01), 2, 100, True, "saw 2 bad rows of 100; wanted at most 1.00% (max_bad_share)"),
        (Limits(max_bad_share=0.01), 11, 1000, False, "saw 11 bad rows of 1000; wanted at most 1.00% (max_bad_share)"),
        (Limits(max_bad_share=0.29), 29, 100, True, ""),
        (Limits(max_bad_share=0.29), 30, 100, True, "saw 30 bad rows of 100; wanted at most 29.00% (max_bad_share)"),
        (Limits(max_bad_share=0.0), 0, 0, True, "saw no rows; wanted at least 1 (min_rows)"),
        (Limits(), 0, 0, False, ""),
        (Limits(), 0, 0, True, "saw no rows; wanted at least 1 (min_rows)"),
        (Limits(min_rows=10), 0, 9, True, "saw 9 rows; wanted at least 10 (min_rows)"),
        (Limits(min_rows=0), 0, 0, True, ""),
        (Limits(min_rows=9), 1, 9, True, "saw 9 rows, 1 of them refused; wanted at least 9 (min_rows)"),
        (Limits(min_rows=8), 1, 9, True, ""),
        (Limits(), 3, 3, False, ""),
        (Limits(), 3, 3, True, "saw no row that can be applied among 3; wanted at least one"),
        (
            Limits(min_rows=0),
            1,
            1,
            True,
            "saw no row that can be applied among 1; wanted at least one",
        ),
    ],
)
def test_limits_are_judged(limits, bad, rows, ended, said):
    assert said == limits.broken(bad, rows, ended=ended)


@pytest.mark.parametrize(
    "other",
    [
        ("b", "f", {"p": 1}, 0),
        ("a", "g", {"p": 1}, 0),
        ("a", "f", {"p": 2}, 0),
        ("a", "f", {"p": 1}, 1),
        ("a", "f", {}, 0),
    ],
)
def test_a_job_is_the_same_by_kind_content_and_parameters(other):
    assert job_key("a", "f", {"p": 1}, 0) != job_key(*other)


def test_the_order_of_parameters_makes_no_other_job():
    assert job_key("a", "f", {"p": 1, "q": 2}) == job_key("a", "f", {"q": 2, "p": 1})


@pytest.mark.parametrize(
    ("deaths", "position", "until", "yes"),
    [(0, 5, 0, False), (1, 5, 0, False), (2, 5, 0, True), (0, 5, 6, True), (0, 6, 6, False)],
)
def test_after_two_deaths_rows_go_alone_until_the_chunk_is_over(deaths, position, until, yes):
    assert yes is goes_carefully(deaths, position, until)


@dataclass
class Price:
    amount: float


class Offer(BaseModel):
    price: Decimal | float


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan, Decimal("Infinity"), Decimal("sNaN")])
@pytest.mark.parametrize(
    "made_of",
    [
        lambda number: number,
        lambda number: {"a": [{"b": (number,)}]},
        Price,
        lambda number: Offer.model_construct(price=number),
        lambda number: [Price(number)],
    ],
    ids=["alone", "nested", "dataclass", "model", "list"],
)
def test_a_number_without_a_value_is_found_wherever_it_is(made_of, bad):
    refuse_non_finite(made_of(1.5))
    refuse_non_finite(made_of(Decimal("1e999")))
    with pytest.raises(ValueError, match="wanted one that is finite"):
        refuse_non_finite(made_of(bad))


def test_parts_are_counted_together():
    assert Applied(3, 4, [], []) == together([Applied(1, 1), Applied(2, 3)])
