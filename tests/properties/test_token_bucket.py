"""However often a token bucket is asked, its rate is kept."""

from hypothesis import given
from hypothesis import strategies as st

from roundsman.purge.rules.queue import Bucket, full, take

FIVE = Bucket(per_second=2, burst=5)


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(1, 9)), min_size=1, max_size=50))
def test_whoever_waits_as_told_is_never_above_the_rate(asked):
    """By the definition of a rate: in no stretch of time more than the burst and what was refilled in it."""
    now, level, taken = 0.0, full(FIVE, 0), []
    for pause, cost in asked:
        now += pause
        level, wait = take(FIVE, level, now, cost)
        while wait:
            now += wait
            level, wait = take(FIVE, level, now + 1e-9, cost)
        taken.append((now, cost))
    for start in range(len(taken)):
        for end in range(start, len(taken)):
            between = sum(cost for _, cost in taken[start : end + 1])
            seconds = taken[end][0] - taken[start][0]
            # The last one may be one that costs more than the bucket holds.
            assert between - taken[end][1] + min(taken[end][1], FIVE.burst) <= FIVE.burst + 2 * seconds + 1e-6
