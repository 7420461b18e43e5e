"""What is known of a site's edge before anything is asked."""

from roundsman.http.cache_status import edges
from roundsman.http.vendor_headers import EDGES
from roundsman.report.rules.exchange import Exchange
from roundsman.site.rules.site import Site


def targeted_of(site: Site, seen: Exchange | None = None) -> tuple[str, ...]:
    """The fields that a site's edge obeys instead of Cache-Control, in lower case, the first one first.

    As the site file says, else as the maker of its kind of edge documents. Where the file names no edge, its kind is
    guessed from the headers of an answer, if one is given.
    """
    if site.targeted_fields is not None:
        return tuple(name.lower() for name in site.targeted_fields)
    if site.edge:
        kind = EDGES.get(site.edge.partition("/")[0])
        return kind.targeted if kind else ()
    guessed = (EDGES[kind].targeted for kind in (edges(seen) if seen else ()) if kind in EDGES)
    return next(filter(None, guessed), ())
