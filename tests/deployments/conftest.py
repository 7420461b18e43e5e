"""One Prefect server for the tests of this room that only deploy to it."""

import os
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from unittest.mock import patch

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.__main__ import main
from deployments.render import prefect_yaml
from deployments.specs import POOL, specs
from tests.make import site
from tests.service import environment, serving_prefect


class Deployed:
    """A server, and a file of deployments that is handed to it."""

    def __init__(self, api, variables, folder):
        self.api, self.variables, self.file = api, variables, folder / "prefect.yaml"

    def write(self, *sites, change=lambda text: text):
        """Render the deployments of some sites."""
        scheduled = [site(site=name, schedule={"inspect": "hourly", "timezone": "Europe/Berlin"}) for name in sites]
        self.file.write_text(change(prefect_yaml(specs(scheduled))))

    def run(self, *words):
        """A command of `python -m deployments` in this process, which has all imported: its exit code, and what it said."""
        said, complained = StringIO(), StringIO()
        as_given = patch.dict(os.environ, self.variables, clear=True)
        with as_given, self.at_hand(), redirect_stdout(said), redirect_stderr(complained):
            code = main([*words])
        return code, said.getvalue(), complained.getvalue()

    def deploy(self, *sites, change=lambda text: text):
        """Render and deploy; what was said."""
        self.write(*sites, change=change)
        return self.well("deploy")

    def at_hand(self):
        """This process's own Prefect client asks the server."""
        return temporary_settings({PREFECT_API_URL: self.variables["PREFECT_API_URL"]})

    def prune(self, *words):
        """What `prune` says it found or removed."""
        return [line for line in self.well("prune", *words).splitlines() if not line.endswith(": fine")]

    def well(self, name, *words):
        """What a command about the file says; it has to end well."""
        code, said, complained = self.run(name, "--file", str(self.file), *words)
        assert 0 == code, said + complained
        return said

    def everything(self):
        """Every deployment by its name, as the server tells it, without when it was last written."""
        told = self.api.post("/deployments/filter", json={}).raise_for_status().json()
        return {one["name"]: without_times(one) for one in told}

    def pool(self):
        return without_times(self.api.get(f"/work_pools/{POOL}").raise_for_status().json())


def without_times(told):
    """Without `updated`, at any depth."""
    if isinstance(told, dict):
        return {key: without_times(value) for key, value in told.items() if key != "updated"}
    return [without_times(one) for one in told] if isinstance(told, list) else told


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    variables = environment(folder)
    with serving_prefect(folder, variables) as api:
        yield api, variables


@pytest.fixture
def deployed(shared_server, tmp_path):
    """The server as a first deploy finds it: no deployments and no pool of ours."""
    api, variables = shared_server
    made = Deployed(api, variables, tmp_path)
    for one in made.everything().values():
        api.delete(f"/deployments/{one['id']}").raise_for_status()
    api.delete(f"/work_pools/{POOL}")
    return made
