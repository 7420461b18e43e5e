"""What is rendered is what runs: checked offline, since Prefect takes misspelt keys in silence."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from prefect.cli.deploy._models import DeploymentConfig
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.__main__ import END, START, main, rendered, schema
from deployments.specs import ROOT, prefect_yaml, project_specs, specs
from flows.rules.site import Site
from tests.rules.make import site

CONFIG = yaml.safe_load((ROOT / "prefect.yaml").read_text())


def test_what_is_committed_is_what_the_sources_render():
    assert 0 == main(["--check"])


def test_a_stale_file_is_told_by_name(monkeypatch, capsys):
    import deployments.__main__ as command

    monkeypatch.setattr(command, "prefect_yaml", lambda _: "another text\n")
    assert 1 == main(["--check"])
    assert "prefect.yaml is stale" in capsys.readouterr().err


@pytest.mark.parametrize("deployment", CONFIG["deployments"], ids=lambda deployment: deployment["name"])
def test_each_deployment_is_one_that_prefect_understands_whole(deployment):
    assert set(deployment) <= set(DeploymentConfig.model_fields)
    DeploymentConfig.model_validate(deployment)
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    assert set(deployment["parameters"]) <= set(parameter_schema(flow).properties)
    flow.validate_parameters(deployment["parameters"])
    (schedule,) = deployment["schedules"]
    assert {"slug", "cron", "timezone"} == set(schedule)
    assert all(word in deployment["description"] for word in ("**Owner:**", "**Expected:**", "**Rollback:**"))
    assert "{{" not in deployment["description"]
    assert any(tag.startswith("owner:") for tag in deployment["tags"])


def test_a_site_without_a_schedule_has_no_deployment():
    assert [] == specs([site()])
    (spec,) = specs([site(schedule={"inspect": "7 * * * *"})])
    assert ("inspect-shop", {"site": "shop"}, "UTC") == (spec.name, spec.parameters, spec.timezone)


def test_a_cron_that_is_none_stops_the_rendering():
    with pytest.raises(ValueError, match="inspect-shop: inspect: saw '99 \\* \\* \\* \\*', wanted a cron expression"):
        prefect_yaml(specs([site(schedule={"inspect": "99 * * * *"})]))
    with pytest.raises(ValueError, match="inspect-shop: timezone: saw 'Mars/Base', wanted a timezone"):
        prefect_yaml(specs([site(schedule={"inspect": "7 * * * *", "timezone": "Mars/Base"})]))


def test_every_site_file_fits_the_schema_that_editors_use():
    for path in Path(ROOT / "deployments/sites").glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema())


def test_the_schema_refuses_an_unknown_key():
    written = json.loads(site().model_dump_json(by_alias=True, exclude_defaults=True))
    jsonschema.validate(written, schema())
    with pytest.raises(jsonschema.ValidationError, match="'ownr' was unexpected"):
        jsonschema.validate({**written, "ownr": "web"}, schema())


def test_the_readme_has_a_row_for_each_deployment():
    table = rendered(project_specs())[ROOT / "README.md"].partition(START)[2].partition(END)[0]
    assert all(f"`{deployment['name']}`" in table for deployment in CONFIG["deployments"])


def test_a_site_file_needs_no_more_than_the_model():
    assert Site.model_validate(site().model_dump(mode="json", by_alias=True)) == site()
