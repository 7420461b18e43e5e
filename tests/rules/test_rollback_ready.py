"""Could we go back now?"""

from datetime import UTC, datetime, timedelta

import pytest

from flows.rules.rehearsal import Rehearsal
from flows.rules.rollback_ready import judge, judge_release
from tests.rules.make import site

NOW = datetime(2026, 1, 20, tzinfo=UTC)


def rehearsal(*, days, ok=True):
    return Rehearsal(ok, 47.3, "1.8.2", "1.8.1", NOW - timedelta(days=days))


CASES = [
    ("/usr/bin/make", rehearsal(days=2), "pass", {"rehearsed": "rehearsed 2 days ago, 47s"}),
    ("/usr/bin/make", rehearsal(days=0.5), "pass", {"rehearsed": "rehearsed 12 hours ago, 47s"}),
    ("/usr/bin/make", rehearsal(days=15), "warn", {"rehearsed": "rehearsed 15 days ago, 47s"}),
    ("/usr/bin/make", rehearsal(days=2, ok=False), "fail", {"worked": "it failed"}),
    ("/usr/bin/make", None, "warn", {"rehearsed": "never rehearsed"}),
    ("", rehearsal(days=2), "fail", {"command": "no program make (of `make back`)"}),
]


@pytest.mark.parametrize(("found", "last", "outcome", "saw"), CASES)
def test_a_rollback_is_ready_when_it_is_there_and_was_rehearsed(found, last, outcome, saw):
    shop = site(release={"rollback": ["make", "back"]})
    for verdict in (
        judge(shop, shop.rules[0], found, last, NOW),
        judge_release(shop, ("make", "back"), found, last, NOW),
    ):
        said = {finding.claim.removeprefix("rollback-ready/"): finding.saw for finding in verdict.findings}
        assert outcome == verdict.outcome
        assert saw.items() <= said.items()
        assert "make back" == verdict.rollback
