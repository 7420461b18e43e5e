"""Thirty public incidents: each is named, at its route, and nothing else fails."""

import asyncio

import pytest

from tests.incidents.broken_purges import KINDS, proven
from tests.incidents.edge import Edge
from tests.incidents.play import CacheMissingError, side_by_side
from tests.incidents.table import FAR, FOR_MEMBERS, HOME, INCIDENTS, OnTheWeb, alone, purged, shared


@pytest.fixture(scope="module")
def told(request):
    """What was said of each incident that a test of this run is about."""
    wanted = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    chosen = [one.params["incident"] for one in wanted if one]
    return {one.name: said for one, said in zip(chosen, side_by_side(chosen), strict=True)}


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda one: one.name)
def test_the_incident_is_named_and_nothing_else_fails(incident, told):
    said = told[incident.name]
    if isinstance(said, CacheMissingError):
        pytest.skip(str(said))
    if isinstance(said, BaseException):
        raise said
    assert said.names(*incident.wanted), said.seen
    assert {(claim, incident.wanted[1]) for claim in incident.also} == said.red - {incident.wanted}


def test_the_same_edge_without_a_fault_is_green():
    rules = [
        purged("/news/one", "/news/two", "/news/three", cache={"encodings": ["identity", "gzip", "br"]}),
        shared("/search/all?q=react", cache={"key": {"apart": ["query page"]}}),
        shared("/blog/hello", bypass=FOR_MEMBERS),
        FAR,
        HOME,
        alone("/account/orders"),
    ]
    wanted = ("nothing", "nowhere")
    (said,) = side_by_side([OnTheWeb("honest", "", "", wanted, edges=lambda: [Edge()], rules=rules)])
    assert () == said.seen


def test_there_are_thirty_and_each_is_told_once():
    assert (30, 30, 30) == (
        len(INCIDENTS),
        len({one.name for one in INCIDENTS}),
        len({one.source for one in INCIDENTS}),
    )


async def test_a_purge_that_is_broken_in_a_rarer_way_fails_whether_the_content_changes_or_not():
    cases = [(kind, changes) for kind in KINDS for changes in (True, False)]
    found = await asyncio.gather(*(proven(kind, changes=changes) for kind, changes in cases))
    assert dict.fromkeys(cases, "fail") == dict(zip(cases, found, strict=True))
