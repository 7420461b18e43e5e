"""What is derived from the specs and the sites: prefect.yaml, the pools' templates, the schema, README's table."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from deployments.specs import ROOT, Spec
from deployments.work_pools import FOLDER, KINDS, template
from roundsman.database.rules.promise import Database
from roundsman.report.rules.text import markdown_table
from roundsman.site.rules.site import Site

START, END = "<!-- rendered: jobs -->", "<!-- end -->"

# The commit that is deployed, unless ROUNDSMAN_VERSION says otherwise. Never empty: Prefect would take that.
_VERSION = (
    'if [ -n "$ROUNDSMAN_VERSION" ]; then echo "$ROUNDSMAN_VERSION"; '
    "else git -C \"${ROUNDSMAN_DIR:-.}\" describe --always --dirty --abbrev=12 --exclude '*' || echo unversioned; fi"
)
BUILD = [
    {
        "prefect.deployments.steps.run_shell_script": {
            "id": "commit",
            "script": _VERSION,
            "shell": True,
            "stream_output": False,
        }
    }
]


def from_folder() -> list[dict[str, Any]]:
    """Pull steps of a worker that has the project in a folder: the ROUNDSMAN_HOME of whoever deploys, or its own."""
    return [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $ROUNDSMAN_HOME }}"}}]


def from_git(repository: str, branch: str, token: str = "") -> list[dict[str, Any]]:
    """Pull steps of a worker that clones the project for each run. `token` names a Secret block of Prefect.

    Raises:
        ValueError: the address has a user or a password in it, which everybody could read in Prefect.
    """
    if re.match(r"https?://[^/]*@", repository):
        wanted = "an address without one; keep the token in a Secret block and name that with --token"
        raise ValueError(f"--git: saw a user or a password in the address, wanted {wanted}")
    clone = {"repository": repository, "branch": branch}
    if token:
        clone["access_token"] = f"{{{{ prefect.blocks.secret.{token} }}}}"
    return [{"prefect.deployments.steps.git_clone": {"id": "clone", **clone}}]


def prefect_yaml(specs: Iterable[Spec], pull: list[dict[str, Any]] | None = None) -> str:
    """The text of prefect.yaml; without pull steps the one for workers that have the project in a folder."""
    content = {
        "name": "roundsman",
        "build": BUILD,
        "pull": pull or from_folder(),
        "deployments": [spec.rendered() for spec in specs],
    }
    head = "# Rendered by `python -m deployments` from deployments/specs.py and deployments/sites/. Do not edit.\n"
    return head + yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as it reads."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def rendered(specs: list[Spec]) -> dict[Path, str]:
    """Every derived file and its text."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return {
        ROOT / "prefect.yaml": prefect_yaml(specs),
        ROOT / "deployments/sites/site.schema.json": json.dumps(schema(), indent=1) + "\n",
        ROOT / "deployments/databases/database.schema.json": json.dumps(schema(Database), indent=1) + "\n",
        ROOT / "README.md": f"{before}{START}\n{table(specs)}\n{END}{after}",
        **{FOLDER / f"{kind}.json": json.dumps(template(kind), indent=1) + "\n" for kind in KINDS},
    }


def schema(model: type[Site] | type[Database] = Site) -> dict[str, object]:
    """The JSON Schema of a site file, or a database file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(by_alias=True)}


def table(specs: list[Spec]) -> str:
    """The jobs and their runbooks as a table of Markdown."""
    head = ["deployment", "what it does", "when", "owner", "expected result", "on failure", "rollback"]
    rows = [
        [
            f"`{spec.name}`",
            spec.promise,
            f"`{spec.cron}` {spec.timezone}" if spec.cron else "when another job starts it",
            spec.owner.partition("<")[0].strip(),
            spec.runbook.expects,
            spec.runbook.on_fail,
            str(spec.runbook.rollback),
        ]
        for spec in specs
    ]
    return markdown_table(head, ([cell.replace("|", r"\|") for cell in row] for row in rows))
