"""The cache key, part by part."""

import pytest

from roundsman.cache.rules.cache_key import findings, steps
from roundsman.site.rules.host_names import aliases
from tests.make import NOW, exchange, hit, miss, site


def keyed(same=(), apart=(), **more):
    return {"cache": {"by": "everyone", "key": {"same": list(same), "apart": list(apart)}}, **more}


BASE = "/a/Page?roundsman=c0ffee&rounds=eeff0c"
ASKED = [
    ("query utm_source", f"{BASE}&utm_source=c0ffee"),
    ("order", "/a/Page?rounds=eeff0c&roundsman=c0ffee"),
    ("case", "/A/pAGE?roundsman=c0ffee&rounds=eeff0c"),
    ("slash", "/a/Page/?roundsman=c0ffee&rounds=eeff0c"),
]


@pytest.mark.parametrize(("part", "wanted"), ASKED)
@pytest.mark.parametrize("side", ["same", "apart"])
def test_each_part_is_asked_once_beside_a_copy_of_our_own(part, wanted, side):
    shop = site(keyed(**{side: [part]}))
    asked = [step.probe.url.removeprefix(shop.base_url) for step in steps(shop, shop.rules[0], "/a/Page", "c0ffee")]
    first = ["/a/Page?utm_source=c0ffee&roundsman=c0ffee&rounds=eeff0c"] if part.startswith("query") else []
    assert [BASE, BASE, *(first if side == "same" else []), wanted] == asked


def test_a_slash_is_taken_away_where_there_is_one():
    shop = site(keyed(["slash"]))
    *_, last = steps(shop, shop.rules[0], "/a/", "c0ffee")
    assert "http://example.test/a?roundsman=c0ffee&rounds=eeff0c" == last.probe.url


def test_a_path_with_a_query_keeps_it():
    shop = site(keyed(["case"]))
    base, *_, last = steps(shop, shop.rules[0], "/a?page=Two", "c0ffee")
    assert "http://example.test/a?page=Two&roundsman=c0ffee&rounds=eeff0c" == base.probe.url
    assert "http://example.test/A?page=Two&roundsman=c0ffee&rounds=eeff0c" == last.probe.url


HOSTS = [
    ("http://example.test", "www.example.test", "http://www.example.test", "example.test:80"),
    ("https://example.test", "www.example.test", "https://www.example.test", "example.test:443"),
    ("http://example.test:8480", "www.example.test", "http://www.example.test:8480", "example.test:8480"),
    ("http://example.test", "example.test:80", "http://example.test:80", "example.test:80"),
    ("http://[::1]:8480", "www.example.test", "http://www.example.test:8480", "[::1]:8480"),
]


@pytest.mark.parametrize(("base_url", "name", "address", "node"), HOSTS)
def test_another_name_is_asked_at_the_site_s_own_address(base_url, name, address, node):
    shop = site(keyed(["order"], [f"host {name}"]), base_url=base_url)
    *_, last = steps(shop, shop.rules[0], "/a", "c0ffee")
    assert (f"{address}/a?roundsman=c0ffee&rounds=eeff0c", node) == (last.probe.url, last.probe.node)
    assert {address.partition("//")[2]: node} == aliases(shop)


def test_a_site_without_a_key_has_no_other_name():
    assert {} == aliases(site())


def test_what_can_not_be_tried_is_not_asked_and_unknown():
    shop = site(keyed(["slash", "case"], paths=["/**"]))
    assert [] == list(steps(shop, shop.rules[0], "/", "c0ffee"))
    found = [(one.outcome, one.saw) for one in findings(shop.rules[0], "/", {"head": [hit()]})]
    assert [("unknown", "slash: / is nothing without its slash"), ("unknown", "case: / has no letter to turn")] == found


OWN = [miss(), hit()]
SAME = [
    (OWN, hit(), "pass", "HIT, the same copy"),
    (OWN, miss(), "fail", "MISS, fetched anew"),
    (OWN, miss(body=b"other"), "fail", "MISS, another body"),
    (OWN, hit(body=b"other"), "fail", "HIT, another body"),
    ([miss(), hit(age="0")], hit(age="300"), "fail", "HIT, another birth time"),
    ([miss(), hit(age="3")], hit(age="4", at=NOW + 1), "pass", "HIT, the same copy"),
    (OWN, miss(status=404, body=b"gone"), "fail", "MISS, another body"),
    ([exchange(), exchange()], exchange(), "unknown", "no copy to compare with: UNKNOWN, UNKNOWN"),
    (OWN, exchange(), "unknown", "UNKNOWN, nothing tells them apart"),
    ([miss(), miss()], miss(), "unknown", "no copy to compare with: MISS, MISS"),
    (OWN, miss(status=502), "unknown", "502"),
    (OWN, exchange(error="timeout"), "unknown", "no answer: timeout it was"),
]
APART = [
    (OWN, miss(), "pass", "MISS, fetched anew"),
    (OWN, miss(body=b"other"), "pass", "MISS, another body"),
    (OWN, hit(), "fail", "HIT, the same copy"),
    ([miss(), hit(age="0")], hit(age="1", at=NOW + 1), "fail", "HIT, the same copy"),
    (OWN, hit(body=b"other"), "pass", "HIT, another body"),
    ([hit(), hit()], hit(), "fail", "HIT, the same copy"),
    ([hit(age="9"), hit(age="9")], hit(age="300"), "pass", "HIT, another birth time"),
    (OWN, exchange(), "unknown", "UNKNOWN, and nothing tells the two apart"),
    (OWN, exchange(body=b"other"), "pass", "UNKNOWN, another body"),
    ([miss(), miss()], miss(), "unknown", "no copy to compare with: MISS, MISS"),
]
CASES = [("same", *case) for case in SAME] + [("apart", *case) for case in APART]


@pytest.mark.parametrize(("side", "base", "other", "outcome", "saw"), CASES)
def test_two_requests_get_one_copy_or_two_as_the_rule_promises(side, base, other, outcome, saw):
    shop = site(keyed(**{side: ["query page"]}))
    [found] = findings(shop.rules[0], "/a", {"key": base, "key query page": [other]})
    assert (f"cache-headers/key-{side}", outcome, f"query page: {saw}") == (found.claim, found.outcome, found.saw)


@pytest.mark.parametrize("part", ["order", "case", "slash", "host www.example.test"])
def test_where_the_whole_query_is_left_out_another_spelling_may_have_had_its_own_copy_before(part):
    shop = site(keyed(apart=[part]))
    [found] = findings(shop.rules[0], "/a", {"key": [hit(), hit()], f"key {part}": [hit()]})
    assert ("unknown", f"{part}: HIT, and nothing tells the two apart") == (found.outcome, found.saw)


def test_without_a_copy_each_part_is_unknown():
    shop = site(keyed(["query utm_source"], ["query page"]))
    found = [(one.outcome, one.saw) for one in findings(shop.rules[0], "/a", {"head": [hit()]})]
    assert [
        ("unknown", "query utm_source: not tried: the page is not kept"),
        ("unknown", "query page: not tried: the page is not kept"),
    ] == found


@pytest.mark.parametrize(("first", "outcome"), [(hit(), "warn"), (miss(), "fail"), (hit(body=b"other"), "fail")])
def test_a_parameter_that_is_left_out_only_before_all_others_is_a_warning(first, outcome):
    shop = site(keyed(["query utm_source"]))
    seen = {"key": OWN, "key query utm_source": [miss()], "key query utm_source first": [first]}
    [found] = findings(shop.rules[0], "/a", seen)
    said = " behind other parameters, and the same copy before them" if outcome == "warn" else ""
    assert (outcome, f"query utm_source: MISS, fetched anew{said}") == (found.outcome, found.saw)


SENT = [("header x-part", (("x-part", "c0ffee"),)), ("cookie theme", (("Cookie", "theme=c0ffee"),))]


@pytest.mark.parametrize(("part", "headers"), SENT)
def test_a_header_or_a_cookie_can_be_part_of_the_key(part, headers):
    shop = site(keyed(apart=[part]))
    *_, last = steps(shop, shop.rules[0], "/a", "c0ffee")
    assert ("http://example.test/a?roundsman=c0ffee&rounds=eeff0c", headers) == (last.probe.url, last.probe.headers)


VARIES = [
    ({}, "X-Part, Accept-Encoding, Accept-Language, Cookie", ["vary x-part"]),
    ({}, "x-a, x-b, x-c, x-d", ["vary x-a", "vary x-b", "vary x-c"]),
    ({}, "*", []),
    ({}, "x part, é", []),
    (keyed(apart=["header X-Part"]), "x-part", []),
    ({"bypass": [{"when": "header x-part", "because": "it is new"}]}, "x-part", []),
]


@pytest.mark.parametrize(("rule", "vary", "wanted"), VARIES)
def test_a_header_of_the_site_s_own_that_the_page_varies_on_is_tried(rule, vary, wanted):
    shop = site(rule)
    asked = steps(shop, shop.rules[0], "/a", "c0ffee", hit(vary=vary))
    assert wanted == [step.name for step in asked if step.name.startswith("vary")]


@pytest.mark.parametrize(
    ("other", "outcome"), [(hit(), "fail"), (miss(), "pass"), (hit(body=b"of another part"), "pass")]
)
def test_copies_that_vary_keeps_apart_are_kept_apart(other, outcome):
    [found] = findings(site().rules[0], "/a", {"key": OWN, "vary x-part": [other]})
    assert ("cache-headers/vary-apart", outcome) == (found.claim, found.outcome)
