"""Durations as people write them."""

import pytest

from roundsman.report.rules.durations import duration, rounded, spoken


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0s"),
        (0.0004, "0.4ms"),
        (0.08, "80ms"),
        (0.9994, "999ms"),
        (0.9996, "0.9996s"),
        (0.99999999, "1s"),
        (1.5, "1.5s"),
        (90, "90s"),
        (600, "10m"),
        (7 * 86400, "7d"),
        (1_234_567, "1234567s"),
        (999_999.7, "1000000s"),
        (999_999.25, "999999s"),
    ],
)
def test_a_duration_is_written_as_it_is_read(seconds, said):
    assert said == spoken(seconds)
    assert seconds == pytest.approx(duration(said), rel=1e-3)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(175_020, "2d"), (604_799, "7d"), (5_000, "83m"), (90, "90s"), (600, "10m"), (86_400, "1d"), (31_536_000, "365d")],
)
def test_a_long_duration_is_rounded_for_a_reader(seconds, said):
    assert said == rounded(seconds)
