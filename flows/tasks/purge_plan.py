"""What of a purge is refused by the site's file alone, before a server is started and before anybody is asked."""

from collections.abc import Sequence

from blocks import registry
from blocks.edge import Edge
from flows.tasks.purge import powers_of
from roundsman.purge.rules.plan import Plan, plan_purge
from roundsman.purge.rules.purge_request import Wish, misnamed
from roundsman.site.rules.site import Site


def refused_by_file(site: Site, routes: Sequence[str], *, soft: bool) -> Plan | None:
    """The plan with its refusals; None when the file refuses nothing. Where redirects lead is not known yet."""
    wish = Wish(tuple(routes), soft=soft, accept=frozenset(site.accept), most=site.purge_at_most)
    names = list(dict.fromkeys(filter(None, (site.shield, site.edge))))
    if all(name in site.blocks for name in names):
        edges = {name: registry.shaped(name, site.blocks[name]) for name in names}
        found = plan_purge(site, wish, powers_of({name: one for name, one in edges.items() if isinstance(one, Edge)}))
    else:
        # Prefect keeps the edge: what it can do is not known here.
        found = Plan(refusals=tuple(misnamed(site, wish)))
    return found if found.refusals else None
