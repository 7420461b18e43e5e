"""The other host names under which a site answers, as its cache keys promise."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from roundsman.site.rules.promises import Key
from roundsman.site.rules.site import Site

_PORTS = {"http": 80, "https": 443}


def aliases(site: Site) -> Mapping[str, str]:
    """Host and port of each other name that a key speaks of, with the one address at which it may be asked: ours."""
    parts = [part for rule in site.rules for part in parts_of(rule.cache.key)]
    names = [name for kind, _, name in (part.partition(" ") for part in parts) if kind == "host"]
    return {alias(site, name): address(site) for name in names}


def alias(site: Site, name: str) -> str:
    """Another name with the site's own port, unless it comes with one."""
    port = urlsplit(site.base_url).port
    return name if port is None or ":" in name else f"{name}:{port}"


def address(site: Site) -> str:
    """Host and port of the site itself."""
    parts = urlsplit(site.base_url)
    return site.host if parts.port else f"{site.host}:{_PORTS[parts.scheme]}"


def parts_of(key: Key | None) -> tuple[str, ...]:
    """What a promised cache key names: what leads to the same copy, then what is kept apart."""
    return (*key.same, *key.apart) if key else ()
