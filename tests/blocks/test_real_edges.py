"""The blocks for Varnish, nginx, Traffic Server and Squid, against these."""

from functools import partial
from types import SimpleNamespace

import httpx
import pytest

from blocks.nginx import Nginx, NginxRefresh
from blocks.squid import Squid
from blocks.traffic_server import TrafficServer
from blocks.varnish import Varnish
from roundsman.purge.rules.order import By, PurgeError
from tests.edges import lab
from tests.edges.asking import label


@pytest.fixture(scope="module")
def origin():
    with lab.Origin() as site:
        yield site


@pytest.fixture(
    scope="module",
    params=[
        SimpleNamespace(cache=lab.Varnish, config="varnish.vcl", block=Varnish, absent=False, refuses=405),
        SimpleNamespace(cache=lab.Nginx, config="nginx.conf", block=Nginx, absent=True, refuses=403),
        SimpleNamespace(cache=lab.TrafficServer, config="trafficserver", block=TrafficServer, absent=True, refuses=403),
        SimpleNamespace(cache=lab.Squid, config="squid.conf", block=Squid, absent=True, refuses=403),
    ],
    ids=["varnish", "nginx", "traffic-server", "squid"],
)
def edge(request, origin):
    """One real cache, with its block and what is known of it."""
    with request.param.cache(request.param.config, origin) as running:
        yield SimpleNamespace(**vars(request.param), url=running.url)


def ask(edge, target, **headers):
    """The cache's own word and the generation it served."""
    said = {"accept-encoding": "identity", "x-debug": "x-cache", **{k.replace("_", "-"): v for k, v in headers.items()}}
    response = httpx.get(edge.url + target, headers=said, trust_env=False)
    return label(response), int(response.headers["x-origin-gen"])


@pytest.mark.parametrize("path", ["/articles/purged", "/articles/caf%C3%A9", "/articles/a%2Fb"])
async def test_a_purge_drops_this_url_and_not_its_neighbour(edge, origin, path):
    """Encoded paths included."""
    neighbour = f"{path}?x=1"
    before = [ask(edge, target) for target in (path, neighbour, path, neighbour)]
    origin.bump(path)
    [receipt] = await edge.block(nodes=[edge.url]).purge([edge.url + path])
    assert [label for label, _ in before[2:]] == ["HIT", "HIT"]
    assert (receipt.status, receipt.absent, receipt.node) == (200, False, edge.url)
    assert ask(edge, path) == ("MISS", before[0][1] + 1)
    assert ask(edge, neighbour) == ("HIT", before[0][1])


async def test_a_copy_that_was_not_there(edge):
    """All say so but Varnish."""
    [receipt] = await edge.block(nodes=[edge.url]).purge([f"{edge.url}/articles/never-asked"])
    assert receipt.absent is edge.absent


async def test_a_stranger_may_not_purge(edge):
    """From another address it is a refusal for good."""
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(PurgeError, match=f"answered {edge.refuses}, wanted 2xx") as error:
            await edge.block(nodes=[edge.url]).purge([f"{edge.url}/articles/kept"], client=client)
    assert error.value.permanent


async def test_a_page_at_the_purge_location_is_no_purge(origin):
    """Where nginx has no purge location, the site itself may answer 200."""
    with lab.Nginx("nginx.conf", origin) as running, pytest.raises(PurgeError, match="is /articles the purge location"):
        await Nginx(nodes=[running.url], purge_prefix="/articles").purge([f"{running.url}/page"])


async def test_keys_are_purged_by_header(origin):
    """The count is in the answer, as evidence."""
    with lab.Varnish("varnish.vcl", origin) as running:
        [receipt] = await Varnish(nodes=[running.url]).purge(["nobody", "has-this"], By.KEY)
    assert "Invalidated 0 objects" in receipt.answer


@pytest.fixture(scope="module")
def varnish(origin):
    with lab.Varnish("varnish.vcl", origin) as running:
        yield running


async def test_a_ban_of_one_url_leaves_what_begins_with_it(varnish, origin):
    path, neighbour = "/articles/banned", "/articles/banned-too"
    before = [ask(varnish, target) for target in (path, neighbour, path, neighbour)]
    origin.bump(path)
    await Varnish(nodes=[varnish.url], method="BAN").purge([varnish.url + path])
    assert ask(varnish, path) == ("MISS", before[0][1] + 1)
    assert ask(varnish, neighbour) == ("HIT", before[1][1])


async def test_a_soft_purge_leaves_an_old_copy_for_the_one_who_comes_first(varnish, origin):
    """With grace Varnish answers once from the old copy while it fetches; a hard purge would not."""
    path = "/articles/soft?g=1"
    before = [ask(varnish, path) for _ in range(2)]
    origin.bump("/articles/soft")
    edge = Varnish(nodes=[varnish.url])
    [receipt] = await edge.purge([varnish.url + path], soft=True)
    [absent] = await edge.purge([f"{varnish.url}/articles/never-soft"], soft=True)
    assert (receipt.absent, absent.absent) == (False, True)
    assert ask(varnish, path) == ("HIT", before[1][1])
    origin.wait_asked(path, times=2)


@pytest.fixture(
    scope="module", params=[(lab.Nginx, "nginx.conf", Nginx), (lab.Squid, "squid.conf", Squid)], ids=["nginx", "squid"]
)
def one_variant(request, origin):
    cache, config, block = request.param
    with cache(config, origin) as running:
        yield SimpleNamespace(url=running.url, block=block)


async def test_one_variant_goes_with_its_headers(one_variant, origin):
    """Whoever purges without them leaves it: that is why the plan lists every variant."""
    path = "/language/one"
    for language in ("de", "fr", "de", "fr"):
        before = ask(one_variant, path, accept_language=language)
    origin.bump(path)
    edge = one_variant.block(nodes=[one_variant.url])
    assert edge.one_variant
    [nothing] = await edge.purge([one_variant.url + path])
    assert nothing.absent
    assert ask(one_variant, path, accept_language="fr") == ("HIT", before[1])
    [receipt] = await edge.purge([one_variant.url + path], headers=(("accept-language", "fr"),))
    assert not receipt.absent
    assert ask(one_variant, path, accept_language="fr") == ("MISS", before[1] + 1)


@pytest.fixture(scope="module")
def refreshed(origin):
    with lab.Nginx("nginx.conf", origin) as running:
        yield running, partial(NginxRefresh, nodes=[running.url], value="secret")


async def test_a_refresh_puts_a_new_copy_in_the_place_of_the_old_one(refreshed, origin):
    """Stock nginx: no copy is ever missing, and the neighbour stays."""
    running, refresh = refreshed
    path, neighbour = "/articles/refreshed", "/articles/refreshed?x=1"
    before = [ask(running, target) for target in (path, neighbour, path, neighbour)]
    origin.bump(path)
    await refresh(header="X-Lab-Refresh").purge([running.url + path])
    assert ask(running, path) == ("HIT", before[0][1] + 1)
    assert ask(running, neighbour) == ("HIT", before[1][1])


async def test_a_refresh_that_nginx_does_not_know_of_is_an_error(refreshed):
    """It answered 200, from its store."""
    running, refresh = refreshed
    ask(running, "/articles/kept")
    with pytest.raises(
        PurgeError, match="saw X-Cache-Status: HIT, wanted BYPASS; does proxy_cache_bypass read X-Refresh"
    ):
        await refresh().purge([f"{running.url}/articles/kept"])
