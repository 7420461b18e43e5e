"""Text from outside is text, whatever stands in it, and wherever it is shown."""

import re

import pytest

from roundsman.report.rules.text import (
    clipped,
    code_for_markdown,
    for_markdown,
    for_message,
    for_picture,
    for_table,
    for_terminal,
    hidden,
    plain,
    scrubbed,
    shortened,
    visible,
)
from tests.hostile_text import LINK, OF_PAGES, UNSEEN, VALUES, elements, text_of


@VALUES
def test_a_terminal_and_a_ci_log_get_what_is_seen_only(value):
    shown = for_terminal(value)
    assert not UNSEEN.search(shown)
    assert not re.search(r"(?i)::(error|set-env|stop-commands)|##\w*\[|section_\w+:", shown)


@VALUES
def test_markdown_has_no_element_but_code(value):
    page = OF_PAGES.render(f"- {for_markdown(value)}\n- {code_for_markdown(value)}\n")
    found, words = elements(page)
    assert {"ul", "li", "code"} >= set(found)
    assert 2 == found.count("li")
    assert not LINK.search(words)
    assert not UNSEEN.search(page.replace("\n", ""))


@VALUES
def test_a_table_of_markdown_keeps_its_cells(value):
    row = f"| {for_markdown(value)} | {code_for_markdown(value, cell=True)} | end |"
    found, words = elements(OF_PAGES.render(f"| a | b | c |\n|---|---|---|\n{row}\n"))
    assert {"table", "thead", "tbody", "tr", "th", "td", "code"} >= set(found)
    assert (2, 3) == (found.count("tr"), found.count("td"))
    assert not LINK.search(words)


@VALUES
def test_what_markdown_shows_is_what_was_seen(value):
    value = value[:1000]
    shown = text_of(OF_PAGES.renderInline(for_markdown(value)))
    assert plain(value).replace("|", "%7C") == shown.replace("|", "%7C")
    if code := code_for_markdown(value):
        assert plain(value) == text_of(OF_PAGES.renderInline(code))


@VALUES
def test_a_cell_of_a_prefect_table_is_text_as_markdown(value):
    found, words = elements(OF_PAGES.render(for_table(value)))
    assert {"p", "code"} >= set(found)
    assert not LINK.search(words)
    assert not UNSEEN.search(for_table(value))


def test_a_cell_of_a_prefect_table_is_hardly_changed():
    for said in ("max-age=60, s-maxage=600", "<=5m", "set-cookie: sha256:12ab", "a_b & c", "C:\\new", "80 ms > 60 ms"):
        assert said == for_table(said)


@VALUES
def test_a_message_calls_nobody_links_nothing_and_holds_no_element(value):
    said = for_message(value)
    assert not re.search(r"(?i)<[!@#/?]|@(everyone|here|channel|all)\b|\]\(|://\w|www\.|\{\{", said)
    assert not UNSEEN.search(said)
    assert all("@" in name for name in elements(said)[0])  # a mail address is no element
    assert re.sub(r"[\\ ]", "", plain(value)) == re.sub(r"[\\ ]", "", said) or len(value) > 2000


@VALUES
def test_a_picture_takes_no_formula(value):
    assert not re.search(r"(?<!\\)\$", for_picture(value))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("max-age=\x1b[31m60", r"max-age=\x1b[31m60"),
        ("a\u202eb\nc\ud800", r"a\u202eb\nc\ud800"),
        ("caf\xe9 \u2713", "caf\xe9 \u2713"),
        ("::error::x", r":\:error::x"),
        ("at ::1 in a::b", "at ::1 in a::b"),
        ("##[error]x", r"##\[error]x"),
    ],
)
def test_what_can_not_be_seen_is_written_out(text, seen):
    assert seen == for_terminal(text)


def test_what_is_kept_stays():
    assert "a\nb\\x00" == visible("a\nb\0", "\n")


@pytest.mark.parametrize(
    ("text", "scrub"),
    [
        ("http://a.test:80/path?token=hush", "http://a.test:80/..."),
        ("see https://hooks.slack.com/services/hush", "see https://hooks.slack.com/..."),
        ("(http://a.test)", "(http://a.test)"),
        ("https://ada:hush@a.test/", "https://..."),
        ("http://ada:hu/sh@a.test/", "http://..."),
        ("http://ada:hu'sh@a.test/", "http://..."),
        ("postgresql://keeper:hush@host/db failed", "postgresql://... failed"),
        ("slack://hush/hush", "slack://..."),
        ("password=hush, user=ada", "password=..., user=ada"),
        ("SHOP_API_KEY: hush", "SHOP_API_KEY: ..."),
        ("'token': 'hush'", "'token': ..."),
        ('{"session_id": "hush"}', '{"session_id": ...'),
        ("Authorization: Bearer hush-hush", "Authorization: ..."),
        ("Cookie: sessionid=hush", "Cookie: ..."),
        ("Cookie: theme=dark; auth=hush; lang=de", "Cookie: ..."),
        ("Set-Cookie: a=1; sid=hush; Path=/\nstatus 503", "Set-Cookie: ... status 503"),
        ("a=1\r\ncookie:\t a=1, hush\r\nstatus 503", "a=1 cookie: ... status 503"),
        ("cookies={'theme': 'dark', 'auth': 'hush'}", "cookies=..."),
        ('{"said": "{\\"cookie\\": \\"theme=dark; auth=hush\\"}"}', '{"said": "{\\"cookie\\": ...'),
        ("cookie_header: theme=dark; auth=hush", "cookie_header: ..."),
        ("Cookie:\n  theme=dark; auth=hush\nstatus 503", "Cookie:... status 503"),
        ("{'Cookie': 'theme=dark; auth=hush'}", "{'Cookie': ..."),
        ("[(b'set-cookie', b'auth=hush; Path=/')]", "[(b'set-cookie', ..."),
        ("<Cookies[<Cookie auth=hush for a.test />]>", "<Cookies[<Cookie auth=..."),
        ("no cookie sessionid was set by a.test", "no cookie sessionid was set by a.test"),
        ("pwd=hush, DB_PWD: hush", "pwd=..., DB_PWD: ..."),
        (
            "sid=hush;connect.sid=hush user_sid: hush PHPSESSID=hush",
            "sid=...;connect.sid=... user_sid: ... PHPSESSID=...",
        ),
        ("inside: 3, side=left, residual: 4", "inside: 3, side=left, residual: 4"),
        ("bearer hush-hush failed", "bearer ... failed"),
        ("said quiet-please twice: quiet-please", "said ... twice: ..."),
        ("a page in 3 s, status 503", "a page in 3 s, status 503"),
        ("__Host-id=hush; __Secure-a.b: hush", "__Host-id=...; __Secure-a.b: ..."),
        ("jar: Cookie(version=0, name='a', value='hush')", "jar: Cookie(..."),
        ("2 cookie(s) were set", "2 cookie(s) were set"),
        ("authorization: token hush, twice", "authorization: ..., twice"),
        ('Authorization: Digest username="ada", response="hush"', "Authorization: ..."),
        ("{'Authorization': 'ApiKey hush', 'Accept': '*/*'}", "{'Authorization': '..., 'Accept': '*/*'}"),
        ('WWW-Authenticate: Digest realm="a", nonce="hush"', 'WWW-Authenticate: Digest realm="a", nonce=...'),
        (
            "passphrase=hush AWS_SECRET_ACCESS_KEY=hush private_key: hush",
            "passphrase=... AWS_SECRET_ACCESS_KEY=... private_key: ...",
        ),
        ("X-Amz-Signature=hush&sig=hush&size=3", "X-Amz-Signature=...&sig=...&size=3"),
        ("deploy --token hush --api-key=hush --retries 3", "deploy --token ... --api-key=... --retries 3"),
        (
            "Command '['psql', '--password', 'hush', 'shop']' failed",
            "Command '['psql', '--password', ..., 'shop']' failed",
        ),
        ("to /login/https%3A%2F%2Fu%3Ahush%40a.test%2F", "to /login/https%3A%2F%2F...%40a.test%2F"),
    ],
)
def test_what_may_be_a_secret_is_left_out(text, scrub):
    assert scrub == scrubbed(text, ["quiet-please", ""])


def test_a_line_is_a_line():
    assert r"a b \x00c\ud800" == plain(" a\tb\r\n\0c\ud800 ")
    assert "aaaa..." == clipped("a" * 8, 7)
    assert "aaaaaaa" == clipped("a" * 7, 7)


def test_what_is_cut_says_how_much():
    assert "aaaa... (90,000 characters left out)" == shortened("a" * 90_004, 4)
    assert "aaaa" == shortened("aaaa", 4)
    assert "aaaa... (90,000 characters left out)" == shortened(shortened("a" * 90_004, 100), 4)
    assert "aaaa... (99,996 characters left out)" == shortened(hidden("a" * 100_000), 4)
