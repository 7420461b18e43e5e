"""What Prefect would take in silence, or refuse half-way: told before anything is deployed."""

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from prefect import Flow
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ParameterTypeError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.importtools import import_object
from prefect.utilities.templating import PlaceholderType, find_placeholders
from pydantic import BaseModel, ValidationError

from deployments.specs import POOL, TAG
from deployments.work_pools import template
from roundsman.alerts.rules.runbook import RUNBOOKS, Command
from roundsman.rollback.find_and_run import path_of
from roundsman.site.site_file import timezones

#: What a deployment of ours always says.
WANTED = (
    "name",
    "version",
    "entrypoint",
    "description",
    "tags",
    "parameters",
    "concurrency_limit",
    "work_pool",
)
#: Keys that Prefect knows and we refuse, and why.
REFUSED = {
    "schedule": "write it as an item of schedules",
    "paused": "it would undo an operator's pause",
    "triggers": "they are made anew by every deploy; automations have a command of their own",
    "sla": "only Prefect Cloud has it, and a deploy to a server stops there",
}
REFUSED_OF_SCHEDULES = {
    "active": "it would undo an operator's pause",
    "parameters": "the next pause wipes them; make a deployment of its own",
    "replaces": "a renamed schedule is pruned instead",
}
#: Environment variables that every worker has.
WORKER_VARIABLES = {"ROUNDSMAN_HOME"}
#: Step inputs that Prefect keeps for itself.
_RESERVED = {"id", "requires"}
_BRACES = re.compile(r"{{.*?}}", re.DOTALL)


def validate_file(path: Path) -> list[str]:
    """What is wrong with a prefect.yaml, one sentence each.

    Raises:
        ValueError: it can't be read, or is no YAML.
    """
    try:
        return list(problems(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; render it with `python -m deployments`") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from None


def problems(config: Any) -> Iterator[str]:
    """What is wrong with the content of a prefect.yaml, one sentence each that names deployment, key and remedy."""
    if not isinstance(config, dict) or not config.get("deployments"):
        yield "prefect.yaml: deployments: saw none, wanted at least one"
        return
    known = {field.alias or name for name, field in PrefectYamlModel.model_fields.items()}
    yield from _unknown("prefect.yaml", config, known)
    ids = {step_id for step in config.get("build") or [] if (step_id := _id(step))}
    for kind in ("build", "push", "pull"):
        yield from _steps(f"prefect.yaml: {kind}", config.get(kind) or [], ids)
    if not config.get("pull"):
        yield "prefect.yaml: pull: saw none, wanted the step that brings a worker to the project"
    seen = set()
    for deployment in config["deployments"]:
        if not isinstance(deployment, dict):
            yield f"prefect.yaml: deployments: saw {deployment!r}, wanted a mapping"
            continue
        name = str(deployment.get("name", "a deployment without a name"))
        if name in seen:
            yield f"{name}: name: saw it twice; the second would replace the first"
        seen.add(name)
        yield from (f"{name}: {problem}" for problem in _deployment(deployment, ids))


def _deployment(deployment: Mapping[str, Any], ids: Collection[str]) -> Iterator[str]:
    yield from _unknown("", deployment, DeploymentConfig.model_fields, REFUSED)
    yield from (f"{key}: saw none, wanted one" for key in WANTED if deployment.get(key) in (None, "", []))
    if deployment.get("schedules") is None:
        yield "schedules: saw none, wanted a list; it is empty where another job starts this one"
    yield from _schedules(deployment.get("schedules") or [])
    # What is wrong with a schedule, Prefect tells once for each kind that it could be.
    misfits = list(_misfits(DeploymentConfig, {key: deployment[key] for key in deployment if key != "schedules"}))
    yield from misfits
    if misfits:
        return
    yield from _text(deployment)
    for key in deployment.keys() - {"description", "name", "tags"}:
        yield from (f"{key}: {problem}" for problem in _placeholders(deployment[key], ids))
    yield from _flow(deployment)
    yield from _limit(deployment.get("concurrency_limit"))
    yield from _pool(deployment.get("work_pool") or {})


def _text(deployment: Mapping[str, Any]) -> Iterator[str]:
    """Descriptions and tags, in which Prefect would replace what stands in braces by nothing."""
    description, tags = str(deployment.get("description", "")), deployment.get("tags") or []
    for word in ("Owner", "Expected", "On failure", "Rollback"):
        if f"**{word}:**" not in description:
            yield f"description: saw no **{word}:**, wanted the whole runbook"
    for key, texts in (("description", [description]), ("tags", map(str, tags)), ("name", [deployment.get("name")])):
        for text in texts:
            if found := _BRACES.search(str(text)):
                yield f"{key}: saw {found[0]}, which Prefect would replace by nothing; wanted plain words"
    for kind in (TAG, "owner:", "job:"):
        if not any(str(tag).startswith(kind) for tag in tags):
            yield f"tags: saw none that is {kind}, wanted one"


def _placeholders(value: Any, ids: Collection[str], variables: Collection[str] = ()) -> Iterator[str]:
    """What stands in braces and would be empty, or kept where everybody reads it."""
    for saw, name, kind in sorted(find_placeholders(value)):
        if kind is PlaceholderType.ENV_VAR:
            if name.lstrip("$") not in variables:
                yield f"saw {saw}, which is empty where the variable is not set"
        elif kind is not PlaceholderType.STANDARD:
            yield f"saw {saw}, which a deploy keeps and shows in plain text; load it in the job"
        elif (step := name.partition(".")[0]) not in ids:
            yield f"saw {saw}, and no step has the id {step}{_hint(step, ids)}"


def _flow(deployment: Mapping[str, Any]) -> Iterator[str]:
    """The job and its parameters: a wrong one deploys well, and each of its runs crashes."""
    where, given = str(deployment.get("entrypoint", "")), deployment.get("parameters") or {}
    if ":" in where or "/" in where:
        yield f"entrypoint: saw {where}, wanted a module path such as flows.jobs.inspect_site.inspect_site"
        return
    try:
        flow: Flow[..., Any] = load_flow_from_entrypoint(where)
    except Exception as error:  # noqa: BLE001 - importing a module may raise anything
        yield f"entrypoint: saw {where}, which can't be imported: {type(error).__name__}: {error}"
        return
    yield from _runbook(where)
    schema = parameter_schema(flow)
    yield from _unknown("parameters", given, schema.properties)
    missing = [name for name in schema.required or () if name not in given]
    yield from (f"parameters: {name}: saw none, wanted one: the job has no default for it" for name in missing)
    if not missing and set(given) <= set(schema.properties):
        try:
            flow.validate_parameters(dict(given))
        except (ParameterTypeError, ValidationError) as error:
            yield f"parameters: {' '.join(str(error).split())}"


def _runbook(where: str) -> Iterator[str]:
    """The way back: a command that is there, rehearsed by a job that is there."""
    if where not in RUNBOOKS:
        yield f"entrypoint: saw {where} without a runbook; write @job(...) above its @flow"
    elif isinstance(back := RUNBOOKS[where].rollback, Command):
        if not path_of(back.argv[0]):
            yield f"rollback: saw {back.argv[0]}, wanted a program on the PATH or in the project"
        jobs = {path.rpartition(".")[2] for path in RUNBOOKS}
        if back.rehearsed_by and back.rehearsed_by not in jobs:
            yield f"rollback: rehearsed_by: saw {back.rehearsed_by}{_hint(back.rehearsed_by, jobs)}"


def _schedules(schedules: Any) -> Iterator[str]:
    slugs = set()
    for schedule in schedules if isinstance(schedules, list) else [schedules]:
        if not isinstance(schedule, dict):
            yield f"schedules: saw {schedule!r}, wanted slug, cron and timezone"
            continue
        yield from _unknown("schedules", schedule, RawScheduleConfig.model_fields, REFUSED_OF_SCHEDULES)
        wanted = ("slug", "cron", "timezone")
        yield from (f"schedules: {key}: saw none, wanted one" for key in wanted if not schedule.get(key))
        if (zone := schedule.get("timezone")) and zone not in timezones():
            yield f"schedules: timezone: saw {zone!r}, wanted one such as Europe/Berlin"
        if (slug := schedule.get("slug")) in slugs:
            yield f"schedules: slug: saw {slug} twice, wanted one for each schedule"
        slugs.add(slug)
        if cron := schedule.get("cron"):
            try:
                CronSchedule(cron=cron)
            except ValidationError:
                yield f"schedules: cron: saw {cron!r}, wanted five fields, such as 7 * * * *"


def _limit(limit: Any) -> Iterator[str]:
    if not isinstance(limit, dict):
        if limit is not None:  # that none was written is told already
            yield f"concurrency_limit: saw {limit!r}, wanted limit and collision_strategy"
        return
    yield from _unknown("concurrency_limit", limit, ConcurrencyLimitSpec.model_fields)
    if not isinstance(limit.get("limit"), int) or limit["limit"] < 1:
        yield f"concurrency_limit: limit: saw {limit.get('limit')!r}, wanted a number of runs, 1 or more"
    options = {key: value for key, value in limit.items() if key in ConcurrencyOptions.model_fields}
    yield from (f"concurrency_limit: {problem}" for problem in _misfits(ConcurrencyOptions, options))


def _pool(pool: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown("work_pool", pool, WorkPoolConfig.model_fields)
    if pool and pool.get("name") != POOL:
        yield f"work_pool: name: saw {pool.get('name')!r}, wanted {POOL}"
    variables = pool.get("job_variables") or {}
    yield from _unknown("work_pool: job_variables", variables, template("process")["variables"]["properties"])
    for name, value in (variables.get("env") or {}).items():
        if not isinstance(value, str):
            yield f"work_pool: job_variables: env: {name}: saw {value!r}, wanted text: put it in quotes"


def _id(step: Any) -> str:
    inputs = next(iter(step.values())) if isinstance(step, dict) and step else None
    return str(inputs.get("id", "")) if isinstance(inputs, dict) else ""


def _steps(where: str, steps: Any, ids: Collection[str]) -> Iterator[str]:
    for step in steps:
        if not isinstance(step, dict) or len(step) != 1 or not isinstance(next(iter(step.values())), dict):
            yield f"{where}: saw {step!r}, wanted one step: the name of its function, and its inputs"
            continue
        ((name, inputs),) = step.items()
        try:
            parameters = inspect.signature(import_object(name)).parameters
        except (ImportError, AttributeError, ValueError):
            yield f"{where}: saw {name}, wanted a function such as prefect.deployments.steps.git_clone"
            continue
        yield from _unknown(f"{where}: {name}", inputs, {*parameters, *_RESERVED})
        for key, one in parameters.items():
            if one.default is one.empty and one.kind is not one.VAR_KEYWORD and key not in inputs:
                yield f"{where}: {name}: {key}: saw none, wanted one"
        # A worker resolves a secret when it pulls; of the environment it knows what a worker is told to be given.
        opened = {key: value for key, value in inputs.items() if key not in {"access_token", "credentials"}}
        yield from (f"{where}: {name}: {problem}" for problem in _placeholders(opened, ids, WORKER_VARIABLES))


def _unknown(
    where: str, given: Mapping[str, Any], known: Collection[str], refused: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Keys that nothing reads, and keys that do harm."""
    place = f"{where}: " if where else ""
    for key in given:
        if key in (refused or {}):
            yield f"{place}{key}: {(refused or {})[key]}"
        elif key not in known:
            yield f"{place}{key}: saw an unknown key{_hint(key, [one for one in known if one not in (refused or {})])}"


def _hint(saw: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = get_close_matches(str(saw), known, 1)
    return f"; did you mean {near[0]}?" if near else f", wanted one of {', '.join(known) or 'none'}"


def _misfits(model: type[BaseModel], given: Mapping[str, Any]) -> Iterator[str]:
    """What a model of Prefect's refuses."""
    try:
        model.model_validate(given)
    except ValidationError as error:
        reported = set()
        for one in error.errors():
            # Below its key a union tells each of its members' complaints; the checks of that key say it better.
            if (key := str(one["loc"][0]) if one["loc"] else "") not in reported:
                yield f"{key}: {one['msg']}"
            reported.add(key)
