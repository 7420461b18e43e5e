"""An environment in which nothing of this folder is but the wheel that is made of it."""

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

from deployments.specs import ROOT
from tests import needs


def install(folder: Path) -> Path:
    """Make the environment, with the wheel and the packages of the lock; where its interpreter is."""
    if not importlib.util.find_spec("hatchling"):
        needs.lacking("hatchling")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(build, check=True, cwd=folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
    found = folder / "env/bin/python"
    [wheel] = folder.glob("roundsman-*.whl")
    subprocess.run([*pip, "--python", found, "install", "--no-deps", "--no-index", wheel], check=True, cwd=folder)
    [packages] = folder.glob("env/lib/python*/site-packages")
    (packages / "locked.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    return found
