"""What feeds are like: each trouble has its message, and nothing that is good is lost with it."""

import json
import tracemalloc

import pytest
from sqlalchemy import create_engine, text

from roundsman.batch import (
    Applied,
    Batch,
    BatchError,
    Csv,
    JsonLines,
    LimitError,
    SourceChangedError,
    SourceError,
    SqlQuery,
    files,
    points,
    replay,
    run,
)
from tests.batch.work import asked


@pytest.fixture
def shelf(url):
    """A target that keeps articles."""
    from tests.batch.work import opened

    engine = opened(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE article (id BIGINT PRIMARY KEY, name TEXT NOT NULL)"))
    yield engine
    engine.dispose()


def put(connection, rows) -> Applied:
    articles = [{"id": int(row["id"]), "name": row["name"]} for row in rows]
    connection.execute(text("INSERT INTO article VALUES (:id, :name)"), articles)
    return Applied(changed=len(rows))


def upsert(connection, rows) -> Applied:
    connection.execute(
        text("INSERT INTO article VALUES (:id, :name) ON CONFLICT (id) DO UPDATE SET name = excluded.name"), rows
    )
    return Applied(changed=len(rows))


def import_(source, target, **more) -> Batch:
    return Batch(**{"kind": "articles", "source": source, "target": target, "apply": put, "chunk": 3} | more)


def article(number: int) -> bytes:
    return json.dumps({"id": number, "name": f"article {number}"}).encode()


def kept(target) -> list[int]:
    return [number for (number,) in asked(target, "SELECT id FROM article ORDER BY id")]


def in_quarantine(target) -> list[tuple]:
    return asked(
        target, "SELECT position, error_class, error, payload, complete FROM import_row_error ORDER BY position"
    )


@pytest.mark.parametrize(
    ("line", "why", "complete"),
    [
        (b'{"id": 2, "name": "cut o', "no JSON: ", True),
        (b'{"id": 2, "name": "caf\xe9"}', "not UTF-8: byte 23 of the row is 0xe9", False),
        (b'{"id": 2, "id": 3, "name": "two"}', "no JSON: key 'id' more than once", True),
        (b'{"id": NaN, "name": "two"}', "no JSON: NaN is no number in JSON", True),
        (b'{"id": 2, "name": "two"} {"id": 3}', "no JSON: saw something more after the value", True),
        (b"[" * 100_000, "no JSON: ", False),
        (b"\0", "no JSON: a value is wanted", True),
    ],
    ids=["torn", "latin1", "twice", "nan", "two", "deep", "nul"],
)
async def test_a_line_that_is_no_row_is_kept_with_its_reason_and_all_others_are_applied(
    shelf, tmp_path, line, why, complete
):
    lines = [article(0), article(1), line, article(3), article(4)]
    (tmp_path / "feed.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    outcome = await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))
    assert (5, 4, 1) == (outcome.rows, outcome.changed, outcome.quarantined)
    assert [0, 1, 3, 4] == kept(shelf)
    [(position, error_class, error, payload, whole)] = in_quarantine(shelf)
    assert (2, "Unreadable", complete) == (position, error_class, bool(whole))
    assert error.startswith(why)
    assert payload.startswith(line[:10].decode(errors="backslashreplace").replace("\0", r"\x00"))


async def test_a_file_that_ends_in_the_midst_of_a_line_says_so(shelf, tmp_path):
    (tmp_path / "feed.jsonl").write_bytes(b"\n".join([article(0), article(1), article(2)[:-4]]))
    await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))
    assert [0, 1] == kept(shelf)
    [(_, _, error, payload, _)] = in_quarantine(shelf)
    assert error.startswith("the file ends in the midst of this line: ")
    assert article(2)[:-4].decode() == payload


async def test_a_last_line_without_its_end_is_a_row_when_it_is_whole(shelf, tmp_path):
    (tmp_path / "feed.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n\r\n \n".join([article(0), article(1), article(2)]))
    outcome = await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))
    assert ([0, 1, 2], 0) == (kept(shelf), outcome.quarantined)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
async def test_a_line_of_100_megabytes_costs_no_memory_and_nothing_behind_it(shelf, tmp_path, kind):
    path = tmp_path / f"feed.{kind}"
    with path.open("wb") as file:
        rows = [article(0), article(1)] if kind == "jsonl" else [b"id,name", b"0,zero", b"1,one"]
        begin = b'{"id": 9, "name": "' if kind == "jsonl" else b"9,seventeen letters"
        file.write(b"\n".join(rows[:-1]) + b"\n" + begin)
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + rows[-1] + b"\n")
    source = (JsonLines if kind == "jsonl" else Csv)(path)
    tracemalloc.start()
    outcome = await run(import_(source, shelf))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ([0, 1], 1) == (kept(shelf), outcome.quarantined)
    [(position, _, error, payload, whole)] = in_quarantine(shelf)
    assert (1, "a line of 104,857,620 bytes; wanted at most 1,048,576", False) == (position, error, bool(whole))
    assert len(payload) == 65_536
    assert most < 20 << 20


async def test_of_rows_with_the_same_key_an_insert_keeps_the_first_and_the_quarantine_the_second(shelf, tmp_path):
    (tmp_path / "feed.jsonl").write_bytes(b"\n".join(map(article, [0, 1, 1, 2, 3, 0])) + b"\n")
    outcome = await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))
    assert ([0, 1, 2, 3], 2) == (kept(shelf), outcome.quarantined)
    assert [(2, "IntegrityError"), (5, "IntegrityError")] == [row[:2] for row in in_quarantine(shelf)]


async def test_of_rows_with_the_same_key_the_last_one_wins_in_an_upsert(shelf, tmp_path):
    rows = [{"id": 1, "name": name} for name in ("first", "second", "third", "last")]
    (tmp_path / "feed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf, apply=upsert))
    assert [(1, "last")] == asked(shelf, "SELECT * FROM article")


@pytest.mark.parametrize("text_", ["", "\n\n \n"])
async def test_an_empty_file_fails_the_job_unless_that_is_wanted(shelf, tmp_path, text_):
    (tmp_path / "feed.jsonl").write_text(text_)
    with pytest.raises(LimitError, match=r"saw no rows; wanted at least 1 \(min_rows\)"):
        await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))
    assert [("failed",)] == asked(shelf, "SELECT status FROM import_job")
    outcome = await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf, min_rows=0))
    assert ("succeeded", 0) == (outcome.status, outcome.rows)
    with pytest.raises(LimitError, match="has ended before: saw no rows; wanted at least 1"):
        await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))


HTML = "<!DOCTYPE html>\n<html>\n<h1>502 Bad Gateway</h1>\n</html>\n"


@pytest.mark.parametrize(
    ("name", "text_", "why"),
    [
        ("feed.jsonl", HTML, "saw no row that can be applied among 4.*; the first, row 0: Unreadable"),
        ("feed.csv", HTML, "saw no row that can be applied among 3.*; the first, row 0: KeyError"),
        ("feed.csv", "id,name\n", "saw no rows"),
        ("feed.csv", "id,name\nx,one\ny,two\n", "saw no row that can be applied among 2.*ValueError"),
        ("feed.csv", "id;name\n1;one\n", "saw one column 'id;name' as its header.*delimiter=';'"),
        ("feed.csv", "id\rname\r1\rone\r", "a carriage return alone"),
        ("feed.csv", "", "saw no rows"),
        ("feed.csv", " \n", "saw no rows"),
        ("feed.jsonl", '[\n  {"id": 1, "name": "one"},\n  {"id": 2, "name": "two"}\n]\n', "is one JSON document"),
        ("feed.jsonl", '{\n  "id": 1,\n  "name": "one"\n}\n', "is one JSON document"),
        ("feed.jsonl", '[{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]', "is one JSON document"),
        ("feed.jsonl", '[{"id": 1, "name": "one"},\n{"id": 2, "name": "two"}]', "is one JSON document"),
        ("feed.jsonl", '"id"\n7\nnull\n', "saw no row that can be applied among 3"),
        ("feed.jsonl", "\x1f\udc8b\x08\x00", "is compressed with gzip"),
    ],
)
async def test_a_file_of_which_nothing_can_be_applied_fails_the_job_however_often_it_is_run(
    shelf, tmp_path, name, text_, why
):
    path = tmp_path / name
    path.write_bytes(text_.encode(errors="surrogateescape"))
    batch = import_((Csv if name.endswith(".csv") else JsonLines)(path), shelf)
    for dry_run in (True, False, False, True):
        with pytest.raises(BatchError, match=why):
            await run(batch, dry_run=dry_run)
    assert [] == kept(shelf)


async def test_a_job_whose_rows_were_all_refused_succeeds_once_one_of_them_was_replayed(shelf, tmp_path):
    (tmp_path / "feed.jsonl").write_text('{"id": "x", "name": "one"}\n{"id": "y", "name": "two"}\n')
    batch = import_(JsonLines(tmp_path / "feed.jsonl"), shelf)
    with pytest.raises(LimitError, match="no row that can be applied"):
        await run(batch)
    assert 1 == (await replay(batch, mend=lambda raw: raw.replace('"x"', "1"))).applied
    assert ("succeeded", 1) == ((outcome := await run(batch)).status, outcome.quarantined)


async def test_a_file_of_which_every_row_is_there_already_is_well(shelf, tmp_path):
    (tmp_path / "feed.jsonl").write_bytes(b"\n".join(map(article, range(4))))
    batch = import_(JsonLines(tmp_path / "feed.jsonl"), shelf, apply=lambda _, rows: Applied(unchanged=len(rows)))
    assert ("succeeded", 4) == ((outcome := await run(batch)).status, outcome.unchanged)
    assert (await run(batch)).again


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ('{"id": 1, "name": 1e999}', "no JSON: the number 1e999 is too large"),
        ('{"id": 1, "name": [{"deep": [-1E400]}]}', "no JSON: the number -1E400 is too large"),
        ('{"id": 1, "name": Infinity}', "no JSON: Infinity is no number"),
        ('{"id": 1, "name": "x", "n": 9%s}' % ("9" * 5000), "no JSON: Exceeds the limit (4300 digits)"),
        ('{"id": 9%s, "name": "x"}' % ("9" * 30), ""),
        ('{"id": 1, "name": "\\ud800"}', ""),
    ],
    ids=["float", "deep", "infinity", "digits", "bigint", "surrogate"],
)
async def test_what_no_database_holds_is_in_quarantine_with_its_reason(shelf, tmp_path, row, why):
    (tmp_path / "feed.jsonl").write_bytes(b"\n".join([article(0), row.encode(), article(2)]))
    outcome = await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))
    assert ([0, 2], 1) == (kept(shelf), outcome.quarantined)
    [(position, _, error, payload, _)] = in_quarantine(shelf)
    assert (1, row) == (position, payload.strip())
    assert error.startswith(why)
    assert error


@pytest.mark.parametrize("number", ["1e999", "inf", "-Infinity", "nan"])
async def test_a_number_that_parse_makes_infinite_is_refused_at_first_and_in_a_replay(shelf, tmp_path, number):
    (tmp_path / "feed.csv").write_text(f"id,name\n0,1.5\n1,{number}\n")
    parse = lambda row: {"id": row["id"], "name": str(float(row["name"])), "price": float(row["name"])}  # noqa: E731
    batch = import_(Csv(tmp_path / "feed.csv"), shelf, parse=parse)
    assert ([0], 1) == ((await run(batch), kept(shelf))[1], (await replay(batch)).left)
    [(_, error_class, error, *_)] = in_quarantine(shelf)
    assert ("ValueError", True) == (error_class, error.endswith("wanted one that is finite"))


async def test_utf_16_is_refused_as_a_whole(shelf, tmp_path):
    (tmp_path / "feed.jsonl").write_text('{"id": 1}\n', encoding="utf-16")
    with pytest.raises(BatchError, match="begins with the mark of UTF-16; wanted UTF-8"):
        await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))


async def test_a_file_that_is_not_there_can_come_later(shelf, tmp_path):
    with pytest.raises(SourceError, match="can't be read: No such file"):
        await run(import_(JsonLines(tmp_path / "feed.jsonl"), shelf))


async def test_a_file_that_is_written_to_meanwhile_stops_the_job_before_more_of_it_is_applied(shelf, tmp_path):
    path = tmp_path / "feed.jsonl"
    path.write_bytes(b"\n".join(map(article, range(9))) + b"\n")

    def put_and_write(connection, rows):
        with path.open("ab") as file:
            file.write(article(9))
        return put(connection, rows)

    with pytest.raises(SourceChangedError, match="was changed while it was read"):
        await run(import_(JsonLines(path), shelf, apply=put_and_write))
    assert [0, 1, 2] == kept(shelf)


CSV = 'id,name\n0,zero\n1,"one\nand, a ""half"""\n\n2,two\n3,three,more\n4,caf\udce9\n5,a\rb\n6,six\n'


async def test_records_of_a_csv_may_have_line_ends_and_bad_ones_are_kept_one_by_one(shelf, tmp_path):
    (tmp_path / "feed.csv").write_bytes(CSV.encode(errors="surrogateescape"))
    await run(import_(Csv(tmp_path / "feed.csv"), shelf))
    assert [(0, "zero"), (1, 'one\nand, a "half"'), (2, "two"), (6, "six")] == asked(
        shelf, "SELECT * FROM article ORDER BY id"
    )
    assert [
        (3, "saw 3 fields; wanted 2, as in the header", "3,three,more\n"),
        (4, "not UTF-8: byte 6 of the row is 0xe9", "4,caf\\xe9\n"),
        (5, "no CSV: a carriage return alone outside quotes", "5,a\rb\n"),
    ] == [(row[0], row[2], row[3]) for row in in_quarantine(shelf)]


@pytest.mark.parametrize(
    ("record", "line", "saw"),
    [
        ('7,"seven', 9, "a record without an end within 2,"),
        ('7,"seven\n7,777777\n', 9, "a record without an end within 2,"),
        ('7,"seven" and more', 9, "text after a closing quote"),
        ('7,"he said "hi,\n777777,injected\nthere", bye"', 9, "text after a closing quote"),
        ('7,"seven\n77,"777777"', 10, "text after a closing quote"),
        ('7,"seven\r\n77,7\r7,"7"', 10, "text after a closing quote"),
        ('7, "seven\n7,777777\n"', 9, "spaces before an opening quote"),
        ('7,"se\nven" ""\n', 10, "text after a closing quote"),
        (' \t"7","seven\n7,777777\n"', 9, "spaces before an opening quote"),
    ],
)
@pytest.mark.parametrize("longest", [20, 1 << 20])
async def test_where_quotes_leave_the_end_of_a_record_open_nothing_of_the_file_is_applied(
    shelf, tmp_path, record, line, saw, longest
):
    """Neither are the rows before it: corrected, the file is another edition, and would apply them a second time."""
    lines = ["id,name", *(f"{number},{number}" for number in range(7)), record, *(f"{n},{n}" for n in range(100, 400))]
    (tmp_path / "feed.csv").write_text("\n".join(lines) + "\n", newline="")
    for dry_run in (True, False):
        with pytest.raises(BatchError, match=f"line {line}: saw {saw}"):
            await run(import_(Csv(tmp_path / "feed.csv", longest_row=longest), shelf), dry_run=dry_run)
    assert [] == kept(shelf)


INSIDE = "7,777777\n" * 200_000


@pytest.mark.parametrize("end", ["\n", "\r\n"])
async def test_of_a_record_that_is_too_long_no_line_inside_becomes_a_row(shelf, tmp_path, end):
    record = f'1,"{INSIDE}a ""quoted"" {end}word, é"'
    (tmp_path / "feed.csv").write_text(end.join(["id,name", "0,zero", record, "2,two", ""]), newline="")
    outcome = await run(import_(Csv(tmp_path / "feed.csv"), shelf, chunk=1))
    assert ([0, 2], 3, 1) == (kept(shelf), outcome.rows, outcome.quarantined)
    [(position, _, error, payload, whole)] = in_quarantine(shelf)
    size = len(record.encode()) + len(end)
    assert (1, 65_536, False) == (position, len(payload), bool(whole))
    assert f"a line of {size:,} bytes over 200,002 lines: a quote without its end?; wanted at most 1,048,576" == error


async def test_a_record_whose_end_is_too_far_away_stops_the_job(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_SKIPPED_BYTES", 1_000_000)
    (tmp_path / "feed.csv").write_text(f'id,name\n0,zero\n1,"{INSIDE}"\n2,two\n')
    with pytest.raises(BatchError, match="line 3: saw a record without an end within 1,0"):
        await run(import_(Csv(tmp_path / "feed.csv", longest_row=1000), shelf))
    assert [] == kept(shelf)


@pytest.mark.parametrize("crash", ["chunk.begun", "chunk.recorded", "chunk.committed"])
async def test_a_job_that_dies_at_a_record_that_is_too_long_goes_on_behind_it(shelf, tmp_path, monkeypatch, crash):
    (tmp_path / "feed.csv").write_text('id,name\n0,zero\n1,"' + "7,777777\n" * 50 + '"\n2,two\n')
    batch = import_(Csv(tmp_path / "feed.csv", longest_row=100), shelf, chunk=1)
    passed = []

    def stop(name):
        passed.append(name)
        if passed.count(crash) == 2 and name == crash:
            raise SourceError("it is gone for a moment")

    monkeypatch.setattr(points, "hook", stop)
    with pytest.raises(SourceError):
        await run(batch)
    outcome = await run(batch)
    assert ([0, 2], 3, 1) == (kept(shelf), outcome.rows, outcome.quarantined)


def test_a_character_across_the_border_of_two_pieces_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PIECE", 5)
    (tmp_path / "feed.csv").write_text('id,name\n1,"𝄞𝄞""𝄞\n7,7𝄞",𝄞\n2,two\n', encoding="utf-8")
    source = Csv(tmp_path / "feed.csv", longest_row=10)
    source.fingerprint()
    assert [None, {"id": "2", "name": "two"}] == [row.value for row in source.read("", 9).rows]


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r"])
def test_a_delimiter_that_is_none_is_refused(delimiter):
    with pytest.raises(ValueError, match="wanted one character"):
        Csv("feed.csv", delimiter=delimiter)


@pytest.mark.parametrize(
    ("text_", "more", "values"),
    [
        ("id;name\n1;one\n", {"delimiter": ";"}, [["1", "one"]]),
        ("id\tname\n1\tone, two\n", {"delimiter": "\t"}, [["1", "one, two"]]),
        ('\ufeff"id","a, name"\n1,"o\nne"\n', {}, [["1", "o\nne"]]),
        ('id,name\r\n1,"o\r\nne"\r\n', {}, [["1", "o\r\nne"]]),
        ('id,name\n1,"o\rne"\n', {}, [["1", "o\rne"]]),
        ("id,name\n1,o\0ne\n", {}, [["1", "o\0ne"]]),
        ('id,name\n1,5" nails\n', {}, [["1", '5" nails']]),
        ('id,name\n1," ""one"", ""two"""\n', {}, [["1", ' "one", "two"']]),
        ('id,name\n1," \n ""one"""\n', {}, [["1", ' \n "one"']]),
        ('id\tname\n1\t"one"\n', {"delimiter": "\t"}, [["1", "one"]]),
        ('id,name\n1,""""\n2,""\n', {}, [["1", '"'], ["2", ""]]),
        ('id,name\n1,"one"', {}, [["1", "one"]]),
    ],
)
def test_what_a_csv_may_hold_is_read(tmp_path, text_, more, values):
    (tmp_path / "feed.csv").write_text(text_, newline="", encoding="utf-8")
    source = Csv(tmp_path / "feed.csv", **more)
    source.fingerprint()
    assert values == [list(row.value.values()) for row in source.read("", 9).rows]


async def test_a_mended_csv_record_is_read_by_the_header(shelf, tmp_path):
    (tmp_path / "feed.csv").write_text("\ufeffid,name\n0,zero\n1,one,more\n")
    batch = import_(Csv(tmp_path / "feed.csv"), shelf)
    await run(batch)
    assert 1 == (await replay(batch)).left
    assert 1 == (await replay(batch, mend=lambda raw: raw.replace(",more", ""))).applied
    assert [0, 1] == kept(shelf)


@pytest.mark.parametrize(
    "odd",
    ["\u2028", "\u2029", "\x85", "\f", "\v", "\x1c"],
    ids=["line", "paragraph", "next", "form feed", "vertical", "file"],
)
async def test_only_a_line_feed_ends_a_line_of_a_record_in_a_replay_as_at_first(shelf, tmp_path, odd):
    name = f"one{odd}and"
    (tmp_path / "feed.csv").write_bytes(f'id,name\n0,{name}\n1,"{name}\nmore",bad\r\n2,{name},bad\n'.encode())
    batch = import_(Csv(tmp_path / "feed.csv"), shelf)
    assert 2 == (await run(batch)).quarantined
    assert 2 == (await replay(batch, mend=lambda raw: raw.replace(",bad", ""))).applied
    names = [name, f"{name}\nmore", name]
    assert list(enumerate(names)) == asked(shelf, "SELECT * FROM article ORDER BY id")


@pytest.mark.parametrize(
    ("header", "saw"),
    [("id,name,id", "column id more than once"), ("", "an empty line"), ("id\rname", "no CSV: a carr")],
)
async def test_a_header_that_says_nothing_clear_is_refused(shelf, tmp_path, header, saw):
    (tmp_path / "feed.csv").write_text(f"{header}\n0,zero,0\n")
    with pytest.raises(BatchError, match=f"saw {saw}.*as its header; wanted each column's name once"):
        await run(import_(Csv(tmp_path / "feed.csv"), shelf))
    assert [] == kept(shelf)


def test_a_chunk_of_long_rows_is_full_early(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FULL_CHUNK_BYTES", 100)
    (tmp_path / "feed.jsonl").write_bytes(b"\n".join(map(article, range(10))) + b"\n")
    source = JsonLines(tmp_path / "feed.jsonl")
    first = source.read("", 1000)
    assert (4, False) == (len(first.rows), first.ended)
    assert source.read("", 4).digest == first.digest


@pytest.fixture
def shop(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT)"))
        products = [{"id": number * 10, "name": f"product {number}"} for number in range(1, 8)]
        connection.execute(text("INSERT INTO product VALUES (:id, :name)"), products)
    yield engine
    engine.dispose()


QUERY = "SELECT id, name FROM product WHERE id > :after ORDER BY id LIMIT :limit"


async def test_a_query_is_read_along_its_key(shelf, shop):
    outcome = await run(import_(SqlQuery(shop, QUERY, key="id", edition="today"), shelf))
    assert (7, 3) == (outcome.rows, outcome.chunks)
    assert [10, 20, 30, 40, 50, 60, 70] == kept(shelf)
    assert (await run(import_(SqlQuery(shop, QUERY, key="id", edition="today"), shelf))).again


async def test_a_query_whose_applied_rows_are_other_ones_now_is_not_gone_on_with(shelf, shop):
    def stumble(connection, rows):
        if rows[0]["id"] > 30:
            raise SourceError("the plug was pulled")
        return put(connection, rows)

    source = SqlQuery(shop, QUERY, key="id", edition="today")
    with pytest.raises((SourceError, LimitError)):
        await run(import_(source, shelf, apply=stumble, max_bad_rows=0))
    with shop.begin() as connection:
        connection.execute(text("UPDATE product SET name = 'another' WHERE id = 20"))
    with pytest.raises(SourceChangedError, match="rows 0 to 2, which were applied, are no longer the same"):
        await run(import_(source, shelf))
    assert [10, 20, 30] == kept(shelf)


@pytest.mark.parametrize(
    ("query", "key", "why"),
    [
        (QUERY.replace("ORDER BY id", "ORDER BY name DESC"), "id", "not in the order of id"),
        (QUERY.replace("> :after", ">= :after"), "id", "not in the order of id"),
        (QUERY, "number", "saw no column number"),
    ],
)
async def test_a_query_that_could_lose_rows_is_refused(shelf, shop, query, key, why):
    with pytest.raises(BatchError, match=why):
        await run(import_(SqlQuery(shop, query, key=key, edition="today", start=10), shelf))
