"""The same fault on three hundred routes is one sentence, and no finding is lost by it."""

from dataclasses import replace
from itertools import combinations

import pytest

from roundsman.report.rules.grouping import group, passed, shape
from roundsman.report.rules.verdict import Claim, Finding, Outcome, Severity, Verdict

TTL = Claim("cache-headers/edge-ttl", "A shared copy stays fresh as long as promised.")
VARY = Claim("cache-headers/vary", "Copies differ little.", breach=Outcome.WARN)
LEAK = Claim("logged-in-traffic/leak", "Nobody sees another's page.", severity=Severity.CRITICAL)
HELD = TTL.against("10m", "10m..24h", holds=True)


def short(saw="61s"):
    return TTL.against(saw, "10m..24h", holds=False)


def verdict(subject, *findings, rule="articles", **more):
    return Verdict("cache-headers", subject, rule, "web", "A copy.", "make back", findings, **more)


ARTICLES = [verdict(f"/articles/{number:03}", HELD, short(f"{60 + number}s")) for number in range(300)]


def test_three_hundred_routes_with_one_fault_are_one_finding_with_a_count_and_three_examples():
    [one] = group(ARTICLES)
    assert (300, 300, ("/articles/000", "/articles/001", "/articles/002")) == (one.count, one.subjects, one.examples)
    assert "/articles/000, /articles/001, /articles/002 and 297 more" == one.where
    assert ("cache-headers", "articles", "web", "make back") == (one.check, one.rule, one.owner, one.rollback)
    assert ("cache-headers/edge-ttl", TTL.says, "fail", "10m..24h") == (one.claim, one.says, one.outcome, one.wanted)
    assert ("60s", True) == (one.saw, one.varied)


def test_what_is_seen_is_said_in_the_words_of_the_first_example():
    [one] = group([verdict("/b", short("61s")), verdict("/a", short("73s")), verdict("/c", short("5s"))])
    assert ("73s", "/a, /b, /c", "") == (one.saw, one.where, one.more)


def test_a_fault_that_is_always_the_same_did_not_vary():
    [one] = group([verdict("/a", short()), verdict("/b", short())])
    assert not one.varied


def test_two_like_findings_on_one_subject_are_two_findings_in_one_place():
    [one] = group([verdict("/a", short("61s"), short("62s"))])
    assert (2, 1, "/a") == (one.count, one.subjects, one.where)


FAULT = short("61s")
APART = {
    "another claim": verdict("/a", FAULT._replace(claim="cache-headers/browser-ttl")),
    "another outcome": verdict("/a", FAULT._replace(outcome=Outcome.UNKNOWN)),
    "another severity": verdict("/a", FAULT._replace(severity=Severity.STORED)),
    "another thing wanted": verdict("/a", FAULT._replace(wanted="at most 10m..24h")),
    "another thing seen": verdict("/a", FAULT._replace(saw="no explicit lifetime")),
    "another rule": verdict("/a", FAULT, rule="news"),
    "another owner": replace(verdict("/a", FAULT), owner="ops"),
    "another way back": replace(verdict("/a", FAULT), rollback="make other"),
    "another check": replace(verdict("/a", FAULT), check="response-time"),
    "the fault itself": verdict("/a", FAULT),
}


@pytest.mark.parametrize("pair", list(combinations(APART, 2)), ids=" and ".join)
def test_what_differs_in_more_than_numbers_is_another_fault(pair):
    assert 2 == len(group([APART[name] for name in pair]))


ALIKE = [
    ("max-age 61 s", "max-age 73 s"),
    ("public, max-age=60", "public, max-age=300"),
    ("Age: 301", "Age: 4000"),
    ("Age none, 0, 0", "Age none, 0, 301"),
    ("born 0.0s after the purge", "born 0.4s after the purge"),
    ("61s", "10m"),
    ("<=5m", "<=10m"),
    ("10m..24h", "5m..1h"),
    ("40 samples of a hit", "200 samples of a hit"),
    ("born 0.4s after the purge", "born 12.0s after the purge"),
    ("p95 12.3ms (11.0ms to 14.9ms, 80 samples)", "p95 9.1ms (8.0ms to 20.2ms, 81 samples)"),
    ("/a: MISS, HIT", "/articles/b?x=1: MISS, HIT"),
    ("301 to /a/", "301 to https://www.example.com/b/"),
    ("a body sha256:0f3a9bc1d2e4", "a body sha256:99ff00aa77bb"),
    ('ETag W/"5f3a-9b"', 'ETag W/"6-1a"'),
    ("reflected 0x1f.invalid in the body", "reflected qwxz.invalid in the body"),
    ("the cookie s3cr3tname has the same value", "the cookie oth3rname1 has the same value"),
    ("rehearsed 20 days ago, 47s", "rehearsed 40 hours ago, 3m"),
    ("/a/1/x.css with a member's page", "./b/2;y with a member's page"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_numbers_ages_hashes_and_paths_do_not_keep_faults_apart(one, other):
    assert shape(one) == shape(other)


DIFFERENT = [
    ("404", "500"),
    ("200", "404"),
    ("301 to /a", "302 to /a"),
    ("404: a page", "500: a page"),
    ("an error page 404", "an error page 500"),
    ("200 HIT, 200 HIT", "200 HIT, 403 HIT"),
    ("0s", "61s"),
    ("max-age=0", "max-age=60"),
    ("MISS, HIT, HIT", "MISS, MISS, MISS"),
    ("public, max-age=60", "private, max-age=60"),
    ("a HIT", "a MISS"),
    ("no Vary", "cookie"),
    ("a body", "/a"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_a_status_a_lifetime_of_zero_and_every_word_keep_faults_apart(one, other):
    assert shape(one) != shape(other)


@pytest.mark.parametrize("text", ["no directive against it", "private, no-store", "HIT", "", "404", "0s"])
def test_a_sentence_without_anything_particular_is_its_own_shape(text):
    assert text == shape(text)


def test_the_worst_comes_first():
    """By outcome, by harm, by how many it hits; then in the order of the check, which tells the cause first."""
    found = [
        verdict("/1", VARY.against("cookie", "no Vary", holds=False)),
        verdict("/2", TTL.against("no answer", "an answer", holds=None)),
        verdict("/3", short("no lifetime"), FAULT._replace(claim="cache-headers/a")),
        *(verdict(f"/4{letter}", short()) for letter in "abc"),
        verdict("/5", FAULT._replace(severity=Severity.POLICY)),
        verdict("/6", FAULT._replace(severity=Severity.STORED)),
        verdict("/7", LEAK.against("a page of ada", "none", holds=False)),
    ]
    told = [(one.where, one.claim.partition("/")[2]) for one in group(found)]
    assert [
        ("/7", "leak"), ("/6", "edge-ttl"), ("/5", "edge-ttl"), ("/4a, /4b, /4c", "edge-ttl"), ("/3", "edge-ttl"),
        ("/3", "a"), ("/2", "edge-ttl"), ("/1", "vary"),
    ] == told  # fmt: skip


def test_a_group_shows_both_columns_and_says_when_they_vary():
    seen = ["MISS, HIT, HIT", "HIT, HIT, HIT", "HIT, HIT, HIT", "MISS, MISS, HIT"]
    found = [
        verdict(f"/{number}", short(), by_rfc=f"storable for {60 + number}s", observed=states)
        for number, states in enumerate(seen)
    ]
    assert ("storable for 60s", "HIT, HIT, HIT or MISS, HIT, HIT and others") == (
        group(found)[0].by_rfc,
        group(found)[0].observed,
    )
    assert "HIT, HIT, HIT or MISS, HIT, HIT" == group(found[:3])[0].observed
    assert ("", "") == (group(ARTICLES)[0].by_rfc, group(ARTICLES)[0].observed)


def test_what_holds_is_grouped_as_well():
    fine = [verdict(f"/{letter}", HELD, HELD) for letter in "abcd"]
    several, single = passed([*fine, verdict("/e", HELD), *ARTICLES])
    assert ("2 claims hold", "/a, /b, /c and 1 more", "", "pass") == (
        several.saw, several.where, several.claim, several.outcome,
    )  # fmt: skip
    assert ("1 claim holds: 10m", "/e") == (single.saw, single.where)
    assert [] == group(fine)


def test_a_finding_without_a_word_is_a_finding():
    [one] = group([verdict("/a", Finding("c/x", "", Outcome.FAIL, "", ""))])
    assert ("", 1) == (one.saw, one.count)
