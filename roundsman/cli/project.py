"""The Prefect project, which runs what needs a server: beside the library in a clone, inside it in a wheel."""

import importlib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

_LIBRARY = Path(__file__).parents[1]


@cache
def project_folder() -> Path:
    """The folder with `flows/`, `blocks/`, `deployments/` and `prefect.yaml` in it."""
    packed = _LIBRARY / "_project"
    return packed if packed.is_dir() else _LIBRARY.parent


def from_project(module: str) -> Any:
    """A module of the project, whatever else is called `flows` where the command is typed."""
    folder = str(project_folder())
    if not sys.path or sys.path[0] != folder:
        sys.path.insert(0, folder)
    # Child processes, such as a worker's runs, find it as well.
    paths = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one and one != folder]
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *paths])
    return importlib.import_module(module)
