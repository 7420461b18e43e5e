"""How these tests ask: one probe, hurried manners."""

import ssl

from roundsman.probe.probe import probe
from roundsman.report.rules.exchange import Exchange, Probe
from roundsman.site.rules.site import Manners

AGENT = "roundsman-test (tests@example.com)"


def manners(rate=5000, timeout="2s", max_body=1_000_000):
    return Manners(rate=rate, timeout=timeout, max_body=max_body)


def ask(url, *, rules=None, **settings) -> Exchange:
    return probe([Probe(url, **settings)], manners=rules or manners(), user_agent=AGENT)[0]


def tls(authority, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
