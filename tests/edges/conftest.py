"""One origin and one of each cache for the whole session: a test asks for paths that nobody else asks for."""

import pytest

from tests.edges.lab import Nginx, Origin, Varnish


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
