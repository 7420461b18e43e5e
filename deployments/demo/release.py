"""The demo's releases: `python -m deployments.demo.release deploy|rollback FOLDER`.

Each release is a folder under FOLDER/releases, and FOLDER/current is a link to the one that runs, as many deploy tools
keep them. FOLDER/previous is a link to the one before, which is there as long as nobody has deleted it.
"""

import shutil
import sys
from pathlib import Path

from roundsman.cli.parser import CommandParser


def main(words: list[str] | None = None) -> int:
    """Deploy the newest release, or put the previous one back. Exit codes: 0 done, 1 there is none."""
    parser = CommandParser(prog="python -m deployments.demo.release", description=__doc__)
    parser.add_argument("way", choices=["deploy", "rollback"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prune", action="store_true", help="delete the other releases after a deploy")
    args = parser.parse_args(words)
    folder = args.folder.resolve()
    return deploy(folder, prune=args.prune) if args.way == "deploy" else rollback(folder)


def build(folder: Path, name: str) -> None:
    """Build a release: a folder with its name."""
    release = folder / "releases" / name
    release.mkdir(parents=True)
    (release / "motto").write_text(f"Grown with release {name}.", encoding="utf-8")


def deploy(folder: Path, *, prune: bool) -> int:
    """Let the newest release run, and remember which one ran before."""
    newest = max((folder / "releases").iterdir(), key=lambda one: [int(part) for part in one.name.split(".")])
    link = folder / "current"
    if link.exists() and link.resolve() != newest:
        point(folder / "previous", link.resolve())
    point(link, newest)
    print(f"{newest.name} runs")
    for other in (folder / "releases").iterdir():
        if prune and other != newest:
            shutil.rmtree(other)
            print(f"{other.name} was deleted")
    return 0


def rollback(folder: Path) -> int:
    """Let the previous release run again."""
    previous = folder / "previous"
    if not previous.exists():
        name = previous.readlink().name if previous.is_symlink() else "the previous release"
        kept = ", ".join(sorted(one.name for one in (folder / "releases").iterdir()))
        print(f"{name} is gone; kept: {kept}", file=sys.stderr)
        return 1
    point(folder / "current", previous.resolve())
    print(f"{previous.resolve().name} runs again")
    return 0


def point(link: Path, release: Path) -> None:
    """Let a link lead to a release, in one step."""
    new = link.with_suffix(".new")
    new.unlink(missing_ok=True)
    new.symlink_to(release)
    new.replace(link)


if __name__ == "__main__":
    sys.exit(main())
