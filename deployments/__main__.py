"""`python -m deployments` renders what is derived; `--check` fails when it is stale."""

import argparse
import json
import sys
from pathlib import Path

from deployments.specs import ROOT, Spec, prefect_yaml, project_specs
from flows.rules.site import Site

WRONG_INPUT = 3
START, END = "<!-- rendered: jobs -->", "<!-- end -->"


def main(argv: list[str] | None = None) -> int:
    """Render, or say what is stale. Exit codes: 0 done, 1 stale, 3 a site file is wrong."""
    parser = argparse.ArgumentParser(prog="python -m deployments", description="Render what is derived.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail when something is stale")
    args = parser.parse_args(argv)
    try:
        wanted = rendered(project_specs())
    except ValueError as error:
        print(error, file=sys.stderr)
        return WRONG_INPUT
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        name = path.relative_to(ROOT)
        if args.check:
            print(f"{name} is stale: saw another text than its sources give; run `make render`", file=sys.stderr)
        else:
            path.write_text(wanted[path], encoding="utf-8")
            print(f"rendered {name}")
    return 1 if stale and args.check else 0


def rendered(specs: list[Spec]) -> dict[Path, str]:
    """Every derived file and its text."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    return {
        ROOT / "prefect.yaml": prefect_yaml(specs),
        ROOT / "deployments/sites/site.schema.json": json.dumps(schema(), indent=1) + "\n",
        ROOT / "README.md": f"{before}{START}\n{table(specs)}\n{END}{after}",
    }


def schema() -> dict[str, object]:
    """The JSON Schema of a site file, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Site.model_json_schema(by_alias=True)}


def table(specs: list[Spec]) -> str:
    """The jobs as a table of Markdown."""
    rows = [
        f"| `{spec.name}` | {spec.promise} | `{spec.cron}` {spec.timezone} | {spec.expects} | {spec.rollback} |"
        for spec in specs
    ]
    head = ["| deployment | what it does | when | expected result | rollback |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


if __name__ == "__main__":
    sys.exit(main())
