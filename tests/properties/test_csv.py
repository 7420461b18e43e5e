"""Whatever a CSV file holds: what is read of it is what Python's `csv` reads, or the file is refused."""

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from roundsman.batch import BatchError, Csv

HEADER = "a,b\n"
LETTERS = st.text(st.sampled_from('x7,"\n\r;é𝄞\0\ufeff\u2028 '), max_size=12)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("csv") / "feed.csv"


def read(source, most):
    """All rows, as a job reads them: each chunk by its own cursor, as after a kill."""
    source.fingerprint()
    cursor, rows, ended = "", [], False
    while not ended:
        chunk = source.read(cursor, most)
        assert source.read(cursor, len(chunk.rows)).digest == chunk.digest
        rows, cursor, ended = rows + chunk.rows, chunk.cursor, chunk.ended or not chunk.rows
    return rows


def records(text):
    return [fields for fields in csv.reader(io.StringIO(text, newline="\n"), strict=True) if fields]


@given(LETTERS | st.text(max_size=30), st.integers(1, 3))
@example('1,"one\n7,7\n', 1)
@example('1,"one" x\n7,7\n', 1)
@example('1,"he said "hi,\n7,7\n"",x\n', 1)
@example('1, "one\n7,7\n"\n', 1)
@example('1," ""one"", "\n', 1)
@example('1,o"n"e\n7,7\n', 1)
@example("1,a\r7,7\n8,8\n", 1)
@example('1,a\r"x\n7,7\ny",2\n8,8\n', 1)
@example('1,"a\r\n""7"",7\r\n"\r\n\r\n', 1)
def test_any_text_is_read_as_python_reads_it_or_refused(path, text, most):
    path.write_text(HEADER + text, encoding="utf-8", newline="")
    try:
        wanted = records(HEADER + text)[1:]
    except csv.Error:
        wanted = None
    rows, refusal = [], ""
    try:
        rows = read(Csv(path), most)
    except BatchError as error:
        refusal = str(error)
    if refusal:
        is_late = "spaces before an opening quote" in refusal and re.search('(^|[,\r\n]) +"', text)
        assert wanted is None or is_late
        return
    if wanted is None:
        assert any(row.problem for row in rows)
    else:
        assert [fields for fields in wanted if len(fields) == 2] == [
            list(row.value.values()) for row in rows if row.value
        ]
        assert len(wanted) == len(rows)


@given(st.lists(st.tuples(LETTERS, LETTERS)), st.integers(8, 40), st.integers(1, 3), st.sampled_from(["\n", "\r\n"]))
def test_a_record_that_is_too_long_is_left_out_to_its_end_and_no_other(path, pairs, longest, most, end):
    written = io.StringIO(newline="")
    lengths = []
    for pair in pairs:
        begin = len(written.getvalue().encode())
        csv.writer(written, lineterminator=end, quoting=csv.QUOTE_ALL).writerow(pair)
        lengths.append(len(written.getvalue().encode()) - begin)
    path.write_text("\ufeff" + HEADER + written.getvalue(), encoding="utf-8", newline="")
    rows = read(Csv(path, longest_row=longest), most)
    assert [length <= longest for length in lengths] == [row.complete for row in rows]
    assert [list(pair) for pair, length in zip(pairs, lengths, strict=True) if length <= longest] == [
        list(row.value.values()) for row in rows if row.complete
    ]
    assert all(
        f" {length:,} bytes" in row.problem for row, length in zip(rows, lengths, strict=True) if not row.complete
    )
