"""The blocks for Varnish and nginx, against Varnish and nginx."""

from types import SimpleNamespace

import httpx
import pytest

from blocks.edge import By, PurgeError
from blocks.nginx import Nginx
from blocks.varnish import Varnish
from tests.edges import lab


@pytest.fixture(scope="module")
def origin():
    with lab.Origin() as site:
        yield site


@pytest.fixture(
    scope="module",
    params=[
        SimpleNamespace(cache=lab.Varnish, config="varnish.vcl", block=Varnish, absent=False, refuses=405),
        SimpleNamespace(cache=lab.Nginx, config="nginx.conf", block=Nginx, absent=True, refuses=403),
    ],
    ids=["varnish", "nginx"],
)
def edge(request, origin):
    """One real cache, with its block and what is known of it."""
    with request.param.cache(request.param.config, origin) as running:
        yield SimpleNamespace(**vars(request.param), url=running.url)


def ask(edge, target):
    """The cache's own word and the generation it served."""
    response = httpx.get(edge.url + target, headers={"accept-encoding": "identity"}, trust_env=False)
    label = response.headers.get("x-cache") or response.headers["x-cache-status"]
    return label, int(response.headers["x-origin-gen"])


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
    """nginx says so, Varnish does not."""
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
