"""What is kept of an answer holds no secret, and is of a bounded size, whatever a server sends."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from roundsman.cache.rules.plain_visits import cookie_findings
from roundsman.report.rules.exchange import cookie_of
from roundsman.report.rules.redaction import MAX_COOKIES, MAX_EXCHANGES, MAX_HEADERS, exchange_json, redacted
from roundsman.report.rules.report import Report, as_json
from roundsman.report.rules.verdict import Claim, Verdict
from roundsman.site.rules.wording import wrong_status
from tests.make import exchange

START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "hush4711hush"


def answer(*headers, asked=(), **more):
    seen = exchange("/a", **more)
    object.__setattr__(seen, "headers", tuple(headers))
    object.__setattr__(seen.probe, "headers", tuple(asked))
    return seen


def report(*evidence, count=1):
    claim = Claim("cache-headers/kept", "It is kept.")
    found = tuple(claim.against("x", "y", holds=False, evidence=evidence) for _ in range(count))
    verdict = Verdict("cache-headers", "/a", "articles", "web", "A copy.", "", found)
    return Report("run", "shop", START, START + timedelta(seconds=1), (verdict,))


@pytest.mark.parametrize(
    ("field", "pair"),
    [
        ("a=b; Path=/", ("a", "b")),
        ("hush; Path=/", ("", "hush")),
        ("=hush", ("", "hush")),
        (" a = b=c ", ("a", "b=c")),
        ("", ("", "")),
        (";hush", ("", "")),
    ],
)
def test_a_cookie_without_a_name_is_all_value(field, pair):
    assert pair == cookie_of(field)


@pytest.mark.parametrize(
    "headers",
    [
        [("Set-Cookie", SECRET)],
        [("Set-Cookie", f"{SECRET}; Path=/")],
        [("Set-Cookie", f"={SECRET}")],
        [("Set-Cookie", f"a=1, {SECRET}=2")],
        [("Set-Cookie", f"a=1; Path={SECRET}; {SECRET}")],
        [("Set-Cookie2", f"a={SECRET}")],
        [("Location", f"http://u:{SECRET}@a.test/")],
        [("Content-Location", f"http://u:{SECRET}@a.test/")],
        [("Link", f"<http://u:{SECRET}@a.test/>; rel=next")],
        [("Refresh", f"0; url=http://u:{SECRET}@a.test/")],
        [("Report-To", f'{{"url": "http://u:{SECRET}@a.test/"}}')],
        [("Content-Security-Policy", f"report-uri http://a.test/?key={SECRET}")],
        [("WWW-Authenticate", f'Digest nonce="{SECRET}"')],
        [("Authorization", f"Bearer {SECRET}")],
        [("X-Echo-Cookie", f"session={SECRET}")],
        [("Via", f"1.1 u:{SECRET}@proxy")],
        [("Server", f"x http://u:{SECRET}@a.test/?q={SECRET}#{SECRET}")],
        [("Cache-Status", f'edge; hit; key="/?t={SECRET}"; detail="http://a.test/?t={SECRET}"')],
        [("Cache-Status", f'edge; hit; KEY = "/{SECRET}"')],
        [("X-Cache", f"HIT //u:{SECRET}@a.test/")],
        [("ETag", f'"{SECRET}"'), ("Set-Cookie", f"session={SECRET}")],
        [("X-Served-By", SECRET), ("Set-Cookie", SECRET)],
    ],
)
def test_no_header_tells_a_secret(headers):
    seen = answer(*headers)
    assert SECRET not in json.dumps(exchange_json(seen))
    assert SECRET not in json.dumps(as_json(report(seen)))


def test_a_page_of_a_member_tells_no_cookie_that_another_header_repeats():
    seen = answer(("Set-Cookie", f"session={SECRET}"), ("ETag", f'"{SECRET}"'))
    [finding] = report(seen).verdicts[0].findings
    [kept] = redacted(finding, ()).evidence
    assert SECRET not in str(kept.headers)
    assert SECRET not in json.dumps(exchange_json(kept))


@pytest.mark.parametrize("name", ["Cookie", "authorization"])
def test_a_header_that_repeats_what_was_sent_is_hashed(name):
    seen = answer(("ETag", f'"{SECRET}"'), ("Age", "3"), asked=[(name, f"Bearer {SECRET}")])
    (_, tag), age = exchange_json(seen)["headers"]
    assert tag.startswith("sha256:")
    assert ["Age", "3"] == age


def test_a_cookie_is_its_name_and_a_hash():
    named, nameless = exchange_json(answer(("Set-Cookie", "a=b"), ("Set-Cookie", SECRET)))["headers"]
    assert named[1].startswith("a=sha256:")
    assert nameless[1].startswith("=sha256:")


def test_a_cookie_without_a_name_is_not_named():
    seen = [exchange("/a", headers=[], set_cookie=SECRET, cache_control="max-age=60")]
    assert [SECRET in one.saw for one in cookie_findings(seen)] == [False]
    assert "a cookie without a name" in next(cookie_findings(seen)).saw


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("/login", "302 to /login"),
        (f"http://u:{SECRET}@a.test/b?next={SECRET}", "302 to http://...@a.test/b?..."),
        (f"//u:{SECRET}@a.test/b#{SECRET}", "302 to //...@a.test/b#..."),
        (f"/b;jsessionid={SECRET}", "302 to /b;jsessionid=..."),
        ("/" + "x" * 90_000, "302 to /" + "x" * 299 + "... (89,701 characters left out)"),
    ],
)
def test_a_redirect_is_told_without_secrets_and_in_a_line(location, says):
    assert says == wrong_status("cache-headers", [exchange("/a", status=302, location=location)], 200).saw


def test_what_was_seen_is_bounded_and_without_credentials():
    claim = Claim("a/b", "It is.")
    assert len(claim.against("x" * 90_000, "y" * 90_000, holds=False).saw) < 5_000
    assert (
        "no answer from http://...@a.test/"
        == claim.against(f"no answer from http://u:{SECRET}@a.test/", "", holds=None).saw
    )


def test_evidence_is_bounded_and_says_what_is_left_out():
    cookies = [("Set-Cookie", f"c{number}={'x' * 80}") for number in range(4_000)]
    headers = [("X-Cache", "x" * 90_000)] * 100
    seen = answer(("Location", "/" + "x" * 90_000), *headers, *cookies)
    shown = exchange_json(seen)["headers"]
    assert MAX_HEADERS + MAX_COOKIES + 1 == len(shown)
    assert ["", f"{100 - MAX_HEADERS} more headers, {4_000 - MAX_COOKIES:,} more cookies left out"] == shown[-1]
    assert len(json.dumps(shown)) < 40_000
    assert len(json.dumps(as_json(report(*[seen] * 4_000)))) < 50_000


def test_the_evidence_of_a_whole_report_is_bounded_the_worst_first():
    seen = [answer(*[("X-Cache", "x" * 1_000)] * 60) for _ in range(40)]
    wide = as_json(report(*seen, count=100))
    [verdict] = wide["verdicts"]
    first, last = verdict["findings"][0], verdict["findings"][-1]
    assert (MAX_EXCHANGES, 40 - MAX_EXCHANGES) == (len(first["evidence"]), first["evidence_left_out"])
    assert ([], 40) == (last["evidence"], last["evidence_left_out"])
    assert len(json.dumps(wide)) < 5_000_000


def test_a_cookie_set_four_thousand_times_is_one_answer_in_evidence():
    seen = answer(*[("Set-Cookie", f"a{number}=x") for number in range(4_000)], ("Cache-Control", "max-age=60"))
    [found] = cookie_findings([seen])
    assert (seen,) == found.evidence
    assert "and 3,990 more" in found.saw
