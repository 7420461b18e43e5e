"""What of an import the edges are told."""

import json

import pytest

from flows.tasks.catalogue import purges, source
from roundsman.batch import BatchError, PagedApi
from tests.make import site


@pytest.mark.parametrize(
    ("edge", "many"),
    [("varnish/shop", [30, 5]), ("nginx/shop", [1] * 35), ("squid/shop", [1] * 35), ("nginx-refresh/shop", [1] * 35)],
)
def test_a_message_holds_as_many_routes_as_its_edge_purges_in_time(edge, many):
    told = purges(site(edge=edge), [f"/a/{number}" for number in range(35)])
    assert many == [len(json.loads(one.body)["routes"]) for one in told]


@pytest.mark.parametrize("login", ["u:hush@", "hush@", "u:hu/sh@"])
def test_a_feed_with_a_password_in_its_address_is_refused_without_quoting_it(login):
    with pytest.raises(BatchError, match="saw a login in an address") as refused:
        source(f"http://{login}feed.test/rows?key=hush")
    assert "hu" not in str(refused.value).replace("http", "")


@pytest.mark.parametrize("login", ["u:hush@", "hush@", "u:hush/x@", ""])
def test_a_feed_is_named_without_a_password(login):
    name = PagedApi(f"http://{login}feed.test:80/users?key=hush").name
    assert "hush" not in name
    assert "feed.test:80/users?" in name


def test_a_feed_of_one_user_is_another_than_of_the_next():
    assert PagedApi("http://feed.test/@ada").name != PagedApi("http://feed.test/@ben").name
