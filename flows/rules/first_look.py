"""A site that nobody has written down yet: what to look at when all there is is an address."""

import re
from urllib.parse import urlsplit

from flows.rules.promises import Audience, CachePromise, Examples, Rollback, Rule
from flows.rules.site import Site


def infer(url: str) -> Site:
    """A site with one rule for one address, which promises nothing yet. ValueError when it is no http(s) URL."""
    wanted = "wanted an address such as https://www.example.com/articles/tomatoes"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\\]", url):
        raise ValueError(f"saw {url!r}, {wanted}")
    if "@" in parts.netloc:
        raise ValueError(f"saw one with a name or password before the host, {wanted}")
    if not parts.netloc.isascii():
        raise ValueError(f"saw {url!r}, wanted the host as it is sent, in ASCII, such as xn--bcher-kva.example")
    route = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    rule = Rule(
        name="first-look",
        paths=(parts.path or "/",),
        cache=CachePromise(by=Audience.UNSAID),
        examples=Examples(not_cached=(route,)),
        expected_result="Nobody has written down yet what this route should do.",
        rollback=Rollback(note="Write a site file to name one.", command=("true",)),
    )
    return Site(
        site=re.sub(r"[^a-z0-9]+", "-", parts.netloc.lower()).strip("-") or "site",
        base_url=f"{parts.scheme}://{parts.netloc}",
        owner="nobody yet",
        rules=(rule,),
    )
