"""The board answers the questions, to those who may ask, and nothing that a server said becomes markup."""

import base64
import hashlib
import os
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser

import httpx
import pytest
import yaml

from roundsman.ledger.ledger import write_round
from roundsman.report.rules.verdict import Outcome
from tests.deployments.boards import client, fresh, metrics_of, now, open_ledger, write_site
from tests.ports import free_port
from tests.status.test_standing_rows import leak, other
from tests.watch.weeks import HOUR, MINUTE, add, event, judged, look, release, slot, timed, walk, watch

__all__ = ["fresh", "open_ledger", "write_site"]

DAY = 24 * HOUR
QUESTIONS = [
    "Does the site keep its promises?",
    "Is it up?",
    "Is it slow?",
    "Are jobs failing?",
    "Did the last deployment change anything?",
]
TOKEN = "spelled-out-nowhere"
PAGES = ["/", "/sites/shop", "/metrics", "/nowhere", "/sites/none"]


async def test_each_page_answers_and_shows_each_question(fresh):
    async with client() as board:
        index, site = await board.get("/"), await board.get("/sites/shop")
    assert (200, 200) == (index.status_code, site.status_code)
    for page in (index.text, site.text):
        card = page[page.index(QUESTIONS[0]) :]
        assert QUESTIONS == sorted(QUESTIONS, key=card.index)
        for says in (
            "Yes: all 2 claims held when last looked at",
            "Yes: /health answers 200",
            "No: its budget is kept",
            "No: 1 run of the last day went well",
            "✓",
        ):
            assert says in page
    for word in (
        "Since",
        "Owner",
        "Expected",
        "Rollback",
        "web &lt;w@example.com&gt;",
        "make rollback",
        "never rehearsed",
    ):
        assert word in site.text
    assert 5 == len(re.findall("<figcaption>Last 7 days, [a-z ]+: 1 passed", site.text))
    assert site.text.count('<img src="data:image/svg+xml;base64,') == 5


async def test_a_broken_promise_is_the_first_thing_on_every_page(fresh, write_site):
    walk(fresh, now() - 3 * MINUTE, judged(), leak(), run="leaking")
    write_site("aaa")
    walk(fresh, now() - 5 * MINUTE, site="aaa")
    async with client() as board:
        index, site = await board.get("/"), await board.get("/sites/shop")
    assert "<h1>shop needs somebody now: it breaks promises</h1>" in index.text
    assert index.text.index('href="/sites/shop"') < index.text.index('href="/sites/aaa"')
    for page in (index.text, site.text):
        first = page[page.index("Does the site keep its promises?") : page.index("Is it up?")]
        for words in (
            "FAIL",
            "No: CRITICAL logged-in-traffic/leak on /inbox: saw stranger got a page of ada",
            "privacy",
        ):
            assert words in first
        for words in ("Since", "for 3 minutes", "<code>make back</code> (never rehearsed)"):
            assert words in first


async def test_a_database_whose_review_failed_is_on_the_board(fresh, tmp_path, monkeypatch):
    from roundsman.database import database_file

    written = {"database": "orders", "owner": "data", "expected_result": "Quick.", "rollback": {"note": "x"}}
    (tmp_path / "orders.yaml").write_text(yaml.safe_dump(written | {"url": {"env": "ORDERS_URL"}}))
    monkeypatch.setattr(database_file, "DATABASES", tmp_path)
    when = {"started_at": now() - MINUTE, "ended_at": now()}
    write_round(fresh, run_id="r", site="orders", job="review-database", verdicts=[other("indexes", "orders")], **when)
    async with client() as board:
        index, page = await board.get("/"), await board.get("/sites/database-orders")
        found = await metrics_of(board)
    assert "<h1>database-orders needs somebody now: it breaks promises</h1>" in index.text
    assert "No: indexes/claim on orders: saw saw, wanted wanted." in page.text
    assert 1 == found["roundsman_claims", 'check="indexes",outcome="fail",severity="",site="database-orders"']


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("HEAD", "/", 200),
        ("HEAD", "/health", 200),
        ("POST", "/", 405),
        ("DELETE", "/sites/shop", 405),
        ("GET", "/sites/none", 404),
        ("GET", "/sites/", 404),
        ("GET", "/sites/%2e%2e%2fetc", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
    ],
)
async def test_only_what_there_is_can_be_read(fresh, method, path, code):
    async with client() as board:
        assert code == (await board.request(method, path)).status_code


def basic(password, user="me"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


KEYS = [
    ("bearer", f"Bearer {TOKEN}", 200),
    ("bearer in small letters", f"bearer {TOKEN}", 200),
    ("a password", basic(TOKEN), 200),
    ("a password without a user", basic(TOKEN, ""), 200),
    ("nothing", "", 401),
    ("another token", "Bearer no", 401),
    ("the beginning of the token", f"Bearer {TOKEN[:-1]}", 401),
    ("an empty token", "Bearer ", 401),
    ("another password", basic("no"), 401),
    ("the token as the user", basic("", TOKEN), 401),
    ("no base64", "Basic ???", 401),
    ("no text", "Basic /////w==", 401),
    ("no ASCII", b"Basic \xe9", 401),
    ("another scheme", f"Digest {TOKEN}", 401),
    ("letters beyond ASCII", b"Bearer \xe9", 401),
]


@pytest.mark.parametrize(("key", "code"), [row[1:] for row in KEYS], ids=[row[0] for row in KEYS])
async def test_with_a_token_set_pages_are_for_those_who_have_it(fresh, key, code):
    async with client(TOKEN, "https://board.example.com", headers={"Authorization": key} if key else {}) as board:
        for path in PAGES:
            answer = await board.get(path)
            assert code == (answer.status_code if answer.status_code != 404 else 200)
            assert ("www-authenticate" in answer.headers) is (code == 401)
            assert TOKEN not in answer.text
            assert "shop" not in answer.text or code == 200
        assert 200 == (await board.get("/health")).status_code


async def test_a_token_in_the_address_opens_nothing(fresh):
    async with client(TOKEN) as board:
        assert 401 == (await board.get(f"/?token={TOKEN}")).status_code


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("http://127.0.0.1:8481", 200),
        ("http://localhost", 200),
        ("http://[::1]:8481", 200),
        ("http://rebound.example.com:8481", 403),
        ("http://192.0.2.1", 403),
        ("http://127.0.0.1.example.com", 403),
    ],
)
async def test_without_a_token_only_this_machine_is_answered(fresh, address, code):
    async with client(address=address) as board:
        assert [code, code] == [(await board.get(path)).status_code for path in ("/", "/metrics")]
        assert 200 == (await board.get("/health")).status_code


async def test_every_answer_forbids_what_the_board_does_not_need(fresh):
    async with client(TOKEN) as closed, client() as opened:
        answers = [await board.get(path) for board in (closed, opened) for path in (*PAGES, "/health")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" in policy
        assert ("nosniff", "no-store") == (answer.headers["x-content-type-options"], answer.headers["cache-control"])
        assert "no-referrer" == answer.headers["referrer-policy"]
    style = re.search(r"<style>(.*?)</style>", answers[6].text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7919 }}\n}\\"


async def test_whatever_a_server_or_a_file_says_stays_text(write_site, open_ledger):
    at = now()
    write_site("shop", owner=f"web {HOSTILE.strip()}", health={"path": "/<b>"})
    write_site("torn", health=HOSTILE)
    add(open_ledger, look(at, up=False, status=0, detail=HOSTILE), watch(at), event(at - MINUTE, message=HOSTILE))
    add(open_ledger, slot(at, "failed", deployment=HOSTILE), release("a", at - DAY), release(HOSTILE, at - 2 * HOUR))
    walk(open_ledger, at - 3 * HOUR)
    walk(
        open_ledger,
        at - HOUR,
        judged(subject=HOSTILE),
        timed(Outcome.FAIL, saw=HOSTILE, path=f"/{HOSTILE}"),
        run=HOSTILE,
    )
    async with client() as board:
        pages = [(await board.get(path)).text for path in ("/", "/sites/shop", "/sites/torn")]
        await metrics_of(board)
    for page in pages:
        assert "alert(1)" in page
        assert "55433" not in re.sub(
            r'src="[^"]*"|datetime="[^"]*"|<style>.*?</style>|As of [^<]*', "", page, flags=re.DOTALL
        )
        for tag, attributes in Tags(page).found:
            assert tag not in {"script", "i", "b", "iframe", "object", "form"}
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            assert tag != "img" or attributes["src"].startswith("data:image/svg+xml;base64,")


async def test_a_link_leads_to_the_run_where_prefects_address_is_known(fresh):
    from prefect.settings import PREFECT_UI_URL, temporary_settings

    for address, count in (("https://prefect.example.com", 5), (None, 0), ("javascript:alert(1)//", 0)):
        with temporary_settings({PREFECT_UI_URL: address} if address else {}):
            async with client() as board:
                page = (await board.get("/sites/shop")).text
        assert count == page.count('href="https://prefect.example.com/runs/flow-run/')
        assert "javascript:" not in page


@pytest.mark.parametrize(
    ("host", "yes"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("", False), ("10.0.0.1", False), ("board.example.com", False)],
)  # fmt: skip
def test_a_loopback_address_is_told_from_others(host, yes):
    from deployments.board.app import is_loopback

    assert yes is is_loopback(host)


@pytest.mark.parametrize(
    "words",
    [["--host", "0.0.0.0"], ["--host", "board.example.com"], ["--host", "a\x1b[31m"], ["--port", "x"], ["--what"]],
)
def test_what_would_not_be_safe_is_refused_before_anything_is_served(words, capsys, monkeypatch):
    from deployments.board.__main__ import main

    monkeypatch.setenv("ROUNDSMAN_BOARD_TOKEN", " ")
    assert 3 == main(words)
    if "--host" in words:
        said = capsys.readouterr().err
        assert "set ROUNDSMAN_BOARD_TOKEN" in said
        assert "\x1b" not in said


@pytest.mark.slow
def test_the_command_serves_on_this_machine_and_ends_when_it_is_told_to(ledger):
    port = free_port()
    command = [sys.executable, "-m", "deployments.board", "--port", str(port)]
    with subprocess.Popen(command, env={**os.environ, "ROUNDSMAN_BOARD_TOKEN": ""}, stderr=subprocess.PIPE) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as board:
            answer = until_served(board)
            assert {"no round yet", "no watch yet"} == {one["kind"] for one in answer.json()["reasons"]}
            assert 200 == board.get("/sites/demo").status_code
            assert "server" not in answer.headers
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert b"Traceback" not in said


def until_served(board):
    from tests.service import until

    return until("the board answers", lambda: board.get("/health"))
