"""`make demo-import`, as a stranger runs it."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from deployments.demo.importing import CHANGED, ROUTES, ImportSeen, conclude, faults
from deployments.specs import ROOT

WELL = ImportSeen(
    killed=True,
    before=10,
    purged_early=frozenset(),
    rows=len(ROUTES),
    changed=len(CHANGED),
    articles=Counter(CHANGED),
    asked=Counter(CHANGED),
    purged=CHANGED,
    again=0,
)


@pytest.mark.slow
@pytest.mark.harness
def test_an_import_that_is_killed_and_run_again_does_nothing_twice_and_leaves_nothing_behind(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    for name in ("PREFECT_API_URL", "PREFECT_LOGGING_LEVEL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "deployments.demo.importing"]
    demo = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (0, "") == (demo.returncode, demo.stderr)
    said = demo.stdout.splitlines()
    assert "  10 rows are committed; 0 routes are purged" in said
    assert "40 rows, 5 changed, 0 in quarantine (imported before); purges sent: 0" in demo.stdout
    assert "Nothing was lost and nothing done twice: 40 articles, 5 changed, each written once." == said[-2]
    assert "Of 40 routes, the edge purged the 5 that changed: /articles/plant-02" in said[-1]
    assert [] == list(tmp_path.iterdir())


def test_when_all_is_well_the_demo_says_so(capsys):
    assert ([], 0) == (faults(WELL), conclude(WELL))
    assert "nothing done twice" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"killed": False}, "was not killed"),
        ({"before": 40}, "was not killed"),
        ({"purged_early": frozenset(ROUTES[:1])}, "before their articles"),
        ({"rows": 30}, "did not come to its end"),
        ({"changed": 6}, "written twice"),
        ({"articles": Counter(CHANGED) - Counter(ROUTES[1:2])}, "written twice, or not at all"),
        ({"asked": Counter(CHANGED) + Counter(ROUTES[1:2])}, "asked for twice"),
        ({"purged": CHANGED | {ROUTES[0]}}, "other routes"),
        ({"purged": CHANGED - {ROUTES[1]}}, "other routes"),
        ({"again": 1}, "imported before"),
    ],
)
def test_the_demo_fails_when_something_is_lost_doubled_or_purged_in_vain(other, says, capsys):
    assert 1 == conclude(replace(WELL, **other))
    assert says in capsys.readouterr().out
