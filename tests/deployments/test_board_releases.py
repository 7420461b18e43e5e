"""Releases that are told through the board."""

import pytest
from sqlalchemy.orm import Session

from roundsman.ledger.releases import read_releases
from tests.deployments.boards import client, open_ledger, write_site

__all__ = ["open_ledger", "write_site"]

TOKEN = "spelled-out-nowhere"
AT = "2026-03-01T14:30:00+01:00"


@pytest.fixture
def shop(write_site, open_ledger):
    write_site("shop")
    return open_ledger


def rows(engine):
    with Session(engine) as session:
        return [(one.version, one.seen_at.isoformat(), one.source) for one in read_releases(session, "shop")]


async def post(asked, token=TOKEN):
    async with client(TOKEN) as board:
        return await board.post("/releases", headers={"Authorization": f"Bearer {token}"}, json=asked)


async def test_a_release_is_a_row_from_then_on_and_told_again_no_other_one(shop):
    told = {"site": "shop", "version": "1.8.1", "at": AT}
    first, again = await post(told), await post({"site": "shop", "version": "1.8.1"})
    assert (202, True) == (first.status_code, first.json()["new"])
    assert "2026-03-01T13:30:00+00:00" == first.json()["since"]
    assert (202, False) == (again.status_code, again.json()["new"])
    assert [("1.8.1", "2026-03-01T13:30:00+00:00", "board")] == rows(shop)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"site": "shop"}, "version: Field required"),
        ({"site": "shop", "version": 18}, "version: Input should be a valid string"),
        ({"site": "shop", "version": ""}, "version: saw ''"),
        ({"site": "shop", "version": "   "}, "version: saw '   '"),
        ({"site": "shop", "version": "1\n2"}, "version: saw '1\\n2'"),
        ({"site": "shop", "version": "1\u0000"}, "version: saw '1\\x00'"),
        ({"site": "shop", "version": "\u001b[31m1"}, "version: saw '\\x1b[31m1'"),
        ({"site": "shop", "version": "1\u202e2"}, "version: saw '1\\u202e2'"),
        ({"site": "shop", "version": "1\u20282"}, "version: saw '1\\u20282'"),
        ({"site": "shop", "version": "v" * 201}, "up to 200 characters"),
        ({"site": "shop", "version": ["1"]}, "version: Input should be a valid string"),
        ({"site": "shop", "version": "1", "at": "2026-03-01T14:30:00"}, "wanted a time with its zone"),
        ({"site": "shop", "version": "1", "at": "9999-12-31T23:59:59-14:00"}, "at: saw"),
        ({"site": "shop", "version": "1", "at": "0001-01-01T00:00:00+14:00"}, "at: saw"),
        ({"site": "shop", "version": "1", "force": True}, "force: Extra inputs"),
        ({"site": "shop", "version": "1", "at": "now"}, "at: saw 'now'"),
        ({"site": "shop", "version": "1", "at": "2126-03-01T14:30:00Z"}, "yet to come"),
        ({"site": "../shop", "version": "1"}, "wanted the name of a file in deployments/sites/"),
    ],
)
async def test_what_is_no_release_is_refused_and_nothing_written(shop, asked, says):
    answer = await post(asked)
    assert 422 == answer.status_code
    assert says in answer.json()["error"]
    assert not rows(shop)


async def test_nobody_tells_of_a_release_without_the_token(shop):
    assert 401 == (await post({"site": "shop", "version": "1"}, token="no")).status_code
    assert not rows(shop)
