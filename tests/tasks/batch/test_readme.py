"""The job that README.md shows is one that runs."""

import contextlib
import io
import re

from deployments.specs import ROOT
from tests.tasks.batch.work import asked, opened


def shown() -> str:
    [code] = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return code


def test_the_job_in_the_readme_runs_and_run_again_adds_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_URL", f"sqlite:///{tmp_path}/shop.db")
    engine = opened(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE stock (sku TEXT PRIMARY KEY, amount INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO stock VALUES ('spade', 1), ('rake', 0)")
    lines = ('{"sku": "spade", "amount": 4}', '{"sku": "rake", "amount": 2}', '{"sku": "spade", "amount": 5}')
    (tmp_path / "deliveries.jsonl").write_text("\n".join(lines) + "\n")
    for again in (False, True):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(shown(), "README.md", "exec"), {})
        assert f"again={again}" in said.getvalue()
        assert {"spade": 10, "rake": 2} == dict(asked(engine, "SELECT sku, amount FROM stock"))
    engine.dispose()
