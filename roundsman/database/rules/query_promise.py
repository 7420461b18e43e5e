"""The section `queries:` of a database file: the named queries, and what is held against their plans."""

from pydantic import Field

from roundsman.database.rules.acceptance import AcceptedQuery
from roundsman.report.rules.durations import Duration
from roundsman.site.rules.field_types import EnvName, Model, Text


class RunOn(Model):
    """A database that the queries are run on, by the variable that holds its address."""

    env: EnvName


class Queries(Model):
    """Named queries, and what is held against their plans."""

    file: Text
    """A file of named queries, from the project's folder."""
    run_on: RunOn | None = None
    """Where each is run once with its values, read-only: a golden database or a standby. It is only planned when left
    out, so that what it really reads is not known."""
    large: int = Field(default=10_000, ge=0)
    """Rows from which on a table must not be read from end to end."""
    off_by: float = Field(default=100, gt=1)
    """How many times more or fewer rows than the planner thinks a step may give."""
    costlier: float = Field(default=1.5, gt=1)
    """How many times the cost of the plan before a changed plan may have."""
    more_blocks: float = Field(default=2.0, gt=1)
    """How many times the pages of the plan before it may read."""
    told_for: Duration = Field(default=7 * 86400.0, ge=0)
    """How long a changed plan is told."""
    top: int = Field(default=20, ge=0, le=1000)
    """So many of the queries that take the most time in all should be named."""
    share: float = Field(default=0.01, ge=0, le=1)
    """The part of all queries' time below which one needs no name."""
    timeout: Duration = 10.0
    """For one query."""
    accept: tuple[AcceptedQuery, ...] = ()
    """Claims that one query may break until a day, each with the reason."""
