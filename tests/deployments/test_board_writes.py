"""What is written through the board: with the token only, small, in JSON, once for each key, and else not at all."""

import asyncio
import json
from pathlib import Path

import pytest

from roundsman.purge import queue as purge_queue
from tests.deployments.boards import client, open_ledger, write_site
from tests.status.test_facts import RULE

__all__ = ["open_ledger", "write_site"]

TOKEN = "spelled-out-nowhere"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
EDGE = {
    "rules": [RULE | {"paths": ["/articles/**"], "examples": {"cached": ["/articles/one"]}}],
    "edge": "varnish/shop",
    "blocks": {"varnish/shop": {"nodes": ["http://127.0.0.1:9"]}},
    "schedule": {"inspect": "7 * * * *", "purge": "* * * * *"},
}
ROUTE = "/articles/one"
ASKED = {"site": "shop", "routes": [ROUTE]}


@pytest.fixture
def shop(write_site, open_ledger):
    """A site with an edge, and the ledger."""
    write_site("shop", **EDGE)
    return open_ledger


def rows(engine):
    with engine.connect() as connection:
        asked = purge_queue.CHANGE.select().order_by(purge_queue.CHANGE.c.id)
        return [(one.site, one.kind, one.item, one.request_key, one.state) for one in connection.execute(asked)]


async def post(asked=ASKED, token=TOKEN, **more):
    headers = {"Authorization": f"Bearer {TOKEN}", **more.pop("headers", {})}
    body = {"json": asked} if "content" not in more else {}
    async with client(token) as board:
        return await board.post("/purges", headers=headers, **body, **more)


async def test_routes_and_keys_wait_in_the_queue_from_then_on(shop):
    answer = await post({"site": "shop", "routes": [ROUTE, f"http://example.test{ROUTE}?page=2"], "keys": ["author-7"]})
    assert (202, {"site": "shop", "ids": [1, 2, 3]}) == (answer.status_code, answer.json())
    assert [
        ("shop", "route", ROUTE, None, "waiting"),
        ("shop", "route", f"http://example.test{ROUTE}?page=2", None, "waiting"),
        ("shop", "key", "author-7", None, "waiting"),
    ] == rows(shop)


async def test_a_request_that_is_made_again_with_its_key_is_there_once(shop):
    key = {"Idempotency-Key": "save-4711"}
    first = await post(headers=key)
    await post(headers=key | {"Idempotency-Key": '"save-4711"'})
    # Without a key it joins what waits for the same purge.
    assert first.json() == (await post(headers=key)).json() == (await post()).json()
    assert [("shop", "route", ROUTE, "save-4711", "waiting")] == rows(shop)


async def test_a_request_that_comes_many_times_at_once_is_there_once(shop):
    answers = await asyncio.gather(*(post(headers={"Idempotency-Key": "once"}) for _ in range(12)))
    assert [202] * 12 == [answer.status_code for answer in answers]
    assert 1 == len({answer.text for answer in answers}) == len(rows(shop))


async def test_a_key_stands_for_one_request_only(shop):
    await post(headers={"Idempotency-Key": "save-4711"})
    answer = await post({"site": "shop", "routes": ["/articles/two"]}, headers={"Idempotency-Key": "save-4711"})
    assert 422 == answer.status_code
    assert "was used for other routes" in answer.json()["error"]
    assert [ROUTE] == [row[2] for row in rows(shop)]


KEYS = [
    ("no token in the request", TOKEN, "", 401),
    ("another token", TOKEN, "Bearer no", 401),
    ("the token as a password, which a browser sends along", TOKEN, "Basic OnNwZWxsZWQtb3V0LW5vd2hlcmU=", 401),
    ("letters beyond ASCII", TOKEN, b"Bearer \xe9", 401),
    ("a board without a token", "", f"Bearer {TOKEN}", 403),
    ("a board without a token, and an empty one", "", "Bearer ", 403),
]


@pytest.mark.parametrize(("token", "given", "code"), [row[1:] for row in KEYS], ids=[row[0] for row in KEYS])
async def test_nothing_is_written_without_the_token(shop, token, given, code):
    answer = await post(token=token, headers={"Authorization": given})
    assert code == answer.status_code
    assert "token" in answer.json()["error"]
    assert ("www-authenticate" in answer.headers) is (code == 401)
    assert TOKEN not in answer.text
    assert not rows(shop)


JSON = {"Content-Type": "application/json"}
WRONG = [
    ("no JSON", {"content": b"{site: shop}", "headers": JSON}, 400, "wanted {site, routes?, keys?}"),
    ("no text", {"content": b"\xff\xfe", "headers": JSON}, 400, "wanted {site, routes?, keys?}"),
    ("nothing", {"content": b"", "headers": JSON}, 400, "wanted {site, routes?, keys?}"),
    ("a form", {"content": b"site=shop", "headers": {"Content-Type": "text/plain"}}, 415, "wanted application/json"),
    ("no type", {"content": b"{}"}, 415, "saw no content type"),
    ("a list", {"asked": []}, 422, "body: Input should be an object"),
    ("no site", {"asked": {"routes": [ROUTE]}}, 422, "site: Field required"),
    ("a number", {"asked": {"site": "shop", "routes": [7]}}, 422, "routes.0: Input should be a valid string"),
    ("a field too many", {"asked": ASKED | {"everything": True}}, 422, "everything: Extra inputs"),
    ("nothing to purge", {"asked": {"site": "shop"}}, 422, "no routes and no keys"),
    ("everything", {"asked": {"site": "shop", "routes": ["/*"]}}, 422, "a whole site is not purged here"),
    ("a wildcard", {"asked": {"site": "shop", "routes": ["/articles/*"]}}, 422, "wanted a route without `*`"),
    ("another site", {"asked": {"site": "shop", "routes": ["http://other.test/a"]}}, 422, "correct the route"),
    ("a route without a rule", {"asked": {"site": "shop", "routes": ["/else"]}}, 422, "that a rule of the site"),
    ("every key", {"asked": {"site": "shop", "keys": ["*"]}}, 422, "wanted a surrogate key"),
    ("a line break", {"asked": {"site": "shop", "routes": ["/articles/\n"]}}, 422, "printable characters"),
    ("a long route", {"asked": {"site": "shop", "routes": ["/articles/" + "a" * 2000]}}, 422, "1 to 2000"),
    ("no such site", {"asked": {"site": "shoq", "routes": [ROUTE]}}, 422, "saw 'shoq', wanted the name"),
    ("a path", {"asked": {"site": "../sites/shop", "routes": [ROUTE]}}, 422, "wanted the name of a file"),
    ("an address", {"asked": {"site": "http://127.0.0.1", "routes": [ROUTE]}}, 422, "wanted the name of a file"),
    ("a large body", {"asked": {"site": "shop", "routes": ["/articles/a" * 7000]}}, 413, "more than 65536 bytes"),
    ("an empty key", {"headers": {"Idempotency-Key": '""'}}, 400, "Idempotency-Key: wanted 1 to 200"),
    ("a long key", {"headers": {"Idempotency-Key": "k" * 201}}, 400, "Idempotency-Key: wanted 1 to 200"),
]


@pytest.mark.parametrize(("sent", "code", "says"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
async def test_what_is_wrong_is_told_and_nothing_is_written(shop, sent, code, says):
    answer = await post(**sent)
    assert (code, "application/json") == (answer.status_code, answer.headers["content-type"])
    assert says in answer.json()["error"]
    assert "no-store" == answer.headers["cache-control"]
    assert not rows(shop)


CLOUDFLARE = {"cloudflare/shop": {"zone": "0" * 32, "token": {"env": "NOT_SET_HERE"}}}
BUNNY = {"bunny/shop": {"zone": "7", "token": {"env": "NOT_SET_HERE"}}}
NETLIFY = {"netlify/shop": {"site": "s", "token": {"env": "NOT_SET_HERE"}}}
TOKENS = {name: {"env": "NOT_SET_HERE"} for name in ("client_token", "client_secret", "access_token")}
AKAMAI = {"akamai/shop": {"api": "https://a.example", **TOKENS}}
GOOGLE = {"google-cdn/shop": {"project": "p", "url_map": "u", "token": {"env": "NOT_SET_HERE"}}}
VARNISH = EDGE["blocks"]
WITHOUT_NODES = {"varnish/shop": {}}
NGINX = {"nginx/shop": {"nodes": ["http://127.0.0.1:9"]}}
KEPT_IN_PREFECT = {"nginx/other": {}, "varnish/shop": {}}
#: What an edge, or the plan for it, would refuse when the queue is worked off.
UNPURGEABLE = [
    ("a pattern for a key", VARNISH, {"keys": [".*"]}, "saw '.*' for varnish/shop, wanted one exact surrogate key"),
    ("a pattern among keys", CLOUDFLARE, {"keys": ["author-7", "author-*"]}, "saw 'author-*' for cloudflare/shop"),
    ("a blank in a key", VARNISH, {"keys": ["author 7"]}, "saw 'author 7' for varnish/shop"),
    ("a comma in a key", VARNISH, {"keys": ["a,b"]}, "one surrogate key without a comma"),
    ("a key beyond ASCII in a header", VARNISH, {"keys": ["Müller"]}, "saw 'Müller' for varnish/shop; no header"),
    ("a key that names no host", WITHOUT_NODES, {"keys": ["author-7"]}, "set `nodes`"),
    ("a key where there are none", NGINX, {"keys": ["author-7"]}, "saw 'author-7' for nginx/shop (nginx), wanted an"),
    ("everything as a key", CLOUDFLARE, {"keys": ["everything"]}, "the key 'everything'"),
    ("a blank in a route", VARNISH, {"routes": ["/articles/a b"]}, "/articles/a b' for varnish/shop, wanted one exact"),
    (
        "a key beyond ASCII in a tag",
        CLOUDFLARE,
        {"keys": ["Müller"]},
        "a tag as Cloudflare takes it: at most 1024 bytes",
    ),
    ("a colon in a tag", AKAMAI, {"keys": ["type:article"]}, "a tag as Akamai takes it: at most 128 bytes"),
    ("a route where there are tags only", NETLIFY, {"routes": [ROUTE]}, "set `route_tag` in the edge's block"),
    ("a query", GOOGLE, {"routes": ["/articles/one?page=2"]}, "drops every query of a path"),
    ("a path of which each query goes", GOOGLE, {"routes": [ROUTE]}, "does not tell query apart"),
    (
        "a user and a password",
        VARNISH,
        {"routes": ["http://u:p@example.test/articles/one"]},
        "another site is not purged",
    ),
    ("the site's name as a beginning", VARNISH, {"routes": ["http://example.test.evil/articles/one"]}, "another site"),
    ("another port", VARNISH, {"routes": ["http://example.test:81/articles/one"]}, "another site is not purged"),
    ("a host", VARNISH, {"routes": ["example.test"]}, "a prefix, a host or another site is not purged here"),
    ("only a fragment", VARNISH, {"routes": ["#top"]}, "a whole site is not purged here"),
    ("a good one among them", VARNISH, {"routes": [ROUTE, "/articles/*"], "keys": ["k"]}, "'/articles/*'"),
    ("a block that Prefect keeps", KEPT_IN_PREFECT, {"keys": [".*"]}, "for varnish/kept, wanted one exact"),
]


@pytest.mark.parametrize(
    ("blocks", "named", "says"), [row[1:] for row in UNPURGEABLE], ids=[row[0] for row in UNPURGEABLE]
)
async def test_what_the_queue_could_never_purge_is_refused_at_the_door(write_site, open_ledger, blocks, named, says):
    edge = "varnish/kept" if blocks is KEPT_IN_PREFECT else next(iter(blocks))
    write_site("shop", **EDGE | {"edge": edge, "blocks": {} if blocks is KEPT_IN_PREFECT else blocks})
    answer = await post({"site": "shop", **named})
    assert (422, True) == (answer.status_code, says in answer.json()["error"]), answer.text
    assert not rows(open_ledger)


@pytest.mark.parametrize(
    ("blocks", "named"),
    [
        (VARNISH, {"routes": ["/articles/é", "/articles/%C3%A9", "/articles/one#part"], "keys": ["author-7"]}),
        (CLOUDFLARE, {"routes": ["HTTP://EXAMPLE.TEST/articles/one"], "keys": ["type:article"]}),
        (BUNNY, {"routes": ["/articles/one?page=2", "/articles/one/"], "keys": ["author-7"]}),
        (AKAMAI, {"routes": ["/articles/é"], "keys": ["author-7"]}),
        (NETLIFY, {"keys": ["type:article"]}),
        (NGINX, {"routes": ["/articles/a%20b"]}),
    ],
)
async def test_what_the_edge_can_purge_is_taken_without_its_secrets(write_site, open_ledger, blocks, named):
    write_site("shop", **EDGE | {"edge": next(iter(blocks)), "blocks": blocks})
    answer = await post({"site": "shop", **named})
    assert 202 == answer.status_code, answer.text
    assert len(rows(open_ledger)) == sum(map(len, named.values()))


async def test_many_refusals_are_told_in_short(shop):
    answer = await post({"site": "shop", "routes": [f"/else/{number}" for number in range(3000)]})
    assert answer.json()["error"].endswith("; and 2995 more")


async def test_a_site_file_is_read_once_and_again_when_it_was_changed(shop, write_site, monkeypatch):
    from roundsman.site import site_file

    read = []
    monkeypatch.setattr(site_file, "read", lambda *told, honest=site_file.read: read.append(1) or honest(*told))
    assert [202, 202] == [(await post()).status_code for _ in range(2)]
    write_site("shop", **EDGE | {"edge": None, "schedule": None})
    assert [422, 422] == [(await post()).status_code for _ in range(2)]
    write_site("shop", **EDGE | {"health": 7})
    assert [503, 503] == [(await post()).status_code for _ in range(2)]
    assert 3 == len(read)


async def test_the_ledger_is_opened_once_and_again_when_another_one_is_in_its_place(shop, ledger, monkeypatch):
    from roundsman.ledger import ledger as module

    opened = []
    honest = module.open_ledger
    monkeypatch.setattr(module, "open_ledger", lambda *told: opened.append(1) or honest(*told))
    module.close_kept_ledger()
    async with client(TOKEN, headers=BEARER) as board:
        answers = [await board.post("/purges", json={"site": "shop", "routes": [f"{ROUTE}{n}"]}) for n in range(4)]
    assert ([202] * 4, [1]) == ([answer.status_code for answer in answers], opened)
    if shop.dialect.name == "sqlite":
        file = Path(shop.url.database)
        file.rename(file.with_suffix(".old"))
        answer = await post()
        assert (202, [1], 2) == (answer.status_code, answer.json()["ids"], len(opened))


async def test_one_wrong_route_keeps_all_of_a_request_out(shop):
    answer = await post({"site": "shop", "routes": [ROUTE, "/else"]})
    assert 422 == answer.status_code
    assert not rows(shop)


async def test_an_endless_body_is_not_read_to_its_end(shop):
    sent = []

    async def endless():
        while True:
            sent.append(b"[" * 10_000)
            yield sent[-1]

    assert 413 == (await post(content=endless(), headers=JSON)).status_code
    assert 70_000 >= sum(map(len, sent))


async def test_a_body_that_never_comes_is_given_up(shop, monkeypatch):
    from deployments.board import writes

    monkeypatch.setattr(writes, "WRITE_TIMEOUT_SECONDS", 0.05)

    async def silent():
        yield b"{"
        await asyncio.Event().wait()

    answer = await post(content=silent(), headers=JSON)
    assert (408, "the body took longer than 0.05 s; send it again") == (answer.status_code, answer.json()["error"])


async def test_a_ledger_that_is_away_is_told_without_its_address(shop, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", "postgresql://me:hush-hush@127.0.0.1:9/ledger")
    answer = await post()
    assert (503, "5") == (answer.status_code, answer.headers["retry-after"])
    assert "same Idempotency-Key" in answer.json()["error"]
    assert "hush" not in answer.text


@pytest.mark.parametrize(
    ("written", "code", "says"),
    [
        ({"edge": None}, 422, "shop has no edge to purge"),
        ({"health": 7}, 503, "the site file of shop is wrong"),
        ({"schedule": None}, 202, "worked off by hand only"),
    ],
)
async def test_a_site_that_is_not_purged_by_itself_is_told(write_site, open_ledger, written, code, says):
    write_site("shop", **{**EDGE, "schedule": None, **written})
    answer = await post()
    assert code == answer.status_code
    assert says in json.dumps(answer.json())
    assert (code == 202) is bool(rows(open_ledger))


async def test_reading_is_no_way_to_write(shop):
    async with client(TOKEN, headers=BEARER) as board:
        answer = await board.get("/purges")
        assert (405, "POST") == (answer.status_code, answer.headers.get("allow"))
    async with client(TOKEN) as board:
        assert 401 == (await board.get("/purges")).status_code
