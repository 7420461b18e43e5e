"""The proof of a purge on four real caches: honest purges are proven, and each way to go wrong is told by its name."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import pytest

from blocks.nginx import Nginx
from blocks.squid import Squid
from tests.edges.asking import ask, purge, told
from tests.edges.conftest import KINDS
from tests.edges.proof import purged, shop
from tests.edges.table import table

pytestmark = pytest.mark.slow

TOUCH = ("touch",)


@pytest.fixture
def touch(monkeypatch):
    """Let something happen between the last look before the purge and the purge."""

    def between(what):
        async def run(*_, **__):
            await asyncio.to_thread(what)
            return ""

        monkeypatch.setattr("roundsman.purge.prove.run", run)

    return between


def changes(origin, path):
    return lambda: origin.bump(path)


class TestHonest:
    async def test_a_changed_page_is_proven_by_its_content(self, edge, kind, origin, touch):
        """New and kept; siblings, child, other query, case, slash and another host are as they were."""
        name = f"basic-{kind}"
        place = shop(edge.url, kind, name, rule={"cache": {"by": "everyone", "key": {"apart": ["host m.lab.test"]}}})
        touch(changes(origin, f"/articles/{name}/one"))
        found = await purged(place, touch=TOUCH)
        assert {} == found.trouble
        assert "new, proven by content; 7 of 7 neighbours untouched; still new later" == found.said

    @pytest.mark.parametrize(
        ("kind", "by"),
        [
            ("varnish", "by birth time"),
            ("nginx", "by label only"),
            ("traffic_server", "by birth time"),
            ("squid", "by birth time"),
        ],
    )
    async def test_a_page_that_is_the_same_is_proven_less_strongly(self, edge, kind, by):
        """nginx sends no Age."""
        found = await purged(shop(edge.url, kind, f"same-{kind}"))
        assert {} == found.trouble
        assert found.said.startswith(f"new, {by};")

    async def test_the_next_round_has_the_same_neighbours_still(self, edge, kind):
        """What was made up in the last round is a hit at once; another page or another age tells it from the target."""
        place = shop(edge.url, kind, f"twice-{kind}")
        for _ in range(2):
            found = await purged(place)
            assert {} == found.trouble
            assert "6 of 6 neighbours untouched" in found.said

    @pytest.mark.parametrize("page", ["caf%C3%A9", "a%2Fb", "one?x=1&y=2"])
    async def test_an_odd_path_is_purged_and_looked_at_as_it_is_written(self, edge, kind, origin, touch, page):
        route = f"/articles/odd-{kind}/{page}"
        touch(changes(origin, route.partition("?")[0]))
        found = await purged(shop(edge.url, kind, f"odd-{kind}"), route, touch=TOUCH)
        assert (route, {}) == (found.verdict.subject, found.trouble)
        assert "proven by content" in found.said

    async def test_both_ends_of_a_redirect_are_purged(self, edge, kind):
        """The page that it leads to as well, with a verdict of its own."""
        place = shop(
            edge.url,
            kind,
            "elsewhere",
            rule={"paths": ["/301-kept", "/articles/elsewhere"], "examples": {"cached": ["/301-kept"]}},
            purge={"canary": "/301-kept"},
        )
        found = await purged(place)
        assert (f"{edge.url}/301-kept", f"{edge.url}/articles/elsewhere") == found.proof.plan.urls

    async def test_a_neighbour_that_would_end_by_itself_is_warmed_again_and_counts(self, varnish, origin):
        """What ends during the proof would be a MISS after it, whatever the purge did."""
        near = "/ending/varnish/near"
        place = shop(varnish.url, "varnish", "ending", rule={
            "paths": ["/articles/ending/**", "/ending/**"], "examples": {"cached": ["/articles/ending/one", near]}
        })  # fmt: skip
        ask(varnish, near)
        origin.bump(near)
        found = await purged(place)
        assert {} == found.trouble
        (seen,) = [seen for view, seen in found.proof.warm.items() if view.path == near]
        assert "2" == seen[-1].header("x-origin-gen")

    async def test_a_page_that_is_gone_is_proven_by_its_status(self, varnish, origin):
        """Whoever purges after taking a page away need not keep the 404."""
        found = await purged(shop(varnish.url, "varnish", "gone"), "/articles/gone/none")
        assert {} == found.trouble


class TestVariants:
    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        family   | varnish | nginx | traffic_server | squid
        encoded  | 3       | 7     | 3              | 7
        language | 2       | 3     | 2              | 3
        """),
    )
    async def test_every_variant_is_purged_and_proven(self, edge, kind, origin, touch, expected, row):
        """Those that are declared; where one is purged at a time, those that browsers ask for as well."""
        name = f"variants-{kind}"
        declared = {"encoded": {"cache": {"by": "everyone", "encodings": ["identity", "gzip", "br"]}}, "language": {}}
        values = {"encoded": {}, "language": {"variants": {"accept-language": ["de", "en"]}}}
        rule = declared[row] if row == "encoded" else {"cache": {"by": "everyone", "vary": ["accept-language"]}}
        place = shop(edge.url, kind, name, family=row, rule=rule, purge=values[row])
        touch(changes(origin, f"/{row}/{name}/one"))
        found = await purged(place, touch=TOUCH)
        assert {} == found.trouble
        assert f"new in all {expected} copies, proven by content;" in found.said

    @pytest.mark.parametrize("kind", ["nginx", "squid"])
    async def test_a_variant_that_another_one_hides_takes_one_more_purge(self, edge, kind, origin, touch):
        """The one that was stored first takes the others out of sight, not out of the store."""
        path = f"/encoded/hidden-{kind}/one"
        touch(changes(origin, path))
        place = shop(edge.url, kind, f"hidden-{kind}", family="encoded")
        once = await purged(place, touch=TOUCH, again=False, patience=0)
        more = await purged(place, touch=TOUCH, patience=0)
        assert ({"refreshed": "fail"}, {}) == (once.trouble, more.trouble)
        assert (1, True) == (len(once.proof.purges), len(more.proof.purges) > 2)

    @pytest.mark.parametrize("kind", ["nginx", "squid"])
    async def test_an_edge_that_is_not_told_the_variant_leaves_it(self, edge, kind, origin, touch, monkeypatch):
        """A purge without the header, as somebody may spell it."""
        block = {"nginx": Nginx, "squid": Squid}[kind]
        spelled = block.request

        def forgets(self, order):
            request = spelled(self, order)
            del request.headers["accept-language"]
            return request

        monkeypatch.setattr(block, "request", forgets)
        languages = {"variants": {"accept-language": ["de", "fr"]}}
        name = f"forgotten-{kind}"
        place = shop(
            edge.url,
            kind,
            name,
            family="language",
            rule={"cache": {"by": "everyone", "vary": ["accept-language"]}},
            purge=languages,
        )
        touch(changes(origin, f"/language/{name}/one"))
        found = await purged(place, touch=TOUCH, patience=0)
        assert {"refreshed": "fail"} == found.trouble
        assert any(
            "accept-language: fr: the old marker, though the content changed" in saw for saw in found.saw("refreshed")
        )

    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        purge          | varnish | nginx   | traffic_server | squid
        without values | warn    | unknown | warn           | unknown
        """),
    )
    async def test_variants_that_nobody_named_are_no_pass(self, edge, kind, expected, row):
        """Two caches drop them unseen, two keep them."""
        found = await purged(shop(edge.url, kind, f"unnamed-{kind}", family="language"))
        assert {"variants": expected} == found.trouble


class TestRace:
    @pytest.mark.parametrize(
        ("expected", "row", "kind"),
        table("""
        purges | varnish   | nginx     | traffic_server | squid
        one    | refreshed | refreshed |                | stays-new
        two    |           |           |                |
        """),
    )
    async def test_a_fetch_under_way_is_caught_and_cured_by_the_second_purge(
        self, edge, kind, origin, touch, expected, row
    ):
        """Somebody fetches the old page while it is purged; Traffic Server ends such a fetch itself."""
        name = f"race-{kind}-{row}"
        path = f"/articles/{name}/one"
        readers = []

        def race():
            purge(edge, path, extra={"accept-encoding": "gzip"})
            origin.delay(path, 0.8)
            before = len(origin.asked(path))
            readers.append(
                threading.Thread(target=ask, args=[edge, path], kwargs={"extra": {"accept-encoding": "gzip"}})
            )
            readers[0].start()
            origin.wait_asked(path, before + 1)
            origin.delay(path, 0)
            origin.bump(path)

        touch(race)
        found = await purged(shop(edge.url, kind, name), touch=TOUCH, again=row == "two", patience=0)
        readers[0].join()
        assert ({expected: "fail"} if expected else {}) == found.trouble

    async def test_readers_who_come_meanwhile_do_no_harm(self, edge, kind, origin, touch):
        """Pages that are asked for all the time are new all the same."""
        name, stop = f"busy-{kind}", threading.Event()
        paths = [f"/articles/{name}/{page}" for page in ("one", "two", "three")]

        def reader():
            while not stop.is_set():
                for path in paths:
                    ask(edge, path, extra={"accept-encoding": "gzip"})
                stop.wait(0.05)

        touch(changes(origin, paths[0]))
        with ThreadPoolExecutor() as pool:
            done = pool.submit(reader)
            try:
                found = await purged(shop(edge.url, kind, name), touch=TOUCH)
            finally:
                stop.set()
            done.result()
        assert {} == found.trouble


class TestBroken:
    async def test_a_purge_that_takes_what_begins_alike_fails_the_neighbours(self, prefix_ban_varnish, origin, touch):
        touch(changes(origin, "/articles/ban/one"))
        found = await purged(shop(prefix_ban_varnish.url, "varnish", "ban"), touch=TOUCH)
        assert {"neighbour": "fail"} == found.trouble
        assert "new, proven by content; 0 of 6 neighbours untouched; still new later" == found.said
        assert all(": MISS, " in saw and saw.endswith("after the purge") for saw in found.saw("neighbour"))

    async def test_a_purge_that_does_nothing_fails_the_target(self, noop_varnish):
        found = await purged(shop(noop_varnish.url, "varnish", "nothing"), patience=1)
        assert {"refreshed": "fail"} == found.trouble

    async def test_a_stranger_s_purge_is_refused_and_the_page_stays(self, edge, kind, origin, monkeypatch):
        """With another address than those that may."""
        stranger = partial(
            httpx.AsyncClient, transport=httpx.AsyncHTTPTransport(local_address="127.0.0.2", verify=False)
        )
        monkeypatch.setattr("roundsman.purge.prove.httpx.AsyncClient", stranger)
        name = f"stranger-{kind}"
        found = await purged(shop(edge.url, kind, name))
        assert {"accepted": "fail"} == found.trouble
        assert f"answered {405 if kind == 'varnish' else 403}, wanted 2xx" in found.saw("accepted")[0]
        origin.bump(f"/articles/{name}/one")
        assert ("HIT", 1) == told(ask(edge, f"/articles/{name}/one", extra={"accept-encoding": "gzip"}))

    @pytest.mark.parametrize("family", ["brief", "nostore"])
    async def test_a_page_that_is_not_kept_long_enough_is_unknown(self, edge, kind, family):
        """Its copy would end by itself, or there is none: nothing is shown by it."""
        found = await purged(shop(edge.url, kind, f"{family}-{kind}", family=family))
        assert {"warm": "unknown"} == found.trouble
        assert bool(found.proof.purges) is (family == "brief")

    async def test_what_is_not_kept_is_purged_all_the_same_where_somebody_asks_for_it(self, varnish):
        found = await purged(shop(varnish.url, "varnish", "cold", family="nostore"), regardless=True)
        assert {"warm": "unknown"} == found.trouble
        assert 2 == len(found.proof.purges)


class TestSoft:
    async def test_the_old_copy_may_be_served_once(self, varnish, origin, touch):
        """Varnish serves it while it fetches the new one: never a MISS."""
        place = shop(varnish.url, "varnish", "soft")
        touch(changes(origin, "/articles/soft/one"))
        found = await purged(place, "/articles/soft/one?g=1", soft=True, touch=TOUCH)
        assert {} == found.trouble
        assert found.saw("in-time")[0].startswith(
            ("HIT on the old copy, and new after 0.", "HIT on the old copy, and new after 1.")
        )
        assert "new, proven by content" in found.said

    @pytest.mark.parametrize("kind", KINDS[1:])
    async def test_an_edge_that_can_not_do_it_is_refused(self, edge, kind):
        found = await purged(shop(edge.url, kind, f"hard-{kind}"), soft=True)
        assert {"accepted": "unknown"} == found.trouble
        assert found.saw("accepted")[0].startswith("a soft purge by url at")
