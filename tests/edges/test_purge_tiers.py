"""The proof of a purge before a shield: which tier was purged, in which order, and who is asked."""

import asyncio

import pytest

from blocks.varnish import Varnish
from tests.edges import lab
from tests.edges.asking import ask
from tests.edges.proof import purged, shop
from tests.edges.test_purge_proof import TOUCH, changes, touch

__all__ = ["touch"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiers(origin):
    """Two edges over one shield."""
    with (
        lab.Varnish("varnish.vcl", origin) as shield,
        lab.Varnish("varnish-tier.vcl", shield) as one,
        lab.Varnish("varnish-tier.vcl", shield) as two,
    ):
        yield shield, one, two


class TestTiers:
    """What is purged, in which order, and who is asked."""

    @staticmethod
    def place(tiers, name, edge, shield=None):
        """`edge` and `shield` are what is called so, with the caches that it stands for."""
        named = {f"varnish/{block}": {"nodes": [one.url for one in caches]} for block, caches in (edge, shield or edge)}
        more = {"shield": f"varnish/{shield[0]}"} if shield else {}
        servers = [one.url for one in tiers[1:]]
        return shop(tiers[1].url, "varnish", name, blocks=named, edge=f"varnish/{edge[0]}", servers=servers, **more)

    async def test_the_shield_before_the_edges_is_proven_at_each_edge(self, tiers, origin, touch):
        shield, *edges = tiers
        touch(changes(origin, "/articles/right/one"))
        found = await purged(self.place(tiers, "right", ("edges", edges), ("shield", [shield])), touch=TOUCH)
        assert {} == found.trouble
        assert "new in all 2 copies, proven by content; 12 of 12 neighbours untouched; still new later" == found.said

    @pytest.mark.parametrize(
        ("changed", "says"),
        [
            (True, "the old marker, though the content changed"),
            (False, "content unchanged, born"),
        ],
    )
    async def test_the_edges_alone_fetch_the_old_page_from_the_shield(self, tiers, origin, touch, changed, says):
        """A MISS with the old page: the Age that it brings along tells."""
        _, *edges = tiers
        name = f"edges-{changed}"
        touch(changes(origin, f"/articles/{name}/one") if changed else lambda: None)
        place = self.place(tiers, name, ("edges", edges))
        found = await purged(place, touch=TOUCH if changed else (), patience=0)
        assert {"refreshed": "fail"} == found.trouble
        assert 2 == len([saw for saw in found.saw("refreshed") if says in saw])

    async def test_the_shield_alone_leaves_both_edges_old(self, tiers, origin, touch):
        shield, *_ = tiers
        touch(changes(origin, "/articles/shield/one"))
        found = await purged(self.place(tiers, "shield", ("shield", [shield])), touch=TOUCH, patience=0)
        assert {"refreshed": "fail"} == found.trouble
        assert 2 == len(found.saw("refreshed"))

    async def test_one_edge_alone_leaves_the_other_which_is_named(self, tiers, origin, touch):
        shield, one, two = tiers
        touch(changes(origin, "/articles/half/one"))
        place = self.place(tiers, "half", ("edges", [one]), ("shield", [shield]))
        found = await purged(place, touch=TOUCH, patience=0)
        assert {"refreshed": "fail"} == found.trouble
        wanted = f"/articles/half/one at 127.0.0.1:{two.port}: the old marker, though the content changed"
        assert ["a new marker (proven by content)", wanted] == found.saw("refreshed")

    @pytest.mark.parametrize(("again", "trouble"), [(False, {"refreshed": "fail"}), (True, {})])
    async def test_the_wrong_order_is_caught_and_cured_by_the_second_purge(
        self, tiers, origin, touch, again, trouble, monkeypatch
    ):
        """Somebody asks an edge between the two, which then has the shield's old page."""
        shield, *edges = tiers
        name = f"wrong-{again}"
        sent = Varnish.send

        async def send(self, order, client):
            if order.node == shield.url:
                await asyncio.to_thread(
                    ask,
                    edges[0],
                    f"/articles/{name}/one",
                    extra={"accept-encoding": "gzip", "host": edges[0].url.removeprefix("http://")},
                )
            return await sent(self, order, client)

        monkeypatch.setattr(Varnish, "send", send)
        touch(changes(origin, f"/articles/{name}/one"))
        place = self.place(tiers, name, ("shield", [shield]), ("edges", edges))
        assert trouble == (await purged(place, touch=TOUCH, again=again, patience=0)).trouble
