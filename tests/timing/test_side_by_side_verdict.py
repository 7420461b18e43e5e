"""A comparison in words."""

import pytest

from roundsman.timing.rules.interleaving import Arm
from roundsman.timing.rules.judge_side_by_side import compare, judge
from tests.make import site
from tests.timing.arms import answers, only


def verdict(seen, margin=0.05):
    shop = site()
    return judge(shop, shop.rules[0], compare({"/a": seen}, margin)[0], margin)


def told(seen):
    return {
        one.claim.removeprefix("compare-release/"): str(one.outcome)
        for one in verdict(seen).findings
        if one.outcome != "pass"
    }


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (answers(), {}),
        (answers(candidate=0.7), {}),
        (answers(candidate=1.3), {"miss-speed": "fail"}),
        (answers(20, candidate=1.06), {"miss-speed": "warn"}),
        (answers(3), {"miss-speed": "unknown"}),
        (answers(1, each=1), {"speed": "unknown"}),
        (
            answers(of=lambda arm, n: {"error": "reset"} if arm is Arm.CANDIDATE and n % 9 == 0 else {}),
            {"errors": "fail"},
        ),
        (answers(of=lambda arm, n: {"error": "reset"} if arm is Arm.BASELINE and n % 9 == 0 else {}), {}),
        (answers(of=only(Arm.CANDIDATE, error="refused")), {"errors": "fail", "speed": "unknown"}),
        (answers(of=lambda *_: {"error": "refused"}), {"errors": "unknown", "speed": "unknown"}),
        (answers(of=only(Arm.CANDIDATE, status=404)), {"status": "fail"}),
        (answers(of=only(Arm.CANDIDATE, cache_control="no-store")), {"cache-headers": "warn"}),
        (answers(of=only(Arm.CANDIDATE, x_new="1")), {"headers": "warn"}),
        (answers(of=only(Arm.CANDIDATE, body=b"new")), {"body": "warn"}),
        (
            answers(of=lambda arm, n: {"x_cache": "HIT"} if n % 3 < (1 if arm is Arm.CANDIDATE else 2) else {}),
            {"hit-ratio": "warn"},
        ),
        (answers(of=lambda arm, n: {"x_cache": "HIT"} if n % 3 < (2 if arm is Arm.CANDIDATE else 1) else {}), {}),
    ],
)
def test_each_difference_has_its_outcome(seen, wanted):
    assert wanted == told(seen)


def test_the_numbers_are_told():
    one = verdict(answers(candidate=1.3)).findings[0]
    assert "slower: x1.31 (1.29 to 1.33), p95 x1.32, 200 samples" == one.saw
    assert "within 5% of the baseline's 10ms" == one.wanted


def test_too_little_data_says_how_much_it_takes():
    one = verdict(answers(3)).findings[0]
    assert one.saw.startswith("not enough data: x0.9")
    assert "within 5% of the baseline's 10.2ms; needs about 130 samples of each release" == one.wanted


def test_a_verdict_is_whose_route_it_is():
    found = verdict(answers())
    assert ("compare-release", "/a", "articles", "web", "make back") == (
        found.check,
        found.subject,
        found.rule,
        found.owner,
        found.rollback,
    )
