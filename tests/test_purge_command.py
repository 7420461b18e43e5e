"""`roundsman purge`: a dry run unless it is told to apply, its words, its exit codes, its JSON."""

import json

import pytest
import yaml

from flows.__main__ import main
from tests.edges.asking import ask, told
from tests.edges.conftest import noop_varnish, origin, varnish
from tests.jobs.conftest import articles, control, site

__all__ = ["noop_varnish", "origin", "varnish"]


@pytest.fixture
def written(tmp_path, ledger):
    """A site file for a cache, with pages of this test's own."""

    def write(edge, name, **more):
        rule = articles(name, purge={"canary": f"/articles/{name}/one", "marker": {"header": "etag"}})
        path = tmp_path / "lab.yaml"
        path.write_text(yaml.safe_dump(site(edge.url, [rule, control(name)], **more)))
        return str(path)

    return write


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["purge", "demo"], "saw no ROUTE, which is required"),
        (["purge", "dmo", "/articles/tomatoes"], "no such file; did you mean demo?"),
        (["purge", "demo", "/a", "--apply", "--dry-run"], "not allowed with argument"),
        (["purge", "demo", "/a", "--json", "/nowhere/at/all.json"], "whose folder is not there"),
    ],
)
def test_a_wrong_word_is_told_and_nothing_is_run(words, says, capsys, monkeypatch):
    monkeypatch.setattr("flows.terminal.purge", lambda *_: pytest.fail("a purge was run"))
    assert 3 == main(words)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("the server is gone"), ValueError("no")])
def test_a_purge_that_breaks_down_is_unknown_and_no_traceback(error, ledger, capsys, monkeypatch):
    async def broken(*_, **__):
        raise error

    monkeypatch.setattr("flows.terminal.purge", broken)
    assert 2 == main(["purge", "demo", "/articles/tomatoes", "--apply"])
    assert f"the purge broke down: {type(error).__name__}: {error}\n" == capsys.readouterr().err


@pytest.mark.harness
def test_a_dry_run_prints_the_plan_and_purges_nothing(prefect, varnish, origin, written, tmp_path, capsys):
    """Which is what happens when nobody says --apply."""
    path, out = "/articles/dry/one", tmp_path / "plan.json"
    assert 0 == main(["purge", written(varnish, "dry"), path, "/articles/dry/two", "--json", str(out)])
    said = capsys.readouterr().out.splitlines()
    assert f"varnish/lab: purge by url: {varnish.url}{path}" in said
    assert "a dry run: nothing was purged; --apply does it" == said[-1]
    plan = json.loads(out.read_text())
    assert (1, False, "pass", []) == (plan["schema"], plan["applied"], plan["outcome"], plan["verdicts"])
    assert [f"{varnish.url}{path}", f"{varnish.url}/articles/dry/two"] == plan["plan"]["urls"]
    assert ("HIT", 1) == told(ask(varnish, path, extra={"accept-encoding": "gzip"}))


@pytest.mark.harness
def test_apply_purges_and_proves_and_says_so_in_one_line(prefect, varnish, origin, written, tmp_path, capsys):
    path, out = "/articles/wet/one", tmp_path / "report.json"
    for _ in range(2):
        ask(varnish, path, extra={"accept-encoding": "gzip"})
    origin.bump(path)
    assert 0 == main(["purge", written(varnish, "wet"), path, "--apply", "--changed", "--json", str(out)])
    said = capsys.readouterr().out.splitlines()
    assert f"pass {path}: new, proven by content; 6 of 6 neighbours untouched; still new later" == said[-1]
    assert ("HIT", 2) == told(ask(varnish, path))
    report = json.loads(out.read_text())
    assert (True, "pass", path) == (report["applied"], report["outcome"], report["verdicts"][0]["subject"])


@pytest.mark.harness
def test_a_purge_that_did_nothing_ends_with_1(prefect, noop_varnish, origin, written, capsys):
    path = "/articles/nothing/one"
    ask(noop_varnish, path)
    origin.bump(path)
    assert 1 == main(["purge", written(noop_varnish, "nothing"), path, "--apply", "--changed"])
    assert "the old marker, though the content changed, wanted a new copy" in capsys.readouterr().out.replace("\n", "")


@pytest.mark.harness
@pytest.mark.parametrize("apply", [[], ["--apply"]])
@pytest.mark.parametrize(
    ("routes", "says"),
    [
        (["/articles/*"], "refused: saw '/articles/*', wanted a route without `*`"),
        (["everything"], "refused: saw 'everything', wanted the routes to purge, one by one"),
        (["/elsewhere"], "refused: saw '/elsewhere', wanted a route that a rule of the site speaks of"),
        ([f"/articles/no/{number}" for number in range(3)], "refused: saw 3 URLs, wanted at most 2"),
    ],
)
def test_what_is_refused_ends_with_3_and_nothing_is_done(
    apply, routes, says, prefect, varnish, origin, written, capsys
):
    ask(varnish, "/articles/no/0")
    assert 3 == main(["purge", written(varnish, "no", purge_at_most=2), *routes, *apply])
    said = capsys.readouterr().out
    assert says in said
    assert "nothing was purged" == said.splitlines()[-1]
    assert "HIT" == told(ask(varnish, "/articles/no/0"))[0]


@pytest.mark.harness
def test_a_site_that_does_not_answer_is_unknown_and_nothing_is_purged(prefect, varnish, origin, written, capsys):
    from types import SimpleNamespace

    assert 2 == main(
        ["purge", written(SimpleNamespace(url="http://127.0.0.1:1"), "dead"), "/articles/dead/x", "--apply"]
    )
    assert "no answer: connection refused at 127.0.0.1:1" in capsys.readouterr().out
