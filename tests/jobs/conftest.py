"""Rounds against real caches."""

import os

import pytest

from tests.edges.conftest import leaky_varnish, nginx, noop_varnish, origin, prefix_ban_varnish, varnish
from tests.edges.lab import MEMBERS

__all__ = ["leaky_varnish", "nginx", "noop_varnish", "origin", "prefix_ban_varnish", "varnish"]

# A site file holds no secret, and a run in a process of its own inherits these.
os.environ.update({f"LAB_{who.upper()}_COOKIE": f"sessionid={who}" for who in MEMBERS})
ROLLBACK = {"note": "kept beside it", "command": ["true"]}


def articles(name, **more):
    """A rule for pages of a test's own, so that no other test warms or purges them."""
    return {
        "name": "articles",
        "paths": [f"/articles/{name}/**"],
        "cache": {"by": "everyone", "edge_ttl": "5m..1h"},
        "examples": {"cached": [f"/articles/{name}/{page}" for page in ("one", "two", "three")]},
        "expected_result": "A reader gets a copy at most an hour old.",
        "rollback": ROLLBACK,
        **more,
    }


def inbox(name, path="inbox"):
    return {
        "name": path,
        "paths": [f"/{path}/{name}"],
        "cache": {"by": "member"},
        "examples": {"not_cached": [f"/{path}/{name}"]},
        "expected_result": "Only the member reads it.",
        "rollback": ROLLBACK,
    }


def control(name):
    return articles(name) | {
        "name": "guides",
        "paths": [f"/guides/{name}/**"],
        "examples": {"cached": [f"/guides/{name}/far"]},
    }


def members():
    return {
        f"member/{who}": {
            "headers": {"Cookie": {"env": f"LAB_{who.upper()}_COOKIE"}},
            "sentinels": [sentinels] if isinstance(sentinels, str) else list(sentinels),
        }
        for who, sentinels in MEMBERS.items()
    }


def site(url, rules, edge="varnish/lab", **more):
    return {
        "site": "lab",
        "base_url": url,
        "owner": "web-platform <web-oncall@example.com>",
        "edge": edge,
        "sessions": ["member/ada", "member/ben"],
        "blocks": {edge: {}, **members()},
        "manners": {"rate": 500, "timeout": "2s", "samples": 80},
        "rules": rules,
        **more,
    }


@pytest.fixture
def inspect(prefect, ledger, tmp_path):
    """Run a round of a site that is given as plain data, and return its report."""
    import yaml

    from flows.jobs.inspect_site import inspect_site

    async def run(written, only=()):
        path = tmp_path / "lab.yaml"
        path.write_text(yaml.safe_dump(written))
        state = await inspect_site(str(path), only=list(only), return_state=True)
        report = await state.aresult(raise_on_failure=False)
        if isinstance(report, Exception):
            raise report
        report_state[0] = state
        return report

    report_state = [None]
    run.state = lambda: report_state[0]
    return run


def troubles(report):
    """Every finding that is not a pass: claim and subject, with what was seen."""
    return {
        (finding.claim, verdict.subject): finding.saw
        for verdict in report.verdicts
        for finding in verdict.findings
        if finding.outcome in {"fail", "unknown"}
    }
