"""Mutation testing of the judges: each small change to one of them has to fail one of its fast tests.

    python -m benchmarks.mutants                      # every mutant of every judge
    python -m benchmarks.mutants --sample 40 robots   # forty of one, drawn by chance; --seed draws others

Neither mutmut nor cosmic-ray is used. Mutmut 3 leaves alone what stands outside of functions and what is decorated, and
our judges are tables and properties in good part. Cosmic-ray starts Python and pytest for each mutant, which takes
several times as long as the tests. Here the tests are collected once, and a process forks for each mutant.
"""

import argparse
import ast
import contextlib
import importlib
import importlib.abc
import importlib.util
import inspect
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.machinery import ModuleSpec
from itertools import islice, zip_longest
from pathlib import Path
from types import CodeType, FunctionType

import pytest

BY_NAME = True

ROOT = Path(__file__).parents[1]
_RFC9111 = tuple(f"tests/http/test_{name}.py" for name in ("rfc9111_store", "rfc9111_reuse", "ambiguities", "vectors"))
#: Each judge, and the fast tests that have to notice.
JUDGES = {
    "roundsman.purge.rules.evidence": ("tests/purge/test_evidence.py", "tests/purge/test_judge.py"),
    "roundsman.alerts.rules.alert": ("tests/alerts/test_alert.py",),
    "roundsman.sweep.rules.robots": ("tests/sweep/test_robots.py",),
    "roundsman.http.rfc9111_store": _RFC9111,
    "roundsman.http.rfc9111_reuse": _RFC9111,
    "roundsman.logged_in.rules.judge": ("tests/logged_in/test_judge.py", "tests/logged_in/test_visit_plan.py"),
    "roundsman.timing.rules.judge": ("tests/timing/test_judge.py",),
}
#: Survivors that nobody can notice, by module: the mutant as it is printed, and why it is the same program.
EQUIVALENT: dict[str, dict[str, str]] = {
    "roundsman.alerts.rules.alert": {
        " if policy.rounds > 1 else () ->  if policy.rounds > 2 else ()": "of two, the last was good",
    },
    "roundsman.sweep.rules.robots": {
        "return False -> return None": "whether a line matches is asked by `and` alone",
        "rst.rfind(b'\\r')) + 1] -> rst.rfind(b'\\r')) + 2]": "one character more is no line",
        "er() if found else '' -> er() if found else 'XX'": "no robot is called that, in small letters",
        "has_rules = False -> has_rules = True": "there is no robot yet whose group could end",
        "best = (-1, True) -> best = (-2, True)": "each length is 0 or more",
        "ength, line.allow) > best and line.match -> ength, line.allow) >= best and line.match": "alike",
        "o_end=False, length=0),)) -> o_end=False, length=1),))": "it is the only line",
    },
    "roundsman.http.rfc9111_store": {
        "t('cache-control', '') -> t('cache-control', 'XX')": "no cache knows that directive",
        "(found.get('vary', '')) -> (found.get('vary', 'XX'))": "no request has that header",
        "url: str = '' -> url: str = 'XX'": "it is read of a POST, which brings its own",
    },
    "roundsman.http.rfc9111_reuse": {"return '' -> return None": "whether there is a reason is asked by `and` alone"},
    "roundsman.timing.rules.judge": {
        "_look(site, CHECK, '', health.path) -> _look(site, CHECK, 'XX', health.path)": "it is replaced",
    },
}
#: The share of mutants that may survive without being equivalent.
MAX_SURVIVORS = 0.05
#: A mutant that takes so many times as long as the tests alone runs in a loop, and is noticed.
MAX_SLOWDOWN, MIN_TIMEOUT_SECONDS = 20, 30

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}

Change = Callable[[], None]


def changes(node: ast.AST) -> Iterator[Change]:  # noqa: C901 - one branch for each kind of node
    """The ways in which one node is changed, in place."""
    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            if other := _COMPARISONS.get(type(operator)):
                yield lambda index=index, other=other: node.ops.__setitem__(index, other())
    elif isinstance(node, ast.BoolOp):
        yield lambda: setattr(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATORS:
        yield lambda: setattr(node, "op", _OPERATORS[type(node.op)]())
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        yield lambda: setattr(node.func, "id", _CALLS[node.func.id])
    elif isinstance(node, ast.Return) and node.value and not _is_none(node.value):
        yield lambda: setattr(node, "value", ast.Constant(None))
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Continue | ast.Break):
        yield lambda: setattr(node, "__class__", ast.Break if isinstance(node, ast.Continue) else ast.Continue)
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare | ast.BoolOp):
        yield lambda: setattr(node, "test", _negated(node.test))
    if isinstance(node, ast.comprehension):
        for index, test in enumerate(node.ifs):
            yield lambda index=index, test=test: node.ifs.__setitem__(index, _negated(test))


def _constants(node: ast.Constant) -> Iterator[Change]:
    if isinstance(node.value, bool):
        yield lambda: setattr(node, "value", not node.value)
    elif isinstance(node.value, int | float):
        yield lambda: setattr(node, "value", node.value + 1)
    elif isinstance(node.value, str):
        yield lambda: setattr(node, "value", f"XX{node.value}")
    elif isinstance(node.value, bytes):
        yield lambda: setattr(node, "value", b"XX" + node.value)


def _negated(test: ast.expr) -> ast.expr:
    negation = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    return test.operand if negation else ast.UnaryOp(ast.Not(), test)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


Place = tuple[ast.AST, ast.stmt, tuple[str, ...]]


def _places(node: ast.AST, around: ast.stmt, path: tuple[str, ...]) -> Iterator[Place]:
    """What says how to judge, with the statement around it and the function that it is in, by its path of names.

    Neither annotations, docstrings, decorators and imports, nor sentences with gaps.
    """
    yield node, around, path
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            in_sentence = isinstance(node, ast.JoinedStr | ast.FormattedValue)
            words = in_sentence and isinstance(child, ast.Constant | ast.JoinedStr)
            is_import = isinstance(child, ast.Import | ast.ImportFrom)
            if isinstance(child, ast.AST) and not (is_text or words or is_import):
                within = (*path, child.name) if isinstance(child, ast.FunctionDef | ast.ClassDef) else path
                # A default value is evaluated where the function is defined, not inside it.
                yield from _places(child, child if isinstance(child, ast.stmt) else around, within)


class Mutant:
    """A module with its change of some number."""

    def __init__(self, source: str, number: int) -> None:
        self.tree = ast.parse(source)
        places = _places(self.tree, ast.Pass(), ())
        self.node, around, self.path, change = next(islice(_all(places), number, None))
        before = ast.unparse(around)
        change()
        ast.fix_missing_locations(self.tree)
        self.what = _difference(before, ast.unparse(around))
        self.line = around.lineno

    @property
    def source(self) -> str:
        return ast.unparse(self.tree)

    def function(self) -> CodeType | None:
        """The code of the function that is changed; None where it is not the code of one that is changed."""
        code = compile(self.tree, "mutant", "exec")
        for name in self.path:
            found = [each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name]
            if len(found) != 1:
                return None
            code = found[0]
        return code if code.co_flags & inspect.CO_NEWLOCALS and not code.co_freevars else None


def _all(places: Iterator[Place]) -> Iterator[tuple[ast.AST, ast.stmt, tuple[str, ...], Change]]:
    for node, around, path in places:
        for change in changes(node):
            yield node, around, path, change


def count_of(source: str) -> int:
    """How many mutants a module has."""
    return sum(1 for _ in _all(_places(ast.parse(source), ast.Pass(), ())))


def _difference(before: str, after: str) -> str:
    """Where two texts differ, with a few words around."""
    start = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
    end = next((at for at, pair in enumerate(zip(before[::-1], after[::-1], strict=False)) if pair[0] != pair[1]), 0)
    end = min(end, len(before) - start, len(after) - start)
    left, right = max(0, start - 20), max(0, end - 20)
    return f"{before[left : len(before) - right]} -> {after[left : len(after) - right]}".replace("\n", " ")


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Has one module read from a text."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def get_source(self, fullname: str) -> str:  # noqa: ARG002 - there is one
        return self.source


def _pytest(tests: list[str], *plugins: object) -> int:
    # What is there already can't be rewritten, which the tests would take for an error.
    alone = ["-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main(["-x", "-q", "--fast", *alone, *tests], plugins=plugins))


def _in_child(work: Callable[[], int], seconds: float) -> int:
    """What some work returns, done in a process of its own that says nothing; one that takes too long is ended."""
    child = os.fork()
    if child == 0:
        os.setsid()
        code = 1
        try:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            code = work()
        finally:
            os._exit(code)
    ends = os.pidfd_open(child)
    try:
        if not select.select([ends], [], [], seconds)[0]:
            os.killpg(child, signal.SIGKILL)
    finally:
        os.close(ends)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class _Judging:
    """Tries the mutants of a judge once its tests are collected, each in a process that inherits them.

    Its function's code is replaced there. A change outside of functions is left for a process that imports all anew.
    """

    def __init__(self, name: str, sample: int, seed: int) -> None:
        self.name, self.tests = name, [test for test in JUDGES[name] if (ROOT / test).exists()]
        self.source = ROOT.joinpath(*name.split(".")).with_suffix(".py").read_text()
        numbers = range(count_of(self.source))
        self.numbers = random.Random(seed).sample(numbers, sample) if 0 < sample < len(numbers) else numbers
        self.living: list[tuple[int, str]] = []
        self.left: list[int] = []

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        started = time.monotonic()
        if _in_child(lambda: _run(session), 600):
            sys.exit(f"{', '.join(self.tests)} fail without any change of {self.name}")
        limit = max(MIN_TIMEOUT_SECONDS, MAX_SLOWDOWN * (time.monotonic() - started))
        for number in self.numbers:
            mutant = Mutant(self.source, number)
            code, function = mutant.function(), self._function(mutant.path)
            if not code or not function:
                self.left.append(number)
            elif not _in_child(partial(_run, session, function, code), limit):
                self.living.append((mutant.line, mutant.what))
        return True

    def _function(self, path: tuple[str, ...]) -> FunctionType | None:
        found: object = sys.modules[self.name]
        for name in path:
            found = vars(found).get(name)
            found = getattr(found, "fget", None) or getattr(found, "func", None) or getattr(found, "__func__", found)
            found = inspect.unwrap(found) if callable(found) else found
        return found if isinstance(found, FunctionType) else None


def _run(session: pytest.Session, function: FunctionType | None = None, code: CodeType | None = None) -> int:
    """1 when a test fails, with a function's code replaced."""
    if function and code:
        function.__code__ = code
    for item, following in zip_longest(session.items, session.items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            return 1
    return 0


def survivors(name: str, sample: int, seed: int) -> tuple[list[str], int, int]:
    """The mutants of a judge that no test notices, how many are known to be equivalent, and how many were tried."""
    judging = _Judging(name, sample, seed)
    with tempfile.TemporaryFile() as kept:

        def inherited() -> int:
            if code := _pytest(judging.tests, judging):
                return code
            os.write(kept.fileno(), json.dumps([judging.living, judging.left, sorted(sys.modules)]).encode())
            return 0

        # In a process of its own, since pytest leaves what it imported.
        if code := _in_child(inherited, 3600):
            sys.exit(f"the tests of {name} could not be collected, or fail without any change: {code}")
        kept.seek(0)
        living, left, imported = json.load(kept)
    _import_packages(imported)
    # Nothing may fail for want of what is imported already, or by how Python writes a module.
    if _anew(judging, ast.unparse(ast.parse(judging.source))):
        sys.exit(f"the tests of {name} fail without any change when it is imported from its tree")
    for number in left:
        mutant = Mutant(judging.source, number)
        if not _anew(judging, mutant.source):
            living.append((mutant.line, mutant.what))
    known = EQUIVALENT.get(name, {})
    unknown = [f"{line}: {what}" for line, what in living if what not in known]
    return unknown, len(living) - len(unknown), len(judging.numbers)


def _anew(judging: _Judging, source: str) -> int:
    """How the tests of a judge end with another source of it."""

    def work() -> int:
        sys.meta_path.insert(0, _Mutated(judging.name, source))
        return _pytest(judging.tests)

    return _in_child(work, 600)


def _import_packages(names: list[str]) -> None:
    """What the tests import beside our own modules, once for all children."""
    ours = ("roundsman", "flows", "blocks", "deployments", "tests", "conftest", "benchmarks", "__main__")
    for name in names:
        if name.partition(".")[0] not in ours:
            # Some names only look like modules.
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def rows() -> Iterator[tuple[str, str, str, bool]]:
    yield from _rows(list(JUDGES), 0, 1)


def _rows(names: list[str], sample: int, seed: int) -> Iterator[tuple[str, str, str, bool]]:
    for name in names:
        living, same, tried = survivors(name, sample, seed)
        for what in living:
            print(f"survives: {name}:{what}", flush=True)
        share = len(living) / max(1, tried - same)
        measured = f"{tried - same - len(living)} of {tried - same} noticed, {same} equivalent, {share:.1%} survive"
        yield f"mutants of {name}", measured, f"at most {MAX_SURVIVORS:.0%}", share <= MAX_SURVIVORS


def main() -> int:
    """Exit codes: 0 few enough survive, 1 too many do."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants")
    parser.add_argument("judge", nargs="*", help="a part of the names of those to try; all when left out")
    parser.add_argument("--sample", type=int, default=0, help="how many mutants of each; all when 0")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    names = [name for name in JUDGES if not args.judge or any(part in name for part in args.judge)]
    good = True
    for what, measured, wanted, ok in _rows(names, args.sample, args.seed):
        print(f"{'ok' if ok else 'no'}  {what}: {measured}; wanted {wanted}", flush=True)
        good = good and ok
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
