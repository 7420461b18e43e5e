"""Which runs of shards a sweep gives up: those whose worker is gone, and no other."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Completed, Pending, Running, Scheduled

from flows.tasks.sweep import START_SECONDS, _is_silent
from roundsman.sweep.shards import Shard

OWN, OTHER = str(UUID(int=1)), str(UUID(int=2))
NEW, OLD = timedelta(seconds=START_SECONDS / 2), timedelta(seconds=2 * START_SECONDS)


def run(make, age) -> SimpleNamespace:
    state: State = make()
    return SimpleNamespace(id=UUID(int=1), state=state.model_copy(update={"timestamp": datetime.now(UTC) - age}))


@pytest.mark.parametrize(
    ("silent", "state", "age", "shard"),
    [
        (False, Running, OLD, {"held": True, "run": OWN}),
        (True, Running, OLD, {"left": True, "run": OWN}),
        (True, Running, NEW, {"left": True, "run": OWN}),
        # The run before it was killed, and it has not come to the shard yet.
        (False, Running, NEW, {"left": True, "run": OTHER}),
        (True, Running, OLD, {"left": True, "run": OTHER}),
        (False, Pending, NEW, {}),
        (True, Pending, OLD, {}),
        # It waits for a place, or for a worker.
        (False, Scheduled, OLD, {}),
        (False, Completed, OLD, {"left": True, "run": OWN}),
    ],
)
def test_a_run_is_given_up_when_its_lease_is_over_or_it_never_came_to_its_shard(silent, state, age, shard):
    left = shard.pop("left", False)
    assert silent == _is_silent(run(state, age), Shard(0, 100, 50, ended=False, left=left, **shard))
