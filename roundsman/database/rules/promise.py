"""What a team promises of its database: whose it is, how it is read, and what is held against it."""

import shlex
from collections.abc import Iterator

from pydantic import Field, model_validator

from roundsman.database.rules.index_facts import Indexes
from roundsman.database.rules.migration_facts import Migrations
from roundsman.database.rules.query_facts import Queries
from roundsman.report.rules.verdict import Claim, Verdict
from roundsman.site.rules.field_types import EnvName, Model, Name, Text
from roundsman.site.rules.site import Notify, Site


class Variable(Model):
    """An address with its password, which is read from the environment when it is needed."""

    env: EnvName

    @model_validator(mode="before")
    @classmethod
    def _named(cls, said: object) -> object:
        if isinstance(said, str):
            raise ValueError("wanted {env: NAME}: an address with its password is kept in the environment")  # noqa: TRY004 - pydantic tells it
        return said


class DatabaseRollback(Model):
    """How a change to the database is taken back."""

    note: Text
    command: tuple[Text, ...] = ()


class ReviewSchedule(Model):
    """When the review runs by itself."""

    review: Text = "daily"
    """`hourly`, `daily` (between three and four), or a cron expression of five fields; a minute written `H` comes from
    the database's name."""
    timezone: Text = "UTC"


class Database(Model):
    """One database and everything promised about it."""

    database: Name
    owner: Text
    """Team and address, such as `content <content-oncall@example.com>`."""
    expected_result: Text
    """What is true of the database when all is well, in a sentence."""
    rollback: DatabaseRollback
    url: Variable
    """Where the live database is, as `{env: NAME}`; it is only read. `postgresql://...` or `sqlite:///FILE`."""
    nodes: tuple[Variable, ...] = ()
    """Its standbys: an index is unused only when none of them uses it."""
    folder: Text = "."
    """The folder of the project that has the migrations and the named queries, from this file's folder."""
    indexes: Indexes = Field(default_factory=Indexes)
    queries: Queries | None = None
    """Named queries whose plans are watched; none when left out."""
    migrations: Migrations | None = None
    """What is rehearsed on a copy; nothing when left out."""
    schedule: ReviewSchedule | None = None
    """When the review runs by itself; never when left out."""
    notify: Notify | None = None
    """Who is told what a review found, through blocks that Prefect keeps; nobody when left out."""

    @property
    def team(self) -> str:
        """Who answers for it, without the address."""
        return self.owner.partition("<")[0].strip()

    @property
    def back(self) -> str:
        """The command that goes back, or how to."""
        return shlex.join(self.rollback.command) or self.rollback.note


def could_not_review(promised: Database, check: str, why: str) -> Verdict:
    """The verdict of a check that could not look."""
    finding = Claim(f"{check}/looked", "The check could look.").against(why, "a look at the database", holds=None)
    said = (promised.team, promised.expected_result, promised.back)
    return Verdict(check, promised.database, "", *said, (finding,))


def as_site(promised: Database) -> Site:
    """The database as whoever tells people takes it: a name, an owner, and channels.

    A site can have the same name, and what a review is silent about must not end an alert of that.
    """
    name = f"database-{promised.database}"
    return Site.model_construct(site=name, owner=promised.owner, notify=promised.notify, rules=(), base_url="")


Conflict = tuple[tuple[str | int, ...], str, str]


def conflicts(promised: Database) -> Iterator[Conflict]:
    """What a database file says twice or against itself: place, what was seen, what to do."""
    known = [promised.url.env]
    for place, node in enumerate(promised.nodes):
        if node.env in known:
            yield ("nodes", place, "env"), node.env, "it is named already; give each node a variable of its own"
        known.append(node.env)
    plan = promised.migrations
    if plan and plan.golden in known:
        mend = "name a copy that is restored from the backup: the live database is never rehearsed on"
        yield ("migrations", "golden"), plan.golden, mend
