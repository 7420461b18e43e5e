"""The job that README.md shows is one that runs, also where nothing but the package is."""

import os
import re
import subprocess

import pytest

from deployments.specs import ROOT
from tests.batch.work import asked, opened


def shown() -> str:
    [code] = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return code


DELIVERED = ("spade", 4), ("rake", 2), ("unknown", 7), ("spade", 5)


@pytest.mark.slow
def test_the_job_in_the_readme_runs_in_a_folder_of_its_own_and_loses_and_doubles_nothing(installed, tmp_path):
    work = tmp_path / "mine"
    work.mkdir()
    (work / "receive.py").write_text(shown(), encoding="utf-8")
    lines = [f'{{"sku": "{sku}", "amount": {amount}}}\n' for sku, amount in DELIVERED]
    (work / "deliveries.jsonl").write_text("".join(lines))
    engine = opened(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE stock (sku TEXT PRIMARY KEY, amount INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO stock VALUES ('spade', 1), ('rake', 0)")

    def received() -> str:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ROUNDSMAN_"))}
        variables["SHOP_URL"] = f"sqlite:///{tmp_path}/shop.db"
        done = subprocess.run(
            [installed, "receive.py"], cwd=work, env=variables, capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout

    for again in (False, True):
        said = received()
        assert f"again={again}" in said
        assert "changed=3, unchanged=0, quarantined=1" in said
        assert {"spade": 10, "rake": 2} == dict(asked(engine, "SELECT sku, amount FROM stock"))
    assert [(2, "UnmatchedError")] == asked(engine, "SELECT position, error_class FROM import_row_error")
    # An equal delivery of another day.
    next_day = shown().replace("2026-05-04", "2026-05-05")
    assert shown() != next_day
    (work / "receive.py").write_text(next_day, encoding="utf-8")
    assert "again=False" in received()
    assert {"spade": 19, "rake": 4} == dict(asked(engine, "SELECT sku, amount FROM stock"))
    engine.dispose()
