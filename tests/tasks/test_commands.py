"""Commands of a site file are found and run as lists of words, and end with everything they started."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from flows.tasks.commands import path_of, run


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["true"], ""),
        (["false"], "exit 1: it said nothing"),
        (["sh", "-c", "echo why >&2; exit 3"], "exit 3: why"),
        (["no-such-program-anywhere"], "no program no-such-program-anywhere; wanted one on the PATH or in the project"),
        (["echo", "$(exit 1)"], ""),
    ],
)
async def test_a_command_says_how_it_ended(argv, says):
    assert says == await run(argv, timeout=10)


async def test_a_file_that_is_no_program_is_told(tmp_path):
    script = tmp_path / "back"
    script.write_bytes(b"\x7fELF")
    script.chmod(0o755)
    assert f"{script} can't be run: Exec format error" == await run([str(script)], timeout=10)


async def test_a_command_that_hangs_is_killed_with_its_grandchildren(tmp_path):
    mark = tmp_path / "pid"
    script = f"sleep 300 & echo $! > {mark}; wait"
    begun = time.monotonic()
    assert "no end after 1s; it was killed" == await run(["sh", "-c", script], timeout=1)
    assert time.monotonic() - begun < 30
    stat = Path(f"/proc/{mark.read_text().strip()}/stat")
    for _ in range(100):
        # A killed process stays as a zombie until whoever adopted it looks.
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        await asyncio.sleep(0.05)
    pytest.fail("the grandchild lives on")


def test_the_projects_own_python_comes_first_and_a_folder_is_no_program(tmp_path):
    assert Path(path_of("python")).parent == Path(sys.executable).parent
    assert "" == path_of(str(tmp_path))
    script = tmp_path / "back"
    script.write_text("#!/bin/sh\n")
    assert "" == path_of(str(script))
    script.chmod(0o755)
    assert str(script) == path_of(str(script))
