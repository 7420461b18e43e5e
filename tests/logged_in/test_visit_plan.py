"""Whom a visit plan sends where, against edges that are made up: what is asked, and above all what is not."""

from dataclasses import replace
from itertools import count

import pytest

from roundsman.logged_in.rules.deception import NAMES, names
from roundsman.logged_in.rules.judge import judge
from roundsman.logged_in.rules.private_key import NAME, Query
from roundsman.logged_in.rules.unkeyed_headers import HEADERS
from roundsman.logged_in.rules.visit_plan import routes, visit
from roundsman.report.rules.visitor import Visitor
from tests.make import exchange, site

ADA = Visitor("ada", (("Cookie", "s=1"),), ("ada@members.test",))
BEN = Visitor("ben", (("Cookie", "s=2"),), ("ben@members.test",))
MEMBER = {"cache": {"by": "member"}, "examples": {"not_cached": ["/a"]}}
BYPASS = {"bypass": [{"when": "cookie s", "because": "it greets by name"}]}


class Edge:
    """A made-up edge before a made-up page that greets by name; `key` gives what of a request tells copies apart."""

    def __init__(
        self, key=lambda url, headers: url, *, keeps=lambda url, headers: True, says=True, greets=True, repeats=False
    ):
        self.key, self.keeps, self.says, self.greets, self.repeats = key, keeps, says, greets, repeats
        self.copies = {}
        self.asked = []

    def answer(self, probe):
        headers = dict(probe.headers)
        self.asked.append((probe.url, headers))
        key = self.key(probe.url, headers)
        stored = key in self.copies
        if not stored:
            page = self.page(headers)
            if self.keeps(probe.url, headers):
                self.copies[key] = page
        told = {"x_cache": "HIT" if stored else "MISS"} if self.says else {}
        body = self.copies[key] if stored else page
        return replace(exchange(body=body, cache_control="public, max-age=600", **told), probe=probe)

    def page(self, headers):
        who = {"s=1": "ada@members.test", "s=2": "ben@members.test"}.get(headers.get("Cookie"), "nobody")
        host = headers.get("X-Forwarded-Host") if self.repeats else "example.test"
        return f"{who if self.greets else 'all'} of {host}".encode()

    def members_at(self):
        """The paths at which members asked, in order."""
        return [url.removeprefix("http://example.test") for url, headers in self.asked if "Cookie" in headers]


def by_path(url, headers):
    return url.partition("?")[0]


def by_session(url, headers):
    return url, headers.get("Cookie")


def no_members(url, headers):
    return "Cookie" not in headers


def never(url, headers):
    return False


def go(edge, shop, members=(ADA, BEN), path="/a"):
    """Visit one route before an edge; the visits and their verdict."""
    plan = visit(shop, shop.rules[0], path, members, (f"{number:032x}" for number in count(1)))
    answer = None
    try:
        while True:
            answer = edge.answer(plan.send(answer))
    except StopIteration as end:
        return end.value, judge(shop, shop.rules[0], path, end.value, members)


def found(verdict, *outcomes):
    return {f.claim.partition("/")[2] for f in verdict.findings if f.outcome in (outcomes or ("fail", "unknown"))}


def own(number):
    return f"/a?{NAME}={number:032x}"


PLACES = [
    # how the edge is, what the site file allows, what is proven, where members go
    ({}, {}, Query.APART, own(3)),
    ({"keeps": never}, {}, Query.COLD, own(3)),
    ({"key": by_path}, {}, Query.SHARED, ""),
    ({"says": False}, {}, Query.UNKNOWN, ""),
    ({"key": by_path}, {"allow_shared_key": True}, Query.SHARED, "/a"),
    ({"says": False}, {"allow_shared_key": True}, Query.UNKNOWN, "/a"),
    ({"keeps": never}, {"allow_shared_key": True}, Query.COLD, "/a"),
    ({"key": by_path}, {"staging": True}, Query.SHARED, "/a"),
    ({}, {"staging": True}, Query.APART, own(3)),
]


@pytest.mark.parametrize(("edge", "allowed", "query", "place"), PLACES)
def test_a_member_goes_only_where_no_reader_comes_by_or_where_it_is_allowed(edge, allowed, query, place):
    shop = site(MEMBER, **allowed) if "staging" in allowed else site(MEMBER | allowed)
    edge = Edge(**edge)
    seen, verdict = go(edge, shop)
    assert (query, place) == (seen.query, seen.asked)
    disguised = {one.member.url.removeprefix("http://example.test") for one in seen.disguises}
    assert {place} - {""} == set(edge.members_at()) - disguised
    assert (not place) == ("own-key" in found(verdict))
    assert f"{NAME}=" in edge.asked[0][0]


@pytest.mark.parametrize(
    ("edge", "saw", "wanted"),
    [
        ({"key": by_path}, "leaves the query out", "`allow_shared_key: true` in the rule articles, or `staging: true`"),
        ({"says": False}, "does not say", "`status_header` in the site file, or `allow_shared_key: true`"),
    ],
)
def test_a_test_that_would_not_be_safe_says_what_to_write_in_the_site_file(edge, saw, wanted):
    _, verdict = go(Edge(**edge), site(MEMBER))
    (finding,) = verdict.findings
    assert "unknown" == finding.outcome
    assert saw in finding.saw
    assert finding.wanted.startswith(wanted)


def test_after_a_leak_no_member_asks_again():
    edge = Edge()
    seen, verdict = go(edge, site(MEMBER))
    assert "AABNN" == "".join(who for who, _ in seen.steps)
    assert {"leak", "stored", "not-from-store"} == found(verdict)
    assert 3 == len(edge.members_at())
    assert () == seen.disguises


@pytest.mark.parametrize("keeps", [never, no_members])
def test_a_page_that_is_not_kept_passes_in_all_its_disguises(keeps):
    edge = Edge(by_session, keeps=keeps)
    seen, verdict = go(edge, site(MEMBER))
    assert set() == found(verdict)
    assert len(NAMES) == len(seen.disguises)
    assert 3 + 6 + 2 * len(NAMES) == len(edge.asked)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_disguise_that_leaks_is_the_last(name):
    """Each kind of name is found by itself, is random, and no other is tried after it."""
    begin, end = name.format(path="/a", inner="a", name="|").split("|")

    def kept(url, headers):
        rest = url.removeprefix("http://example.test")
        return rest.startswith(begin) and rest.endswith(end) and "?" not in rest

    edge = Edge(keeps=kept)
    seen, verdict = go(edge, site(MEMBER))
    assert {"deception"} == found(verdict)
    assert "stranger got a page of ada, HIT" in verdict.findings[-1].saw
    assert NAMES.index(name) + 1 == len(seen.disguises)
    assert len({url for url, _ in edge.asked}) == 3 + len(seen.disguises)
    assert all("0" * 30 in url for url, _ in edge.asked)


@pytest.mark.parametrize("path", ["/", "/?tab=1", "//"])
def test_a_front_page_s_disguises_are_paths_of_the_site(path):
    tried = list(names(path, map(str, count())))
    assert [
        "/0.css", "/1.js", "/2.png", "/;3.css", "/%3b4.css", "/%2f5.css", "/%236.css", "/%3f7.css", "/%008.css",
        "/..%2f9.css", "/static/10/..%2f..%2f", "/assets/11/..%2f..%2f",
    ] == tried  # fmt: skip


def test_every_delimiter_and_folder_is_among_the_names():
    wanted = {"/", ";", "%3b", "%2f", "%23", "%3f", "%00", "/..%2f"}
    tried = {name.removeprefix("{path}").partition("{")[0] for name in NAMES}
    assert wanted | {"/static/", "/assets/"} == tried
    assert all("{name}" in name for name in NAMES)


def test_a_page_that_is_not_personal_is_asked_for_in_no_disguise():
    seen, verdict = go(Edge(keeps=never, greets=False), site(MEMBER))
    assert () == seen.disguises
    assert {"personal"} == found(verdict)


@pytest.mark.parametrize("members", [(), (replace(ADA, problem="login failed"), BEN)])
def test_without_a_login_nobody_is_asked(members):
    edge = Edge()
    _, verdict = go(edge, site(MEMBER), members)
    assert [] == edge.asked
    assert {"members"} == found(verdict)


def test_a_shared_copy_is_tried_under_a_key_of_its_own():
    edge = Edge(by_session, keeps=no_members, greets=False)
    seen, verdict = go(edge, site(BYPASS))
    assert [own(1)] == edge.members_at()
    assert "NNAN" == "".join(who for who, _ in seen.steps)
    assert set() == found(verdict)


@pytest.mark.parametrize(
    ("edge", "wanted"),
    [
        ({"greets": False}, {"bypass"}),
        ({"key": by_path, "greets": False}, {"own-key"}),
        ({"keeps": never, "greets": False}, {"own-key"}),
        ({"says": False, "greets": False}, {"own-key", "unkeyed-header"}),
    ],
)
def test_a_member_who_gets_the_shared_copy_is_found_where_it_is_safe_to_try(edge, wanted):
    edge = Edge(**edge)
    _, verdict = go(edge, site(BYPASS))
    assert wanted == found(verdict)
    assert ("own-key" in wanted) == (edge.members_at() == [])


@pytest.mark.parametrize(
    ("edge", "members", "wanted", "asked"),
    [
        ({}, (ADA, BEN), {"leak", "unkeyed-header"}, 1),
        ({"key": by_session}, (ADA, BEN), set(), 1),
        ({"keeps": no_members}, (ADA, BEN), set(), 1),
        ({"greets": False}, (ADA, BEN), set(), 1),
        ({}, (), set(), 0),
        ({}, (ADA, replace(BEN, problem="login failed: 403")), set(), 0),
        ({}, (replace(ADA, sentinels=()), replace(BEN, sentinels=())), set(), 1),
        # Without a key of the run's own a reader could get what the member leaves.
        ({"key": by_path}, (ADA, BEN), set(), 0),
        ({"keeps": never}, (ADA, BEN), set(), 0),
    ],
)
def test_what_a_member_leaves_on_a_page_for_everyone_is_found_although_no_bypass_is_named(edge, members, wanted, asked):
    edge = Edge(**edge)
    _, verdict = go(edge, site(), members)
    assert wanted == found(verdict)
    assert asked == len(edge.members_at())
    assert all(f"{NAME}=" in place for place in edge.members_at())


def test_a_made_up_host_stays_only_in_copies_of_our_own():
    edge = Edge(greets=False, repeats=True)
    seen, verdict = go(edge, site(), ())
    assert {"unkeyed-header"} == found(verdict)
    assert "X-Forwarded-Host: the next visitor got what it said, HIT" == verdict.findings[0].saw
    assert 1 == len(seen.injections)
    assert all(f"{NAME}=" in url for url, _ in edge.asked)
    assert all(value.endswith(".invalid") for _, headers in edge.asked for value in headers.values())


def test_a_keyed_or_uncached_header_is_repeated_and_does_not_stay():
    """It warns: the page takes it from anybody."""
    edge = Edge(lambda url, headers: (url, headers.get("X-Forwarded-Host")), greets=False, repeats=True)
    seen, verdict = go(edge, site(), ())
    assert set() == found(verdict)
    assert {"reflected-header"} == found(verdict, "warn")
    assert len(HEADERS) == len(seen.injections)
    assert 3 + len(HEADERS) + 1 == len(edge.asked)


@pytest.mark.parametrize(
    ("edge", "outcome"), [({"key": by_path}, "warn"), ({"keeps": never}, "warn"), ({"says": False}, "unknown")]
)
def test_no_header_is_made_up_where_the_key_is_not_proven_to_be_apart(edge, outcome):
    """How an edge makes its keys is no trouble that anybody can mend by looking again."""
    edge = Edge(**edge, greets=False)
    _, verdict = go(edge, site(), ())
    assert {"unkeyed-header"} == found(verdict, outcome)
    assert 3 == len(edge.asked)
    assert not any(headers for _, headers in edge.asked)


def test_a_header_that_breaks_the_page_for_the_next_visitor_is_found():
    """The page comes with another status, and that answer is kept."""

    class Breaking(Edge):
        def answer(self, probe):
            seen = super().answer(probe)
            broken = "X-Rewrite-URL" in dict(probe.headers) or self.copies.get(probe.url) == b"broken"
            if broken:
                self.copies[probe.url] = b"broken"
            return replace(seen, status=404) if broken else seen

    _, verdict = go(Breaking(greets=False), site(), ())
    assert "X-Rewrite-URL: the next visitor got status 404, HIT" == verdict.findings[0].saw


def test_which_routes_are_walked():
    cached = {"cached": ["/a", "/a/b"]}
    for more, wanted in [
        ({"examples": cached}, ("/a",)),
        ({"examples": cached, **BYPASS}, ("/a", "/a/b")),
        (MEMBER, ("/a",)),
        ({"cache": {"by": "unsaid"}, "examples": {"not_cached": ["/a"]}}, ()),
    ]:
        assert wanted == routes(site(more).rules[0])


def test_an_edge_that_stops_answering_ends_the_walk_and_hides_no_leak():
    class Dying(Edge):
        def answer(self, probe):
            seen = super().answer(probe)
            return replace(seen, error="refused", detail="connection refused") if len(self.asked) > 6 else seen

    edge = Dying()
    _, verdict = go(edge, site(MEMBER))
    assert {"leak": "fail", "answers": "unknown"} == {
        f.claim.partition("/")[2]: f.outcome for f in verdict.findings if f.outcome in {"fail", "unknown"}
    }
    assert 7 == len(edge.asked)
