"""Looks at real caches, without Prefect around them."""

from tests.edges.conftest import leaky_varnish, nginx, origin, squid, varnish

__all__ = ["leaky_varnish", "nginx", "origin", "squid", "varnish"]
