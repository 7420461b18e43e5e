"""Exchanges and sites, made up; what a rule is tried against."""

from roundsman.database.rules.promise import Database
from roundsman.report.rules.exchange import Exchange, Phases, Probe
from roundsman.site.rules.site import Site

NOW = 1_800_000_000.0


def exchange(path="/a", cache_control="", *, status=200, body=b"page", at=NOW, first_byte=0.001, error="", **headers):
    """An answer. Header names are given with underscores; a list gives a header more than once."""
    pairs = [("cache-control", cache_control)] if cache_control else []
    for name, value in headers.items():
        pairs += [(name.replace("_", "-"), one) for one in (value if isinstance(value, list) else [value])]
    return Exchange(
        Probe(f"http://example.test{path}"),
        due=at,
        started=at,
        phases=Phases(first_byte=first_byte, total=first_byte),
        status=0 if error else status,
        headers=tuple(pairs),
        size=len(body),
        body=body,
        body_hash=str(hash(body)),
        reused=True,
        error=error,
        detail=error and f"{error} it was",
    )


def hit(path="/a", cache_control="public, max-age=600", **more):
    return exchange(path, cache_control, x_cache="HIT", **more)


def miss(path="/a", cache_control="public, max-age=600", **more):
    return exchange(path, cache_control, x_cache="MISS", **more)


RULE = {
    "name": "articles",
    "paths": ["/a/**", "/a"],
    "cache": {"by": "everyone"},
    "examples": {"cached": ["/a"]},
    "expected_result": "All is well.",
    "rollback": {"note": "kept for 30 days", "command": ["make", "back"]},
}


def site(*rules, **more):
    """A site of rules, each a change to one that is fine."""
    written = [{**RULE, **rule} for rule in rules or ({},)]
    return Site.model_validate(
        {"site": "shop", "base_url": "http://example.test", "owner": "web <w@example.com>", "rules": written, **more}
    )


def database(**more):
    """A database's file, of which only what a test is about is said."""
    said = {
        "database": "shop",
        "owner": "content <c@example.com>",
        "expected_result": "It is quick.",
        "rollback": {"note": "make db-restore"},
        "url": {"env": "SHOP_LIVE"},
    }
    return Database(**{**said, **more})
