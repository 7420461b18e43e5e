"""Where a user's files are: the own folder, with `sites/` and `databases/` in it, and what is kept there.

The own folder is the one that ROUNDSMAN_DIR names, else the nearest one, from the working directory upwards, that has a
site file or a database file in it. A clone of the project has its own in `deployments/`.
"""

import os
from functools import cache
from pathlib import Path

#: Names the own folder.
VARIABLE = "ROUNDSMAN_DIR"
_LIBRARY = Path(__file__).parent
_KINDS = ("sites", "databases")


@cache
def is_clone() -> bool:
    """Whether this is a clone of the project, and not an installed package."""
    return not (_LIBRARY / "_project").is_dir()


def project_folder() -> Path:
    """The Prefect project, with `flows/`, `blocks/` and `deployments/`: beside the library, or inside it in a wheel."""
    return _LIBRARY.parent if is_clone() else _LIBRARY / "_project"


def wrong_folder() -> str:
    """Why the folder that ROUNDSMAN_DIR names can't be used; empty when it can, or when the variable is not set."""
    named = os.environ.get(VARIABLE)
    if not named or Path(named).expanduser().is_dir():
        return ""
    return (
        f"{VARIABLE}: saw {named[:300]!r}, which is no folder; wanted one that `roundsman init` made, or leave it unset"
    )


def own_folder(start: Path | None = None) -> Path | None:
    """The user's own folder; None where there is none, as in a clone that has its sites in `deployments/`."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser().resolve()
    deployments = project_folder() / "deployments"
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if folder == deployments:
            return None
        if any(next((folder / kind).glob("*.yaml"), None) for kind in _KINDS):
            return folder
    return None


def files_of(kind: str) -> Path:
    """The folder of the `sites` or `databases`: in the own folder, else in the project's `deployments/`."""
    return (own_folder() or project_folder() / "deployments") / kind


def state() -> Path:
    """Where the ledger and whatever else is kept goes by default: `.roundsman/`, which does not belong in git."""
    return (own_folder() or Path()) / ".roundsman"
