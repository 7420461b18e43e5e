"""The arithmetic of a token bucket."""

from roundsman.purge.rules.queue import Bucket, TokenLevel, blocked, full, take

FIVE = Bucket(per_second=2, burst=5)


def test_a_full_bucket_gives_its_burst_at_once_and_then_waits_for_each_token():
    level, waits = full(FIVE, 100), []
    for _ in range(7):
        level, wait = take(FIVE, level, 100)
        waits.append(wait)
    assert [0, 0, 0, 0, 0, 0.5, 0.5] == waits
    assert 0 == take(FIVE, level, 100.5)[1]


def test_an_idle_bucket_does_not_fill_beyond_its_burst():
    assert 5 == take(FIVE, TokenLevel(0, 100), 1e6, cost=0)[0].tokens


def test_what_costs_more_than_a_bucket_holds_waits_until_it_is_full_and_leaves_a_debt():
    level, wait = take(FIVE, TokenLevel(4, 100), 100, cost=20)
    assert (4, 0.5) == (level.tokens, wait)
    level, wait = take(FIVE, full(FIVE, 100), 100, cost=20)
    assert (-15, 0) == (level.tokens, wait)
    assert 8 == take(FIVE, level, 100)[1]


def test_a_bucket_that_a_vendor_emptied_gives_nothing_before_the_time_it_said():
    level = blocked(full(FIVE, 100), 100, 30)
    assert 30.5 == take(FIVE, level, 100)[1]
    assert 0.5 == take(FIVE, level, 130)[1]
    assert 0 == take(FIVE, level, 130.5)[1]
    assert level == blocked(level, 101, 5), "a shorter word does not undo a longer one"


def test_a_debt_outlives_a_word_of_the_vendor():
    assert -3 == blocked(TokenLevel(-3, 100), 100, 1).tokens


def test_a_clock_that_goes_back_fills_nothing():
    level, wait = take(FIVE, TokenLevel(0, 100), 90)
    assert (0, 100) == (level.tokens, level.at)
    assert wait >= 10


def test_the_bucket_stays_below_the_vendors_rate():
    assert Bucket(8, 40) == Bucket.below(10, 50)
    assert 1 == Bucket.below(0.1, 1).burst, "one request must always be possible"
