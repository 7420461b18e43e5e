"""Few of the many purges that `python -m benchmarks purges` makes: no honest one fails, and no broken one passes."""

import pytest

from benchmarks import purges


@pytest.mark.slow
async def test_no_honest_purge_fails_and_no_broken_one_passes():
    table = await purges.table(4)
    assert len(purges.HONEST) + len(purges.BROKEN) == len(table)
    assert [] == [f"{what}: {measured}" for what, measured, _, ok in table if not ok]
