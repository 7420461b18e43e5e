import tracemalloc
import zlib

import pytest

from roundsman.timing.rules.histogram import Histogram


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-6, 0.000123, 0.08, 1.0, 59.9, 3600.0, 1e6])
def test_a_time_is_told_within_one_percent_between_a_microsecond_and_an_hour(seconds):
    truth = min(max(seconds, 1e-6), 3600)
    assert pytest.approx(truth, rel=0.01 + 1e-9) == Histogram.of([seconds]).quantile(0.5)


def test_a_days_p95_is_no_mean_of_its_hours_p95():
    """Of 199 hours nine stalled: the mean of their p95 says 55 ms, and in truth 95 of 100 took 10 ms."""
    calm, stalled = Histogram.of([0.010] * 300), Histogram.of([1.0] * 300)
    day = Histogram.merged([calm] * 190 + [stalled] * 9)
    assert (199 * 300, pytest.approx(0.010, rel=0.01)) == (day.total, day.quantile(0.95))
    assert pytest.approx(1.0, rel=0.01 + 1e-9) == day.quantile(0.96)
    assert 9 / 199 == pytest.approx(day.share_above(0.5))


def test_it_comes_back_from_its_bytes_which_are_few():
    many = Histogram.of([0.02 * 1.003**step for step in range(1000)])
    blob = many.to_bytes()
    assert many.counts.tolist() == Histogram.from_bytes(blob).counts.tolist()
    assert len(blob) < 500


BLOB = Histogram.of([0.1]).to_bytes()


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\x01",
        b"\x02" + BLOB[1:],
        BLOB[:-3],
        b"\x01" + zlib.compress(b"0" * 8),
        b"\x01" + zlib.compress(bytes(10**7)),
        b"pickle",
    ],
    ids=["nothing", "only a version", "another version", "cut off", "too short", "a bomb", "something else"],
)
def test_what_is_no_histogram_is_refused(blob):
    with pytest.raises(ValueError, match="no histogram"):
        Histogram.from_bytes(blob)


def test_a_bomb_is_never_unpacked():
    bomb = b"\x01" + zlib.compress(bytes(10**7))
    tracemalloc.start()
    with pytest.raises(ValueError, match="no histogram"):
        Histogram.from_bytes(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10**6


def test_an_empty_one_has_no_quantile():
    empty = Histogram.merged([])
    assert 0 == empty.total == Histogram.of([]).total
    with pytest.raises(ValueError, match="empty"):
        empty.quantile(0.5)
    with pytest.raises(ValueError, match="empty"):
        empty.share_above(1)


def test_a_time_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="no number"):
        Histogram.of([0.1, float("nan")])
