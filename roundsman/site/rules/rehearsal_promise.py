"""What a site file says about rehearsing its release: where, how long a command may take, and what is compared."""

from pydantic import Field

from roundsman.report.rules.durations import Duration
from roundsman.site.rules.field_types import Address, EnvName, HeaderName, Model, Path, Text

STAGING, PRODUCTION = "staging", "production"
#: Of every response; what differs by itself, such as Date, is not among them.
HEADERS = ("cache-control", "content-type", "location", "vary")


class Environment(Model):
    """One place where the release runs."""

    base_url: Address | None = None
    """Scheme and host, without a path; the site's own when left out."""
    env: dict[EnvName, Text] = Field(default_factory=dict)
    """Variables that tell the commands where they are, such as DEPLOY_TO: staging. They are shown: a secret comes from
    the environment of whatever runs the job."""
    settings: tuple[Text, ...] = ()
    """A command, as a list of words, that prints the settings of this environment as NAME=VALUE, one a line (or with a
    zero byte after each, as `env -0` does). It only reads. Values are compared and never kept."""


class Environments(Model):
    """Where the release runs."""

    staging: Environment | None = None
    """Where a release is rehearsed, and no reader is."""
    production: Environment | None = None


class Drill(Model):
    """How a release is rehearsed."""

    pages: tuple[Path, ...] = Field(default=(), max_length=20)
    """Pages that must be the same before the release and after its rollback; the first cached example of each rule
    when left out."""
    headers: tuple[HeaderName, ...] = HEADERS
    """Headers of these pages that must be the same too."""
    timeout: Duration = Field(default=900.0, gt=0, le=3600)
    """After this time a command is killed with everything it started."""
    settle: Duration = Field(default=60.0, ge=0, le=900)
    """The time in which the site answers as it should once a command has ended."""
    schema_stays: bool = False
    """Whether the rollback leaves the database's schema as the deploy made it, so that the old release runs on the new
    one (expand first, contract later). Else the schema must be back as well."""
    differs: tuple[EnvName, ...] = ()
    """Settings that are meant to differ between staging and production, such as DATABASE_URL."""
