"""The templates of the work pools: Prefect's own, with our defaults, and taken by a real server."""

import json
import re
from copy import deepcopy
from pathlib import Path

import jsonschema
import pytest

from deployments.specs import ENV
from deployments.work_pools import FOLDER, KINDS, kept, template

TEMPLATES = {kind: json.loads((FOLDER / f"{kind}.json").read_text()) for kind in KINDS}


def test_there_is_a_template_for_each_type_of_pool_and_no_other():
    assert {"process", "docker", "kubernetes"} == {path.stem for path in FOLDER.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_only_our_defaults_differ_from_prefects_own_template(kind):
    """So that an update of Prefect that changes its template is noticed: `--check` calls ours stale then."""
    made = deepcopy(TEMPLATES[kind])
    assert template(kind) == made
    assert ENV == made["variables"]["properties"]["env"].pop("default")
    assert (kind == "process") is (made["variables"]["properties"].get("image", {}).pop("default", "") == "")
    if kind == "kubernetes":
        [container] = made["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]["containers"]
        assert [{"secretRef": {"name": "roundsman-worker", "optional": True}}] == container.pop("envFrom")
    from prefect.server import api

    bundled = json.loads(Path(api.__path__[0], "collections_data/views/aggregate-worker-metadata.json").read_text())
    assert bundled[KINDS[kind]][kind]["default_base_job_configuration"] == made


@pytest.mark.parametrize("kind", KINDS)
def test_every_placeholder_is_a_variable_and_the_variables_are_a_schema(kind):
    made = TEMPLATES[kind]
    variables = made["variables"]
    placeholders = set(re.findall(r"{{\s*(\w+)\s*}}", json.dumps(made["job_configuration"])))
    assert placeholders
    assert placeholders <= set(variables["properties"])
    jsonschema.Draft202012Validator.check_schema(variables)
    defaults = {name: one["default"] for name, one in variables["properties"].items() if "default" in one}
    jsonschema.validate(defaults, {**variables, "required": []})


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_what_an_operator_set_in_a_pool_stays_when_it_is_brought_up_to_date(kind):
    theirs = deepcopy(TEMPLATES[kind])
    properties = theirs["variables"]["properties"]
    properties["image"]["default"] = "registry.example.com/roundsman:7"
    properties["env"]["default"] = {"SHOP_PASSWORD": "set", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "90"}
    made = kept(TEMPLATES[kind], theirs)["variables"]["properties"]
    assert "registry.example.com/roundsman:7" == made["image"]["default"]
    assert {"SHOP_PASSWORD": "set", **ENV} == made["env"]["default"]
    assert TEMPLATES[kind] == kept(TEMPLATES[kind], {})


async def test_a_run_gets_our_environment_from_the_pool_and_from_its_deployment(prefect):
    """Whichever pool an operator made, the run's process logs and shows that it is alive."""
    from prefect.workers.process import ProcessJobConfiguration

    own = {"env": {"SITE": "shop"}}
    made = await ProcessJobConfiguration.from_template_and_values(TEMPLATES["process"], own)
    assert {**ENV, "SITE": "shop"} == made.env


@pytest.mark.slow
@pytest.mark.harness
@pytest.mark.parametrize("kind", KINDS)
def test_a_server_takes_the_template(kind, deployed):
    made = deployed.api.post(
        "/work_pools/", json={"name": f"try-{kind}", "type": kind, "base_job_template": TEMPLATES[kind]}
    )
    assert 201 == made.status_code, made.text
    assert TEMPLATES[kind] == deployed.api.get(f"/work_pools/try-{kind}").json()["base_job_template"]


@pytest.mark.slow
@pytest.mark.harness
def test_a_server_refuses_a_template_that_is_none(deployed):
    """Without which the test above could not fail."""
    broken = {**TEMPLATES["process"], "job_configuration": {"command": "{{ comand }}"}}
    made = deployed.api.post("/work_pools/", json={"name": "broken", "type": "process", "base_job_template": broken})
    assert 422 == made.status_code


@pytest.mark.slow
@pytest.mark.harness
def test_a_pool_of_another_type_is_told_and_left_alone(deployed):
    deployed.deploy("shop")
    code, _, complained = deployed.run("deploy", "--file", str(deployed.file), "--pool-type", "docker")
    assert 3 == code
    assert "work pool roundsman: type: saw process, wanted docker; pass --pool-type process" in complained
    assert "process" == deployed.pool()["type"]
