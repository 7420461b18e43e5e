"""Where a probe may go: to the site's own host, and under its other names to its own address."""

import pytest

from roundsman.probe.ask import ask
from roundsman.report.rules.exchange import Probe
from tests.edges.lab import Origin
from tests.make import site


@pytest.fixture(scope="module")
def home():
    with Origin() as served:
        yield served


def named(home, *names):
    key = {"apart": [f"host {name}" for name in names] or ["order"]}
    return site({"cache": {"by": "everyone", "key": key}}, base_url=home.url)


async def test_another_name_of_the_site_is_asked_at_the_site_s_own_address(home):
    shop, address = named(home, "www.lab.test"), f"127.0.0.1:{home.port}"
    probe = Probe(f"http://www.lab.test:{home.port}/articles/alias", node=address)
    [seen] = await ask(shop, [probe])
    [request] = home.asked("/articles/alias")
    assert (200, address) == (seen.status, seen.node)
    assert f"www.lab.test:{home.port}" == request.headers["host"]


@pytest.mark.parametrize(
    ("names", "host", "node"),
    [
        ((), "www.lab.test", "127.0.0.1:{port}"),
        (("www.lab.test",), "www.lab.test", ""),
        (("www.lab.test",), "www.lab.test", "127.0.0.2:{port}"),
        (("www.lab.test",), "other.test", "127.0.0.1:{port}"),
    ],
)
async def test_a_probe_to_anybody_else_is_refused(home, names, host, node):
    probe = Probe(f"http://{host}:{home.port}/articles/stranger", node=node.format(port=home.port))
    with pytest.raises(ValueError, match="load goes to the site's own host"):
        await ask(named(home, *names), [probe])
    assert [] == home.asked("/articles/stranger")
