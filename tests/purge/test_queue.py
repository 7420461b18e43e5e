"""What is purged together, what becomes of a change, what is taken in, and which proof beside other purges counts."""

from dataclasses import replace

import pytest

from roundsman.ledger.rules.delivery import MOST_ATTEMPTS, DeliveryFailure
from roundsman.purge.rules import queue as rules
from roundsman.purge.rules.judge import CHECK, NEIGHBOUR, REFRESHED
from roundsman.purge.rules.order import Powers
from roundsman.purge.rules.queue import ChangeState, ItemKind, LeaseProgress, QueuedChange, QueueLease, QueueRun
from roundsman.report.rules.verdict import Verdict
from roundsman.site.rules.wording import verdict_on
from tests.make import RULE, site

SHOP = site()
EDGE = Powers(
    "varnish/lab",
    "Varnish",
    {"url": 1, "surrogate key": 32},
    radius=lambda url: url.__eq__,
    batches=lambda items, _: [tuple(items)],
    too_wide=lambda item, _: "no blank" if " " in item else None,
)


def test_what_the_edge_can_not_do_is_not_taken_in():
    plain = replace(EDGE, name="nginx/lab", limits={"url": 1})
    says = "saw 'author-7' for nginx/lab (Varnish), wanted an edge that can purge by surrogate key"
    assert rules.unfit(SHOP, (), ("author-7",), [plain]).startswith(says)
    assert "no edge" in rules.unfit(SHOP, ("/a/1",), (), [])
    folding = replace(EDGE, blind=frozenset({"query"}))
    assert "does not tell query apart" in rules.unfit(SHOP, ("/a/1",), (), [folding])
    assert not rules.unfit(site(accept=["query"]), ("/a/1",), (), [folding])


MEMBER = {
    **RULE,
    "name": "inbox",
    "paths": ["/inbox"],
    "cache": {"by": "member"},
    "examples": {"not_cached": ["/inbox"]},
}


def claim(*items, kind=ItemKind.ROUTE, first=1):
    return QueueLease("token", kind, tuple(QueuedChange(number, item, 1) for number, item in enumerate(items, first)))


def test_a_claim_names_each_item_once_however_many_changes_do():
    mine = claim("/a/1", "/a/2", "/a/1")
    assert ("/a/1", "/a/2") == mine.items
    assert [1, 3] == [change.id for change in mine.of(["/a/1"])]


@pytest.mark.parametrize(
    ("limits", "most", "kind", "sizes"),
    [
        ([{"url": 30}], 100, ItemKind.ROUTE, [30, 30, 10]),
        ([{"url": 30}], 20, ItemKind.ROUTE, [20, 20, 20, 10]),
        ([{"url": 30}, {"url": 50}], 100, ItemKind.ROUTE, [30, 30, 10]),
        ([{"url": 30, "surrogate key": 64}], 100, ItemKind.KEY, [64, 6]),
        # It can't do it at all, which its plan says of each.
        ([{"url": 30}], 100, ItemKind.KEY, [1] * 70),
        ([], 100, ItemKind.ROUTE, [70]),
    ],
)
def test_parts_fit_one_request_of_every_edge_and_the_guard(limits, most, kind, sizes):
    items = [f"/a/{number}" for number in range(70)]
    tiers = [Powers("edge/shop", "edge", one, radius=str, batches=list, too_wide=max) for one in limits]
    parts = list(rules.together(items, kind, site(purge_at_most=most), tiers))
    assert sizes == [len(part) for part in parts]
    assert items == [item for part in parts for item in part]


def test_a_purge_that_is_made_again_after_an_unknown_result_has_the_same_run_and_any_other_has_its_own():
    mine, part = claim("/a/1", "/a/2"), ("/a/1",)
    again = QueueLease(
        "another worker", ItemKind.ROUTE, tuple(QueuedChange(one.id, one.item, 2) for one in mine.changes)
    )
    runs = [
        rules.request_for(SHOP, mine, part, 0).run,
        rules.request_for(SHOP, mine, part, 1).run,
        rules.request_for(SHOP, mine, ("/a/2",), 0).run,
        rules.request_for(SHOP, claim("/a/1", first=7), part, 0).run,
        rules.request_for(SHOP, claim("/a/1", "/a/1"), part, 0).run,
    ]
    assert len(runs) == len(set(runs))
    assert runs[0] == rules.request_for(SHOP, again, part, 0).run


@pytest.mark.parametrize(("kind", "routes", "keys"), [(ItemKind.ROUTE, ("x",), ()), (ItemKind.KEY, (), ("x",))])
def test_a_wish_keeps_to_the_guards_of_the_site(kind, routes, keys):
    request = rules.request_for(site(purge_at_most=3, accept=["query"]), claim("x", kind=kind), ("x",), 0)
    assert (routes, keys, 3, {"query"}) == (request.routes, request.keys, request.max_urls, request.accept)


@pytest.mark.parametrize(
    ("attempts", "trouble", "state", "rests"),
    [
        (1, DeliveryFailure("busy"), ChangeState.WAITING, 15_000),
        (2, DeliveryFailure("busy"), ChangeState.WAITING, 30_000),
        (20, DeliveryFailure("busy"), ChangeState.WAITING, 3_600_000),
        (1, DeliveryFailure("busy", wait=90), ChangeState.WAITING, 90_000),
        (1, DeliveryFailure("never", permanent=True), ChangeState.QUARANTINED, 0),
        (MOST_ATTEMPTS - 1, DeliveryFailure("busy"), ChangeState.WAITING, 3_600_000),
        (MOST_ATTEMPTS, DeliveryFailure("busy"), ChangeState.QUARANTINED, 0),
        (MOST_ATTEMPTS - 1, rules.STOPPED, ChangeState.WAITING, 0),
        (MOST_ATTEMPTS, rules.STOPPED, ChangeState.QUARANTINED, 0),
    ],
)
def test_a_change_that_met_trouble_rests_or_is_quarantined(attempts, trouble, state, rests):
    assert (state, rests, trouble.says) == rules.after(QueuedChange(1, "/a", attempts), trouble, 0.0)


def test_changes_that_failed_together_do_not_come_back_together():
    rests = {rules.after(QueuedChange(1, "/a", 1), DeliveryFailure("busy"), chance / 10)[1] for chance in range(10)}
    assert len(rests) == 10
    assert 11_250 <= min(rests) <= max(rests) == 15_000


@pytest.mark.parametrize("many", [2, 3, 4, 99])
def test_halving_comes_to_every_single_item(many):
    def single(items):
        return list(items) if len(items) == 1 else [one for half in rules.halves(items) for one in single(half)]

    assert list(range(many)) == single(range(many))


@pytest.mark.parametrize(
    ("routes", "keys", "says"),
    [
        (("/a/1", "http://example.test/a/2?x=1"), ("author-7",), ""),
        (tuple(f"/a/{number}" for number in range(3000)), (), ""),
        (("/a/é",), (), ""),
        (("/a/1#comments",), (), ""),
        (("/a/é ü",), (), "saw 'http://example.test/a/é ü' for varnish/lab, wanted no blank"),
        ((), ("author 7",), "saw 'author 7' for varnish/lab, wanted no blank"),
        (tuple(f"/b/{number}" for number in range(9)), (), "; and 4 more"),
        ((), (), "no routes and no keys"),
        (("",), (), "wanted 1 to 2000 printable characters"),
        (("/a\n",), (), "wanted 1 to 2000 printable characters"),
        ((), ("\ud800",), "wanted 1 to 2000 printable characters"),
        (("/a" * 1001,), (), "wanted 1 to 2000 printable characters"),
        (("/*",), (), "a whole site is not purged here"),
        (("everything",), (), "a whole site is not purged here"),
        ((), ("*",), "a whole site is not purged here"),
        (("/a/*",), (), "wanted a route without `*`"),
        (("/b",), (), "a rule of the site"),
        (("http://other.test/a",), (), "another site is not purged here"),
    ],
)
def test_what_no_edge_would_be_asked_is_not_taken_in(routes, keys, says):
    told = rules.unfit(SHOP, routes, keys, [EDGE])
    assert says in told
    assert bool(says) is bool(told)


@pytest.mark.parametrize(
    ("routes", "chance", "wanted"),
    [
        (["/a/1", "/a/2", "/a/3"], 0.0, "/a/1"),
        (["/a/1", "/a/2", "/a/3"], 0.5, "/a/2"),
        (["/a/1", "/a/2", "/a/3"], 1.0, "/a/3"),
        (["/a/1", "/a/1", "/a/2"], 0.6, "/a/2"),
        (["/inbox", "/a/1"], 0.0, "/a/1"),
        (["http://example.test/a/1"], 0.0, "http://example.test/a/1"),
        (["/inbox"], 0.5, "/a/canary"),
        ([], 0.5, "/a/canary"),
    ],
)
def test_the_sample_is_a_route_that_was_purged_and_that_everyone_shares_else_a_canary(routes, chance, wanted):
    edge = {"edge": "varnish/lab", "blocks": {"varnish/lab": {}}}
    place = site(MEMBER, {"purge": {"canary": "/a/canary"}}, sessions=["member/a", "member/b"], **edge)
    assert wanted == rules.sample(place, routes, chance)


def test_a_proven_sample_speaks_for_the_site_and_says_which_route_it_was():
    one = Verdict(
        "targeted-purge",
        "/a/b",
        "articles",
        "web",
        "",
        "",
        (rules.MOVES.against("old", "new", holds=False),),
        observed="HIT",
    )
    [said] = rules.sampled(SHOP, [one])
    assert ("purge-sample", "shop", "/a/b: HIT", "fail") == (said.check, said.subject, said.observed, said.outcome)


def test_without_a_shared_route_and_a_canary_there_is_no_sample():
    assert "" == rules.sample(SHOP, [], 0.5)


def verdict(**claims):
    findings = [
        {"neighbour": NEIGHBOUR, "refreshed": REFRESHED}[name].against("saw", "wanted", holds=holds)
        for name, holds in claims.items()
    ]
    return verdict_on(SHOP, SHOP.rules[0], CHECK, "/a", findings)


@pytest.mark.parametrize(
    ("claims", "disturbed", "spoiled"),
    [
        ({"neighbour": False}, True, True),
        ({"neighbour": False}, False, False),
        ({"neighbour": True}, True, False),
        ({"neighbour": None}, True, False),
        # Whatever else was purged meanwhile, the target has to be new.
        ({"neighbour": True, "refreshed": False}, True, False),
    ],
)
def test_a_neighbour_that_went_says_nothing_where_the_queue_purged_meanwhile(claims, disturbed, spoiled):
    assert spoiled is rules.spoiled([verdict(**claims)], disturbed=disturbed)


def test_a_claim_is_held_up_by_the_edge_s_trouble_and_not_by_an_item_s():
    assert not LeaseProgress({"/a": DeliveryFailure("never", permanent=True)}).held_up
    assert LeaseProgress({"/a": DeliveryFailure("never", permanent=True), "/b": DeliveryFailure("busy")}).held_up


def test_a_refusal_of_several_items_is_tried_in_halves_and_any_other_trouble_is_noted():
    refused, busy, progress = DeliveryFailure("never", permanent=True), DeliveryFailure("busy"), LeaseProgress()
    assert (["/a"], ["/b", "/c"]) == progress.meet(["/a", "/b", "/c"], refused)
    assert ((), ()) == (progress.meet(["/a"], refused), progress.meet(["/b", "/c"], busy))
    assert {"/a": refused, "/b": busy, "/c": busy} == progress.met


def test_a_claim_that_is_stopped_gives_back_what_was_not_sent():
    """What was sent, and may have been done, was tried: a newer change of it is another order to a vendor."""
    progress = LeaseProgress(
        {"/a": DeliveryFailure("never", permanent=True)}, untried=("/d",), done=("/b",), sent={"/a", "/b", "/e"}
    )
    progress.stop(["/a", "/b", "/c", "/d", "/e"])
    assert ("/c", "/d") == progress.untried
    assert [("/a", True), ("/e", False)] == [(item, trouble.permanent) for item, trouble in progress.met.items()]


def test_what_a_run_did_is_summed_and_said_in_a_sentence():
    done = QueueRun(done=3, purged=2, routes=("/a",)).and_then(
        QueueRun(done=1, purged=1, quarantined=1, troubles=("no", "no"))
    )
    assert QueueRun(4, 3, 1, routes=("/a",), troubles=("no", "no")) == done
    assert "4 changes done with 3 purges, 1 quarantined; no" == str(done)
    assert "0 changes done with 0 purges, 2 wait, the oldest for 90s" == str(QueueRun(waiting=2, oldest=90.2))


@pytest.mark.parametrize(
    ("done", "moves", "taken"),
    [
        (QueueRun(done=1), "pass", "pass"),
        (QueueRun(kept=1), "pass", "fail"),
        (QueueRun(troubles=("busy",), oldest=rules.LATE_SECONDS), "pass", "pass"),
        (QueueRun(troubles=("busy",), waiting=3, oldest=rules.LATE_SECONDS + 1), "fail", "pass"),
        # A long queue that moves is no trouble.
        (QueueRun(done=1, waiting=900, oldest=rules.LATE_SECONDS + 1), "pass", "pass"),
    ],
)
def test_somebody_has_to_look_when_a_change_is_given_up_or_none_gets_through_for_long(done, moves, taken):
    verdict = rules.judge(SHOP, done)
    assert [moves, taken] == [finding.outcome.value for finding in verdict.findings]
    assert ("shop", SHOP.owner, str(done)) == (verdict.subject, verdict.owner, verdict.observed)


def test_what_keeps_a_queue_is_said_once():
    done = QueueRun(troubles=("no", "busy", "no"), waiting=2, oldest=400.0, kept=1)
    assert ["2 wait, the oldest for 400s: no; busy", "1 in quarantine; `roundsman purges` says why"] == [
        finding.saw for finding in rules.judge(SHOP, done).findings
    ]


@pytest.mark.parametrize(
    ("done", "code"),
    [
        (QueueRun(), 0),
        (QueueRun(done=1, verdicts=(verdict(refreshed=True),)), 0),
        (QueueRun(done=1, verdicts=(verdict(refreshed=None),)), 2),
        (QueueRun(done=1, verdicts=(verdict(refreshed=False), verdict(refreshed=None)), troubles=("busy",)), 1),
        (QueueRun(troubles=("busy",)), 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst(done, code):
    assert code == done.exit_code


@pytest.mark.parametrize(
    ("done", "says"),
    [
        (QueueRun(waiting=3), False),
        (QueueRun(kept=3), False),
        (QueueRun(done=1, purged=1), True),
        (QueueRun(quarantined=1), True),
        (QueueRun(troubles=("busy",)), True),
    ],
)
def test_only_a_run_that_met_the_edge_says_something_of_it(done, says):
    assert says is done.says_something
