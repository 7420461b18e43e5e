"""Owner, expected result, what to do first, and the way back: written on the job that runs."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Job = TypeVar("Job", bound=Callable[..., Any])

#: As a job's owner: whoever owns the site that it runs for.
SITE_OWNER = "the site's owner"


@dataclass(frozen=True, slots=True)
class Command:
    """A command that goes back, as a list of words; `rehearsed_by` is the job that rehearses it."""

    argv: tuple[str, ...]
    rehearsed_by: str = ""

    def __init__(self, argv: list[str] | tuple[str, ...], rehearsed_by: str = "") -> None:
        if not argv or isinstance(argv, str) or not all(isinstance(word, str) and word for word in argv):
            raise ValueError(f"a command is a list of words and has at least one, not {argv!r}")
        object.__setattr__(self, "argv", tuple(argv))
        object.__setattr__(self, "rehearsed_by", rehearsed_by)

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True)
class NothingToUndo:
    """There is no way back because nothing was changed; says why that is so."""

    because: str

    def __post_init__(self) -> None:
        if not isinstance(self.because, str) or not self.because.strip():
            raise ValueError(f"where there is nothing to undo, rollback says why, and saw {self.because!r}")

    def __str__(self) -> str:
        return f"nothing to undo: {self.because}"


@dataclass(frozen=True, slots=True)
class Runbook:
    """What whoever is woken up by a job needs to know."""

    owner: str
    expects: str
    """What is true when it went well."""
    on_fail: str
    """What its failure means for readers, and where to look first."""
    rollback: Command | NothingToUndo
    max_runtime: float = 900.0
    """Seconds after which a run is overdue."""
    min_runtime: float = 0.0
    """Seconds before which it can't have done its work."""
    start_grace: float = 120.0
    """Seconds after its slot until which a run may begin."""
    job: str = field(default="", compare=False)
    """Module path of the job."""

    def __post_init__(self) -> None:
        for name in ("owner", "expects", "on_fail"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"a job needs its {name}, and saw {value!r}")
        if not isinstance(self.rollback, Command | NothingToUndo):
            raise TypeError(f"a job's rollback is a Command or NothingToUndo, not {self.rollback!r}")
        if not 0 <= self.min_runtime < self.max_runtime:
            raise ValueError(f"a job's min_runtime is below its max_runtime, and saw {self.min_runtime:g} s")
        if self.start_grace < 0:
            raise ValueError(f"a job's start_grace is not negative, and saw {self.start_grace:g} s")


#: Stands in for the runbook of a job whose module can't be imported.
UNWRITTEN = Runbook(
    owner="nobody",
    expects="The job ends well.",
    on_fail="Its runbook could not be read. First look: the run's log.",
    rollback=NothingToUndo("no runbook says how"),
)

#: Every job that was imported, by its module path.
RUNBOOKS: dict[str, Runbook] = {}


def job(  # noqa: PLR0913 - a runbook has as many lines
    *,
    owner: str,
    expects: str,
    on_fail: str,
    rollback: Command | NothingToUndo,
    max_runtime: float = 900.0,
    min_runtime: float = 0.0,
    start_grace: float = 120.0,
) -> Callable[[Job], Job]:
    """Write a job's runbook on the job; one without it does not import. Stands above `@flow`.

    Raises:
        TypeError: something is left out.
        ValueError: something is empty.
    """

    def keep(flow: Job) -> Job:
        fn = getattr(flow, "fn", flow)
        path = f"{fn.__module__}.{fn.__name__}"
        RUNBOOKS[path] = Runbook(owner, expects, on_fail, rollback, max_runtime, min_runtime, start_grace, path)
        return flow

    return keep
