"""`roundsman init`: a folder of one's own that every command finds, with rules that are true of what was seen."""

import io
import os
import subprocess
import sys

import pytest
import yaml

from deployments.specs import ROOT
from roundsman import folders
from roundsman.cli.command_line import main
from tests.cli.test_inspect import KEPT, LEAKY


def roundsman(folder, *words, **variables):
    """The command in a process of its own, in a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ROUNDSMAN_")}
    words = [sys.executable, "-m", "roundsman", *words]
    environment = kept | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_new_folder_has_all_that_is_needed_and_what_is_there_stays(tmp_path, capsys):
    mine = tmp_path / "mine"
    assert 0 == main(["init", str(mine)])
    written = {str(path.relative_to(mine)) for path in mine.rglob("*") if path.is_file()}
    assert {
        "sites/example.yaml",
        ".gitignore",
        ".env.example",
        "README.md",
        ".github/workflows/roundsman.yml",
    } <= written
    assert len((mine / "README.md").read_text().splitlines()) <= 10
    yaml.safe_load((mine / ".github/workflows/roundsman.yml").read_text())
    (mine / "README.md").write_text("my own words")
    capsys.readouterr()
    assert 0 == main(["init", str(mine)])
    assert f"kept     {mine / 'README.md'}" in capsys.readouterr().out
    assert "my own words" == (mine / "README.md").read_text()


def test_the_rules_that_are_proposed_are_true_of_what_was_seen_and_marked(pages, tmp_path, capsys):
    pages["/"] = KEPT
    pages.bodies["/"] = (
        b'<a href="/news">n</a><a href="/login">l</a><a href="//other.test/x">o</a><img src="/img/a.png">'
    )
    pages["/news"], pages["/img/a.png"] = {"Cache-Control": "no-store"}, {**KEPT, "Content-Type": "image/png"}
    mine = tmp_path / "mine"
    assert 0 == main(["init", str(mine), pages.url])
    [path] = (mine / "sites").glob("*.yaml")
    rules = {rule["name"]: rule for rule in yaml.safe_load(path.read_text())["rules"]}
    assert {"by": "everyone", "edge_ttl": "<=10m"} == rules["home"]["cache"] == rules["assets"]["cache"]
    assert (["/img/**"], {"cached": ["/img/a.png"]}) == (rules["assets"]["paths"], rules["assets"]["examples"])
    assert ({"by": "nobody"}, {"not_cached": ["/news"]}) == (rules["news"]["cache"], rules["news"]["examples"])
    assert {"home", "news", "assets"} == set(rules)
    assert len(rules) + 1 <= path.read_text().count("GUESS")
    assert {"/", "/news", "/img/a.png"} == {asked for asked, _ in pages.asked}, "nothing behind a login, nobody else"
    capsys.readouterr()
    done = roundsman(mine, "lint")
    assert (0, "") == (done.returncode, done.stderr)
    assert f"sites/{path.name}: 3 rules, 3 examples: fine; not deployed, because it has no schedule\n" == done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["http://127.0.0.1:1/"], "does not answer (connection refused"),
        (["a", "b"], "more than one folder or address"),
        (["ftp://a.test/"], "init: saw the scheme 'ftp'"),
    ],
)
def test_what_can_not_be_begun_leaves_nothing(words, says, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert 3 == main(["init", *words])
    assert says in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_the_own_folder_is_found_from_the_working_directory_upwards(tmp_path, monkeypatch):
    (tmp_path / "mine" / "sites").mkdir(parents=True)
    (tmp_path / "mine" / "src" / "deep").mkdir(parents=True)
    monkeypatch.delenv(folders.VARIABLE, raising=False)
    assert folders.own_folder(tmp_path / "mine" / "src") is None, "an empty folder called sites is anybody's"
    (tmp_path / "mine" / "sites" / "shop.yaml").write_text("site: shop\n")
    assert tmp_path / "mine" == folders.own_folder(tmp_path / "mine" / "src" / "deep")
    assert folders.own_folder(ROOT) is None, "a clone has its sites in deployments/"
    assert folders.own_folder(ROOT / "deployments") is None
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "other"))
    assert tmp_path / "other" == folders.own_folder(tmp_path / "mine")


@pytest.mark.parametrize("command", ["lint", "up"])
def test_a_folder_that_is_not_there_is_refused(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "absent"))
    assert 3 == main([command])
    assert f"ROUNDSMAN_DIR: saw '{tmp_path}/absent', which is no folder; wanted one that" in capsys.readouterr().err


def test_lint_takes_a_folder_and_standard_input(tmp_path, capsys, monkeypatch):
    assert 0 == main(["init", str(tmp_path)])
    assert 0 == main(["lint", str(tmp_path / "sites")])
    assert "example.yaml: 1 rules, 1 examples: fine" in capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO("site: shop\nbase_url: ftp://x\n"))
    assert 3 == main(["lint", "-"])
    assert "standard input:2:" in capsys.readouterr().err


def test_every_claim_can_be_explained_and_a_wrong_word_is_answered_with_the_nearest(capsys):
    assert 0 == main(["explain"])
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"cache-headers/agree", "targeted-purge/neighbour", "cache-headers/answers"} <= set(listed)
    for claim in listed:
        assert 0 == main(["explain", claim])
    assert "fix: " in capsys.readouterr().out
    assert 3 == main(["explain", "cache-headers/agre"])
    assert "did you mean cache-headers/agree" in capsys.readouterr().err


def test_the_advice_is_about_claims_that_there_are():
    from roundsman.cli.explain import ADVICE, claims

    assert set(ADVICE) <= set(claims())


def test_a_page_with_a_leak_is_not_proposed_as_it_is(pages, tmp_path):
    """A copy with somebody's cookie in it is no rule to write down: nothing is promised of it."""
    pages["/"] = LEAKY
    assert 0 == main(["init", str(tmp_path), pages.url])
    [path] = (tmp_path / "sites").glob("*.yaml")
    [rule] = yaml.safe_load(path.read_text())["rules"]
    assert {"by": "unsaid"} == rule["cache"]
