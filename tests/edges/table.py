"""Tables of what the caches do: a line for each behaviour, a column for each cache."""

import pytest


def table(text, heads=1):
    """The cells of a table in words, a test each: (expected, the first `heads` cells of its line, kind of cache).

    The first line names the columns.
    """
    columns, *lines = ([cell.strip() for cell in line.split("|")] for line in text.strip().splitlines())
    return [
        pytest.param(expected, *line[:heads], kind, id=f"{line[0]}-{kind}")
        for line in lines
        for kind, expected in zip(columns[heads:], line[heads:], strict=True)
    ]
