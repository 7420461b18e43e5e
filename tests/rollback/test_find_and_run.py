"""Commands of a site file are found and run as lists of words, and end with everything they started."""

import asyncio
import sys
import time
from pathlib import Path

import pytest

from roundsman.rollback import find_and_run as commands
from roundsman.rollback.find_and_run import find, path_of, run
from roundsman.rollback.rules.judge import FoundCommand


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


MAKEFILE = """
include shared.mk
ifeq (restore,$(firstword $(MAKECMDGOALS)))
$(eval $(wordlist 2,9,$(MAKECMDGOALS)):;@:)
endif
.DEFAULT_GOAL := all
restore:; touch restored
all:; touch all-was-made
cdn-rollback: RULE ?= all
cdn-rollback:; +touch it-was-made
back-%:; touch $@
"""


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        ("", ()),
        ("cdn-rollback RULE=a", ()),
        ("back-shop -j 2", ()),
        ("shared", ()),
        ("cdn-rolback", ("cdn-rolback",)),
        ("cdn-rollback undo", ("undo",)),
        ("-f shared.mk cdn-rollback", ("cdn-rollback",)),
        ("restore production", ()),
        ("cdn-rollback production", ("production",)),
    ],
)
async def test_a_target_is_asked_for_and_nothing_is_made(tmp_path, monkeypatch, words, lacks):
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "shared.mk").write_text("shared:; touch shared-was-made\n")
    # As it is when a round runs below `make demo`.
    monkeypatch.setenv("MAKEFLAGS", "n")
    found = await find(["make", "-C", str(tmp_path), *words.split()])
    assert lacks == found.missing
    assert found.unread == ""
    assert {"Makefile", "shared.mk"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "rule", ["%:; +touch $@-was-made", ".DEFAULT:; +touch $@-was-made", "%:; $(MAKE) -f other.mk $@"]
)
async def test_a_rule_for_everything_has_every_target_and_is_not_followed(tmp_path, rule):
    (tmp_path / "Makefile").write_text(f"{rule}\n")
    (tmp_path / "other.mk").write_text("%:; touch $@-was-made\n")
    assert FoundCommand("/usr/bin/make") == await find(["make", "-C", str(tmp_path), "back"])
    assert {"Makefile", "other.mk"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("makefile", "says"),
    [
        ("all:\n  touch blanks\n", "make did not list its targets: Makefile:2: *** missing separator.  Stop."),
        ("$(shell sleep 300)", "make did not list its targets within 1s"),
        (None, "make did not list its targets: make: *** "),
    ],
)
async def test_a_makefile_that_cannot_be_read_is_told(tmp_path, monkeypatch, makefile, says):
    monkeypatch.setattr(commands, "MAKE_SECONDS", 1.0)
    if makefile:
        (tmp_path / "Makefile").write_text(makefile)
    found = await find(["make", "-C", str(tmp_path if makefile else tmp_path / "absent"), "all"])
    assert found.unread.startswith(says)


async def test_other_programs_are_not_asked(tmp_path):
    script = tmp_path / "back"
    script.write_text("#!/bin/sh\ntouch it-was-run\n")
    script.chmod(0o755)
    assert FoundCommand(str(script)) == await find([str(script), "to", "previous"])
    assert FoundCommand() == await find(["no-such-program-anywhere"])
