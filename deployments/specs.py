"""What runs, when, and on which pool: one deployment for each job of each site, rendered into prefect.yaml."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow

from flows.jobs.inspect_site import inspect_site
from flows.rules.site import Schedule, Site
from flows.tasks.site_file import all_sites, check, schedule_problem

POOL = "roundsman"


@dataclass(frozen=True)
class Spec:
    """One deployment. `entrypoint` is a module path: the file form would import the module a second time."""

    name: str
    job: Flow[..., Any]
    cron: str
    timezone: str
    owner: str
    expects: str
    rollback: str
    parameters: dict[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()

    @property
    def entrypoint(self) -> str:
        """Module path and name of the job."""
        return f"{self.job.fn.__module__}.{self.job.fn.__name__}"

    @property
    def promise(self) -> str:
        """The first sentence of the job's docstring."""
        return (self.job.fn.__doc__ or "").strip().partition("\n")[0]

    def rendered(self) -> dict[str, Any]:
        """The deployment as prefect.yaml holds it.

        The schedule has a slug and no `active`, so that an operator's pause survives a deploy.

        Raises:
            ValueError: a schedule that Prefect would refuse, after it had deployed the ones before.
        """
        if problem := schedule_problem(Schedule(inspect=self.cron, timezone=self.timezone)):
            raise ValueError(f"{self.name}: {problem[0]}: saw {problem[1]}, {problem[2]}")
        return {
            "name": self.name,
            "entrypoint": self.entrypoint,
            "description": "\n".join(
                (
                    self.promise,
                    "",
                    f"- **Owner:** {self.owner}",
                    f"- **Expected:** {self.expects}",
                    f"- **Rollback:** {self.rollback}",
                )
            ),
            "tags": [f"owner:{self.owner.partition('<')[0].strip()}", *self.tags],
            "parameters": self.parameters,
            "schedules": [{"slug": self.name, "cron": self.cron, "timezone": self.timezone}],
            "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
            "work_pool": {"name": POOL, "job_variables": {"env": {"PREFECT_LOGGING_EXTRA_LOGGERS": "roundsman"}}},
        }


def specs(sites: Iterable[Site]) -> list[Spec]:
    """The deployments of some sites; a site without a schedule has none."""
    return [
        Spec(
            name=f"inspect-{site.site}",
            job=inspect_site,
            cron=site.schedule.inspect,
            timezone=site.schedule.timezone,
            owner=site.owner,
            expects="No claim fails: every route keeps its written promise.",
            rollback="Nothing to undo: a round purges its canaries and changes nothing else.",
            parameters={"site": site.site},
            tags=(f"site:{site.site}", "job:inspect_site"),
        )
        for site in sites
        if site.schedule
    ]


def project_specs() -> list[Spec]:
    """The deployments of every site of this project.

    Raises:
        SiteFileError: one of the site files is wrong.
    """
    return specs(check(path) for path in all_sites())


def prefect_yaml(rendered: Iterable[Spec]) -> str:
    """The text of prefect.yaml."""
    content = {
        "name": "roundsman",
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $ROUNDSMAN_HOME }}"}}],
        "deployments": [spec.rendered() for spec in rendered],
    }
    head = "# Rendered by `python -m deployments` from deployments/specs.py and deployments/sites/. Do not edit.\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


ROOT = Path(__file__).parents[1]
