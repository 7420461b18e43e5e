"""What a test needs of the machine. Lacking it skips the test by name, or fails it where ROUNDSMAN_REQUIRE=all."""

import os
import shutil
from pathlib import Path

import pytest

#: With `--fast`, nothing that is slow to start may start.
fast = False

_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/15/bin")


def program(name: str) -> str:
    """The path of a program, also where servers are kept."""
    slow_to_start(name)
    path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_ELSEWHERE))
    return path or lacking(name)


def file(path: str) -> Path:
    """A file that a package installs."""
    return Path(path) if Path(path).exists() else Path(lacking(path))


def slow_to_start(what: str) -> None:
    """Skips a test that needs it, among the fast ones."""
    if fast:
        pytest.skip(f"not among the fast tests: {what}")


def lacking(what: str) -> str:
    sentence = f"this machine has no {what}"
    if os.environ.get("ROUNDSMAN_REQUIRE") == "all":
        pytest.fail(sentence)
    pytest.skip(sentence)
