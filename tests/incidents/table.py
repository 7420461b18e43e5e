"""Thirty public incidents: what happened, where it is told, and the claim and route that a round has to name.

`also` are claims that the same fault breaks on the same route. Nothing else may fail, and nothing on another route.
"""

import gzip
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import brotli

from roundsman.watch.rules.slots import RecordedRun, Run, Slot
from tests.edges.pages import MEMBERS, Answer, Request
from tests.incidents.edge import PRIVATE, PUBLIC, Edge, made, named_lifetime, shared_page

GITHUB = "https://github.com"
ROLLBACK = {"note": "the previous settings are kept beside these", "command": ["true"]}


def shared(*routes: str, cache: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A rule for pages for everyone: the routes, and whatever else lies in the folder of the first."""
    folder = routes[0].partition("?")[0].rpartition("/")[0]
    return {
        "name": routes[0].strip("/").partition("/")[0].partition("?")[0],
        "paths": [f"{folder}/**", *(route.partition("?")[0] for route in routes)],
        "cache": {"by": "everyone", "edge_ttl": "30s..1h", **(cache or {})},
        "examples": {"cached": list(routes)},
        "expected_result": "A reader gets a copy at most an hour old.",
        "rollback": ROLLBACK,
        **more,
    }


def alone(route: str, by: str = "member") -> dict[str, Any]:
    """A rule for one page that no shared cache may keep."""
    return {
        "name": route.strip("/").replace("/", "-"),
        "paths": [route],
        "cache": {"by": by},
        "examples": {"not_cached": [route]},
        "expected_result": "Only the visitor reads it.",
        "rollback": ROLLBACK,
    }


def purged(*routes: str, **more: Any) -> dict[str, Any]:
    """A rule for pages of which the first is purged in each round."""
    return shared(*routes, purge={"canary": routes[0], "marker": {"header": "etag"}}, **more)


FAR = shared("/guides/far")
HOME = alone("/account/home")
FOR_MEMBERS = [{"when": "cookie sessionid", "because": "the page greets by name"}]

#: The time of a nightly job.
SLOT = Slot(
    "backup", datetime(2026, 3, 10, 2, tzinfo=UTC), start_grace=120, max_runtime=3600, min_runtime=60, rounds=True
)


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened in one sentence, and what has to be named: a claim, and a route or a deployment."""

    name: str
    source: str
    happened: str
    wanted: tuple[str, str]
    also: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class OnTheWeb(Incident):
    """An edge with an origin, or several before one origin; `cache` names a real one of `tests.edges` instead."""

    edges: Callable[[], Sequence[Edge]] = tuple
    cache: str = ""
    rules: Sequence[Mapping[str, Any]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the site file says otherwise."""
    tokens: bool = False
    """Whether members send a token, not a cookie."""


@dataclass(frozen=True, slots=True)
class OfAJob(Incident):
    """Runs of a job, what the ledger has of them, and when the watch looks."""

    runs: Sequence[Run] = ()
    kept: Mapping[str, RecordedRun] = field(default_factory=dict)
    at: datetime = SLOT.at


# Pages of one visitor that another one got


class AllIsPublic(Edge):
    def passes(self, request):
        return False

    def members_page(self, request, **_):
        return super().members_page(request, Cache_Control="public, s-maxage=30")


class KeepsTheUndeclared(Edge):
    def passes(self, request):
        return False

    def keeps(self, request, answer):
        unsaid = answer.status == HTTPStatus.OK and "Cache-Control" not in answer.headers
        return 600.0 if unsaid else super().keeps(request, answer)

    def members_page(self, request, **_):
        answer = super().members_page(request)
        return replace(answer, headers={name: it for name, it in answer.headers.items() if name != "Cache-Control"})


class OneAnswerBehind(Edge):
    left: Answer | None = None

    def members_page(self, request, **_):
        mine = super().members_page(request)
        if not request.member:
            return mine
        sent, self.left = self.left or mine, mine
        return sent


class GreetsInTheSharedPage(Edge):
    def passes(self, request):
        return False

    def page(self, request):
        if request.path == "/php-statistics":
            return made(request, MEMBERS.get(request.member, "Sign in"), Cache_Control=PUBLIC)
        return super().page(request)


class StoresWhatAnAdministratorSees(Edge):
    def keeps(self, request, answer):
        return named_lifetime(answer)

    def page(self, request):
        if request.path.startswith("/blog/"):
            return made(request, MEMBERS.get(request.member, "Log in"), Cache_Control=PUBLIC)
        return super().page(request)


class ReplaysCookies(Edge):
    def keeps(self, request, answer):
        return 0.0 if self.passes(request) else named_lifetime(answer)

    def page(self, request):
        if request.path == "/welcome/form":
            return shared_page(request, Set_Cookie=f"session={secrets.token_hex(16)}; Path=/; HttpOnly")
        return super().page(request)


class RefreshesTheSession(Edge):
    def passes(self, request):
        return False

    def keeps(self, request, answer):
        return named_lifetime(answer)

    def page(self, request):
        if request.path == "/app":
            fresh = {"Set_Cookie": f"sb-token=eyJ{secrets.token_hex(20)}; Path=/"} if request.member else {}
            return made(request, "the application", Cache_Control="public, s-maxage=60", **fresh)
        return super().page(request)


class KeepsTheFlash(Edge):
    def keeps(self, request, answer):
        return 600.0 if request.path == "/user/lostpassword" else super().keeps(request, answer)

    def page(self, request):
        if request.path == "/user/lostpassword":
            return made(request, "No user with that email found.")
        return super().page(request)


class KeepsByExtension(Edge):
    def passes(self, request):
        return super().passes(request) and not request.path.endswith(".css")

    def keeps(self, request, answer):
        return 600.0 if request.path.endswith(".css") else super().keeps(request, answer)


class TrustsForwardedHost(Edge):
    def page(self, request):
        if request.path.startswith("/posts/"):
            host = request.headers.get("x-forwarded-host", request.headers["host"])
            return made(request, f'<meta property="og:image" content="https://{host}/og.png">', Cache_Control=PUBLIC)
        return super().page(request)


# Copies that are the wrong ones


class IgnoresVary(Edge):
    def matches(self, copy, request):
        return True

    def page(self, request):
        if request.path.startswith("/docs/"):
            content = '0:{"buildId":"1","tree":{}}' if "rsc" in request.headers else "the document"
            return made(request, content, Cache_Control=PUBLIC, Vary="RSC, Accept-Encoding")
        return super().page(request)


class BehindCloudflare(Edge):
    def keeps(self, request, answer):
        return 600.0 if request.path == "/dashboard" else super().keeps(request, answer)

    def page(self, request):
        if request.path == "/dashboard":
            return made(request, "figures of today", Cache_Control=PRIVATE)
        return super().page(request)

    def labels(self, state, age):
        return {
            "Server": "cloudflare",
            "CF-Ray": "8a1f00c0ffee-AMS",
            "CF-Cache-Status": "DYNAMIC",
            "X-Vercel-Cache": state,
            "Age": str(age),
        }


class BareNotModified(Edge):
    def not_modified(self, answer):
        named = {name: it for name, it in answer.headers.items() if name not in {"Cache-Control", "Vary"}}
        return super().not_modified(replace(answer, headers=named))


class StaleForEver(Edge):
    def __init__(self):
        super().__init__()
        old = Request("GET", "/update/release.xml", {})
        self.put(old, self.page(old), age=4 * 3600)

    def keeps(self, request, answer):
        return 30 * 86_400.0 if request.path.startswith("/update/") else super().keeps(request, answer)

    def page(self, request):
        if request.path.startswith("/update/"):
            return shared_page(request, Cache_Control="public, max-age=90")
        return super().page(request)


class KeepsMissingAssets(Edge):
    def page(self, request):
        if request.path.startswith("/discord/") and request.path != "/discord/discord.js":
            return made(request, "not found", HTTPStatus.NOT_FOUND, Cache_Control="public, max-age=86400")
        return super().page(request)


class KeepsErrors(Edge):
    def keeps(self, request, answer):
        return 0.0 if self.passes(request) else named_lifetime(answer)

    def page(self, request):
        if request.path == "/companies/stripe":
            said = "s-maxage=3600, stale-while-revalidate=86400"
            return made(request, "error", HTTPStatus.INTERNAL_SERVER_ERROR, Cache_Control=said)
        return super().page(request)


class NeverAges(Edge):
    def age(self, copy):
        return 0 if copy.request.path.startswith("/books/") else super().age(copy)


class LeavesThePageOut(Edge):
    def key(self, request):
        path, _, query = request.target.partition("?")
        if path != "/search/all":
            return request.target
        return "&".join([path, *(pair for pair in query.split("&") if pair.startswith("q="))])

    def page(self, request):
        if request.path == "/search/all":
            return made(request, f"results for {request.target}", Cache_Control=PUBLIC)
        return super().page(request)


class SendsBrotliToAll(Edge):
    def __init__(self):
        super().__init__()
        reader = Request("GET", "/tutorials/ssh", {"accept-encoding": "br"})
        self.put(reader, self.page(reader))

    def page(self, request):
        answer = super().page(request)
        if request.path == "/tutorials/ssh" and "br" in request.headers.get("accept-encoding", ""):
            coded = {**answer.headers, "Content-Encoding": "br"}
            return replace(answer, headers=coded, body=brotli.compress(answer.body))
        return answer


# Purges


class PurgesNothing(Edge):
    def purge(self, request):
        pass


class PurgesThePlainCopy(Edge):
    def purge(self, request):
        copies = self.store.get(self.key(request), [])
        self.store[self.key(request)] = [copy for copy in copies if "Content-Encoding" in copy.answer.headers]

    def page(self, request):
        answer = super().page(request)
        if not request.path.startswith("/qunit/"):
            return answer
        varied = {**answer.headers, "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return replace(answer, headers=varied)
        coded = {**varied, "Content-Encoding": "gzip", "ETag": answer.headers["ETag"][:-1] + '-gzip"'}
        return replace(answer, headers=coded, body=gzip.compress(answer.body, mtime=0))


class Shield(Edge):
    """A cache that answers with an old copy once more after a soft purge, and then fetches a new one."""

    def __init__(self):
        super().__init__()
        self.outdated = set()

    def purge(self, request):
        self.outdated.add(self.key(request))

    def answer(self, request):
        said = super().answer(request)
        if request.method == "GET" and self.key(request) in self.outdated:
            self.outdated.remove(self.key(request))
            super().purge(request)
        return said


class BehindAShield(Edge):
    def __init__(self):
        super().__init__()
        self.shield = Shield()

    def fetch(self, request):
        return self.shield.answer(request)

    def purge(self, request):
        super().purge(request)
        self.shield.answer(request)


class PurgesEverything(Edge):
    def purge(self, request):
        self.store.clear()


WEB = (
    OnTheWeb(
        "Steam, Christmas 2015",
        "https://siliconangle.com/blog/2015/12/30/valve-opens-up-about-the-bug-that-exposed-some-steam-user-info-on-christmas/",
        "Caching rules against an attack kept account pages, and showed those of 34,000 people to others.",
        ("logged-in-traffic/leak", "/account/steam"),
        also=[
            "cache-headers/agree",
            "cache-headers/not-kept",
            "logged-in-traffic/not-from-store",
            "logged-in-traffic/set-cookie",
            "logged-in-traffic/stored",
        ],
        cache="varnish-leaky.vcl",
        rules=[alone("/account/steam"), FAR],
    ),
    OnTheWeb(
        "OpenCouncil #413",
        f"{GITHUB}/schemalabz/opencouncil/issues/413",
        "All HTML said public, s-maxage=30, the administrators' pages with names and phone numbers as well.",
        ("logged-in-traffic/leak", "/account/admin"),
        also=[
            "cache-headers/not-kept",
            "cache-headers/private",
            "logged-in-traffic/not-from-store",
            "logged-in-traffic/stored",
        ],
        edges=lambda: [AllIsPublic()],
        rules=[alone("/account/admin"), FAR],
    ),
    OnTheWeb(
        "any-llm #973",
        f"{GITHUB}/mozilla-ai/any-llm/issues/973",
        "A provider switched caching on for all domains, and APIs without Cache-Control answered with others' data.",
        ("logged-in-traffic/leak", "/account/usage"),
        also=[
            "cache-headers/agree",
            "cache-headers/not-kept",
            "cache-headers/private",
            "logged-in-traffic/not-from-store",
            "logged-in-traffic/stored",
        ],
        edges=lambda: [KeepsTheUndeclared()],
        rules=[alone("/account/usage"), FAR],
        tokens=True,
    ),
    OnTheWeb(
        "ChatGPT, March 2023",
        "https://openai.com/index/march-20-chatgpt-outage/",
        "A connection pool handed the answer of a cancelled request to the next user, who saw another's titles.",
        ("logged-in-traffic/leak", "/account/history"),
        edges=lambda: [OneAnswerBehind()],
        rules=[alone("/account/history"), FAR],
    ),
    OnTheWeb(
        "nginx #824",
        f"{GITHUB}/nginx/nginx/issues/824",
        "nginx kept answers to requests with Authorization, and gave them to whoever asked next.",
        ("logged-in-traffic/leak", "/token/orders"),
        also=[
            "cache-headers/agree",
            "cache-headers/not-kept",
            "cache-headers/private",
            "logged-in-traffic/not-from-store",
            "logged-in-traffic/stored",
        ],
        cache="nginx.conf",
        rules=[alone("/token/orders"), FAR],
        settings={"edge": "nginx/lab", "blocks": {"nginx/lab": {}}},
        tokens=True,
    ),
    OnTheWeb(
        "Packagist #1351",
        f"{GITHUB}/composer/packagist/pull/1351",
        "A page for everyone greeted by name and was kept as it was rendered for its last visitor.",
        ("logged-in-traffic/bypass", "/php-statistics"),
        also=["cache-headers/bypass"],
        edges=lambda: [GreetsInTheSharedPage()],
        rules=[shared("/php-statistics", paths=["/php-statistics"], bypass=FOR_MEMBERS), FAR],
    ),
    OnTheWeb(
        "Comet Cache #497",
        f"{GITHUB}/wpsharks/comet-cache/issues/497",
        "An administrator's visit was stored, toolbar and all, and shown to visitors who are not logged in.",
        ("logged-in-traffic/leak", "/blog/hello-world"),
        also=["logged-in-traffic/copy-kept"],
        edges=lambda: [StoresWhatAnAdministratorSees()],
        rules=[shared("/blog/hello-world", bypass=FOR_MEMBERS), FAR],
    ),
    OnTheWeb(
        "rustango #1251",
        f"{GITHUB}/ujeenet/rustango/issues/1251",
        "The page cache stored Set-Cookie, and gave one visitor's session to the next.",
        ("cache-headers/set-cookie", "/welcome/form"),
        edges=lambda: [ReplaysCookies()],
        rules=[shared("/welcome/form"), FAR, HOME],
    ),
    OnTheWeb(
        "Supabase #1682",
        f"{GITHUB}/supabase/supabase-js/issues/1682",
        "A refreshed session came in a Set-Cookie that a CDN kept, and signed others in as that user.",
        ("logged-in-traffic/set-cookie", "/app"),
        also=["cache-headers/not-kept", "cache-headers/private"],
        edges=lambda: [RefreshesTheSession()],
        rules=[alone("/app"), FAR],
    ),
    OnTheWeb(
        "CubeCobra #3008",
        f"{GITHUB}/dekkerglen/CubeCobra/pull/3008",
        "The form for lost passwords said nothing of caching, and one visitor's message was shown to everyone.",
        ("cache-headers/not-kept", "/user/lostpassword"),
        also=["cache-headers/no-store"],
        edges=lambda: [KeepsTheFlash()],
        rules=[alone("/user/lostpassword", "nobody"), FAR, HOME],
    ),
    OnTheWeb(
        "PayPal, 2017",
        "https://omergil.blogspot.com/2017/02/web-cache-deception-attack.html",
        "An account page under a name that ends in .css was kept as a style sheet, for anybody to fetch.",
        ("logged-in-traffic/deception", "/account/home"),
        edges=lambda: [KeepsByExtension()],
        rules=[HOME, FAR],
    ),
    OnTheWeb(
        "webjs #1097",
        f"{GITHUB}/webjsdev/webjs/issues/1097",
        "X-Forwarded-Host got into the page's addresses and not into the key, so one request poisoned the copy.",
        ("logged-in-traffic/unkeyed-header", "/posts/first"),
        edges=lambda: [TrustsForwardedHost()],
        rules=[shared("/posts/first", "/posts/second"), FAR, HOME],
    ),
    OnTheWeb(
        "LibreChat #642",
        f"{GITHUB}/LibreChat-AI/librechat.ai/pull/642",
        "The CDN ignored Vary: RSC, and showed the payload for scripts to readers who opened the page.",
        ("cache-headers/vary-apart", "/docs/remote"),
        edges=lambda: [IgnoresVary()],
        rules=[shared("/docs/remote", "/docs/local"), FAR, HOME],
    ),
    OnTheWeb(
        "World Monitor #7513",
        f"{GITHUB}/koala73/worldmonitor/pull/7513",
        "Cloudflare said DYNAMIC before a Vercel that answered from its store: the first header is not the whole story.",
        ("cache-headers/not-kept", "/dashboard"),
        edges=lambda: [BehindCloudflare()],
        rules=[alone("/dashboard", "nobody"), FAR, HOME],
        settings={"edge": None, "blocks": {}},
    ),
    OnTheWeb(
        "Spring #34614",
        f"{GITHUB}/spring-projects/spring-framework/pull/34614",
        "The 304 lacked Cache-Control, so the CDN went by its own, longer lifetime from the first revalidation on.",
        ("cache-headers/not-modified", "/static/app"),
        edges=lambda: [BareNotModified()],
        rules=[shared("/static/app", "/static/other"), FAR, HOME],
    ),
    OnTheWeb(
        "Balrog #2706",
        f"{GITHUB}/mozilla-releng/balrog/issues/2706",
        "The CDN served updates long after their lifetime of 90 seconds.",
        ("cache-headers/overdue", "/update/release.xml"),
        edges=lambda: [StaleForEver()],
        rules=[shared("/update/release.xml", cache={"edge_ttl": "<=90s"}), FAR, HOME],
    ),
    OnTheWeb(
        "KBVE #12467",
        f"{GITHUB}/KBVE/kbve/pull/12467",
        "A new script was asked for before it was there, and its 404 was kept for a day.",
        ("cache-headers/missing", "/discord/discord.js"),
        edges=lambda: [KeepsMissingAssets()],
        rules=[shared("/discord/discord.js", cache={"missing": "<=1m"}), FAR, HOME],
    ),
    OnTheWeb(
        "freehire #2111",
        f"{GITHUB}/strelov1/freehire/pull/2111",
        "A 500 of a few seconds during a deploy got the page's lifetime, and was served for an hour.",
        ("cache-headers/error-kept", "/companies/stripe"),
        also=["cache-headers/status"],
        edges=lambda: [KeepsErrors()],
        rules=[shared("/companies/stripe", "/companies/acme"), FAR, HOME],
    ),
    OnTheWeb(
        "zion #218",
        f"{GITHUB}/fabriziosalmi/zion/pull/218",
        "Copies never grew older, so the caches behind them kept pages for ever.",
        ("cache-headers/age-grows", "/books/one"),
        edges=lambda: [NeverAges()],
        rules=[shared("/books/one", "/books/two"), FAR, HOME],
    ),
    OnTheWeb(
        "Atelier #2595",
        f"{GITHUB}/nandinigoyaldev/Open-Source-Contribution-Atelier/issues/2595",
        "The key of the search left the page out, so every page of results was the first one.",
        ("cache-headers/key-apart", "/search/all?q=react"),
        edges=lambda: [LeavesThePageOut()],
        rules=[shared("/search/all?q=react", cache={"key": {"apart": ["query page"]}}), FAR, HOME],
    ),
    OnTheWeb(
        "ubuntu.com #13980",
        f"{GITHUB}/canonical/ubuntu.com/issues/13980",
        "A copy in Brotli was sent to browsers that had not asked for it and could not read it.",
        ("cache-headers/encoding", "/tutorials/ssh"),
        edges=lambda: [SendsBrotliToAll()],
        rules=[shared("/tutorials/ssh", cache={"encodings": ["identity", "gzip", "br"]}), FAR, HOME],
    ),
    OnTheWeb(
        "Cloudflare docs #33306",
        f"{GITHUB}/cloudflare/cloudflare-docs/pull/33306",
        "The purge was answered with 200, and the old page stayed.",
        ("targeted-purge/refreshed", "/news/one"),
        edges=lambda: [PurgesNothing()],
        rules=[purged("/news/one", "/news/two", "/news/three"), FAR, HOME],
    ),
    OnTheWeb(
        "jQuery #45",
        f"{GITHUB}/jquery/codeorigin.jquery.com/issues/45",
        "The CDN stopped purging variants without a word, so that compressed copies stayed old for weeks.",
        ("targeted-purge/refreshed", "/qunit/one"),
        edges=lambda: [PurgesThePlainCopy()],
        rules=[purged("/qunit/one", "/qunit/two", "/qunit/three"), FAR, HOME],
    ),
    OnTheWeb(
        "MIT Learn #5143",
        f"{GITHUB}/mitodl/ol-infrastructure/pull/5143",
        "After a soft purge the shield answered with its old page once more, and the edge kept that as a new one.",
        ("targeted-purge/refreshed", "/courses/one"),
        edges=lambda: [BehindAShield()],
        rules=[purged("/courses/one", "/courses/two", "/courses/three"), FAR, HOME],
    ),
    OnTheWeb(
        "kube-httpcache #41",
        f"{GITHUB}/mittwald/kube-httpcache/issues/41",
        "A purge reached some of the caches, and the others went on with the old page.",
        ("targeted-purge/refreshed", "/shop/one"),
        edges=lambda: [Edge(), Edge()],
        rules=[purged("/shop/one", "/shop/two", "/shop/three"), FAR, HOME],
    ),
    OnTheWeb(
        "Node.js #3410",
        f"{GITHUB}/nodejs/build/issues/3410",
        "Each purge emptied the whole cache, and the origin could not keep up.",
        ("targeted-purge/control", "/dist/one"),
        also=["targeted-purge/neighbour"],
        edges=lambda: [PurgesEverything()],
        rules=[purged("/dist/one", "/dist/two", "/dist/three"), FAR, HOME],
    ),
)

FULL = RecordedRun(verdicts=12, exchanges=40)


def later(**time: float) -> datetime:
    """A moment after the time of the slot."""
    return SLOT.at + timedelta(**time)


def run(start: float | None = None, end: float | None = None, name: str = "run-1") -> Run:
    """A run of the slot that began, and ended, so many minutes after its time."""
    kind, state = ("RUNNING", "Running") if end is None else ("COMPLETED", "Completed")
    if start is None:
        return Run(name, "backup", "SCHEDULED", "Late", "", f"{name}-state", SLOT.at, SLOT.at, None, None)
    began, ended = later(minutes=start), None if end is None else later(minutes=end)
    return Run(name, "backup", kind, state, "", f"{name}-state", ended or began, SLOT.at, began, ended)


JOBS = (
    OfAJob(
        "Prefect #9054",
        f"{GITHUB}/PrefectHQ/prefect/issues/9054",
        "A run that nobody picked up stayed unnoticed, and began 25 days late.",
        ("not_started", "backup"),
        runs=[run()],
        at=later(minutes=5),
    ),
    OfAJob(
        "Paseo #2819",
        f"{GITHUB}/getpaseo/paseo/issues/2819",
        "A schedule started two runs for one time, and both did the work.",
        ("extra_run", "backup"),
        runs=[run(1, 10), run(10, 20, "run-2")],
        kept={"run-1": FULL, "run-2": FULL},
        at=later(hours=1),
    ),
    OfAJob(
        "GitLab, January 2017",
        "https://about.gitlab.com/blog/2017/02/10/postmortem-of-database-outage-of-january-31/",
        "The nightly backup wrote nothing, and nobody heard of it until the day it was needed.",
        ("did_nothing", "backup"),
        runs=[run(1, 10)],
        kept={"run-1": RecordedRun(verdicts=0, exchanges=0)},
        at=later(hours=1),
    ),
    OfAJob(
        "A hung mysqldump",
        "https://coderlegion.com/21384/my-backup-hadnt-run-in-9-days-and-nothing-told-me",
        "A dump waited for a lock for ever, and for nine days every later run was skipped.",
        ("overrun", "backup"),
        runs=[run(1)],
        at=later(hours=2),
    ),
)

INCIDENTS: tuple[Incident, ...] = (*WEB, *JOBS)
