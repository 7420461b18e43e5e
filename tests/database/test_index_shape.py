"""Which index leads to the rows that refer to a parent."""

import pytest

from roundsman.database.rules.index_facts import ForeignKey, Index, Indexes, IndexFacts, Table
from roundsman.database.rules.judge_indexes import foreign_keys

KEY = ForeignKey("by", "page", ("shop", '"By"'), ("bigint",) * 2, "author", ("shop", "id"), ("bigint",) * 2)


@pytest.mark.parametrize(
    ("predicate", "serves"),
    [
        ("", True),
        ("shop IS NOT NULL", True),
        ('shop IS NOT NULL AND "By" IS NOT NULL', True),
        ('WHERE (("By" is  not null) and (shop IS NOT NULL))', True),
        ("views IS NOT NULL", False),
        ("by IS NOT NULL", False),
        ("shop IS NULL", False),
        ("shop IS NOT NULL OR views > 3", False),
        ("shop IS NOT NULL AND views > 3", False),
        ("NOT shop IS NOT NULL", False),
        ("lower(shop) IS NOT NULL", False),
    ],
)
def test_an_index_serves_a_foreign_key_when_it_lacks_nothing_but_nulls(predicate, serves):
    index = Index("part", "page", KEY.columns, KEY.columns, predicate=predicate)
    facts = IndexFacts("postgresql", (Table("page", 10**6),), (index,), (KEY,))
    assert serves is (not list(foreign_keys(facts, Indexes())))
