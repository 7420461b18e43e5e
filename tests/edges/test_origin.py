"""The site behind the caches answers as its pages' names say; all that is proved in the lab rests on it."""

import email.utils
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.edges.asking import ask
from tests.edges.lab import MEMBERS, Origin


@pytest.mark.parametrize(
    ("target", "member", "status", "cache_control"),
    [
        ("/articles/families", "", 200, "public, max-age=600"),
        ("/guides/families", "", 200, "public, max-age=600"),
        ("/short/families", "", 200, "public, max-age=5"),
        ("/nostore", "", 200, "no-store"),
        ("/health", "", 200, "no-store"),
        ("/error", "", 500, "public, max-age=600"),
        ("/inbox", "ada", 200, "private, no-store"),
        ("/inbox", "", 302, "no-store"),
        ("/profile", "ada", 200, "public, max-age=600"),
        ("/profile", "", 302, "no-store"),
        ("/account/anything.css", "ben", 200, "private, no-store"),
        ("/account/anything.css", "mallory", 302, "no-store"),
        ("/account;anything.css", "ben", 200, "private, no-store"),
        ("/account%2fanything.css", "ben", 200, "private, no-store"),
        ("/welcome/families", "ada", 200, "public, max-age=600"),
        ("/welcome/families", "", 200, "public, max-age=600"),
        ("/browser-only/families", "", 200, "private, max-age=600"),
        ("/nocache/families", "", 200, "no-cache"),
        ("/renewed/families", "", 200, "public, max-age=1, stale-while-revalidate=60"),
        ("/404-kept/families", "", 404, "public, max-age=600"),
        ("/301-kept/families", "", 301, "public, max-age=600"),
        ("/unheard-of", "", 404, "no-store"),
    ],
)
def test_family(origin, target, member, status, cache_control):
    """Each family of paths answers as its name says."""
    response = ask(origin, target, member=member)
    assert (status, cache_control) == (response.status_code, response.headers["cache-control"])
    assert "vary" not in response.headers


@pytest.mark.parametrize(
    ("header", "value", "path"),
    [
        ("vary", "Accept-Encoding", "/encoded/x"),
        ("vary", "Accept-Language", "/language/x"),
        ("vary", "Cookie", "/welcome-by-cookie/x"),
        ("vary", "*", "/star/x"),
        ("cdn-cache-control", "max-age=600", "/cdn/x"),
        ("surrogate-control", "no-store", "/surrogate-nostore/x"),
        ("location", "/articles/elsewhere", "/302/x"),
        ("www-authenticate", "Bearer", "/token/x"),
        ("cache-control", None, "/404/x"),
        ("vary", None, "/encoded-blindly/x"),
    ],
)
def test_further_header(origin, header, value, path):
    """What a family says besides, or leaves out."""
    assert value == ask(origin, path, extra={"accept-encoding": "gzip"}).headers.get(header)


def test_greeting_is_ten_days_old_and_says_nothing(origin):
    """A member's page that leaves it to the cache's rule of thumb."""
    page = ask(origin, "/greeting", member="ada")
    changed = email.utils.parsedate_to_datetime(page.headers["last-modified"]).timestamp()
    assert "cache-control" not in page.headers
    assert 9.9 < (time.time() - changed) / 86_400 < 10.1


@pytest.mark.parametrize(
    ("cache_control", "family"),
    [
        ("max-age=600", "token"),
        ("s-maxage=600", "token-shared"),
        ("public, max-age=600", "token-public"),
        ("private, no-store", "token-private"),
    ],
)
def test_token(origin, cache_control, family):
    """A token opens its member's page; without a good one there is none."""
    page = ask(origin, f"/{family}/x", token="ben")
    assert (cache_control, True) == (page.headers["cache-control"], MEMBERS["ben"] in page.text)
    assert [ask(origin, f"/{family}/x", token=token).status_code for token in ("", "mallory")] == [401, 401]


@pytest.mark.parametrize(
    ("coding", "wanted"),
    [
        ("identity", "identity"),
        ("gzip", "gzip"),
        ("br", "br"),
        ("br", "gzip, deflate, br"),
        ("gzip", "gzip, br;q=0"),
        ("identity", "zstd"),
    ],
)
def test_coding(origin, coding, wanted):
    """A page comes in the best coding that is wanted, with an ETag of its own and the same content."""
    plain, coded = (ask(origin, "/encoded/x", extra={"accept-encoding": one}) for one in ("identity", wanted))
    assert coding == coded.headers.get("content-encoding", "identity")
    assert plain.text == coded.text
    assert (plain.headers["etag"] == coded.headers["etag"]) is (coding == "identity")


def test_search_and_language_and_reflection(origin):
    """What these pages show is what they were asked with."""
    assert "q=tomatoes" in ask(origin, "/search/x?q=tomatoes").text
    assert "in de" in ask(origin, "/language/x", extra={"accept-language": "de-AT"}).text
    assert "//elsewhere.invalid/" in ask(origin, "/reflected/x", extra={"x-forwarded-host": "elsewhere.invalid"}).text


@pytest.mark.parametrize("family", ["inbox", "profile", "account/x", "greeting", "welcome", "welcome-by-cookie"])
@pytest.mark.parametrize("member", MEMBERS)
def test_personal_page_names_its_member_only(origin, family, member):
    """A member's page holds that member's name and address, and nobody else's."""
    body = ask(origin, f"/{family}", member=member).text
    assert [member] == [name for name, person in MEMBERS.items() if person in body]


def test_each_visit_sets_its_own_cookie(origin):
    """No two visits of the inbox, or of a page that greets visitors, get the same cookie."""
    for path in ("/inbox", "/visitor/x"):
        assert len({ask(origin, path, member="ada").headers["set-cookie"] for _ in range(3)}) == 3


def test_bump_changes_every_marker(origin):
    """A new generation has a new ETag, Last-Modified, header and body; the next page keeps its own."""
    before, next_page = ask(origin, "/articles/bump"), ask(origin, "/articles/bump-next")
    assert origin.bump("/articles/bump") == 2
    after = ask(origin, "/articles/bump")
    for marker in ("etag", "last-modified", "x-origin-gen"):
        assert before.headers[marker] != after.headers[marker]
    assert "generation 1" in before.text
    assert "generation 2" in after.text
    assert next_page.headers["etag"] == ask(origin, "/articles/bump-next").headers["etag"]


def test_known_page_is_not_sent_again(origin):
    """A validator that still holds is answered 304 without a body; an old one gets the page."""
    page = ask(origin, "/articles/validate")
    for header, marker in (("if-none-match", "etag"), ("if-modified-since", "last-modified")):
        known = httpx.get(f"{origin.url}/articles/validate", headers={header: page.headers[marker]}, trust_env=False)
        assert (known.status_code, known.content) == (304, b"")
    origin.bump("/articles/validate")
    assert ask(origin, "/articles/validate", extra={"if-none-match": page.headers["etag"]}).status_code == 200


def test_login(origin):
    """The form gives a member a session that opens the inbox; a stranger gets none."""
    welcome = ask(origin, "/login", method="POST", data={"user": "ben"})
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/inbox")
    assert MEMBERS["ben"] in ask(origin, "/inbox", member=welcome.cookies["sessionid"]).text
    refused = ask(origin, "/login", method="POST", data={"user": "mallory"})
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers


def test_redirect_loop(origin):
    """The loop leads to itself."""
    response = ask(origin, "/redirect-loop")
    assert (response.status_code, response.headers["location"]) == (302, "/redirect-loop")


def test_requests_are_written_down(origin):
    """What arrived is known by method, full target and headers."""
    ask(origin, "/articles/seen?page=2", method="HEAD", member="ada")
    (seen,) = origin.asked("/articles/seen?page=2")
    assert (seen.method, seen.headers["cookie"]) == ("HEAD", "sessionid=ada")
    assert origin.asked("/articles/seen") == []


@pytest.mark.parametrize(("path", "seconds"), [("/articles/delayed", 0.3), ("/slow/page", 1)])
def test_late_answers(origin, path, seconds):
    """A delayed page and a slow one come as late as they were told to."""
    if path.startswith("/articles/"):
        origin.delay(path, seconds)
    began = time.monotonic()
    assert ask(origin, path).status_code == 200
    assert seconds <= time.monotonic() - began


def test_keeps_connections(origin):
    """Two requests share a connection, and neither waits for a delayed acknowledgement."""
    with httpx.Client(base_url=origin.url, trust_env=False) as client:
        streams = {id(client.get("/health").extensions["network_stream"]) for _ in range(2)}
        began = time.monotonic()
        for _ in range(50):
            client.get("/health")
        assert time.monotonic() - began < 50 * 0.02
    assert len(streams) == 1


def test_fails_after():
    """It answers as many more requests as it was told, then hangs up."""
    with Origin() as mortal:
        mortal.fail(after=2)
        assert [ask(mortal, "/health").status_code for _ in range(2)] == [200, 200]
        with pytest.raises(httpx.RemoteProtocolError):
            ask(mortal, "/health")


def test_stop_hangs_up_and_closes_the_port():
    """A stopped origin drops the request in flight and refuses the next; stopping twice is once."""
    with Origin() as mortal, ThreadPoolExecutor() as pool:
        mortal.delay("/articles/late", 60)
        late = pool.submit(ask, mortal, "/articles/late")
        mortal.wait_asked("/articles/late")
        mortal.stop()
        with pytest.raises(httpx.TransportError):
            late.result(timeout=10)
        with pytest.raises(httpx.ConnectError):
            ask(mortal, "/health")


def test_stop_hangs_up_on_idle_connections():
    """A connection that a cache keeps for later neither delays the stop nor outlives it."""
    client = httpx.Client(trust_env=False)
    with ThreadPoolExecutor() as pool, Origin() as mortal, client:
        client.get(f"{mortal.url}/health")
        pool.submit(mortal.stop).result(timeout=5)
        with pytest.raises(httpx.TransportError):
            client.get(f"{mortal.url}/health")


def test_wait_asked_gives_up(origin):
    """Waiting for a request that never comes ends in an error."""
    with pytest.raises(TimeoutError, match="was asked for 0 times"):
        origin.wait_asked("/articles/never", seconds=0.01)
