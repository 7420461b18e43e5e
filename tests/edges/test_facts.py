"""The lab's caches do, as shipped, what these tables say; what is proved with them is worth as much as this."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.edges.asking import ask, label, purge, told
from tests.edges.conftest import KINDS
from tests.edges.lab import MEMBERS
from tests.edges.table import table

PURGED_ABSENT = {"varnish": 200, "nginx": 404, "traffic_server": 404, "squid": 404}
PURGE_REFUSED = {"varnish": 405, "nginx": 403, "traffic_server": 403, "squid": 403}


@pytest.fixture
def name(kind, request):
    """The end of a path that no other test asks for."""
    return f"{request.function.__name__}-{kind}"


@pytest.fixture
def page(name):
    return f"/articles/{name}"


def whose(response):
    """The member whose page this is."""
    return next((member for member, person in MEMBERS.items() if person in response.text), "nobody")


class TestKept:
    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        page               | varnish | nginx | traffic_server | squid
        /articles          | HIT     | HIT   | HIT            | HIT
        /browser-only      | MISS    | MISS  | MISS           | MISS
        /nostore           | MISS    | MISS  | MISS           | MISS
        /nocache           | MISS    | MISS  | MISS           | HIT asked
        /star              | MISS    | MISS  | MISS           | HIT asked
        /visitor           | MISS    | MISS  | HIT            | HIT
        /search            | HIT     | HIT   | HIT            | HIT
        /cdn               | MISS    | MISS  | MISS           | MISS
        /cdn-nostore       | HIT     | HIT   | HIT            | HIT
        /surrogate         | HIT     | MISS  | MISS           | HIT asked
        /surrogate-nostore | MISS    | HIT   | HIT            | MISS
        """),
    )
    def test_page(self, edge, origin, name, expected, row):
        """The second answer, and whether the origin was asked for it; Varnish and Squid know Surrogate-Control."""
        first, second = (ask(edge, f"{row}/{name}") for _ in range(2))
        asked = len(origin.asked(f"{row}/{name}")) == 2
        assert (label(first), expected) == ("MISS", label(second) + " asked" * (asked and label(second) == "HIT"))
        assert asked is (expected != "HIT")

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        status    | varnish | nginx | traffic_server | squid
        /404      | HIT     | MISS  | MISS           | MISS
        /404-kept | HIT     | HIT   | HIT            | MISS
        /410      | HIT     | MISS  | HIT            | MISS
        /410-kept | HIT     | HIT   | HIT            | HIT
        /500      | MISS    | MISS  | MISS           | MISS
        /500-kept | MISS    | HIT   | HIT            | MISS
        /503-kept | MISS    | HIT   | HIT            | MISS
        /403      | MISS    | MISS  | MISS           | MISS
        /403-kept | MISS    | HIT   | HIT            | MISS
        /301      | HIT     | MISS  | HIT            | MISS
        /301-kept | HIT     | HIT   | HIT            | HIT
        /302      | MISS    | MISS  | MISS           | MISS
        /302-kept | HIT     | HIT   | HIT            | HIT
        """),
    )
    def test_status(self, edge, name, expected, row):
        """The second answer of a status that is bare, or kept for 600 s by its Cache-Control."""
        assert [label(ask(edge, f"{row}/{name}")) for _ in range(2)] == ["MISS", expected]


class TestWhosePage:
    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        page               | varnish | nginx  | traffic_server | squid
        /inbox             | nobody  | nobody | nobody         | nobody
        /profile           | nobody  | ada    | ada            | ada
        /greeting          | nobody  | nobody | nobody         | ada
        /welcome           | nobody  | ada    | ada            | ada
        /welcome-by-cookie | nobody  | nobody | nobody         | nobody
        """),
    )
    def test_cookie(self, edge, name, expected, row):
        """After Ada and Ben a stranger gets this member's page; who is deceived once is deceived for all."""
        readers = [whose(ask(edge, f"{row}/{name}", member=member)) for member in ("ada", "ben", "")]
        assert readers == ["ada", "ben" if expected == "nobody" else expected, expected]

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        page           | varnish        | nginx          | traffic_server | squid
        /token         | ada ben nobody | ada ada ada    | ada ben ben    | ada ben nobody
        /token-shared  | ada ben nobody | ada ada ada    | ada ben ben    | ada ada ada
        /token-public  | ada ben nobody | ada ada ada    | ada ada ada    | ada ada ada
        /token-private | ada ben nobody | ada ben nobody | ada ben nobody | ada ben nobody
        """),
    )
    def test_bearer(self, edge, name, expected, row):
        """Whose page Ada, Ben and a stranger get; Traffic Server asks again for a token, and keeps the answer."""
        readers = [whose(ask(edge, f"{row}/{name}", token=token)) for token in ("ada", "ben", "")]
        assert expected == " ".join(readers)

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        page                 | varnish | nginx  | traffic_server | squid
        /account/{}.css      | nobody  | ada    | nobody         | nobody
        /account;{}.css      | nobody  | ada    | nobody         | nobody
        /account/me%2f{}.css | nobody  | ada    | nobody         | nobody
        /account/{}.html     | nobody  | nobody | nobody         | nobody
        /profile/{}.css      | nobody  | ada    | ada            | ada
        """),
    )
    def test_deception(self, edge, name, expected, row):
        """After Ada a stranger gets the same address; the lab's nginx keeps whatever is named like a style sheet."""
        ask(edge, row.format(name), member="ada")
        assert expected == whose(ask(edge, row.format(name)))

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        cookie     | varnish | nginx   | traffic_server | squid
        of a visit | its own | its own | taken off      | taken off
        """),
    )
    def test_set_cookie(self, edge, name, expected, row):
        """What the second visitor of a public page gets: a cookie of their own, none, or the first one's."""
        first, second = (ask(edge, f"/visitor/{row[:2]}-{name}").headers.get("set-cookie") for _ in range(2))
        assert expected == ("taken off" if second is None else "the same" if first == second else "its own")

    def test_reflected_host(self, edge, name):
        """All four give a stranger the page with the host that somebody else forwarded."""
        ask(edge, f"/reflected/{name}", extra={"x-forwarded-host": "elsewhere.invalid"})
        assert "elsewhere.invalid" in ask(edge, f"/reflected/{name}").text

    def test_a_copy_for_everyone_is_given_to_members(self, edge, origin, kind, name):
        """Varnish passes a member by, the others serve the strangers' copy; the copy stays in all four."""
        target = f"/welcome/{name}"
        ask(edge, target)
        origin.bump(target)
        member, stranger = ask(edge, target, member="ada"), ask(edge, target)
        assert (whose(member), told(member)) == (("ada", ("MISS", 2)) if kind == "varnish" else ("nobody", ("HIT", 1)))
        assert (whose(stranger), told(stranger)) == ("nobody", ("HIT", 1))


class TestKey:
    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        address       | varnish | nginx | traffic_server | squid
        ?utm_source=a | apart   | apart | apart          | apart
        ?             | apart   | apart | same           | apart
        ;x=1          | apart   | apart | apart          | apart
        /             | apart   | apart | apart          | apart
        """),
    )
    def test_address(self, edge, page, expected, row):
        """A page and the same with this at its end: the same copy or two."""
        target = f"{page}-{len(row)}"
        ask(edge, target)
        assert expected == {"HIT": "same", "MISS": "apart"}[label(ask(edge, target + row))]

    def test_order_and_case(self, edge, name):
        """The order of a query and the case of a path make copies of their own."""
        for one, other in (("/search/{}?a=1&b=2", "/search/{}?b=2&a=1"), ("/articles/x{}", "/articles/X{}")):
            ask(edge, one.format(name))
            assert label(ask(edge, other.format(name))) == "MISS"

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("/caf%C3%A9-{}", "/caf%c3%a9-{}"),
            ("/tea-{}", "/%74ea-{}"),
            ("/cup-{}", "//cup-{}"),
            ("/jug-{}", "/x/../jug-{}"),
        ],
    )
    def test_spelling(self, edge, name, one, other):
        """Two spellings of one address, equal by RFC 3986 or joined by many an origin, are two copies in all four."""
        ask(edge, f"/articles{one.format(name)}")
        assert label(ask(edge, f"/articles{other.format(name)}")) == "MISS"

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        host             | varnish | nginx | traffic_server | squid
        WWW.shop.test    | HIT     | HIT   | HIT            | HIT
        www.shop.test:80 | MISS    | HIT   | HIT            | HIT
        shop.test        | MISS    | MISS  | MISS           | MISS
        """),
    )
    def test_host(self, edge, page, expected, row):
        """A page of www.shop.test, asked for by another name; a default port is another name to Varnish only."""
        target = f"{page}-{len(row)}"
        ask(edge, target, extra={"host": "www.shop.test"})
        assert expected == label(ask(edge, target, extra={"host": row}))


class TestVary:
    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        page             | varnish                | nginx                      | traffic_server             | squid
        /encoded         | identity gzip identity | identity gzip br           | identity gzip identity     | identity gzip br
        /encoded-blindly | identity gzip identity | identity identity identity | identity identity identity | identity identity identity
        """),
    )
    def test_codings(self, edge, name, expected, row):
        """What is sent to who wants no coding, gzip or br; Varnish and Traffic Server never ask for br."""
        answers = [ask(edge, f"{row}/{name}", extra={"accept-encoding": one}) for one in ("identity", "gzip", "br")]
        assert expected == " ".join(answer.headers.get("content-encoding", "identity") for answer in answers)
        assert len({answer.text for answer in answers}) == 1

    def test_a_coding_that_was_not_asked_for(self, edge, kind, name):
        """Compressed without Vary, the first reader's coding is everybody's; Varnish unpacks it for who wants none."""
        target = f"/encoded-blindly/{name}"
        ask(edge, target, extra={"accept-encoding": "gzip"})
        coding = ask(edge, target, extra={"accept-encoding": "identity"}).headers.get("content-encoding", "identity")
        assert coding == ("identity" if kind == "varnish" else "gzip")

    def test_language(self, edge, name):
        """A language has a copy of its own in all four."""
        answers = [ask(edge, f"/language/{name}", extra={"accept-language": one}) for one in ("en", "de") * 2]
        assert [label(answer) for answer in answers] == ["MISS", "MISS", "HIT", "HIT"]
        assert ["in de" in answer.text for answer in answers] == [False, True, False, True]


class TestAsking:
    def test_age(self, edge, kind, page):
        """A copy tells its age; nginx's never does."""
        first, second = ask(edge, page), ask(edge, page)
        assert [told(first), told(second)] == [("MISS", 1), ("HIT", 1)]
        assert ("age" in second.headers) is (kind != "nginx")

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        asked             | varnish          | nginx            | traffic_server     | squid
        HEAD HEAD GET GET | MISS HIT HIT HIT | MISS HIT HIT HIT | MISS MISS MISS HIT | MISS HIT MISS HIT
        """),
    )
    def test_head(self, edge, page, expected, row):
        """A HEAD stores the whole page in Varnish and nginx, nothing in Traffic Server, and itself in Squid."""
        assert expected == " ".join(label(ask(edge, page, method=method)) for method in row.split())

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        request        | varnish | nginx | traffic_server | squid
        no-cache       | HIT     | HIT   | HIT            | MISS
        only-if-cached | 200     | 200   | 504            | 504
        """),
    )
    def test_request_directive(self, edge, page, expected, row):
        """Only Squid fetches for who wants no copy; two of four refuse who wants nothing but a copy."""
        ask(edge, page)
        target = page if row == "no-cache" else f"{page}-absent"
        answer = ask(edge, target, extra={"cache-control": row})
        assert expected in {label(answer), str(answer.status_code)}

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        page     | varnish | nginx   | traffic_server | squid
        /brief   | MISS 2  | STALE 1 | HIT-STALE 2    | MISS 2
        /renewed | HIT 1   | STALE 1 | HIT-STALE 2    | MISS 2
        """),
    )
    def test_expired(self, edge, origin, expired, expected, row, kind):
        """The first answer after a copy's end, when the page has changed: HIT-STALE is new, Varnish's HIT is not."""
        assert expected == "{} {}".format(*told(ask(edge, f"{row}/{expired}-{kind}")))
        origin.wait_asked(f"{row}/{expired}-{kind}", times=2)

    @pytest.fixture(scope="class")
    @staticmethod
    def expired(request, origin):
        """The end of paths whose copies have expired in all four caches, while the pages have changed."""
        targets = [(kind, f"{row}/expired-{kind}") for row in ("/brief", "/renewed") for kind in KINDS]
        for kind, target in targets:
            ask(request.getfixturevalue(kind), target)
            origin.bump(target)
        time.sleep(2.1)  # the caches' own clocks: nobody else can tell that a second has gone
        return "expired"

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        readers | varnish | nginx | traffic_server | squid
        6       | 1       | 1     | 6              | 6
        """),
    )
    def test_readers_who_come_together(self, edge, origin, page, expected, row):
        """Varnish and nginx fetch once for all of them, the others once for each."""
        with ThreadPoolExecutor(6) as pool:
            with origin.hold(page):
                readers = [pool.submit(ask, edge, page) for _ in range(int(row))]
                origin.wait_asked(page, times=int(expected))
            labels = [told(reader.result(timeout=30))[0] for reader in readers]
        assert [labels.count("MISS"), len(origin.asked(page))] == [int(expected)] * 2


class TestPurge:
    def test_takes_one_url(self, edge, origin, page):
        """A purge renews its target, and leaves sibling, child, query and a far page as old as they were."""
        others = [f"{page}-sibling", f"{page}/child", f"{page}?page=2", page.replace("/articles", "/guides")]
        for target in (page, *others):
            ask(edge, target)
        for target in (page, *others):
            origin.bump(target.removesuffix("?page=2"))
        assert told(ask(edge, page)) == ("HIT", 1)
        assert purge(edge, page) == 200
        assert told(ask(edge, page)) == ("MISS", 3)
        assert told(ask(edge, page)) == ("HIT", 3)
        assert {told(ask(edge, target)) for target in others} == {("HIT", 1)}

    def test_of_what_is_absent(self, edge, kind, page):
        """Varnish says 200 for a page it never had; the others say 404."""
        assert purge(edge, page) == PURGED_ABSENT[kind]

    def test_by_a_stranger(self, edge, origin, kind, page):
        """A purge from another address is refused, and the page stays."""
        ask(edge, page)
        origin.bump(page)
        assert purge(edge, page, address="127.0.0.2") == PURGE_REFUSED[kind]
        assert told(ask(edge, page)) == ("HIT", 1)

    def test_during_a_fetch(self, edge, origin, page):
        """The old page that was on its way during the purge is stored after it, and served as a hit."""
        with ThreadPoolExecutor() as pool:
            with origin.hold(page):
                flight = pool.submit(ask, edge, page)
                origin.wait_asked(page)
                origin.bump(page)
                purge(edge, page)
            assert told(flight.result(timeout=10)) == ("MISS", 1)
        assert told(ask(edge, page)) == ("HIT", 1)

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        purged  | varnish | nginx | traffic_server | squid
        without | en de   |       | en de          |
        de      | en de   | de    | en de          | en de
        """),
    )
    def test_of_variants(self, edge, name, expected, row):
        """The languages that a purge takes: nginx takes the one that its headers select, Squid all or none."""
        target = f"/language/{row}-{name}"
        for language in ("en", "de"):
            ask(edge, target, extra={"accept-language": language})
        purge(edge, target, extra={} if row == "without" else {"accept-language": row})
        gone = [one for one in ("en", "de") if label(ask(edge, target, extra={"accept-language": one})) == "MISS"]
        assert expected == " ".join(gone)
