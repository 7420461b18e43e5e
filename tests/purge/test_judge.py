"""What proves a purge, and what does not."""

from dataclasses import replace

import pytest

from roundsman.purge.rules.evidence import ProofTerms, ends_in, new, still_new, untouched
from roundsman.purge.rules.judge import judge_all, old_ones
from roundsman.purge.rules.plan import PurgePlan, Refusal
from roundsman.purge.rules.proof import FLIGHT_SECONDS, Proof, Purged, Scene, View, ViewKind, flight, stale_window
from roundsman.report.rules.exchange import Phases
from roundsman.site.rules.promises import Marker, Rule
from tests.make import NOW, RULE, exchange, hit, miss, site

BASE = "http://example.test"
OLD, NEW = {"etag": '"one"'}, {"etag": '"two"'}
ETAG = Marker(header="etag")
MARKED = {"canary": "/a", "marker": {"header": "etag"}}
SHOP = site(
    {"examples": {"cached": ["/a", "/a/b", "/a/c"]}, "purge": MARKED},
    {"name": "far", "paths": ["/far"], "examples": {"cached": ["/far"]}},
    edge="varnish/shop",
)


def view(path, kind=ViewKind.SIBLING, **more):
    return View(f"{BASE}{path}", path, kind, "" if kind is ViewKind.CONTROL else f"{BASE}/a", **more)


A, B, C = view("/a", ViewKind.TARGET), view("/a/b"), view("/a/c")
QUERY, CASE, FAR = view("/a?roundsman=n", ViewKind.QUERY), view("/A", ViewKind.CASE), view("/far", ViewKind.CONTROL)


def old(path, **more):
    return hit(path, **{"at": NOW, "age": "3", **OLD, **more})


def later(path, **more):
    """A neighbour two seconds on, as old as it should be."""
    return hit(path, **{"at": NOW + 2, "age": "5", **OLD, **more})


def fresh(**more):
    return miss("/a", **{"at": NOW + 2, "age": "0", "body": b"new", **NEW, **more})


def again(**more):
    return hit("/a", **{"at": NOW + 2, "age": "0", "body": b"new", **NEW, **more})


def proof(after=None, late=None, others=(A, B, C, FAR), **more):
    """A purge at NOW + 1 of what was warm at NOW."""
    after = after or [fresh(), again()]
    warm = {one: [old(one.path), old(one.path)] for one in others}
    seen = {one: later(one.path) for one in others if one.kind is not ViewKind.TARGET}
    given = {"changed": True, **more}
    return Proof(
        PurgePlan((f"{BASE}/a",)),
        Scene((A,), tuple(seen)),
        warm={**warm, **given.pop("warm", {})},
        purges=given.pop("purges", (Purged(NOW + 1, NOW + 1.1, "200"),)),
        after={A: after},
        others={**seen, **given.pop("seen", {})},
        late={A: late or again(at=NOW + 3, age="1")} | given.pop("lates", {}),
        **given,
    )


def judged(seen, shop=SHOP, **more):
    [verdict] = judge_all(shop, seen, ["/a"], **more)
    return verdict


def trouble(verdict):
    return {f.claim.removeprefix("targeted-purge/"): f.outcome.value for f in verdict.findings if f.outcome != "pass"}


def says(verdict, claim):
    return [f.saw for f in verdict.findings if f.claim == f"targeted-purge/{claim}"]


SAME = {**OLD, "body": b"page"}
NO_AGE = {**SAME, "age": []}
GONE = miss("/a/b", at=NOW + 2, age="0", **OLD)
FAR_GONE = miss("/far", at=NOW + 2, age="0", **OLD)
C_GONE = miss("/a/c", at=NOW + 2, age="0", **OLD)
#: One more look right before the purge.
STILL = {one: hit(one.path, at=NOW + 0.9, age="3", **OLD) for one in (A, B, C, FAR)}
#: An edge that repeats the Age with which a page came.
KEPT = {one: [old(one.path, age="0")] * 2 for one in (A, B, C, FAR)}
STOOD = {one: old(one.path, age="0", at=NOW + 2.5) for one in (A, B, C, FAR)}
STOOD_ON = {one: later(one.path, age="0", at=NOW + 4) for one in (B, C, FAR)}
STUCK = [miss("/a", at=NOW + 3, age="0", **OLD), hit("/a", at=NOW + 3, age="0", **OLD)]
DRILL = {"changed": False}
CASES = [
    ("all is well", proof(), {}),
    ("an old page after a MISS", proof([fresh(**SAME), again(**SAME)]), {"refreshed": "fail"}),
    ("nothing happened", proof([later("/a"), later("/a")], **DRILL), {"refreshed": "fail"}),
    ("nothing happened, by label alone", proof([hit("/a", **OLD), hit("/a", **OLD)], **DRILL), {"refreshed": "fail"}),
    ("the same page fetched anew", proof([fresh(**SAME), again(**SAME)], again(**SAME), **DRILL), {}),
    ("the same page fetched anew, by label alone", proof([fresh(**NO_AGE), hit("/a", **OLD)], hit("/a", **OLD), **DRILL), {}),
    ("no label and no age", proof([exchange("/a", **OLD), hit("/a", **OLD)], hit("/a", **OLD), **DRILL), {"refreshed": "unknown"}),
    ("refilled from an old shield", proof([fresh(**SAME, age="4"), again(**SAME, age="4")], **DRILL), {"refreshed": "fail"}),
    ("another page, older than the purge", proof([fresh(age="4"), again(age="4")]), {"refreshed": "unknown", "stays-new": "pass"}),
    ("no marker where there was one", proof([fresh(etag=[]), again(etag=[])]), {"refreshed": "fail"}),
    ("the page is gone", proof([fresh(status=404, etag=[]), fresh(status=404, etag=[])]), {}),
    ("never cached again", proof([fresh(), fresh(), fresh()]), {"cached-again": "fail"}),
    ("the old page comes back", proof(late=later("/a")), {"stays-new": "fail"}),
    ("the same page, older, comes back", proof([fresh(**SAME), again(**SAME)], later("/a"), **DRILL), {"stays-new": "fail"}),
    ("a newer page comes", proof(late=hit("/a", at=NOW + 3, age="0", etag='"three"', body=b"newer")), {}),
    ("new too late", proof([later("/a"), fresh(at=NOW + 4), again(at=NOW + 4)]), {"in-time": "fail"}),
    ("new soon after a soft purge", proof([later("/a"), again(at=NOW + 4), again(at=NOW + 4)], soft=True), {}),
    ("new too late after a soft purge", proof([later("/a"), again(at=NOW + 9), again(at=NOW + 9)], soft=True), {"in-time": "fail"}),
    ("never new after a soft purge", proof([later("/a"), later("/a")], soft=True), {"refreshed": "fail"}),
    ("a neighbour went as well", proof(seen={B: GONE}), {"neighbour": "fail"}),
    ("a neighbour was refilled by another reader", proof(seen={B: later("/a/b", age="0")}), {"neighbour": "fail"}),
    ("a neighbour has other content", proof(seen={B: later("/a/b", body=b"x")}), {"neighbour": "fail"}),
    ("everything ended by itself", proof(seen={B: GONE, FAR: FAR_GONE}), {"neighbour": "unknown", "control": "unknown"}),
    ("everything was purged", proof(before=STILL, seen={B: GONE, C: C_GONE, FAR: FAR_GONE}), {"neighbour": "fail", "control": "fail"}),
    ("everything was gone before the purge", proof(before=STILL | {FAR: miss("/far", at=NOW + 0.9, age="0", **OLD)}, seen={B: GONE, C: C_GONE, FAR: FAR_GONE}), {"neighbour": "unknown", "control": "unknown"}),
    ("a deploy changed everything meanwhile", proof(before=STILL, seen={B: replace(GONE, body_hash="x"), C: C_GONE, FAR: FAR_GONE}), {"neighbour": "unknown", "control": "unknown"}),
    ("an Age that stands still, and an honest purge", proof(STUCK, STUCK[1], before=STOOD, warm=KEPT, seen=STOOD_ON, **DRILL), {}),
    ("an Age that stands still, and a purge that does nothing", proof([STUCK[1], STUCK[1]], STUCK[1], before=STOOD, warm=KEPT, seen=STOOD_ON, **DRILL), {"refreshed": "fail"}),
    ("an Age that stands still, and a neighbour that went", proof(STUCK, STUCK[1], before=STOOD, warm=KEPT, seen=STOOD_ON | {B: GONE}, **DRILL), {"neighbour": "fail"}),
    ("fetched anew, as all was", proof([fresh(**SAME), again(**SAME)], again(**SAME), seen={FAR: FAR_GONE}, **DRILL), {"refreshed": "unknown", "control": "unknown", "stays-new": "unknown"}),
    ("the purge was refused", proof(problem="405 it said", permanent=True), {"accepted": "fail"}),
    ("the purge can not be reached", proof(problem="no answer"), {"accepted": "unknown"}),
    ("the purge is not done", proof(purges=(Purged(NOW + 1, NOW + 2, "201", "not after 5m"),)), {"accepted": "unknown"}),
    ("never warm", proof(warm={A: [miss("/a")] * 5}), {"warm": "unknown"}),
    ("too little time left", proof(warm={B: [old("/a/b", age="599")] * 2}), {"warm": "unknown"}),
    ("the touch failed", proof(touch_problem="exit 1"), {"touched": "unknown"}),
    ("nothing was purged", proof(purges=()), {"accepted": "unknown"}),
    ("a 500 after the purge", proof([fresh(status=500), again()]), {"status": "fail"}),
    ("no answer after the purge", proof([exchange("/a", error="reset"), again()]), {"answers": "unknown"}),
    ("a firewall that shuts the prober out", proof([exchange("/a", status=429, body=b"slow")] * 2), {"status": "unknown"}),
    ("a page that was withdrawn behind the login", proof([exchange("/a", status=403, body=b"no")] * 2), {"status": "unknown"}),
    ("a firewall at the late look", proof(late=exchange("/a", status=429, body=b"slow", at=NOW + 3)), {"stays-new": "unknown"}),
    ("a firewall before a neighbour", proof(seen={B: exchange("/a/b", status=403, body=b"no")}), {"neighbour": "unknown"}),
    ("a neighbour in trouble", proof(seen={B: exchange("/a/b", status=503, body=b"no")}), {"neighbour": "unknown"}),
    ("an error late", proof(late=exchange("/a", status=503, body=b"down", at=NOW + 3)), {"status": "fail"}),
    ("no answer late", proof(late=exchange("/a", error="reset")), {"answers": "unknown"}),
]  # fmt: skip


@pytest.mark.parametrize(("seen", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_way_a_purge_goes_wrong_has_its_own_finding(seen, wanted):
    assert {claim: outcome for claim, outcome in wanted.items() if outcome != "pass"} == trouble(judged(seen))


def test_a_server_that_speaks_another_scheme_is_told_and_not_passed_over():
    seen = proof()
    verdict = judged(replace(seen, scene=replace(seen.scene, unasked=("http://10.0.0.1",))))
    assert {"servers": "warn"} == trouble(verdict)
    assert ["http://10.0.0.1 not looked at, as the site speaks http"] == says(verdict, "servers")


def test_a_drill_wants_the_status_of_its_rule_and_a_purge_may_change_it():
    """Who publishes may well take a page away."""
    gone = proof([fresh(status=404), again(status=404)])
    assert {} == trouble(judged(gone))
    assert {"status": "fail"} == trouble(judged(gone, drill=True))


def test_a_refused_plan_is_told_and_nothing_is_judged():
    refused = Proof(PurgePlan((f"{BASE}/a",), refusals=(Refusal("no edge", "one that can be purged", "add one"),)))
    [finding] = judged(refused).findings
    assert ("unknown", "no edge", "one that can be purged; add one") == (finding.outcome, finding.saw, finding.wanted)


def test_a_purge_with_nothing_to_compare_says_so():
    """Where the edge leaves queries out of its key, and no other rule is for everyone."""
    seen = proof(others=(A, QUERY), warm={QUERY: [old(QUERY.path)] * 2}, seen={QUERY: fresh()})
    verdict = judged(seen)
    assert {"neighbour": "unknown", "control": "warn"} == trouble(verdict)
    assert ["no neighbour to watch"] == says(verdict, "neighbour")
    assert ["no far route to watch"] == says(verdict, "control")


@pytest.mark.parametrize(
    ("warm", "watched"),
    [
        ([miss("/A"), old("/A"), old("/A")], True),
        ([old("/A", body=b"other")] * 2, True),
        ([old("/A", age="90")] * 2, True),
        ([old("/A")] * 2, False),
        ([miss("/A", status=404)] * 5, False),
        ([miss("/A"), old("/A", age="599"), old("/A", age="599")], False),
    ],
    ids=["cold at first", "another page", "another age", "the target's own", "not kept", "ends too soon"],
)
def test_a_made_up_neighbour_counts_where_it_is_kept_and_is_another_copy(warm, watched):
    """And else its fate says nothing of the purge."""
    found = judged(
        proof(others=(A, B, FAR, CASE), warm={CASE: warm}, seen={CASE: miss("/A", at=NOW + 2, age="0", **OLD)})
    )
    assert ({"neighbour": "fail"} if watched else {}) == trouble(found)


def test_the_verdict_names_the_strength_of_its_proof():
    def saw(*after, **more):
        return says(judged(proof(list(after), again(**SAME, at=NOW + 3), **more)), "refreshed")[0]

    assert "a new marker (proven by content)" == saw(fresh(), again())
    assert "content unchanged, born 1.0s after the purge (by birth time)" == saw(fresh(**SAME), again(**SAME), **DRILL)
    assert "content unchanged, MISS (by label only)" == saw(fresh(**NO_AGE), hit("/a", **OLD), **DRILL)


def test_one_line_says_what_was_proven_and_how_strongly():
    assert "new, proven by content; 2 of 2 neighbours untouched; still new later" == judged(proof()).observed
    assert "HIT, HIT; Age 5, 5" == judged(proof([later("/a"), later("/a")])).observed
    other = proof(late=miss("/a", at=NOW + 3, age=[], etag='"three"', body=b"newer"))
    assert ["MISS, other content"] == says(judged(other), "stays-new")
    absent = proof(late=exchange("/a", status=404, body=b"", at=NOW + 3))
    assert {"status": "fail"} == trouble(judged(absent, drill=True))
    weak = proof([fresh(**NO_AGE), hit("/a", **OLD)], hit("/a", **OLD), seen={B: GONE}, **DRILL)
    assert "new, by label only; 1 of 2 neighbours untouched; still new later" == judged(weak).observed


def at_two_nodes(second):
    nodes = [replace(A, node="n1:80"), replace(A, node="n2:80", headers=(("accept-language", "de"),))]
    seen = proof()
    return replace(
        seen,
        scene=replace(seen.scene, targets=tuple(nodes)),
        warm=seen.warm | {one: [old("/a")] * 2 for one in nodes},
        after={nodes[0]: [fresh(), again()], nodes[1]: second},
        late={one: again(at=NOW + 3) for one in nodes},
    )


def test_each_node_and_variant_is_proven_and_the_one_that_is_not_is_named():
    verdict = judged(at_two_nodes([fresh(), again()]))
    assert ["2 copies: a new marker (proven by content)"] == says(verdict, "refreshed")
    assert "new in all 2 copies, proven by content; 2 of 2 neighbours untouched; still new later" == verdict.observed
    verdict = judged(at_two_nodes([later("/a"), later("/a")]))
    assert {"refreshed": "fail"} == trouble(verdict)
    wanted = "/a at n2:80, accept-language: de: the old marker, though the content changed"
    assert ["a new marker (proven by content)", wanted] == says(verdict, "refreshed")


def test_the_strength_of_many_is_that_of_the_weakest():
    two = replace(at_two_nodes([fresh(**NO_AGE), hit("/a", **OLD)]), changed=False)
    assert "new in all 2 copies, by label only" in judged(two).observed


def test_variants_of_which_no_values_are_known_are_told():
    seen = proof()
    verdict = judged(replace(seen, scene=replace(seen.scene, unlooked={f"{BASE}/a": ("accept-language",)})))
    assert {"variants": "warn"} == trouble(verdict)
    assert ["answers vary by accept-language, of which no values are named"] == says(verdict, "variants")


def test_unnamed_variants_are_old_for_sure_where_one_is_purged_at_a_time():
    seen = proof(one_variant=True)
    verdict = judged(replace(seen, scene=replace(seen.scene, unlooked={f"{BASE}/a": ("accept-language",)})))
    assert {"variants": "unknown"} == trouble(verdict)


def test_a_copy_that_came_before_a_purge_of_the_other_variants_is_new():
    """The last purge of all of them counts."""
    purges = (Purged(NOW + 1, NOW + 1.1, "200"), Purged(NOW + 6, NOW + 6.1, "200", partly=True))
    assert {} == trouble(
        judged(proof([fresh(**SAME), again(**SAME)], again(**SAME, at=NOW + 7), purges=purges, **DRILL))
    )


def test_another_query_that_is_a_hit_at_once_is_no_copy_of_its_own():
    """Nobody asked for it before."""
    seen = proof(others=(A, B, FAR, QUERY), warm={QUERY: [old(QUERY.path, age="90")] * 2}, seen={QUERY: GONE})
    assert {} == trouble(judged(seen))


def test_what_is_still_old_is_found_for_another_purge():
    assert [] == old_ones(SHOP, proof())
    assert [A] == old_ones(SHOP, proof([later("/a"), later("/a")]))
    assert [] == old_ones(SHOP, proof([later("/a"), fresh(), again()]))


@pytest.mark.parametrize(
    ("first", "marker", "holds", "saw"),
    [
        (fresh(), None, True, "another etag (proven by content)"),
        (fresh(etag='W/"one"', body=b"page"), None, True, "content unchanged, born 1.0s after the purge (by birth time)"),
        (fresh(age=[]), None, True, "another etag (proven by content)"),
        (again(age=[]), None, None, "another etag, HIT; name a marker in the rule, to prove by it"),
        (again(age=[]), ETAG, True, "a new marker (proven by content)"),
        (fresh(etag=[], last_modified="today"), None, True, "other content, born 1.0s after the purge (by birth time)"),
    ],
)  # fmt: skip
def test_an_etag_proves_without_being_named_unless_another_server_may_have_its_own(first, marker, holds, saw):
    """A weak one is the same as a strong one: caches weaken them."""
    told = new(old("/a"), [first], ProofTerms(marker, NOW + 1))
    assert (holds, saw) == (told.holds, told.observed)


def test_a_miss_without_age_is_dated_by_the_hit_after_it():
    """As Squid answers."""
    told = new(old("/a"), [fresh(**NO_AGE), again(**SAME)], ProofTerms(None, NOW + 1))
    assert (True, "content unchanged, born 1.0s after the purge (by birth time)") == (told.holds, told.observed)


def test_a_label_says_nothing_where_a_new_copy_takes_the_old_one_s_place():
    terms = ProofTerms(None, NOW + 1, labels_tell=False)
    assert new(hit("/a", **OLD), [hit("/a", **OLD)], terms).holds is None
    assert new(hit("/a", **OLD), [miss("/a", **OLD)], terms).holds is True


def test_a_neighbour_that_another_server_answers_for_is_not_judged():
    terms = ProofTerms(None, NOW + 1)
    before, after = old("/a/b", x_served_by="cache-ams-1"), miss("/a/b", at=NOW + 2, x_served_by="cache-ams-2")
    fastly = [replace(one, probe=replace(one.probe, edge="fastly")) for one in (before, after)]
    assert untouched(*fastly, terms).holds is None
    assert (
        untouched(fastly[0], replace(fastly[1], headers=(*fastly[1].headers[:-1], before.headers[-1])), terms).holds
        is False
    )


def test_a_late_look_without_age_can_only_say_that_the_old_page_is_not_back():
    terms = ProofTerms(None, NOW + 1)
    assert still_new(old("/a"), [fresh()], hit("/a", body=b"page"), terms).holds is False
    assert still_new(old("/a"), [fresh()], hit("/a", body=b"new"), terms).holds is True


def test_a_flight_is_as_long_as_the_origin_takes_within_bounds():
    def took(seconds):
        return replace(miss("/a"), phases=Phases(first_byte=seconds))

    rule = Rule.model_validate({**RULE, "response_time": {"miss": {"p95": "3s"}}})
    assert FLIGHT_SECONDS[0] == flight(None, [took(0.1), hit("/a")])
    assert 2.5 == flight(None, [took(0.1), took(2.5)])
    assert 3.0 == flight(rule, [took(0.1)])
    assert FLIGHT_SECONDS[1] == flight(rule, [took(60)])


def test_a_stale_window_is_waited_for_within_bounds():
    assert 0 == stale_window([hit("/a")])
    assert 3 == stale_window([hit("/a", "max-age=9, stale-while-revalidate=3")])
    assert FLIGHT_SECONDS[1] == stale_window([hit("/a", "max-age=9, stale-while-revalidate=600")])


@pytest.mark.parametrize(
    ("what", "age", "lifetime", "wanted"),
    [
        ("it lasts", "0", 600, None),
        ("as long as needed", "587", 600, None),
        ("it ends meanwhile", "590", 600, 9.0),
        ("it has ended", "700", 600, 0.0),
        ("it never lasts", "5", 10, None),
        ("nobody says", "", None, None),
    ],
)
def test_a_copy_that_would_end_during_the_proof_is_waited_for(what, age, lifetime, wanted):
    said = {"age": age} if age else {}
    last = hit("/a", f"max-age={lifetime}" if lifetime else "public", at=NOW, **said)
    assert wanted == ends_in([last], NOW + 1), what
