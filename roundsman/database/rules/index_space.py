"""How much room rows and index entries need, by their average widths.

Source: PostgreSQL, "Database Page Layout", table 73.2, and "B-Tree Indexes", Implementation.
"""

import math
from collections.abc import Sequence

from roundsman.database.rules.index_facts import Index, Table

PAGE_BYTES = 8192
_HEADER_BYTES = 24
#: Before each row on a page, and before its values.
_POINTER, _ROW = 4, 23
#: Of a B-tree page, beside the header.
_SPECIAL_BYTES = 16
_UNKNOWN_BYTES = 16.0


def entry_size(table: Table, columns: Sequence[str]) -> float:
    """Bytes of a B-tree's entry, with its part of the page. Equal keys are stored once, which needs less."""
    widths = sum(table.widths.get(column, _UNKNOWN_BYTES) for column in columns)
    return (_aligned(8 + widths) + _POINTER) / 0.9


def table_needs(table: Table) -> int:
    """Bytes of a table's rows, written tightly."""
    row = _aligned(_ROW + math.ceil(len(table.widths) / 8)) + _aligned(sum(table.widths.values())) + _POINTER
    return _pages(table.rows * row, (PAGE_BYTES - _HEADER_BYTES) * table.fill)


def index_needs(index: Index, table: Table) -> int | None:
    """Bytes of a B-tree as it is when new; None for what can't be told: expressions, parts of a table, other kinds."""
    known = index.method == "btree" and not index.predicate and all(one in table.widths for one in index.columns)
    if not known or not all(one in table.widths for one in index.included):
        return None
    entry = _aligned(8 + sum(table.widths[one] for one in (*index.columns, *index.included))) + _POINTER
    return _pages(table.rows * entry, (PAGE_BYTES - _HEADER_BYTES - _SPECIAL_BYTES) * index.fill) + PAGE_BYTES


def _aligned(size: float) -> int:
    return math.ceil(size / 8) * 8


def _pages(size: float, room: float) -> int:
    return math.ceil(size / room) * PAGE_BYTES
