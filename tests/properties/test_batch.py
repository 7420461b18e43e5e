"""Whatever the rows: the bad ones are found, pauses stay bounded, and what is kept of a row can be stored."""

from hypothesis import given
from hypothesis import strategies as st

from roundsman.batch.rules import find_bad, pause, storable


@given(st.lists(st.booleans(), max_size=200))
def test_halving_finds_exactly_the_bad_rows_and_has_each_good_one_work_once_and_in_order(good):
    rows = list(enumerate(good))
    worked = []

    def works(part):
        if all(fine for _, fine in part):
            worked.extend(part)
            return None
        return ValueError(part[0][0])

    assert [row for row in rows if not row[1]] == [row for row, _ in find_bad(rows, works)]
    assert [row for row in rows if row[1]] == worked


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_pauses_grow_stay_bounded_and_differ(retry, chance):
    assert 0.05 <= pause(retry, chance) <= 10
    assert pause(retry, chance) <= pause(retry + 1, chance)


@given(st.text())
def test_what_is_kept_of_a_row_can_be_stored_everywhere(text):
    kept = storable(text)
    assert "\0" not in kept
    kept.encode()
