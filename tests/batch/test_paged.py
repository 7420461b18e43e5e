"""Paged APIs: read as a whole before anything is applied."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import create_engine

from roundsman.batch import BatchError, PagedApi, SourceError, paged, run
from tests.batch.work import add, balances, expected, make_accounts, transfers
from tests.hostile import serving

SIZE = 4


class Api:
    """Pages of rows by offset, with an ETag for each. `trouble` may answer instead."""

    def __init__(self, rows: int) -> None:
        self.rows = [{"id": number % 7, "v": 3**number % 1000, "n": number} for number in range(rows)]
        self.trouble = lambda _offset, _asked: None
        self.etags = True
        self.statuses: list[int] = []

    def __call__(self, visit) -> None:
        while request := visit.request():
            status, headers, body = self.answer(request)
            self.statuses.append(status)
            lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers, "", ""]
            visit.send("\r\n".join(lines).encode(), body)

    def answer(self, request: str) -> tuple[int, list[str], bytes]:
        target = request.split()[1]
        offset = int(parse_qs(urlsplit(target).query).get("offset", ["0"])[0])
        if bad := self.trouble(offset, len(self.statuses)):
            return bad
        page = {"items": self.rows[offset : offset + SIZE], "next": None}
        if offset + SIZE < len(self.rows):
            page["next"] = f"{urlsplit(target).path}?offset={offset + SIZE}"
        body = json.dumps(page).encode()
        etag = f'"{hash(body)}"'
        if self.etags and f"if-none-match: {etag}" in request.lower():
            return 304, [f"ETag: {etag}"], b""
        return 200, [f"ETag: {etag}"] if self.etags else [], body


@pytest.fixture
def engine(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/target.db")
    yield make_accounts(engine)
    engine.dispose()


@pytest.fixture
def api():
    return Api(18)


@pytest.fixture
def feed(api, tmp_path):
    with serving(api) as server:
        yield lambda **more: PagedApi(f"{server.url}feed", folder=tmp_path / "feeds", wait=lambda _: None, **more)


async def test_all_pages_are_applied_and_an_unchanged_feed_costs_a_304_for_each(api, feed, engine):
    outcome = await run(transfers(engine, feed(), snapshot=True))
    assert (18, 18) == (outcome.rows, outcome.changed)
    assert [200] * 5 + [304] * 5 == api.statuses
    api.statuses.clear()
    assert (await run(transfers(engine, feed(), snapshot=True))).again
    assert [304] * 5 == api.statuses
    assert expected(18) == balances(engine)


async def test_without_an_etag_the_date_is_asked_for(feed, api, engine):
    dated = ["Last-Modified: Mon, 02 Nov 2026 10:00:00 GMT"]
    asked = []

    def answer(request):
        asked.append("if-modified-since: mon, 02 nov 2026 10:00:00 gmt" in request.lower())
        return (304, dated, b"") if asked[-1] else (200, dated, b'[{"id": 0, "v": 1, "n": 0}]')

    api.answer = answer
    assert 1 == (await run(transfers(engine, feed()))).rows
    assert [False, True] == asked


async def test_a_feed_that_answers_500_half_way_is_applied_not_at_all_and_later_as_a_whole(api, feed, engine):
    api.trouble = lambda offset, _asked: (500, [], b"") if offset == 8 else None
    with pytest.raises(SourceError, match="/feed: page 3 answers 500, 4 times; nothing of the feed was applied"):
        await run(transfers(engine, feed()))
    assert expected(0) == balances(engine)
    api.trouble = lambda _offset, _asked: None
    assert 18 == (await run(transfers(engine, feed()))).rows
    assert expected(18) == balances(engine)


async def test_a_page_that_fails_once_is_asked_for_again(api, feed, engine):
    api.trouble = lambda offset, asked: (503, [], b"") if offset == 8 and asked == 2 else None
    assert 18 == (await run(transfers(engine, feed()))).rows


@pytest.mark.parametrize("etags", [True, False])
async def test_pages_that_shift_while_they_are_read_are_read_until_they_stand_still(api, feed, engine, etags):
    """Row 3 goes while page 2 is read: with offsets row 8 would be on no page that is read."""
    api.etags = etags

    def shift(_offset, asked):
        if asked == 2:
            del api.rows[3]

    api.trouble = shift
    outcome = await run(transfers(engine, feed()))
    assert 17 == outcome.rows
    assert expected(18, without=(3,)) == balances(engine)


async def test_pages_that_never_stand_still_are_not_applied(api, feed, engine):
    def shift(_offset, asked):
        api.rows.insert(0, {"id": 0, "v": 1, "n": 1000 + asked})

    api.trouble = shift
    with pytest.raises(SourceError, match="its pages shift while they are read: no two of 5 passes are the same"):
        await run(transfers(engine, feed()))
    assert expected(0) == balances(engine)


async def test_a_job_that_was_stopped_goes_on_with_what_it_began_with(api, feed, engine, tmp_path):
    """The feed has moved on meanwhile; what it says now is another job."""
    api.rows[11]["v"] = None
    with pytest.raises(BatchError, match="max_bad_rows"):
        await run(transfers(engine, feed(), max_bad_rows=0))
    api.rows[0]["v"] = 77
    outcome = await run(transfers(engine, feed()))
    assert (10, 18, 1) == (outcome.resumed_at, outcome.rows, outcome.quarantined)
    assert expected(18, without=(11,)) == balances(engine)
    outcome = await run(transfers(engine, feed()))
    assert (0, False) == (outcome.resumed_at, outcome.again)


@pytest.mark.parametrize(
    ("body", "error", "why"),
    [
        (b'{"items": [{"id"', SourceError, "page 1 is no JSON, or ends too early"),
        (b'{"rows": []}', BatchError, "page 1 has no list of rows under 'items'"),
        (
            b'{"items": [], "next": "http://elsewhere.example/"}',
            BatchError,
            "page 1 leads to elsewhere.example; wanted the feed's own host",
        ),
        (b'{"items": [], "next": "/feed"}', BatchError, "page 1 leads back to an earlier one"),
        (b'{"items": [], "next": 7}', BatchError, "page 1: saw no address under 'next'"),
        (b'{"items": [{"id": 0}], "items": []}', BatchError, "page 1: saw a key more than once beside its rows"),
        (b'{"items": ["' + b"x" * 2000 + b'"]}', BatchError, "page 1 has more than 1,000 bytes"),
    ],
    ids=["torn", "other", "elsewhere", "circle", "number", "twice", "large"],
)
async def test_a_page_that_is_none_is_told(api, feed, engine, monkeypatch, body, error, why):
    monkeypatch.setattr(paged, "MAX_PAGE_BYTES", 1000)
    api.trouble = lambda _offset, _asked: (200, [], body)
    with pytest.raises(error, match=why):
        await run(transfers(engine, feed()))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (b'{"id": 1, "v": 2, "v": 3, "n": 9}', "no JSON: key 'v' more than once"),
        (b'{"id": 1, "v": {"a": 1, "a": 2}, "n": 9}', "no JSON: key 'a' more than once"),
        (b'{"id": 1, "v": -1e999, "n": 9}', "no JSON: -Infinity is no number in JSON"),
        (b'{"id": 1, "v": [NaN], "n": 9}', "no JSON: NaN is no number in JSON"),
    ],
)
async def test_a_row_of_a_page_that_is_no_json_is_quarantined_alone(api, feed, engine, row, why):
    body = b'{"items": [' + row + b', {"id": 0, "v": 1, "n": 0}]}'
    api.trouble = lambda _offset, _asked: (200, [], body)
    outcome = await run(transfers(engine, feed()))
    assert (2, 1) == (outcome.rows, outcome.quarantined)
    with engine.connect() as connection:
        assert [why] == connection.exec_driver_sql("SELECT error FROM import_row_error").scalars().all()


async def test_the_key_of_an_api_is_sent_and_shown_nowhere(api, feed, engine, caplog, tmp_path):
    api.trouble = lambda _offset, _asked: (403, [], b"")
    source = feed(headers={"authorization": "Bearer hidden"})
    with pytest.raises(SourceError, match="page 1 answers 403") as met:
        await run(transfers(engine, source))
    assert "hidden" not in f"{met.value} {caplog.text} {source!r} {vars(met.value)}"


def test_what_was_left_behind_by_a_pass_that_failed_is_gone(api, feed, tmp_path):
    api.trouble = lambda offset, _asked: (500, [], b"") if offset == 8 else None
    with pytest.raises(SourceError):
        feed().prepare(fresh=True)
    assert [] == list((tmp_path / "feeds").iterdir())


async def test_who_looks_whether_a_feed_is_new_does_not_disturb_who_is_applying_it(api, feed, engine):
    looked = []

    def look_again(connection, rows):
        if not looked:
            looked.append(feed().prepare(fresh=True))
        return add(connection, rows)

    outcome = await run(transfers(engine, feed(), apply=look_again, snapshot=True))
    assert (18, 1, 1) == (outcome.rows, outcome.attempts, len(looked))
    assert expected(18) == balances(engine)


async def test_of_two_who_read_a_feed_at_once_neither_takes_pages_out_of_the_file_of_the_other(api, feed):
    """The other keeps a newer edition, in which page 2 lies elsewhere, while this one is told that its page 2 is as it was."""
    feed().prepare(fresh=True)
    api.rows[0]["v"] = 10**9
    api.statuses.clear()
    other = []

    def overtake(_offset, _asked):
        if not other:
            other.append(feed())
            other[0].prepare(fresh=True)

    api.trouble = overtake
    mine = feed()
    mine.prepare(fresh=True)
    assert 304 in api.statuses
    assert api.rows == [json.loads(row.raw) for row in mine.read("", 100).rows]
    assert 1 == len(other)
