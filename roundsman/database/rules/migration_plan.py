"""The section `migrations:` of a database file: what is rehearsed on a copy, and what may wait for how long."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from roundsman.database.rules.acceptance import AcceptedMigration
from roundsman.database.rules.migration_reach import PARTS, unknown_parts
from roundsman.report.rules.durations import Duration

#: A table with how many rows it has in production.
Rows = Annotated[int, Field(ge=0)]
#: The name of an environment variable.
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _heads(written: object) -> object:
    is_count = isinstance(written, int) and not isinstance(written, bool) and written > 0
    is_labels = isinstance(written, list | tuple) and written and all(isinstance(one, str) and one for one in written)
    if written is not None and not is_count and not is_labels:
        raise ValueError("wanted a number from 1 on, or a list of branch labels")
    return written


#: How many heads there are, or the labels of the branches that have one each.
Heads = Annotated[int | tuple[str, ...], BeforeValidator(_heads)]


class Protection(StrEnum):
    """How the live database is kept out of reach of what a rehearsal runs."""

    FULL = "full"
    """No network, no file of the live database, and on PostgreSQL a role that owns the copy and nothing else."""
    NETWORK = "network"
    """The same with the golden database's own role: what that makes the server do is not guarded."""
    ENVIRONMENT = "environment"
    """No variable leads to the live database; a written address does."""


def _template(written: str) -> str:
    if unknown := unknown_parts(written):
        wanted = ", ".join(f"{{{part}}}" for part in PARTS)
        raise ValueError(f"no part {{{unknown[0]}}} of an address; wanted {wanted}, or text without braces")
    return written


#: The value of a variable, with parts of the copy's address in braces.
Template = Annotated[str, AfterValidator(_template)]


class MigrationBudget(BaseModel):
    """What the migrations of one release may cost production."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reads_blocked: Duration = Field(default=1.0, description="how long a migration may keep readers of a table waiting")
    writes_blocked: Duration = Field(default=5.0, description="how long it may keep writers waiting")
    time: Duration = Field(default=600.0, description="how long it may take in all")
    rows: int = Field(default=100_000, gt=0, description="rows that one migration may read and write")
    growth: int = Field(default=10 * 2**30, gt=0, description="bytes that disk and write-ahead log may grow by")


class Migrations(BaseModel):
    """Alembic migrations, and the copy that they are rehearsed on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str = Field(default="alembic.ini", description="Alembic's file, from the project's folder")
    golden: Variable = Field(description="the environment variable with the URL of the database to copy")
    url: Variable = Field(
        default="DATABASE_URL", description="the variable in which Alembic and the smoke test find the copy's URL"
    )
    env: dict[Variable, Template] = Field(
        default_factory=dict,
        description="more variables for Alembic and the smoke test, such as {POSTGRES_SERVER: '{host}'}: in braces one "
        "of {url}, {host}, {port}, {user}, {password} and {database} of the copy",
    )
    guard: Protection = Field(
        default=Protection.FULL,
        description="how the live database is kept out of reach: `full`; `network`, where the golden database's own "
        "role runs the migrations; `environment`, where only variables are withheld, for want of user namespaces",
    )
    python: str = Field(default="python", description="the Python that has Alembic and what the migrations import")
    smoke: tuple[str, ...] = Field(default=(), description="a command that tries the old release on the new schema")
    smoke_timeout: Duration = Field(default=60.0, description="how long the smoke test may take")
    timeout: Duration = Field(default=1800.0, description="how long Alembic may take to go up or down")
    rows: dict[str, Rows] = Field(
        default_factory=dict, description="rows in production by table; what is left out is asked of the database"
    )
    lossy: tuple[Annotated[str, Field(pattern=r"^[^.]+(\.[^.]+){1,2}$")], ...] = Field(
        default=(), description="columns, as table.column, whose values may change"
    )
    heads: Heads | None = Field(
        default=None,
        description="how many newest migrations there are on purpose, or the labels of the branches with one each; "
        "left out, there is one, or one for each branch with a label in its scripts",
    )
    budget: MigrationBudget = Field(default_factory=MigrationBudget)
    accept: tuple[AcceptedMigration, ...] = Field(
        default=(), description="claims that one migration may break until a day, each with the reason"
    )
