"""However times are split and put together, their histogram is the same, and tells them within one percent."""

from hypothesis import given
from hypothesis import strategies as st

from roundsman.report.rules.quantiles import quantile
from roundsman.timing.rules.histogram import Histogram

TIMES = st.lists(st.floats(1e-6, 3600), min_size=1, max_size=60)


@given(TIMES, TIMES, TIMES)
def test_merging_is_associative_and_commutative_and_loses_nothing(one, two, three):
    a, b, c = map(Histogram.of, (one, two, three))
    whole = Histogram.of(one + two + three).counts.tolist()
    assert whole == Histogram.merged([Histogram.merged([a, b]), c]).counts.tolist()
    assert whole == Histogram.merged([c, Histogram.merged([b, a])]).counts.tolist()


@given(TIMES, st.floats(0, 1))
def test_a_quantile_is_the_samples_own_within_one_percent(times, share):
    own = quantile(sorted(times), share)
    assert abs(Histogram.of(times).quantile(share) - own) <= 0.01 * own * (1 + 1e-9)


@given(TIMES)
def test_bytes_are_there_and_back(times):
    made = Histogram.of(times)
    assert made.counts.tolist() == Histogram.from_bytes(made.to_bytes()).counts.tolist()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_histogram_or_refused(blob):
    try:
        Histogram.from_bytes(b"\x01" + blob)
    except ValueError as error:
        assert "no histogram" in str(error)  # noqa: PT017 - it may be one
