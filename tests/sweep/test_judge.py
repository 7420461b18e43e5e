"""How a sweep is cut up, how a page is judged by one look, and what the sweep says in the end."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from roundsman.report.rules.grouping import group, merged
from roundsman.report.rules.verdict import Outcome
from roundsman.sweep.rules.judge import (
    BUCKETS,
    CHECK,
    CONNECTIONS,
    Begun,
    Swept,
    bucket,
    counted,
    edition_of,
    judge,
    markdown,
    pace,
    shards,
    unread_sitemap,
)
from tests.make import exchange, site

ARTICLES = {
    "name": "articles",
    "paths": ["/articles/**"],
    "cache": {"by": "everyone", "edge_ttl": "5m..1h", "vary": ["accept-encoding"]},
    "bypass": [{"when": "path /articles/preview/*", "because": "drafts"}, {"when": "query token", "because": "drafts"}],
    "examples": {"cached": ["/articles/first"], "not_cached": ["/articles/draft"]},
    "expected_result": "A copy at most an hour old.",
    "rollback": {"note": "kept", "command": ["make", "back"]},
}
ACCOUNT = {
    **ARTICLES,
    "name": "account",
    "paths": ["/account/**"],
    "cache": {"by": "member"},
    "bypass": [],
    "examples": {"not_cached": ["/account/me"]},
}
SHOP = site(ARTICLES, ACCOUNT)


@pytest.mark.parametrize(
    ("wanted", "sizes", "most"),
    [
        ([], [], 10),
        ([], [0, 0], 10),
        ([[0, 1]], [5, 5], 10),
        ([[0], [1]], [5, 6], 10),
        ([[0], [2, 3]], [20, 0, 5, 5], 10),
    ],
)
def test_shards_are_neighbouring_buckets_that_are_about_full(wanted, sizes, most):
    assert wanted == shards(sizes, most)


def test_a_page_falls_into_the_same_bucket_each_time_and_they_fill_evenly():
    sizes = [0] * BUCKETS
    for number in range(25_600):
        sizes[bucket(f"/articles/{number}")] += 1
    assert 50 < min(sizes) <= max(sizes) < 160
    assert bucket("/ü") == bucket("/ü")


NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
NEW = "2026-05-05T12:00:00Z"


def hours(number):
    return NOON + timedelta(hours=number)


@pytest.mark.parametrize(
    ("wanted", "now", "begun"),
    [
        (NEW, 0, []),
        (NEW, 0, [("2026-05-05T06:00:00Z", -6, -5)]),
        ("2026-05-05T06:00:00Z", 0, [("2026-05-05T06:00:00Z", -6, None)]),
        # Over midnight.
        ("2026-05-04T06:00:00Z", 0, [("2026-05-04T06:00:00Z", -30, None)]),
        (NEW, 0, [("2026-05-03T06:00:00Z", -54, None)]),
        (NEW, 0, [("2026-05-04T06:00:00Z", -30, None), ("2026-05-05T06:00:00Z", -6, -5)]),
        # The run is tried again: with its own edition, also when it is done, or there is a newer one.
        (NEW, 3, [("2026-05-05T06:00:00Z", -6, -5), (NEW, 0, None)]),
        (NEW, 3, [(NEW, 0, 1)]),
        (NEW, 9, [(NEW, 0, 1), ("2026-05-05T18:00:00Z", 6, None)]),
        # Or with the one that it had gone on with.
        ("2026-05-05T06:00:00Z", 3, [("2026-05-05T06:00:00Z", -6, 1)]),
        (NEW, 0, [("release-7", -1, None)]),
        (NEW, 2, [("release-7", -1, 1)]),
        (NEW, 0, [("2026-05-05", -1, None)]),
    ],
)
def test_an_unfinished_sweep_is_gone_on_with_and_after_a_finished_one_a_new_one_is_begun(wanted, now, begun):
    sweeps = [Begun(name, hours(start), None if end is None else hours(end)) for name, start, end in begun]
    assert wanted == edition_of(NOON, hours(now), sweeps)


def test_a_new_edition_has_the_time_at_which_its_run_was_due_in_utc():
    assert NEW == edition_of(NOON.astimezone(timezone(timedelta(hours=2))), NOON, [])


@pytest.mark.parametrize(
    ("wanted", "lease", "timeout", "rate"),
    [
        ((120, 10, 250), 120, 5, 100_000),
        ((120, 10, 250), 120, 10, 100_000),
        ((120, 10, 200), 120, 10, 20),
        ((120, 10, 160), 120, 15, 100_000),
        ((120, 10, 64), 120, 30, 100_000),
        ((120, 10, 32), 120, 80, 100_000),
        ((450, 10, 32), 120, 300, 1e9),
        ((24, 2, 32), 24, 10, 100_000),
        ((165, 10, 1), 120, 10, 0.01),
    ],
)
def test_a_chunk_is_over_before_its_lease_ends_although_every_page_hangs(wanted, lease, timeout, rate):
    found = pace(lease, timeout, rate)
    assert pytest.approx(wanted) == found
    of_the_rate, hanging = found.turn / rate, -(-found.turn // CONNECTIONS) * timeout
    assert found.long + of_the_rate + hanging <= found.lease * 0.84


@pytest.mark.parametrize(
    ("outcome", "claim", "path", "how"),
    [
        (Outcome.PASS, "", "/articles/a", {"cache_control": "public, max-age=600"}),
        (Outcome.FAIL, "cache-headers/storable", "/articles/a", {"cache_control": "private"}),
        (Outcome.FAIL, "cache-headers/edge-ttl", "/articles/a", {"cache_control": "public, max-age=1"}),
        (Outcome.FAIL, "cache-headers/vary", "/articles/a", {"cache_control": "public, max-age=600", "vary": "cookie"}),
        (Outcome.WARN, "cache-headers/clear", "/articles/a", {"cache_control": "public, max-age=600, max-age=9"}),
        (Outcome.FAIL, f"{CHECK}/status", "/articles/a", {"status": 404}),
        (Outcome.UNKNOWN, f"{CHECK}/answers", "/articles/a", {"error": "timeout", "status": 0}),
        (Outcome.PASS, "", "/articles/draft", {"cache_control": "private"}),
        (Outcome.PASS, "", "/articles/preview/1", {"cache_control": "no-store"}),
        (Outcome.PASS, "", "/articles/a?token=1", {"cache_control": "no-store"}),
        (Outcome.FAIL, "cache-headers/storable", "/articles/a?tokens=1", {"cache_control": "no-store"}),
        (Outcome.FAIL, "cache-headers/storable", "/%61rticles/a", {"cache_control": "no-store"}),
        (Outcome.PASS, "", "/articles/%70review/1", {"cache_control": "no-store"}),
        (Outcome.PASS, "", "/articles/a?%74oken=1", {"cache_control": "no-store"}),
        (Outcome.PASS, "", "/account/me", {"status": 302}),
        (Outcome.FAIL, f"{CHECK}/status", "/account/me", {"status": 500}),
        (Outcome.PASS, "", "/no/rule", {"cache_control": "private"}),
        (Outcome.FAIL, f"{CHECK}/status", "/no/rule", {"status": 410}),
    ],
)
def test_a_page_is_judged_by_its_rule_and_one_look(outcome, claim, path, how):
    page, verdict = judge(SHOP, path, exchange(path, **how))
    assert (outcome.weight, how.get("status", 200)) == (page.outcome, page.status)
    found = [one.claim for one in verdict.findings if one.outcome is outcome] if verdict else [""]
    assert claim in found
    assert verdict is None or (CHECK, path) == (verdict.check, verdict.subject)


def test_a_page_that_is_kept_against_its_headers_is_found():
    kept = exchange("/no/rule", "private", age="30", x_cache="HIT")
    assert Outcome.FAIL.weight == judge(SHOP, "/no/rule", kept)[0].outcome


def test_groups_of_parts_are_those_of_the_whole():
    verdicts = [
        judge(SHOP, f"/articles/{n}", exchange(f"/articles/{n}", "private" if n % 3 else "max-age=1"))[1]
        for n in range(90)
    ]
    parts = [one for start in range(0, 90, 7) for one in group(verdicts[start : start + 7])]
    assert group(verdicts) == merged(parts)
    assert merged(parts) == merged(reversed(parts))


@pytest.mark.parametrize(
    ("outcome", "summary", "pages", "listed", "counts"),
    [
        (Outcome.PASS, "3 pages: 3 passed", 3, 3, {0: 3}),
        (Outcome.FAIL, "3 pages: 1 failed, 2 passed", 3, 3, {0: 2, 3: 1}),
        (Outcome.UNKNOWN, "2 pages: 2 passed; 1 were not looked at", 2, 3, {0: 2}),
        (Outcome.FAIL, "2 pages: 1 failed, 1 warned; 1 were not looked at", 2, 3, {1: 1, 3: 1}),
        (Outcome.UNKNOWN, "0 pages: none looked at", 0, 0, {}),
    ],
)
def test_a_sweep_that_is_not_whole_is_unknown_at_best(outcome, summary, pages, listed, counts):
    swept = Swept("shop", "2026-01-01", pages, listed, counted(counts.items()))
    assert (outcome, summary) == (swept.outcome, swept.summary)


@pytest.mark.parametrize(("outcome", "counts"), [(Outcome.UNKNOWN, {0: 3}), (Outcome.FAIL, {0: 2, 3: 1})])
def test_a_sweep_is_no_pass_when_a_sitemap_could_not_be_read(outcome, counts):
    unread = [unread_sitemap(SHOP, path, "503", "200") for path in ("/a.xml", "/b.xml")]
    swept = Swept("shop", "2026-01-01", 3, 3, counted(counts.items()), group(unread))
    assert (outcome, 2) == (swept.outcome, swept.unread)
    assert swept.summary.endswith("; 2 sitemaps could not be read")
    assert "- **UNKNOWN /a.xml, /b.xml** `sweep/sitemap`: saw 503, wanted 200." in markdown(swept)


def test_the_page_of_a_sweep_shows_each_fault_once_and_what_was_left_out():
    verdicts = [judge(SHOP, f"/articles/{n}", exchange(f"/articles/{n}", "private"))[1] for n in range(300)]
    swept = Swept(
        "shop",
        "2026-01-01",
        300,
        300,
        counted([(3, 300)]),
        group(verdicts),
        ["2 pages that robots.txt does not allow"],
        61.2,
    )
    page = markdown(swept)
    assert "# shop: 300 pages: 300 failed" in page
    assert 1 == page.count("**FAIL /articles/0, /articles/1, /articles/10 and 297 more**")
    assert "Rollback: `make back`" in page
    assert "- 2 pages that robots.txt does not allow" in page
