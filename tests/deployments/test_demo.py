"""`make demo`, as a stranger runs it."""

import os
import subprocess
import sys

import pytest

from deployments.demo.__main__ import PLANTED, conclude
from deployments.specs import ROOT
from roundsman.report.rules.verdict import Claim, Verdict
from tests.report.test_report import report


@pytest.mark.slow
def test_the_demo_finds_exactly_what_it_plants_and_leaves_nothing_behind(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    environment.pop("PREFECT_API_URL", None)
    environment.pop("PREFECT_LOGGING_LEVEL", None)
    # The environment that runs this test is the one that make would else make.
    command = ["make", "--no-print-directory", f"VENV={sys.prefix}", f"--old-file={sys.prefix}/.installed", "demo"]
    demo = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    said, complained = demo.communicate()
    assert (0, "") == (demo.returncode, complained), said
    assert "The round found exactly the faults that the demo plants." in said
    assert "roundsman inspect" in said.splitlines()[-1]
    assert not any(word in said for word in ("Traceback", "Warning", "WARNING", "ERROR"))
    assert [] == list(tmp_path.iterdir())
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)


def failing(claim, subject):
    finding = Claim(claim, "It holds.").against("a", "b", holds=False)
    return Verdict(claim.partition("/")[0], subject, "r", "o", "e", "back", (finding,))


PLANTED_VERDICTS = [failing(claim, subject) for claim, subject in PLANTED]


@pytest.mark.parametrize(
    ("verdicts", "code", "says"),
    [
        (PLANTED_VERDICTS, 0, "exactly the faults"),
        (PLANTED_VERDICTS[1:], 1, "NOT FOUND"),
        (
            [*PLANTED_VERDICTS, failing("targeted-purge/refreshed", "/x")],
            1,
            "not planted, yet found: targeted-purge/refreshed on /x",
        ),
    ],
)
def test_the_demo_fails_when_it_finds_more_or_less(verdicts, code, says, capsys):
    assert code == conclude(report(*verdicts))
    assert says in capsys.readouterr().out
