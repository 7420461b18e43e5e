"""No secret is in any output of any job: one hostile site that says back all it is told, and a search through all."""

import asyncio
import json
import logging
import re
import sqlite3
from dataclasses import replace
from urllib.parse import quote

import pytest
import yaml

from flows.__main__ import main
from roundsman.report.rules.verdict import Claim
from tests.deployments.boards import client
from tests.hostile import serving

pytestmark = [pytest.mark.harness, pytest.mark.slow]

#: Each is planted in one way, and looked for everywhere.
PLANTED = {
    name: f"{name.replace('_', '')}9f3c"
    for name in (
        "cookie", "nameless", "echoed", "userinfo", "query", "nonce", "page", "sentinel", "session", "password",
        "purge_token", "hook_path", "hook_header", "ping", "deploy_token", "deploy_login", "dsn", "feed", "bearer",
    )
}  # fmt: skip


CLAIM = Claim("cache-headers/kept", "It is kept.")
#: How each command ends, so that none of them was refused before it could tell anything.
CODES = {
    "inspect": 1,
    "sweep": 1,
    "purge": 1,
    "purges": 2,
    "rehearse": 1,
    "import": 2,
    "import with a password": 3,
    "import with a token": 3,
    "review": 2,
    "first look": 3,
    "watch": 0,
    "status": 1,
    "outbox": 0,
}


def respond(request):
    """An answer to a request that gives away whatever it can."""
    head, _, _ = request.partition("\r\n\r\n")
    line, *fields = head.split("\r\n")
    method, target, _ = line.split(" ", 2)
    path = target.partition("?")[0]
    sent = dict(field.split(": ", 1) for field in fields if ": " in field)
    host = sent.get("Host") or sent.get("host") or "a.test"
    address = f"http://u:{PLANTED['userinfo']}@{host}"
    status, body = 200, f"page {PLANTED['page']} {PLANTED['sentinel']} {sent.get('Cookie', sent.get('cookie', ''))}"
    headers = {
        "Cache-Control": "public, max-age=600",
        "X-Cache": f"HIT from {address}/?t={PLANTED['query']}",
        "Via": f"1.1 u:{PLANTED['userinfo']}@proxy",
        "ETag": f'"{PLANTED["echoed"]}"',
        "Cache-Status": f'edge; hit; key="/?t={PLANTED["query"]}"; detail="{address}"',
        "Link": f"<{address}/next?t={PLANTED['query']}>; rel=next",
        "WWW-Authenticate": f'Digest nonce="{PLANTED["nonce"]}"',
        "Authorization": f"Bearer {PLANTED['bearer']}",
        "X-Echo": sent.get("Cookie", "") or sent.get("Fastly-Key", ""),
    }
    cookies = [PLANTED["nameless"], f"session={PLANTED['echoed']}; Path=/", f"a={PLANTED['cookie']}"]
    if path == "/version":
        body = "1.8.2"
    elif path == "/robots.txt":
        others = f"Sitemap: {address}/s.xml\nSitemap: http://u:{PLANTED['userinfo']}@b.test/s.xml?k={PLANTED['query']}"
        body, headers = f"Sitemap: http://{host}/sitemap.xml\n{others}", {}
    elif path == "/sitemap.xml":
        pages = "".join(f"<url><loc>http://{host}/articles/{name}</loc></url>" for name in ("one", "gone"))
        odd = f"<url><loc>{address}/articles/two?t={PLANTED['query']}</loc></url>"
        body, headers = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{pages}{odd}</urlset>', {}
    elif path == "/articles/gone":
        status, headers["Location"] = 302, f"{address}/login?next={PLANTED['query']}#{PLANTED['query']}"
    elif path == "/login":
        status, headers["Location"] = 302, f"{address}/home?next={PLANTED['query']}"
    elif path == "/feed" or method in {"POST", "PURGE"}:
        status, body = 401, f"no rights: {head} {PLANTED['page']}"
    lines = [f"HTTP/1.1 {status} Odd", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Set-Cookie: {cookie}" for cookie in cookies]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body.encode()


def behave(visit):
    while request := visit.request():
        visit.body()
        visit.send(respond(request))
        if not request.startswith("GET"):
            return


def site(address, folder):
    command = ["sh", "-c", "echo $DEPLOY_TOKEN at $DEPLOY_ADDRESS; exit 3"]
    rule = {"owner": "web", "expected_result": "It is as promised.", "rollback": {"note": "kept", "command": command}}
    return {
        "site": "shop",
        "base_url": f"http://{address}",
        "owner": "web <web@example.com>",
        "edge": "fastly/shop",
        "sessions": ["member/ada", "member/eve"],
        "notify": {"channels": ["outgoing-webhook/ops"]},
        "health": {"path": "/health"},
        "manners": {"rate": 500, "timeout": "5s", "samples": 8},
        "release": {
            "version": {"path": "/version"},
            "deploy": command,
            "rollback": command,
            "environments": {"staging": {"base_url": f"http://localhost:{address.rpartition(':')[2]}"}},
        },
        "blocks": {
            "fastly/shop": {"service": "abc", "token": {"env": "PURGE_TOKEN"}, "api": f"http://{address}"},
            "member/ada": {"headers": {"Cookie": {"env": "SESSION"}}, "sentinels": [{"env": "SENTINEL"}]},
            "member/eve": {"login": "/login", "form": {"user": "eve", "password": {"env": "PASSWORD"}}},
            "outgoing-webhook/ops": {"url": {"env": "HOOK"}, "headers": {"X-Key": {"env": "HOOK_HEADER"}}},
        },
        "rules": [
            rule
            | {
                "name": "articles",
                "paths": ["/articles/**"],
                "cache": {"by": "everyone", "edge_ttl": "5m..1h"},
                "examples": {"cached": ["/articles/one", "/articles/gone"]},
                "purge": {"canary": "/articles/one"},
            },
            rule
            | {
                "name": "inbox",
                "paths": ["/inbox"],
                "cache": {"by": "member"},
                "examples": {"not_cached": ["/inbox"]},
            },
        ],
    }


@pytest.fixture
def shop(prefect, ledger, tmp_path, monkeypatch):
    from roundsman.site import site_file

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sites"
    folder.mkdir()
    monkeypatch.setattr(site_file, "SITES", folder)
    with serving(behave) as server:
        hook = f"http://{server.address}/hooks/{PLANTED['hook_path']}"
        for name, value in {
            "PURGE_TOKEN": PLANTED["purge_token"],
            "SESSION": f"sid={PLANTED['session']}; theme=dark",
            "SENTINEL": PLANTED["sentinel"],
            "PASSWORD": PLANTED["password"],
            "HOOK": hook,
            "HOOK_HEADER": PLANTED["hook_header"],
            "DEPLOY_TOKEN": PLANTED["deploy_token"],
            "DEPLOY_ADDRESS": f"http://u:{PLANTED['deploy_login']}@a.test/",
            "DATABASE": f"postgresql://u:{PLANTED['dsn']}@127.0.0.1:1/shop",
            "ROUNDSMAN_CATALOGUE_URL": f"postgresql://u:{PLANTED['dsn']}@127.0.0.1:1/shop",
        }.items():
            monkeypatch.setenv(name, value)
        path = folder / "shop.yaml"
        path.write_text(yaml.safe_dump(site(server.address, folder)))
        database = tmp_path / "database.yaml"
        reviewed = {
            "database": "shop",
            "url": {"env": "DATABASE"},
            "owner": "web",
            "expected_result": "It is as promised.",
        }
        reviewed["rollback"] = {"note": "kept", "command": ["true"]}
        database.write_text(yaml.safe_dump(reviewed))
        yield server, str(path), str(database)


def everything_kept(ledger):
    """Prefect's database and the ledger, as text."""
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    files = [PREFECT_API_DATABASE_CONNECTION_URL.value().partition(":///")[2], ledger.partition(":///")[2]]
    for file in files:
        with sqlite3.connect(file) as connection:
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            yield file.rpartition("/")[2], "\n".join(connection.iterdump())


async def board_pages():
    async with client() as board:
        for path in ("/", "/sites/shop", "/sites/shop/times", "/health", "/metrics", "/sites/none"):
            yield path, (await board.get(path)).text


def forms(secret):
    return {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}


def test_no_job_tells_a_secret_anywhere(shop, ledger, tmp_path, capsys, caplog):
    from flows.jobs.publish_status import publish_status
    from flows.tasks.alerts import deliver
    from flows.tasks.site import load
    from roundsman.ledger.ledger import open_ledger
    from tests.alerts.telling import a_report, told, verdict
    from tests.purge.queueing import publish

    server, path, database = shop
    caplog.set_level(logging.INFO)
    engine = open_ledger(ledger)
    publish(engine, "/articles/one", site="shop")
    here = f"http://{server.address}"
    codes = {
        "inspect": main(["inspect", path, "--json", "inspect.json"]),
        "sweep": main(["sweep", path, "--json", "sweep.json"]),
        "purge": main(["purge", path, "/articles/one", "--apply", "--json", "purge.json"]),
        "purges": main(["purges", "--now", path]),
        "compare": main(["compare", path, "--baseline", here, "--candidate", here, "--samples", "6"]),
        "rehearse": main(["rehearse", path, "--apply", "--json", "rehearse.json"]),
        "import": main(["import", path, f"{here}/feed", "--apply"]),
        "import with a password": main(["import", path, f"http://u:{PLANTED['feed']}@{server.address}/feed"]),
        "import with a token": main(["import", path, f"{here}/feed?token={PLANTED['query']}"]),
        "review": main(["review-database", database]),
        "first look": main(["inspect", f"http://u:{PLANTED['userinfo']}@{server.address}/articles/gone"]),
        "watch": main(["watch", "--ping", f"{here}/{PLANTED['ping']}"]),
    }
    asyncio.run(publish_status(return_state=True))
    seen = CLAIM.against(f"302 to http://u:{PLANTED['userinfo']}@a.test/?t={PLANTED['query']}", "200", holds=False)
    told(load(path), a_report(0, replace(verdict(), findings=(seen,))))
    asyncio.run(deliver.fn())
    codes |= {"status": main(["status", path]), "outbox": main(["outbox"])}
    engine.dispose()
    said = capsys.readouterr()

    async def shown():
        return dict([one async for one in board_pages()])

    outputs = {
        **dict(everything_kept(ledger)),
        **asyncio.run(shown()),
        **{file.name: file.read_text() for file in tmp_path.glob("*.json")},
        "terminal": said.out,
        "errors": said.err,
        "logs": "\n".join(f"{one.getMessage()}\n{one.exc_text or ''}" for one in caplog.records),
        "messages": "\n".join(one.partition("\r\n\r\n")[2] for one in server.requests if one.startswith("POST /hooks")),
    }
    found = [
        (name, where, re.findall(rf".{{0,60}}{re.escape(form)}", text)[:3])
        for name, secret in PLANTED.items()
        for where, text in outputs.items()
        for form in forms(secret)
        if form in text
    ]
    assert codes.pop("compare") < 3  # the times of one release can differ by chance
    assert ([], CODES, []) == (found, codes, [name for name, text in outputs.items() if not text])
