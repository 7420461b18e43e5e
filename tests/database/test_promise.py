"""What a database's verdicts tell people to do."""

import pytest

from roundsman.database.rules.promise import Database, could_not_review


@pytest.mark.parametrize(
    ("wanted", "rollback"),
    [
        ("the backup of last night", {"note": "the backup of last night"}),
        ("make db-restore", {"note": "kept", "command": ["make", "db-restore"]}),
        ("psql -c 'DROP INDEX a; VACUUM' 'my shop'", {"note": "kept", "command": ["psql", "-c", "DROP INDEX a; VACUUM", "my shop"]}),
    ],
)  # fmt: skip
def test_a_way_back_can_be_pasted(wanted, rollback):
    told = {"database": "shop", "owner": "content <c@example.com>", "expected_result": "It is quick."}
    promised = Database.model_validate({**told, "rollback": rollback, "url": {"env": "SHOP_LIVE"}})
    assert wanted == could_not_review(promised, "index-review", "no answer").rollback
