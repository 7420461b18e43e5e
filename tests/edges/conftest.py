"""One origin and one of each cache for the whole session: a test asks for paths that nobody else asks for."""

import pytest

from tests.edges.lab import Nginx, Origin, Squid, TrafficServer, Varnish

#: The caches as shipped, by the names of their fixtures.
KINDS = ("varnish", "nginx", "traffic_server", "squid")


@pytest.fixture(scope="session")
def origin():
    with Origin() as site:
        yield site


@pytest.fixture(scope="session")
def varnish(origin):
    with Varnish("varnish.vcl", origin) as edge:
        yield edge


@pytest.fixture(scope="session")
def nginx(origin):
    with Nginx("nginx.conf", origin) as edge:
        yield edge


@pytest.fixture(scope="session")
def traffic_server(origin):
    with TrafficServer("trafficserver", origin) as edge:
        yield edge


@pytest.fixture(scope="session")
def squid(origin):
    with Squid("squid.conf", origin) as edge:
        yield edge


@pytest.fixture(scope="session")
def leaky_varnish(origin):
    with Varnish("varnish-leaky.vcl", origin) as edge:
        yield edge


@pytest.fixture(scope="session")
def prefix_ban_varnish(origin):
    with Varnish("varnish-prefix-ban.vcl", origin) as edge:
        yield edge


@pytest.fixture(scope="session")
def noop_varnish(origin):
    with Varnish("varnish-noop-purge.vcl", origin) as edge:
        yield edge


@pytest.fixture(params=KINDS)
def kind(request):
    """Each of the four; a table of one's own takes its place."""
    return request.param


@pytest.fixture
def edge(kind, request):
    """The cache of this kind."""
    return request.getfixturevalue(kind)
