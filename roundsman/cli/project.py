"""The Prefect project, which runs what needs a server: beside the library in a clone, inside it in a wheel."""

import importlib
import os
import sys
from typing import Any

from roundsman.folders import VARIABLE, own_folder, project_folder


def from_project(module: str) -> Any:
    """A module of the project, whatever else is called `flows` where the command is typed."""
    folder = str(project_folder())
    if not sys.path or sys.path[0] != folder:
        sys.path.insert(0, folder)
    return importlib.import_module(module)


def children_find_project() -> None:
    """Let child processes, such as a worker's runs, find the project, whatever folder they are started in."""
    folder = str(project_folder())
    paths = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and one != folder]
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *paths])
    # Else `python -m prefect` would take a folder `flows` of the current one for ours.
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ.setdefault("ROUNDSMAN_HOME", folder)
    if own := own_folder():
        os.environ.setdefault(VARIABLE, str(own))
