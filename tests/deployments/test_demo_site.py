"""The demo site: what its origin promises, and what its edge does."""

import re
import signal
import subprocess
import sys
import time

import httpx
import pytest

from blocks.demo_edge import DemoEdge
from blocks.member import LoginError, Member
from deployments.demo import touch
from deployments.demo.site import PEOPLE, OriginState, edge, origin

TOMATOES, PLANT = "/articles/tomatoes", "/articles/how-to-plant"


@pytest.fixture
def state():
    return OriginState()


@pytest.fixture
async def site(state):
    """A client of the demo site, without a network between."""
    transport = httpx.ASGITransport(app=edge(origin(state)))
    async with httpx.AsyncClient(transport=transport, base_url="http://demo.example") as client:
        yield client


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set forward instead of waited for."""
    ahead = {"by": 0.0}
    monotonic, now = time.monotonic, time.time
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + ahead["by"])
    monkeypatch.setattr(time, "time", lambda: now() + ahead["by"])

    def forward(seconds):
        ahead["by"] += seconds

    return forward


async def member(site, name="ada", password=None):
    form = {"user": name, "password": password or PEOPLE[name].password}
    return await Member(login="/login", form=form).log_in(str(site.base_url), site)


def did(response):
    return response.headers["cache-status"]


async def test_a_miss_is_stored_and_then_hit(site, clock):
    """The copy keeps its Date and grows older by whole seconds."""
    first = await site.get(TOMATOES)
    clock(7.5)
    second = await site.get(TOMATOES)
    assert did(first) == "demo-edge; fwd=uri-miss; stored"
    assert did(second) == "demo-edge; hit"
    assert "age" not in first.headers
    assert second.headers["age"] == "7"
    assert second.headers["date"] == first.headers["date"]
    assert second.text == first.text
    assert "server" not in second.headers


async def test_one_copy_serves_every_encoding(site):
    """The edge asks for the one encoding there is, whatever a client would take."""
    await site.get(TOMATOES, headers={"accept-encoding": "br"})
    again = await site.get(TOMATOES, headers={"accept-encoding": "gzip"})
    assert did(again) == "demo-edge; hit"
    assert again.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in again.headers


async def test_a_stale_copy_is_confirmed_or_replaced(site, clock, state):
    """After its time a copy is validated; it is served on when the origin has nothing newer."""
    first = await site.get(TOMATOES)
    clock(601)
    confirmed = await site.get(TOMATOES)
    served_on = await site.get(TOMATOES)
    state.revisions["tomatoes"] += 1
    clock(601)
    replaced = await site.get(TOMATOES)
    assert did(confirmed) == "demo-edge; fwd=stale; fwd-status=304"
    assert confirmed.status_code == 200
    assert confirmed.text == first.text
    assert (did(served_on), served_on.headers["age"]) == ("demo-edge; hit", "0")
    assert did(replaced) == "demo-edge; fwd=stale; stored"
    assert "Revision 1" in replaced.text
    assert did(await site.get(TOMATOES)) == "demo-edge; hit"


async def test_a_purge_drops_one_url_and_no_other(site):
    """Neighbours, other queries and deeper paths stay; an absent copy is told."""
    others = [PLANT, f"{TOMATOES}?x=1", f"{TOMATOES}-red"]
    for path in (TOMATOES, *others):
        await site.get(path)
    [purged] = await DemoEdge().purge([f"http://demo.example{TOMATOES}"], client=site)
    [absent] = await DemoEdge().purge([f"http://demo.example{TOMATOES}"], client=site)
    assert (purged.status, purged.absent, purged.answer) == (200, False, "purged\n")
    assert (absent.status, absent.absent, absent.answer) == (404, True, "absent\n")
    assert [did(await site.get(path)) for path in others] == ["demo-edge; hit"] * 3
    assert did(await site.get(TOMATOES)) == "demo-edge; fwd=uri-miss; stored"
    assert did(await site.get(TOMATOES)) == "demo-edge; hit"


async def test_a_touch_shows_after_a_purge_and_not_before(site):
    """A new revision has a new ETag; until the purge the old copy is served."""
    before = await site.get(TOMATOES)
    touched = await site.post(f"{TOMATOES}/touch")
    still = await site.get(TOMATOES)
    await site.request("PURGE", TOMATOES)
    after = await site.get(TOMATOES)
    assert touched.status_code == 204
    assert (did(still), still.headers["etag"]) == ("demo-edge; hit", before.headers["etag"])
    assert after.headers["etag"] != before.headers["etag"]
    assert "Revision 1" in after.text


async def test_a_client_that_has_a_copy_does_not_keep_the_edge_from_getting_one(site):
    """A conditional request on a miss is answered whole, and stored."""
    etag = (await site.get(TOMATOES)).headers["etag"]
    await site.request("PURGE", TOMATOES)
    asked = await site.get(TOMATOES, headers={"if-none-match": etag})
    assert (asked.status_code, did(asked)) == (200, "demo-edge; fwd=uri-miss; stored")


async def test_a_client_that_has_the_copy_is_told_so_by_the_edge(site):
    """And one that has another one gets the page."""
    etag = (await site.get(TOMATOES)).headers["etag"]
    known = await site.get(TOMATOES, headers={"if-none-match": etag})
    other = await site.get(TOMATOES, headers={"if-none-match": '"other"'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)
    assert did(known) == "demo-edge; hit"
    assert (other.status_code, did(other)) == (200, "demo-edge; hit")
    assert "content-length" not in known.headers


@pytest.mark.parametrize("path", [TOMATOES, "/guides/soil", "/news"])
async def test_head_says_what_get_says_and_leaves_its_copy_alone(site, path):
    """In any order."""
    first = await site.head(path)
    page = await site.get(path)
    again = await site.head(path)
    assert (first.status_code, first.content, again.content) == (200, b"", b"")
    for name in ("cache-control", "etag", "content-type", "vary"):
        assert first.headers[name] == again.headers[name] == page.headers[name]
    assert (await site.get(path)).text == page.text != ""


async def test_a_campaign_s_parameter_leads_to_the_same_copy(site):
    """And every other one to a copy of its own."""
    await site.get("/guides/soil?x=1")
    assert did(await site.get("/guides/soil?utm_source=letter&x=1")) == "demo-edge; hit"
    assert did(await site.get("/guides/soil?page=2&x=1")) == "demo-edge; fwd=uri-miss; stored"


async def test_a_guide_that_is_not_there_is_kept_for_half_a_minute(site):
    """A new one is there soon."""
    first, second = await site.get("/guides/moths"), await site.get("/guides/moths")
    assert (first.status_code, second.status_code, did(second)) == (404, 404, "demo-edge; hit")
    assert second.headers["cache-control"] == "public, max-age=30"


async def test_a_member_is_served_by_the_origin_and_leaves_no_copy(site):
    """With a session the edge stands aside, on public pages too, and a stranger's copy stays what it was."""
    ada = await member(site)
    warm = await site.get(TOMATOES)
    article = await site.get(TOMATOES, headers=ada)
    inbox = await site.get("/inbox", headers=ada)
    stranger = await site.get("/inbox")
    assert {did(article), did(inbox)} == {"demo-edge; fwd=bypass"}
    assert "date" in inbox.headers
    assert "Ada Lovelace" in inbox.text
    assert "ada@members.example" in inbox.text
    assert (stranger.status_code, stranger.headers["location"]) == (302, "/login")
    assert "Ada" not in stranger.text
    again = await site.get(TOMATOES)
    assert (did(again), again.text) == ("demo-edge; hit", warm.text)


async def test_two_members_have_two_sessions(site):
    """Each sees its own page only."""
    ada, ben = await member(site, "ada"), await member(site, "ben")
    assert ada != ben
    page = (await site.get("/account", headers=ben)).text
    assert "ben@members.example" in page
    assert "Ada" not in page


async def test_a_session_that_nobody_has_is_a_stranger(site):
    """An invented cookie opens nothing."""
    assert (await site.get("/account", headers={"cookie": "sessionid=x"})).status_code == 302


@pytest.mark.parametrize(
    ("name", "password"), [("ada", "wrong"), ("ada", "bén-demo"), ("eve", "ada-demo"), ("ada", "")]
)
async def test_a_wrong_password_is_refused(site, name, password):
    """And a member without one gets no session."""
    answer = await site.post("/login", data={"user": name, "password": password})
    assert answer.status_code == 403
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers


async def test_a_password_comes_from_the_environment(site, monkeypatch):
    """So a demo can have one that is in no file."""
    monkeypatch.setenv("DEMO_BEN_PASSWORD", "another")
    assert "sessionid=" in (await member(site, "ben", "another"))["Cookie"]
    with pytest.raises(LoginError):
        await member(site, "ben", "ben-demo")


async def test_a_login_sets_a_cookie_that_scripts_cannot_read(site):
    """And leads to the inbox."""
    answer = await site.post("/login", data={"user": "ada", "password": PEOPLE["ada"].password})
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
    cookie = answer.headers["set-cookie"].lower()
    assert re.match(r"sessionid=\S{20,};", cookie)
    assert {"httponly", "path=/"} <= {part.strip() for part in cookie.split(";")}


async def test_an_endless_form_is_cut_off(site):
    """What anyone sends is bounded."""
    assert (await site.post("/login", content=b"x" * 10_001)).status_code == 413


@pytest.mark.parametrize(
    ("path", "as_member", "cache_control"),
    [
        (TOMATOES, False, "public, max-age=60, s-maxage=600"),
        ("/news", False, "public, max-age=120"),
        ("/guides/water", False, "public, max-age=60, s-maxage=600"),
        ("/inbox", True, "public, max-age=60"),
        ("/account", True, "private, no-store"),
        ("/login", False, "no-store"),
        ("/health", False, "no-store"),
        ("/version", False, "no-store"),
    ],
)
async def test_every_page_says_how_it_may_be_cached(site, path, as_member, cache_control):
    """Planted among them: /news is too short, /inbox is public."""
    headers = await member(site) if as_member else {}
    answer = await site.get(path, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == cache_control


@pytest.mark.parametrize("path", ["/inbox", "/account", "/login", "/health", "/version", "/nothing", "/articles/No!"])
async def test_what_may_not_be_stored_is_not(site, path):
    """For a stranger, twice."""
    assert {did(await site.get(path)) for _ in range(2)} == {"demo-edge; fwd=uri-miss"}


async def test_health_and_version_speak_json(site, state):
    """For the checks that ask for them."""
    assert (await site.get("/health")).json() == {"ok": True}
    assert (await site.get("/version")).json() == {"commit": state.commit}


async def test_faults_can_be_mended_and_planted(site):
    """So that anybody can try what a round says of it."""
    assert (await site.put("/faults", json=[])).status_code == 200
    assert (await site.get("/news")).headers["cache-control"] == "public, max-age=60, s-maxage=600"
    inbox = await site.get("/inbox", headers=await member(site))
    assert inbox.headers["cache-control"] == "private, no-store"
    assert (await site.put("/faults", json=["inbox"])).json() == ["inbox"]
    inbox = await site.get("/inbox", headers=await member(site))
    assert inbox.headers["cache-control"] == "public, max-age=60"


async def test_an_unknown_fault_is_refused(site):
    """And what was planted stays."""
    answer = await site.put("/faults", json=["news", "moths"])
    assert (answer.status_code, answer.text) == (422, "saw the fault 'moths', wanted some of inbox, news\n")
    assert (await site.get("/news")).headers["cache-control"] == "public, max-age=120"


async def test_an_article_is_long_enough_to_be_one(site):
    """A few hundred words, under its own title."""
    page = (await site.get(PLANT)).text
    assert len(page.split()) > 250
    assert "<h1>How to plant</h1>" in page


@pytest.fixture
def served():
    """The real thing in a process of its own: its address, and the process."""
    command = [sys.executable, "-m", "deployments.demo.serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert re.fullmatch(r"serving http://127\.0\.0\.1:\d+\n", line), line
            yield line.split()[1], process
        finally:
            process.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_ends_cleanly(served, ending, capsys):
    """One Date, no banner, a touch that counts, and no last words."""
    address, process = served
    with httpx.Client(base_url=address, timeout=60) as client:
        first, second = client.get(TOMATOES), client.get(TOMATOES)
        assert (did(first), did(second)) == ("demo-edge; fwd=uri-miss; stored", "demo-edge; hit")
        assert len(second.headers.get_list("date")) == 1
        assert "server" not in second.headers
        assert touch.main([f"{address}{TOMATOES}"]) == 0
        assert touch.main([f"{address}/nothing"]) == 1
        assert "answered 404, wanted 204" in capsys.readouterr().err
        assert client.request("PURGE", TOMATOES).status_code == 200
        assert client.get(TOMATOES).headers["etag"] != first.headers["etag"]
    process.send_signal(ending)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_touch_of_a_site_that_is_down_says_so(capsys):
    """And is no success."""
    assert touch.main(["http://127.0.0.1:1/articles/tomatoes"]) == 1
    assert "is the demo site up?" in capsys.readouterr().err
