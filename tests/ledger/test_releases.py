"""Which releases there were, and what ran when."""

from datetime import UTC, datetime, timedelta

import pytest

from roundsman.ledger.rules.releases import deployments, release_at, reported_release
from roundsman.site.rules.release import Release, ReleaseSource

NOW = datetime(2026, 3, 8, 12, tzinfo=UTC)


def releases(*versions, source=ReleaseSource.SITE):
    return tuple(Release(version, NOW + timedelta(hours=hour), source) for hour, version in enumerate(versions))


@pytest.mark.parametrize(
    ("known", "source", "wanted"),
    [
        ([], ReleaseSource.SITE, []),
        (["1"], ReleaseSource.SITE, []),
        (["1"], ReleaseSource.COMMAND, ["1"]),
        (["1", "2", "1"], ReleaseSource.SITE, ["2", "1"]),
        (["1", "2"], ReleaseSource.BOARD, ["1", "2"]),
        (["1", "", "1", "2"], ReleaseSource.SITE, ["2"]),
        (["1", "1"], ReleaseSource.SITE, []),
    ],
)
def test_a_deployment_is_a_change_of_version_or_was_told(known, source, wanted):
    assert wanted == [one.version for one in deployments(releases(*known, source=source))]


@pytest.mark.parametrize(("hours", "wanted"), [(-1, ""), (0, "1"), (0.5, "1"), (1, ""), (2, "2"), (9, "2")])
def test_what_ran_at_a_time(hours, wanted):
    assert wanted == release_at(releases("1", "", "2"), NOW + timedelta(hours=hours))


def test_what_is_told_is_taken_with_its_time():
    assert Release("1.8", NOW, ReleaseSource.BOARD) == reported_release(" 1.8 ", "", NOW, ReleaseSource.BOARD)
    assert (
        NOW - timedelta(hours=1)
        == reported_release("1.8", "2026-03-08T12:00:00+01:00", NOW, ReleaseSource.COMMAND).seen_at
    )


@pytest.mark.parametrize(
    ("version", "at", "says"),
    [
        ("", "", "version: saw ''"),
        (" ", "", "version: saw ' '"),
        (None, "", "version: saw None"),
        (18, "", "version: saw 18"),
        ("1\n2", "", r"version: saw '1\\n2'"),
        ("x" * 201, "", "up to 200 characters"),
        ("1.8", "yesterday", "at: saw 'yesterday', wanted a time with its zone"),
        ("1.8", "2026-03-08T11:00:00", "at: saw '2026-03-08T11:00:00', wanted a time with its zone"),
        ("1.8", "2026-03-08T13:00:00Z", "yet to come"),
        ("1.8", "1989-12-31T00:00Z", "at: saw '1989-12-31T00:00Z', wanted a time with its zone"),
        ("1.8", "0001-01-01T00:00+14:00", r"at: saw '0001-01-01T00:00\+14:00', wanted a time with its zone"),
    ],
)
def test_what_can_not_be_a_release_is_refused(version, at, says):
    with pytest.raises(ValueError, match=says):
        reported_release(version, at, NOW, ReleaseSource.BOARD)
