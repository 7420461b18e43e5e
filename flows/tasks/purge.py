"""Purging, as Prefect tasks. No proof is ever cached: it measures."""

from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from blocks import registry
from blocks.edge import Edge
from roundsman.purge import prove as proof
from roundsman.purge import work_queue
from roundsman.purge.rules.plan import PurgePlan
from roundsman.site.rules.site import Site

plan = task(task_run_name="plan the purge", cache_policy=NO_CACHE, persist_result=False)(proof.plan)
prove = task(task_run_name="purge and prove {test.name}", cache_policy=NO_CACHE, persist_result=False)(proof.prove)
plan_published = task(
    task_run_name="plan what was published at {site.site}", cache_policy=NO_CACHE, persist_result=False
)(work_queue.plan_published)
purge_due = task(task_run_name="purge what was published at {site.site}", cache_policy=NO_CACHE, persist_result=False)(
    work_queue.purge_due
)
prove_sample = task(task_run_name="prove a sample at {site.site}", cache_policy=NO_CACHE, persist_result=False)(
    work_queue.prove_sample
)


def refused_by_file(site: Site, routes: Sequence[str], *, soft: bool) -> PurgePlan | None:
    """The plan with what the site's file alone refuses, before a server is started; None when it refuses nothing."""
    # Prefect keeps the others: what those can do is not known here.
    known = all(name in site.blocks for name in site.edge_names)
    return proof.refused_by_file(site, _shaped_edges(site) if known else None, routes, soft=soft)


def unpurgeable(site: Site, routes: Sequence[str], keys: Sequence[str]) -> str:
    """Why no run of the purge queue would ever purge these at this site, in words; empty when one would.

    It needs no secret: an edge made of its settings alone stands for the real one, wherever that is kept.
    """
    return proof.unpurgeable(site, _shaped_edges(site), routes, keys)


def _shaped_edges(site: Site) -> dict[str, Edge]:
    shaped = {name: registry.shaped(name, site.blocks.get(name)) for name in site.edge_names}
    return {name: edge for name, edge in shaped.items() if isinstance(edge, Edge)}
