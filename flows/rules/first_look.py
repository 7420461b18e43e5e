"""A site that nobody has written down yet: what to look at when all there is is an address."""

import re
from urllib.parse import urlsplit

from flows.rules.promises import Audience, CachePromise, Examples, Rollback, Rule
from flows.rules.site import Site


def infer(url: str) -> Site:
    """A site with one rule for one address, which promises nothing yet. ValueError when it is no http(s) URL."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"saw {url!r}, wanted an address such as https://www.example.com/articles/tomatoes")
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
