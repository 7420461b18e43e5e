"""What runs, when, and on which pool: one deployment for each job of each site, and one for each job of the project."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import Flow

from flows.jobs.compare_release import compare_release
from flows.jobs.import_catalogue import import_catalogue
from flows.jobs.inspect_site import inspect_site
from flows.jobs.prune_ledger import prune_ledger
from flows.jobs.publish_status import publish_status
from flows.jobs.purge_published import purge_published
from flows.jobs.rehearse_release import rehearse_release
from flows.jobs.review_database import review_database
from flows.jobs.sweep_shard import sweep_shard
from flows.jobs.sweep_site import sweep_site
from flows.jobs.watch_jobs import watch_jobs
from flows.tasks.site import all_sites, check
from roundsman.alerts.rules.runbook import RUNBOOKS, SITE_OWNER, Runbook
from roundsman.database.database_file import all_databases, check_database
from roundsman.database.rules.promise import Database
from roundsman.site.rules.promises import cron
from roundsman.site.rules.site import Schedule, Site
from roundsman.site.site_file import schedule_problems, zone

ROOT = Path(__file__).parents[1]
POOL = "roundsman"
#: What marks a deployment as ours; one without it is never touched.
TAG = "roundsman"
#: What a run's process needs, whichever pool starts it: its log lines, and a sign of life every 30 seconds.
ENV = {"PREFECT_LOGGING_EXTRA_LOGGERS": "roundsman", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


@dataclass(frozen=True)
class Timetable:
    """When a job of the whole project runs, and what it does when it is still running then."""

    job: Flow[..., Any]
    cron: str
    waits: bool = False
    """Whether the next run waits for this one, as one that purges does. Else it is cancelled."""
    grace: int | None = None
    """Seconds after which a run that did not begin gives its slot back, 60 or more; the server's own when left out."""
    artifacts: Sequence[str] = ()
    """Keys under which its results are found in Prefect."""
    parameters: dict[str, Any] = field(default_factory=dict)


#: The jobs of the whole project. One more is one more line.
PROJECT = (
    Timetable(watch_jobs, "* * * * *", grace=60),
    Timetable(publish_status, "*/5 * * * *", artifacts=("status",)),
    Timetable(prune_ledger, "23 3 * * *", parameters={"dry_run": False}),
)


@dataclass(frozen=True)
class Spec:
    """One deployment."""

    name: str
    job: Flow[..., Any]
    cron: str
    """Empty when only another job, or a person, starts it."""
    timezone: str
    owner: str
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()
    waits: bool = False
    grace: int | None = None
    artifacts: Sequence[str] = ()
    limit: int = 1
    """Runs at once."""

    @property
    def runbook(self) -> Runbook:
        """What is written on the job."""
        return RUNBOOKS[entrypoint(self.job)]

    @property
    def promise(self) -> str:
        """The job's docstring without its list of arguments."""
        return " ".join((self.job.fn.__doc__ or "").partition("Args:")[0].split())

    @property
    def description(self) -> str:
        """What whoever is woken up reads first, as Markdown."""
        lines = [
            self.promise,
            "",
            f"- **Owner:** {self.owner}",
            f"- **Expected:** {self.runbook.expects}",
            f"- **On failure:** {self.runbook.on_fail}",
            f"- **Rollback:** {self.runbook.rollback}",
        ]
        if self.artifacts:
            links = ", ".join(f"[{key}](/v2/artifacts/key/{key})" for key in self.artifacts)
            lines.append(f"- **Results:** {links}, also under Artifacts on each run's page")
        return "\n".join(lines)

    def rendered(self) -> dict[str, Any]:
        """The deployment as prefect.yaml holds it.

        The schedule has a slug and no `active`, so that an operator's pause survives a deploy. The version is what
        the build step said: a variable that is not set would make it empty.

        Raises:
            ValueError: a schedule that Prefect would refuse, after it had deployed the ones before.
        """
        if self.cron and (
            problem := next(schedule_problems(Schedule(inspect=self.cron, timezone=self.timezone)), None)
        ):
            raise ValueError(f"{self.name}: {problem[0]}: saw {problem[1]}, {problem[2]}")
        limit: dict[str, Any] = {"limit": self.limit, "collision_strategy": "ENQUEUE" if self.waits else "CANCEL_NEW"}
        if self.grace is not None:
            limit["grace_period_seconds"] = self.grace
        return {
            "name": self.name,
            "version": "{{ commit.stdout }}",
            "entrypoint": entrypoint(self.job),
            "description": self.description,
            "tags": [TAG, f"owner:{self.owner.partition('<')[0].strip()}", *self.tags, f"job:{self.job.fn.__name__}"],
            "parameters": self.parameters,
            "schedules": [{"slug": self.name, "cron": self.cron, "timezone": self.timezone}] if self.cron else [],
            "concurrency_limit": limit,
            "work_pool": {"name": POOL, "job_variables": {"env": dict(ENV)}},
        }


def specs(sites: Iterable[Site]) -> list[Spec]:
    """The deployments of some sites; a site without a schedule has none."""
    return [spec for site in sites if site.schedule for spec in _of(site, site.schedule)]


def _of(site: Site, schedule: Schedule) -> Iterator[Spec]:
    def spec(job: Flow[..., Any], name: str, when: str, **more: Any) -> Spec:
        timed = cron(when, f"{name}-{site.site}" if job is not inspect_site else site.site) if when else ""
        parameters = {"site": site.site, **more.pop("parameters", {})}
        return Spec(
            f"{name}-{site.site}",
            job,
            timed,
            zone(timed, schedule.timezone),
            owner=owner(job, site),
            tags=(f"site:{site.site}",),
            parameters=parameters,
            **more,
        )

    kept: tuple[str, ...] = (f"round-{site.site}", f"verdicts-{site.site}")
    in_earnest = {"dry_run": False}
    yield spec(inspect_site, "inspect", schedule.inspect, artifacts=kept)
    if schedule.sweep:
        yield spec(sweep_site, "sweep", schedule.sweep, artifacts=(f"sweep-{site.site}",))
        # Started by the sweep, with the shard's own parameters.
        shard = {"sweep": 0, "shard": 0}
        yield spec(sweep_shard, "sweep-shard", "", waits=True, limit=site.sweep.workers, parameters=shard)
    if schedule.purge:
        kept = (f"published-{site.site}", f"published-verdicts-{site.site}")
        yield spec(
            purge_published, "purge-published", schedule.purge, waits=True, artifacts=kept, parameters=in_earnest
        )
    if schedule.catalogue and site.catalogue:
        feed = {"feed": site.catalogue.feed, **in_earnest}
        yield spec(import_catalogue, "import-catalogue", schedule.catalogue, waits=True, parameters=feed)
    if schedule.compare:
        yield spec(compare_release, "compare", schedule.compare, artifacts=(f"comparison-{site.site}",))
    if schedule.rehearse:
        kept = (f"rehearsal-{site.site}",)
        yield spec(rehearse_release, "rehearse", schedule.rehearse, artifacts=kept, parameters=in_earnest)


def database_specs(databases: Iterable[Database]) -> list[Spec]:
    """The deployments of some databases; one without a schedule has none."""
    return [
        Spec(
            name=f"review-{one.database}",
            job=review_database,
            cron=cron(one.schedule.review, f"review-{one.database}"),
            timezone=one.schedule.timezone,
            owner=one.owner,
            parameters={"database": one.database},
            tags=(f"database:{one.database}",),
            # A rehearsal of migrations drops its copy at its end.
            waits=True,
            artifacts=(
                f"review-{one.database}",
                f"review-findings-{one.database}",
                *([f"migrations-{one.database}"] if one.migrations else []),
            ),
        )
        for one in databases
        if one.schedule
    ]


def shared_specs(timetables: Iterable[Timetable] = PROJECT) -> list[Spec]:
    """The deployments of jobs that are no single site's.

    Raises:
        ValueError: such a job leaves its owner to a site.
    """
    return [
        Spec(
            name=timetable.job.name,
            job=timetable.job,
            cron=timetable.cron,
            timezone="UTC",
            owner=owner(timetable.job),
            parameters=timetable.parameters,
            waits=timetable.waits,
            grace=timetable.grace,
            artifacts=timetable.artifacts,
        )
        for timetable in timetables
    ]


def entrypoint(job: Flow[..., Any]) -> str:
    """Module path and name of a job. The file form would import the module a second time."""
    return f"{job.fn.__module__}.{job.fn.__name__}"


def owner(job: Flow[..., Any], site: Site | None = None) -> str:
    """Who answers for a job: whoever its runbook names, or the owner of the site that it runs for.

    Raises:
        ValueError: it leaves its owner to a site, and runs for none.
    """
    named = RUNBOOKS[entrypoint(job)].owner
    if named != SITE_OWNER:
        return named
    if site is None:
        raise ValueError(f"{job.name}: owner: saw {named}, wanted a team, since it runs for no single site")
    return site.owner


def project_specs() -> list[Spec]:
    """The deployments of this project: of every site and database, and of the jobs that are no single site's.

    Raises:
        SiteFileError: one of the files is wrong.
    """
    sites, databases = map(check, all_sites()), map(check_database, all_databases())
    return [*specs(sites), *database_specs(databases), *shared_specs()]
