"""What proves a purge, and what does not."""

import pytest

from flows.rules.site import PurgeDrill
from flows.rules.targeted_purge import Drill, Plan, judge, plan
from tests.rules.make import NOW, exchange, hit, miss, site

OLD, NEW = {"etag": "one"}, {"etag": "two"}
SHOP = site(
    {"examples": {"cached": ["/a", "/a/b", "/a/c"]}},
    {"name": "far", "paths": ["/far"], "examples": {"cached": ["/far"]}},
)
MARKED = PurgeDrill(canary="/a", marker={"header": "etag"})
TOUCHED = PurgeDrill(canary="/a", marker={"header": "etag"}, touch=["touch"])


def old(path, **more):
    return hit(path, **{"at": NOW, "age": "3", **OLD, **more})


def later(path, **more):
    """A neighbour two seconds on, as old as it should be."""
    return hit(path, **{"at": NOW + 2, "age": "5", **OLD, **more})


def fresh(**more):
    return miss("/a", **{"at": NOW + 2, "age": "0", "body": b"new", **NEW, **more})


def again(**more):
    return hit("/a", **{"at": NOW + 2, "age": "0", "body": b"new", **NEW, **more})


def drill(after=None, b=None, far=None, **more):
    planned = Plan("/a", ("/a/b", "/a/c"), "/far")
    warm = {path: [old(path), old(path)] for path in planned.paths}
    others = {"/a/b": b or later("/a/b"), "/a/c": later("/a/c"), "/far": far or later("/far")}
    return Drill(
        planned,
        {**warm, **more.pop("warm", {})},
        purged_at=NOW + 1,
        answer="200",
        after=after or [fresh(), again()],
        others=others,
        **more,
    )


SAME = {**OLD, "body": b"page"}
GONE = miss("/a/b", at=NOW + 2, age="0", **OLD)
FAR_GONE = miss("/far", at=NOW + 2, age="0", **OLD)
CASES = [
    ("all is well", TOUCHED, drill(), {}),
    ("an old page after a MISS", TOUCHED, drill([fresh(**SAME), again(**SAME)]), {"refreshed": "fail"}),
    ("nothing happened", MARKED, drill([later("/a"), later("/a")]), {"refreshed": "fail"}),
    ("nothing happened, by label alone", MARKED, drill([hit("/a", **OLD), hit("/a", **OLD)]), {"refreshed": "fail"}),
    ("the same page fetched anew", MARKED, drill([fresh(**SAME), again(**SAME)]), {}),
    ("the same page fetched anew, by label alone", MARKED, drill([miss("/a", **OLD), hit("/a", **OLD)]), {}),
    ("no label and no age", MARKED, drill([exchange("/a", **OLD), hit("/a", **OLD)]), {"refreshed": "unknown"}),
    ("never cached again", TOUCHED, drill([fresh(), fresh(), fresh()]), {"cached-again": "fail"}),
    ("a neighbour went as well", TOUCHED, drill(b=GONE), {"neighbour": "fail"}),
    ("a neighbour was refilled by another reader", TOUCHED, drill(b=later("/a/b", age="0")), {"neighbour": "fail"}),
    ("everything ended by itself", TOUCHED, drill(b=GONE, far=FAR_GONE), {"neighbour": "unknown", "control": "unknown"}),
    ("the purge was refused", TOUCHED, drill(problem="405 it said", permanent=True), {"accepted": "fail"}),
    ("the purge can not be reached", TOUCHED, drill(problem="no answer"), {"accepted": "unknown"}),
    ("never warm", TOUCHED, drill(warm={"/a": [miss("/a")] * 5}), {"warm": "unknown"}),
    ("too little time left", TOUCHED, drill(warm={"/a/b": [old("/a/b", age="599")] * 2}), {"warm": "unknown"}),
    ("the touch failed", TOUCHED, drill(touch_problem="exit 1"), {"touched": "unknown"}),
    ("a 500 after the purge", TOUCHED, drill([fresh(status=500), again()]), {"status": "fail"}),
    ("no answer after the purge", TOUCHED, drill([exchange("/a", error="reset"), again()]), {"answers": "unknown"}),
]  # fmt: skip


@pytest.mark.parametrize(("promise", "seen", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_way_a_purge_goes_wrong_has_its_own_finding(promise, seen, wanted):
    verdict = judge(SHOP, SHOP.rules[0], promise, seen)
    found = {f.claim.removeprefix("targeted-purge/"): f.outcome.value for f in verdict.findings if f.outcome != "pass"}
    assert wanted == found


def outcomes(verdict):
    return {
        (f.claim.removeprefix("targeted-purge/"), f.outcome.value, f.saw)
        for f in verdict.findings
        if f.outcome != "pass"
    }


def test_a_drill_with_nothing_to_compare_says_so():
    """Where the edge leaves queries out of its key, and no other rule is for everyone."""
    planned = Plan("/a", ("/a?roundsman=n",), "")
    warm = {"/a": [old("/a")] * 2, "/a?roundsman=n": [old("/a?roundsman=n")] * 2}
    others = {"/a?roundsman=n": fresh()}
    seen = Drill(planned, warm, purged_at=NOW + 1, answer="200", after=[fresh(), again()], others=others)
    assert {
        ("neighbour", "unknown", "no neighbour to watch"),
        ("control", "warn", "no far route to watch"),
    } == outcomes(judge(SHOP, SHOP.rules[0], TOUCHED, seen))


def test_the_verdict_names_the_strength_of_its_proof():
    def saw(promise, *after):
        verdict = judge(SHOP, SHOP.rules[0], promise, drill(list(after)))
        return next(f.saw for f in verdict.findings if f.claim == "targeted-purge/refreshed")

    assert "a new marker (proven by content)" == saw(TOUCHED, fresh(), again())
    assert "content unchanged, born 1.0s after the purge (by birth time)" == saw(MARKED, fresh(**SAME), again(**SAME))
    assert "content unchanged, MISS (by label only)" == saw(MARKED, miss("/a", **OLD), hit("/a", **OLD))


def test_the_plan_takes_siblings_first_then_a_query_and_a_control_of_another_rule():
    assert Plan("/a", ("/a/b", "/a/c"), "/far") == plan(SHOP, SHOP.rules[0], MARKED, "n")
    lone = site({})
    assert Plan("/a", ("/a?roundsman=n",), "") == plan(lone, lone.rules[0], MARKED, "n")
