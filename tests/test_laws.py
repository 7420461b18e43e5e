"""The laws of the house, held by machines."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
RULES = sorted(
    str(path.relative_to(ROOT))
    for pure in ("**/rules/[!_]*.py", "**/rules.py", "http/[!_]*.py")
    for path in (ROOT / "roundsman").glob(pure)
)
HOUSE = {"roundsman", "flows", "blocks", "deployments"}
IMPURE = ("prefect", "httpx", "sqlmodel", "sqlalchemy", "pycurl", "asyncio", "socket", "subprocess")

#: What each room may import of the house, besides the library; a room always may import itself.
ARROWS = {
    "roundsman": set(),
    "blocks": set(),
    "flows.tasks": {"blocks"},
    "flows.checks": {"flows.tasks", "blocks"},
    "flows.jobs": {"flows.tasks", "flows.checks", "blocks"},
    "flows": {"flows.tasks", "flows.checks", "flows.jobs", "blocks"},
    "deployments": {"flows", "flows.tasks", "flows.jobs"},
}


def test_a_rule_imports_nothing_that_touches_the_world():
    """Each in an interpreter of its own would take a second apiece; one that forgets its modules does as well.

    By its path: the package around a rule of the library may touch the world.
    """
    code = f"""
import importlib.util, sys
kept = set(sys.modules)
for rule in {RULES!r}:
    for name in set(sys.modules) - kept:
        if name.startswith(("flows", "roundsman")):
            del sys.modules[name]
    spec = importlib.util.spec_from_file_location(rule, rule)
    sys.modules[rule] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[rule])
    # asyncio, socket and subprocess come with the standard library's own modules; the linter bans them by name.
    found = [name for name in {IMPURE[:5]!r} if name in sys.modules]
    assert not found, (rule, found)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_the_tests_of_the_library_need_no_prefect():
    """Nor do the fixtures that all tests share."""
    rooms = [f"tests/{subject}" for subject in ("cache", "http", "probe", "report", "upkeep")]
    code = f"import sys, pytest; sys.modules['prefect'] = None; sys.exit(pytest.main({[*rooms, '--collect-only', '-q']!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout[-2000:]


def imports():
    for path in ROOT.glob("[bdfr][!.]*/**/*.py"):
        module = path.relative_to(ROOT).with_suffix("").parts
        if module[0] in HOUSE:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    yield path.relative_to(ROOT), room(module), room(tuple(node.module.split(".")), node.names[0].name)
                elif isinstance(node, ast.Import):
                    for name in node.names:
                        yield path.relative_to(ROOT), room(module), room(tuple(name.name.split(".")))


def room(module, imported=""):
    if module[0] not in HOUSE:
        return ""
    parts = (*module, imported)
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ARROWS else module[0]


def test_no_import_runs_against_the_arrows():
    wrong = [
        f"{path}: {here} imports {there}"
        for path, here, there in imports()
        if there and there != here and there not in ARROWS[here] | {"roundsman"}
    ]
    assert [] == wrong


def modules():
    """Each file of the house, by its dotted name."""
    for path in ROOT.glob("[bdfr][!.]*/**/*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] in HOUSE and "versions" not in parts:
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def arrows():
    """Who imports whom as it is imported itself: a name inside a function waits until all are there."""
    known = dict(modules())
    for module, path in known.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                for name in node.names:
                    wanted = f"{node.module}.{name.name}"
                    yield module, wanted if wanted in known else node.module
            elif isinstance(node, ast.Import):
                yield from ((module, name.name) for name in node.names)


def circle(pairs):
    """One way from a name back to itself; empty when there is none."""
    order = TopologicalSorter()
    for here, there in pairs:
        if here != there:
            order.add(here, there)
    try:
        order.prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_file_imports_itself_by_way_of_others():
    assert [] == circle(arrows())


def test_no_subject_of_the_library_imports_itself_by_way_of_others():
    """Also not inside a function: what a subject needs of another one shows which of them is the lower."""
    subjects = set()
    for path in ROOT.glob("roundsman/*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("roundsman."):
                subjects.add((path.relative_to(ROOT).parts[1], node.module.split(".")[1]))
    assert ("purge", "site") in subjects
    assert [] == circle(subjects)


def test_the_library_needs_neither_prefect_nor_the_project_that_runs_it():
    # Two are no modules: Alembic's own script, and one that a child process starts by its path.
    scripts = {"roundsman.ledger.migrations.env", "roundsman.database.migration_child"}
    names = sorted({name for name, _ in modules()} - scripts)
    library = [name for name in names if name.startswith("roundsman.")]
    assert "roundsman.batch.running" in library
    code = f"""
import importlib, sys
for name in ["prefect", "flows", "blocks", "deployments"]:
    sys.modules[name] = None
for module in {library!r}:
    importlib.import_module(module)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_no_function_of_the_library_imports_prefect_when_it_is_called():
    late = re.compile(r"^\s+(?:import|from) prefect\b", re.MULTILINE)
    assert [] == [
        module for module, path in modules() if module.startswith("roundsman.") and late.search(path.read_text())
    ]


def class_names():
    """Where each class is defined: dotted modules by its name."""
    found = {}
    for module, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(module)
    return found


def test_a_class_name_has_one_meaning():
    assert {} == {name: places for name, places in class_names().items() if len(places) > 1}


UNIT = re.compile(r"SECONDS|BYTES|CHARACTERS", re.IGNORECASE)


def numbers_without_a_unit():
    """Constants whose comment begins with a unit that their name leaves out."""
    for module, path in modules():
        lines = path.read_text().splitlines()
        for node in ast.parse("\n".join(lines)).body:
            first = node.lineno - 1
            while first and lines[first - 1].startswith("#:"):
                first -= 1
            if UNIT.match(lines[first].removeprefix("#: ")) and isinstance(node, ast.Assign):
                names = [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
                yield from (f"{module}.{name}" for name in names if not UNIT.search(name))


def test_a_number_says_its_unit():
    assert [] == sorted(numbers_without_a_unit())


def test_only_the_prober_knows_libcurl():
    users = {str(path.relative_to(ROOT)) for _, path in modules() if "import pycurl" in path.read_text()}
    assert users <= {"roundsman/probe/probe.py", "roundsman/probe/transfer.py"}


def test_every_flow_and_task_is_async():
    """A synchronous one costs about a second more."""
    names = [name for name, _ in modules() if name.startswith(("flows.jobs.", "flows.checks.", "flows.tasks."))]
    code = f"""
import importlib
from prefect import Flow, Task
made = [made for name in {names!r} for made in vars(importlib.import_module(name)).values()]
made = [one for one in made if isinstance(one, Flow | Task)]
assert len(made) > 40, made
assert all(one.isasync for one in made), [one.name for one in made if not one.isasync]
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr[-2000:]


def test_what_is_printed_goes_through_say():
    """It makes text of whatever was seen. The demo and the cluster print their own words; the guard writes into a pipe."""
    commands = {path for _, path in modules()}
    commands -= {*ROOT.glob("deployments/demo/*.py"), *ROOT.glob("deployments/cluster/*.py")}
    printing = {
        str(path.relative_to(ROOT))
        for path in commands
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"print", "sys.stdout.write", "sys.stderr.write"}
    }
    assert {
        "roundsman/cli/output.py",
        "roundsman/cli/parser.py",
        "flows/jobs/watch_jobs.py",
        "roundsman/batch/events.py",
        "roundsman/rollback/guard.py",
    } == printing


def test_what_a_job_says_is_heard_whichever_job_is_imported():
    """Prefect's own configuration of logging leaves a process at WARNING."""
    code = "import logging, flows.jobs.watch_jobs; assert logging.getLogger('roundsman').isEnabledFor(logging.INFO)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr


def test_a_check_is_short():
    for path in ROOT.glob("flows/checks/[!_]*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < 25, f"{path}: {node.name} is in the wrong room"


@pytest.mark.parametrize("name", ["fastapi", "sqlalchemy", "prefect"])
def test_the_lock_keeps_the_upper_bounds(name):
    bounds = {"fastapi": (0, 151), "sqlalchemy": (2, 1), "prefect": (3, 9)}
    locked = re.search(rf"^{name}==(\d+)\.(\d+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert (int(locked[1]), int(locked[2])) < bounds[name]


def test_the_lock_has_a_hash_for_each_package_and_names_no_host():
    text = (ROOT / "requirements.lock").read_text()
    packages = re.findall(r"^\S+==.*(?:\n    .*)*", text, re.MULTILINE)
    assert len(packages) > 100
    assert all("--hash=sha256:" in package for package in packages)
    assert not re.search(r"://|index-url", text)


def test_the_version_is_said_once():
    from roundsman.version import VERSION

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_the_product_reads_only_environment_variables_that_the_readme_names():
    """So no switch of a test is left in it: what kills a worker in a test could kill one in production."""
    standard = {"PATH", "PYTHONPATH", "SSL_CERT_FILE"}
    handed_to_a_child = {"ROUNDSMAN_LEG"}
    readme = (ROOT / "README.md").read_text()
    read = set(variables_read()) - standard - handed_to_a_child
    assert {"ROUNDSMAN_LEDGER_URL", "ROUNDSMAN_BOARD_TOKEN", "ROUNDSMAN_PING"} <= read
    assert set() == {name for name in read if name not in readme and not name.startswith("PREFECT_")}


def variables_read():
    trees = {
        path.relative_to(ROOT).with_suffix("").as_posix(): ast.parse(path.read_text())
        for room in ("blocks", "flows", "roundsman", "deployments")
        for path in ROOT.glob(f"{room}/**/*.py")
    }
    for tree in trees.values():
        named = {
            ast.unparse(target): node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
        }
        for node in ast.walk(tree):
            if name := _variable(node):
                # A name that only a call knows was given by a user, in a site file.
                yield name.value if isinstance(name, ast.Constant) else named.get(ast.unparse(name), "PATH")


def _variable(node):
    """The name in `os.environ[name]`, `os.environ.get(name)`, `os.getenv(name)` and `name in os.environ`."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and ast.unparse(node.value) == "os.environ":
        return node.slice
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"os.environ.get", "os.environ.pop", "os.getenv"}:
        return node.args[0]
    if isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
        return node.left
    return None


def test_pre_commit_checks_what_make_lint_checks():
    """And fetches nothing: each hook is a program of the locked environment."""
    makefile = (ROOT / "Makefile").read_text()
    linted = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1].replace("$(BIN)", ".venv/bin")
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert ["local"] == [repo["repo"] for repo in repos]
    assert linted.strip().split("\n\t") == [hook["entry"] for hook in repos[0]["hooks"]]


def test_no_slow_test_is_among_the_fast_ones():
    """`--fast` leaves out each marker and whoever asks for a server; what `needs` finds is skipped; the rest has a limit."""
    from tests.conftest import SLOW_FIXTURES, SLOW_MARKERS

    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert {marker.partition(":")[0] for marker in options["markers"]} == set(SLOW_MARKERS)
    shared = (ROOT / "tests/conftest.py").read_text()
    assert all(f"def {name}(" in shared for name in SLOW_FIXTURES)
    harness = "prefect_test_" + "harness"
    assert [ROOT / "tests/conftest.py"] == [path for path in ROOT.glob("tests/**/*.py") if harness in path.read_text()]
