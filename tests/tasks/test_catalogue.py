"""What of an import the edges are told."""

import json

import pytest

from flows.tasks.catalogue import purges
from tests.rules.make import site


@pytest.mark.parametrize(
    ("edge", "many"),
    [("varnish/shop", [30, 5]), ("nginx/shop", [1] * 35), ("squid/shop", [1] * 35), ("nginx-refresh/shop", [1] * 35)],
)
def test_a_message_holds_as_many_routes_as_its_edge_purges_in_time(edge, many):
    told = purges(site(edge=edge), [f"/a/{number}" for number in range(35)])
    assert many == [len(json.loads(one.body)["routes"]) for one in told]
