"""What the checks say of four real caches as shipped: their verdicts, a line for each promise, a column for each cache.

A cell says what the edge was seen to do (HIT: it answered from its store at least once), and what is told to the owner:
the claims that failed, those that warned in brackets, those that nobody could tell with a question mark; `fine` if
there is none. `kept?` is the other column: whether a shared cache may keep the first answer by RFC 9111.
"""

import re

import pytest

from flows.tasks.blocks import edges_of
from flows.tasks.cache import examine
from roundsman.cache.rules import judge as cache_headers
from roundsman.logged_in.look import visit
from roundsman.logged_in.rules import judge as logged_in_traffic
from roundsman.report.rules.visitor import STRANGER, Visitor
from tests.edges.lab import MEMBERS
from tests.edges.table import table
from tests.make import site

EDGES = {
    "varnish": "varnish/lab",
    "nginx": "nginx/lab",
    "traffic_server": "traffic-server/lab",
    "squid": "squid/lab",
}
BY_COOKIE = [Visitor(who, (("Cookie", f"sessionid={who}"),), (says,)) for who, says in MEMBERS.items()]
BY_TOKEN = [Visitor(who, (("Authorization", f"Bearer {who}"),), (says,)) for who, says in MEMBERS.items()]
#: The purge after a test and 304 are not what these tables are about; the policy has a column of its own.
ASIDE = {"cleaned", "validator", "policy"}
#: Another member or a stranger sees it, strangers get the copy, and the member is answered from it as well.
LEAK = "leak stored not-from-store"


def own(family, row, kind):
    """A path for this line and cache, which nobody else asks for."""
    return f"{family}/matrix-{re.sub(r'[^a-z0-9]+', '-', row.lower())}-{kind}"


def promise(edge, kind, path, rule, **more):
    """A site with one rule, which speaks of this path and all below it."""
    examples = {"cached" if rule["cache"]["by"] == "everyone" else "not_cached": [path]}
    written = {"paths": [path, f"{path}/**"], "examples": examples, **rule}
    lab = {"base_url": edge.url, "edge": EDGES[kind], "blocks": {EDGES[kind]: {}}}
    return site(written, **lab, manners={"rate": 5000, "timeout": "5s"}, **more)


def cell(verdict):
    """A verdict in the words of these tables."""
    seen = verdict.observed.partition(";")[0].split(", ")
    marks = {"fail": "{}", "warn": "({})", "unknown": "{}?"}
    said = [
        marks[finding.outcome].format(name)
        for finding in verdict.findings
        if (name := finding.claim.partition("/")[2]) not in ASIDE and finding.outcome != "pass"
    ]
    told = " ".join(dict.fromkeys(said)).replace(LEAK, "LEAK")
    return f"{'HIT' if 'HIT' in seen else seen[-1]} {told or 'fine'}"


def may_be_kept(verdict):
    return "no" if verdict.by_rfc.startswith("not storable") else "yes"


async def logged_in(edge, kind, path, rule, members=()):
    lab = promise(edge, kind, path, rule)
    ((only, seen),) = (await visit(lab, lab.rules[0], members, edges_of)).items()
    return logged_in_traffic.judge(lab, lab.rules[0], only, seen, members)


async def headers(edge, kind, path, rule, visitor=STRANGER, **more):
    lab = promise(edge, kind, path, rule, **more)
    look = await examine.fn(lab, lab.rules[0], visitor)
    [verdict] = cache_headers.judge_rule(lab, lab.rules[0], look, visitor)
    return verdict


def key(*same, apart=()):
    return {"cache": {"by": "everyone", "key": {"same": same, "apart": apart}}}


EVERYONES = {"cache": {"by": "everyone"}}
MEMBERS_OWN = {"cache": {"by": "member"}}
NOBODYS = {"cache": {"by": "nobody"}}
UNSAID = {"cache": {"by": "unsaid"}}
CODINGS = {"cache": {"by": "everyone", "encodings": ["identity", "gzip", "br"]}}
BYPASS = EVERYONES | {"bypass": [{"when": "cookie sessionid", "because": "it greets by name"}]}
BY_CDN = {"targeted_fields": ["CDN-Cache-Control"]}

#: Each a page, and who its members are.
PERSONAL = {
    "Authorization, max-age": ("/token", BY_TOKEN),
    "Authorization, s-maxage": ("/token-shared", BY_TOKEN),
    "Authorization, public": ("/token-public", BY_TOKEN),
    "Authorization, private": ("/token-private", BY_TOKEN),
    "Cookie, public": ("/profile", BY_COOKIE),
    "Cookie, public, for all": ("/welcome", BY_COOKIE),
    "Cookie, Vary: Cookie": ("/welcome-by-cookie", BY_COOKIE),
    "Cookie, Last-Modified": ("/greeting", BY_COOKIE),
    "Cookie, private": ("/inbox", BY_COOKIE),
    "Cookie, private, as a file": ("/account", BY_COOKIE),
}
LOGGED_IN = """
its members' own page      | kept? | policy | varnish   | nginx              | traffic_server     | squid
Authorization, max-age     | no    | warn   | MISS fine | HIT LEAK           | HIT leak stored    | MISS fine
Authorization, s-maxage    | yes   | warn   | MISS fine | HIT LEAK           | HIT leak stored    | HIT LEAK
Authorization, public      | yes   | warn   | MISS fine | HIT LEAK           | HIT LEAK           | HIT LEAK
Authorization, private     | no    | pass   | MISS fine | MISS fine          | MISS fine          | MISS fine
Cookie, public             | yes   | warn   | MISS fine | HIT LEAK           | HIT LEAK           | HIT LEAK
Cookie, public, for all    | yes   | warn   | HIT fine  | HIT LEAK           | HIT LEAK           | HIT LEAK
Cookie, Vary: Cookie       | yes   | warn   | HIT fine  | HIT not-from-store | HIT not-from-store | HIT not-from-store
Cookie, Last-Modified      | yes   | warn   | MISS fine | MISS fine          | MISS fine          | HIT LEAK
Cookie, private            | no    | pass   | MISS fine | MISS fine          | MISS fine          | MISS fine
Cookie, private, as a file | no    | pass   | MISS fine | MISS deception     | MISS fine          | MISS fine
"""


@pytest.mark.parametrize(("expected", "row", "kept", "policy", "kind"), table(LOGGED_IN, heads=3))
async def test_members(edge, kind, row, kept, policy, expected):
    """Who sees whose page. Traffic Server asks the origin for whoever has a token, and gives strangers the answer."""
    family, members = PERSONAL[row]
    verdict = await logged_in(edge, kind, own(family, row, kind), MEMBERS_OWN, members)
    warned = [finding.outcome for finding in verdict.findings if finding.claim.endswith("/policy")]
    assert (kept, [policy], expected) == (may_be_kept(verdict), warned, cell(verdict))


#: Each a page for everyone.
SHARED_PAGES = {
    "a warm copy, then a member": ("/welcome", BYPASS),
    "X-Forwarded-Host in it": ("/reflected", EVERYONES),
    "nothing of a request in it": ("/articles", EVERYONES),
}
SHARED = """
everyone's page            | kept? | varnish            | nginx              | traffic_server     | squid
a warm copy, then a member | yes   | HIT fine           | HIT bypass         | HIT bypass         | HIT bypass
X-Forwarded-Host in it     | yes   | HIT unkeyed-header | HIT unkeyed-header | HIT unkeyed-header | HIT unkeyed-header
nothing of a request in it | yes   | HIT fine           | HIT fine           | HIT fine           | HIT fine
"""


@pytest.mark.parametrize(("expected", "row", "kept", "kind"), table(SHARED, heads=2))
async def test_members_beside_everyone(edge, kind, row, kept, expected):
    """What a member is given of a shared page, and a stranger of what another one made up."""
    family, rule = SHARED_PAGES[row]
    verdict = await logged_in(edge, kind, own(family, row, kind), rule, BY_COOKIE if "bypass" in rule else ())
    assert (kept, expected) == (may_be_kept(verdict), cell(verdict))


#: Each a page, what its rule says of it, and what its site does.
PROMISES = {
    "its member's, max-age": ("/token", MEMBERS_OWN, {}),
    "its member's, s-maxage": ("/token-shared", MEMBERS_OWN, {}),
    "its member's, private": ("/token-private", MEMBERS_OWN, {}),
    "Set-Cookie, public": ("/visitor", EVERYONES, {}),
    "nobody's: no-store": ("/nostore", NOBODYS, {}),
    "nobody's: no-cache": ("/nocache", NOBODYS, {}),
    "CDN max-age, CC no-store": ("/cdn", NOBODYS, {}),
    "CDN max-age, to be obeyed": ("/cdn", EVERYONES, BY_CDN),
    "CDN no-store, CC public": ("/cdn-nostore", EVERYONES, {}),
    "CDN no-store, to be obeyed": ("/cdn-nostore", UNSAID, BY_CDN),
    "Surrogate max-age, no-store": ("/surrogate", NOBODYS, {}),
    "Surrogate no-store, public": ("/surrogate-nostore", EVERYONES, {}),
    "same: utm_source": ("/articles", key("query utm_source"), {}),
    "same: order of the query": ("/search", key("order"), {}),
    "same: case of the path": ("/articles", key("case"), {}),
    "same: slash at its end": ("/articles", key("slash"), {}),
    "same: another host": ("/articles", key("host www.lab.test"), {}),
    "apart: each of these": (
        "/search",
        key(apart=["query page", "order", "case", "slash", "host www.lab.test"]),
        {},
    ),
    "Vary: Accept-Encoding": ("/encoded", CODINGS, {}),
    "no Vary, and compressed": ("/encoded-blindly", CODINGS, {}),
    "Vary: Accept-Language": ("/language", EVERYONES, {}),
    "Accept-Language, promised": ("/language", {"cache": {"by": "everyone", "vary": ["accept-language"]}}, {}),
    "Vary: Cookie": ("/welcome-by-cookie", EVERYONES, {}),
    "Vary: *": ("/star", EVERYONES, {}),
    "404 for 600 s": ("/404-kept", EVERYONES | {"status": 404}, {}),
    "404 bare": ("/404", EVERYONES | {"status": 404}, {}),
    "410 for 600 s": ("/410-kept", EVERYONES | {"status": 410}, {}),
    "410 bare": ("/410", EVERYONES | {"status": 410}, {}),
    "301 for 600 s": ("/301-kept", EVERYONES | {"status": 301}, {}),
    "301 bare": ("/301", EVERYONES | {"status": 301}, {}),
    "302 for 600 s": ("/302-kept", EVERYONES | {"status": 302}, {}),
    "302 bare": ("/302", EVERYONES | {"status": 302}, {}),
    "500 for 600 s": ("/500-kept", EVERYONES, {}),
    "500 bare": ("/500", EVERYONES, {}),
}
HEADERS = """
page and promise            | kept? | varnish               | nginx                      | traffic_server           | squid
its member's, max-age       | no    | MISS private          | HIT private not-kept agree | MISS private             | MISS private
its member's, s-maxage      | yes   | MISS private          | HIT private not-kept       | MISS private             | HIT private not-kept
its member's, private       | no    | MISS fine             | MISS fine                  | MISS fine                | MISS fine
Set-Cookie, public          | yes   | MISS hit (set-cookie) | MISS hit (set-cookie)      | HIT set-cookie           | HIT set-cookie (not-modified)
nobody's: no-store          | no    | MISS fine             | MISS fine                  | MISS fine                | MISS fine
nobody's: no-cache          | yes   | MISS no-store         | MISS no-store              | MISS no-store            | HIT no-store not-kept
CDN max-age, CC no-store    | no    | MISS fine             | MISS fine                  | MISS fine                | MISS fine
CDN max-age, to be obeyed   | yes   | MISS hit              | MISS hit                   | MISS hit                 | MISS hit
CDN no-store, CC public     | yes   | HIT fine              | HIT fine                   | HIT fine                 | HIT (not-modified)
CDN no-store, to be obeyed  | no    | HIT (agree)           | HIT (agree)                | HIT (agree)              | HIT (agree)
Surrogate max-age, no-store | no    | HIT not-kept agree    | MISS fine                  | MISS fine                | HIT not-kept agree
Surrogate no-store, public  | yes   | MISS hit              | HIT fine                   | HIT fine                 | MISS hit
same: utm_source            | yes   | HIT key-same          | HIT key-same               | HIT key-same             | HIT (not-modified) key-same
same: order of the query    | yes   | HIT key-same          | HIT key-same               | HIT key-same             | HIT (not-modified) key-same
same: case of the path      | yes   | HIT key-same          | HIT key-same               | HIT key-same             | HIT (not-modified) key-same
same: slash at its end      | yes   | HIT key-same          | HIT key-same               | HIT key-same             | HIT (not-modified) key-same
same: another host          | yes   | HIT key-same          | HIT key-same               | HIT key-same             | HIT (not-modified) key-same
apart: each of these        | yes   | HIT fine              | HIT fine                   | HIT fine                 | HIT (not-modified)
Vary: Accept-Encoding       | yes   | HIT fine              | HIT fine                   | HIT fine                 | HIT (not-modified)
no Vary, and compressed     | yes   | HIT fine              | HIT (vary-sane) encoding   | HIT (vary-sane) encoding | HIT (vary-sane) encoding (not-modified)
Vary: Accept-Language       | yes   | HIT (vary-sane)       | HIT (vary-sane)            | HIT (vary-sane)          | HIT (vary-sane) (not-modified)
Accept-Language, promised   | yes   | HIT fine              | HIT fine                   | HIT fine                 | HIT (not-modified)
Vary: Cookie                | yes   | HIT (vary-sane)       | HIT (vary-sane)            | HIT (vary-sane)          | HIT (vary-sane) (not-modified)
Vary: *                     | yes   | MISS hit vary-any     | MISS hit vary-any          | MISS hit vary-any        | HIT vary-any
404 for 600 s               | yes   | HIT fine              | HIT fine                   | HIT fine                 | MISS hit
404 bare                    | yes   | HIT fine              | MISS hit                   | MISS hit                 | MISS hit
410 for 600 s               | yes   | HIT fine              | HIT fine                   | HIT fine                 | HIT fine
410 bare                    | yes   | HIT fine              | MISS hit                   | HIT fine                 | EXPIRED hit
301 for 600 s               | yes   | HIT fine              | HIT fine                   | HIT fine                 | HIT fine
301 bare                    | yes   | HIT fine              | MISS hit                   | HIT fine                 | EXPIRED hit
302 for 600 s               | yes   | HIT fine              | HIT fine                   | HIT fine                 | HIT fine
302 bare                    | no    | MISS storable hit     | MISS storable hit          | MISS storable hit        | MISS storable hit
500 for 600 s               | yes   | MISS status           | HIT status error-kept      | HIT status error-kept    | MISS status
500 bare                    | no    | MISS status           | MISS status                | MISS status              | MISS status
"""


@pytest.mark.parametrize(("expected", "row", "kept", "kind"), table(HEADERS, heads=2))
async def test_headers(edge, kind, row, kept, expected):
    """Each route as its written rule says. What Traffic Server gives strangers of a member's page shows nothing here."""
    family, rule, more = PROMISES[row]
    visitor = BY_TOKEN[0] if family.startswith("/token") else STRANGER
    verdict = await headers(edge, kind, own(family, row, kind), rule, visitor, **more)
    assert (kept, expected) == (may_be_kept(verdict), cell(verdict))


MISSING = """
what is not there | varnish | nginx | traffic_server | squid
404 for 600 s     | fail    | fail  | fail           | fail
404 bare          | fail    | pass  | pass           | pass
410 for 600 s     | fail    | fail  | fail           | fail
410 bare          | fail    | pass  | fail           | pass
"""


@pytest.mark.parametrize(("expected", "row", "kind"), table(MISSING))
async def test_missing(edge, kind, row, expected):
    """The answer to a made-up name is to be kept for a minute at most. Varnish keeps for two what says nothing."""
    absent, path = own(PROMISES[row][0], "missing", kind), own("/articles", f"missing {row}", kind)
    rule = {"paths": [f"{absent}/**", path], "cache": {"by": "everyone", "missing": "<=1m"}}
    verdict = await headers(edge, kind, path, rule)
    assert [expected] == [finding.outcome for finding in verdict.findings if finding.claim.endswith("/missing")]


DISAGREE = """
its members' own page  | nginx                                            | traffic_server
Authorization, max-age | not storable: the request had Authorization; HIT | not storable: the request had Authorization; HIT
"""


@pytest.mark.parametrize(("expected", "row", "kind"), table(DISAGREE))
async def test_where_the_columns_disagree_the_report_says_so(edge, kind, row, expected):
    """As shipped these two serve an Authorization response with plain max-age to strangers; the RFC forbids it."""
    family, members = PERSONAL[row]
    verdict = await logged_in(edge, kind, own(family, "they disagree", kind), MEMBERS_OWN, members)
    law, seen = expected.split("; ")
    [said] = [finding.saw for finding in verdict.findings if finding.claim.endswith("/stored")]
    assert verdict.by_rfc.startswith(law)
    assert seen in verdict.observed
    assert said.startswith(f"the member's copy as a {seen}; by the RFC {law}")
