"""`python -m deployments` renders what is derived; its commands bring it to a Prefect server."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import httpx
import yaml

from deployments.automations import main_automations
from deployments.deploy import address, deploy, prune
from deployments.render import from_git, prefect_yaml, rendered
from deployments.specs import ROOT, project_specs
from deployments.validate import problems, validate_file
from deployments.work_pools import KINDS, ensure
from flows.commands.home import home_ready
from flows.tasks.blocks import register_blocks
from roundsman.cli.output import say
from roundsman.cli.parser import CommandParser
from roundsman.folders import is_clone, own_folder, state
from roundsman.report.rules.text import hidden

FAILED, WRONG_INPUT = 1, 3
#: A clone has it in git; an own folder's is rendered anew by each deploy.
FILE = ROOT / "prefect.yaml" if is_clone() and not own_folder() else state() / "prefect.yaml"


def main(argv: list[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 1 stale or refused by the server, 3 the input was wrong."""
    parser = CommandParser(prog="python -m deployments", description="Render what is derived, and deploy it.")
    parser.add_version()
    parser.set_defaults(run=_render)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when something is stale or wrong")
    parser.add_argument("--git", metavar="REPOSITORY", help="render only --out, for workers that clone the project")
    parser.add_argument("--branch", default="main", help="what they clone (main)")
    parser.add_argument("--token", default="", metavar="BLOCK", help="the Secret block that opens a private repository")
    parser.add_argument("--out", type=Path, default=Path("prefect-git.yaml"), help="(prefect-git.yaml)")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, (add, run, says) in COMMANDS.items():
        command = commands.add_parser(name, help=says, description=says)
        command.set_defaults(run=run)
        add(command)
    try:
        args = parser.parse_args(argv)
    except SystemExit as stop:
        return WRONG_INPUT if stop.code else 0
    try:
        return int(args.run(args))
    except ValueError as error:
        say(error, error=True)
        return WRONG_INPUT
    except httpx.HTTPError as error:
        say(f"the server did not take it: {type(error).__name__}: {hidden(str(error))}", error=True)
        return FAILED


def _render(args: argparse.Namespace) -> int:
    if args.git:
        text = prefect_yaml(project_specs(), from_git(args.git, args.branch, args.token))
        try:
            args.out.write_text(text, "utf-8")
        except OSError as error:
            raise ValueError(f"--out {args.out}: saw {error.strerror}, wanted a file that can be written") from None
        say(f"rendered {args.out}")
        return 0
    wanted = _wanted()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if not args.check:
        _write(wanted, stale)
    for path in stale if args.check else ():
        name = os.path.relpath(path, FILE.parent)
        say(f"{name} is stale: saw another text than its sources give; run `make render`", error=True)
    wrong = list(problems(yaml.safe_load(wanted[FILE])))
    for problem in wrong:
        say(problem, error=True)
    if wrong:
        return WRONG_INPUT
    return FAILED if stale and args.check else 0


def _write(wanted: Mapping[Path, str], paths: Iterable[Path]) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
        say(f"rendered {os.path.relpath(path, FILE.parent)}")


def _wanted() -> dict[Path, str]:
    """Every derived file and its text."""
    specs = project_specs()
    return rendered(specs) if FILE.parent == ROOT else {FILE: prefect_yaml(specs)}


def _validate(args: argparse.Namespace) -> int:
    wrong = validate_file(args.file)
    for problem in wrong:
        say(problem, error=True)
    if not wrong:
        say(f"{args.file.name}: fine")
    return WRONG_INPUT if wrong else 0


def _prune(args: argparse.Namespace) -> int:
    address()
    if wrong := _validate(args):
        return wrong
    _leftovers(args.file, apply=args.apply)
    return 0


def _leftovers(file: Path, *, apply: bool) -> None:
    for leftover in prune(yaml.safe_load(file.read_text(encoding="utf-8")), apply=apply):
        say(f"{'removed' if apply else 'not in git any more'}: {leftover}")


def _deploy(args: argparse.Namespace) -> int:
    address()
    home_ready()  # it is written into each deployment
    if args.file == FILE != ROOT / FILE.name:
        wanted = _wanted()
        _write(wanted, wanted)
    if wrong := _validate(args):
        return wrong
    say(asyncio.run(ensure(args.pool_type)))
    if deploy(args.file):
        return FAILED
    asyncio.run(register_blocks())
    names = [one["name"] for one in yaml.safe_load(args.file.read_text(encoding="utf-8"))["deployments"]]
    say(f"deployed: {', '.join(names)}")
    _leftovers(args.file, apply=False)
    return 0


def _automations(args: argparse.Namespace) -> int:
    address()
    return main_automations(dry_run=args.dry_run)


def _automations_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be changed, and change nothing")


def _file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, default=FILE, help="what was rendered (prefect.yaml)")


def _prune_options(parser: argparse.ArgumentParser) -> None:
    _file(parser)
    parser.add_argument("--apply", action="store_true", help="remove it; without, it is only told")


def _deploy_options(parser: argparse.ArgumentParser) -> None:
    _file(parser)
    parser.add_argument("--pool-type", choices=list(KINDS), default="process", help="of the work pool (process)")


Add = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]

#: Each command: its options, what it does, and its sentence in the help.
COMMANDS: dict[str, tuple[Add, Run, str]] = {
    "validate": (_file, _validate, "say what Prefect would take in silence or refuse half-way"),
    "deploy": (_deploy_options, _deploy, "validate, make the work pool, deploy everything, and tell what is left over"),
    "automations": (_automations_options, _automations, "settle what notifies when a job breaks down"),
    "prune": (_prune_options, _prune, "tell what the server has and git has not any more"),
}


if __name__ == "__main__":
    sys.exit(main())
