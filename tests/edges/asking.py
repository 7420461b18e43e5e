"""How a test asks a cache, and what the cache told."""

import httpx

from tests.edges.lab import Nginx


def ask(site, target, *, method="GET", member="", token="", address="127.0.0.1", data=None, extra=()):
    """One exchange on a connection of its own, with nobody's cookies but those named."""
    headers = {"accept-encoding": "identity", "x-debug": "x-cache", **dict(extra)}
    if member:
        headers["cookie"] = f"sessionid={member}"
    if token:
        headers["authorization"] = f"Bearer {token}"
    # Nothing here speaks TLS, and reading the certificates takes longer than the exchange.
    transport = httpx.HTTPTransport(local_address=address, verify=False)
    with httpx.Client(transport=transport, trust_env=False) as client:
        # The client would tidy up a path such as `/x/../a`, which is what some tests are about.
        asked = client.build_request(method, site.url + target, headers=headers, data=data)
        asked.extensions |= {"target": target.encode()}
        return client.send(asked)


def purge(edge, target, *, address="127.0.0.1", extra=()):
    if isinstance(edge, Nginx):
        return ask(edge, f"/__purge{target}", address=address, extra=extra).status_code
    return ask(edge, target, method="PURGE", address=address, extra=extra).status_code


def label(response):
    """The cache's own word, in capitals: `HIT from squid-lab` and `hit-fresh` are a HIT."""
    said = response.headers.get("x-cache") or response.headers.get("x-cache-status", "")
    return said.partition(" ")[0].upper().removesuffix("-FRESH")


def told(response):
    """The cache's own word, and the generation it served."""
    return label(response), int(response.headers["x-origin-gen"])
