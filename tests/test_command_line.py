"""The command line: its exit codes, its words, and that wrong input runs nothing."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from deployments import up
from flows.__main__ import main
from flows.commands.home import home_ready, one_at_a_time
from roundsman.cli.output import Ended, InputError, write_json
from roundsman.ledger.rules import retention as ledger_size
from tests.edges.conftest import origin
from tests.jobs.conftest import articles, site
from tests.ports import free_port

__all__ = ["origin"]


def written(tmp_path, content):
    path = tmp_path / "lab.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_lint_reads_every_site_of_the_project(capsys):
    assert 0 == main(["lint"])
    assert "demo.yaml: 5 rules, 7 examples: fine" in capsys.readouterr().out


def test_the_site_file_of_the_readme_is_fine_and_would_be_deployed(tmp_path, capsys):
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    block = readme.partition("```yaml\n")[2].partition("```")[0]
    assert 0 == main(["lint", written(tmp_path, textwrap.dedent(block))])
    assert capsys.readouterr().out.endswith("lab.yaml: 2 rules, 3 examples: fine\n")


def test_lint_says_what_is_not_looked_up_and_what_is_not_deployed(tmp_path, capsys):
    assert 0 == main(["lint", written(tmp_path, site("http://a.test", [articles("a")], edge="varnish/lab", blocks={}))])
    told = "fine; not looked up, because Prefect keeps them: varnish/lab, member/ada, member/ben; not deployed, because it has no schedule"
    assert told in capsys.readouterr().out


WRONG = [
    ("", "lab.yaml:1: file: saw nothing"),
    ("site: [", "lab.yaml:1:8: YAML: saw"),
    (site("http://a.test", [articles("a")], edge="varnsh/lab"), "edge: saw the unknown edge type 'varnsh'; did you mean varnish?"),
    ({**site("http://a.test", [articles("a")]), "sessions": ["membr/ada"]}, "sessions[0]: saw the unknown session type 'membr'; did you mean member?"),
    ({**site("http://a.test", [articles("a")]), "sessions": ["member/eve"]}, "sessions[0]: saw the unknown session 'member/eve'; declare it under `blocks:`"),
    ({**site("http://a.test", [articles("a")]), "schedule": {"inspect": "99 * * * *"}}, "schedule.inspect: saw '99 * * * *'; wanted hourly, daily, or a cron expression of five fields"),
    ({**site("http://u:p@a.test", [articles("a")])}, "base_url: saw a login in an address in plain text; take it out of the file"),
    ({**site("http://a.test", [articles("a")]), "blocks": {"varnish/lab": {"nods": []}, "member/ada": {}, "member/ben": {}}}, "blocks.varnish/lab.nods: saw a setting that it does not have; did you mean nodes?"),
]  # fmt: skip


@pytest.mark.parametrize("command", ["lint", "inspect"])
@pytest.mark.parametrize(("content", "says"), WRONG)
def test_wrong_input_is_told_and_nothing_is_run(command, content, says, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("flows.terminal.walk", lambda *_: pytest.fail("a round was run"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert 3 == main([command, written(tmp_path, content)])
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["inspect", "dmo"], "no such file; did you mean demo?"),
        (["inspect", "ftp://a.test/"], "wanted an address such as https://"),
        (["inspect", "demo", "--only", "cache"], "--only: saw 'cache', wanted one of cache-headers"),
        (["inspect", "demo", "--json", "/nowhere/at/all.json"], "whose folder is not there"),
        (["inspect", "demo", "--json", "."], "--json: saw '.', which is a folder; wanted a file in it"),
        (
            ["inspect", "https://ada:hunter2@a.test/"],
            "https://...@a.test/: saw a name or password before the host; wanted an address such as",
        ),
        (
            ["inspect", "https://a.test:99999/"],
            "https://a.test:99999/: saw no address with a usable host and port; wanted an address such as",
        ),
        (
            ["inspect", "http://[::1/"],
            "http://[::1/: saw no address with a usable host and port; wanted an address such as",
        ),
        (["inspect", "https://bücher.example/"], "saw a host that is not ASCII; wanted it as it is sent"),
        (
            ["inspect", "https://a.test/a b"],
            "https://a.test/a b: saw no address with a usable host and port; wanted an address such as",
        ),
        (["lint", "/dev/zero"], "/dev/zero: file: saw more than 1000000 bytes; is it a site file?"),
        (
            ["lint", "/"],
            "lint: saw no site file in the folder /, wanted one that ends in .yaml",
        ),
        (["status", "dmo"], "no such file; did you mean demo?"),
        (["rehearse", "https://a.test/"], "rehearse: saw the URL https://a.test/, wanted a site file"),
        (["rehearse", "dmo"], "no such file; did you mean demo?"),
        (["rehearse", "demo", "--apply", "--dry-run"], "not allowed with argument"),
    ],
)
def test_a_wrong_word_is_told_and_nothing_is_run(words, says, capsys, monkeypatch):
    monkeypatch.setattr("flows.terminal.walk", lambda *_: pytest.fail("a round was run"))
    assert 3 == main(words)
    said = capsys.readouterr().err
    assert says in said
    assert "hunter2" not in said
    assert "Traceback" not in said


WRONG_WORDS = [
    (["inspct"], "roundsman: saw the unknown command 'inspct'; did you mean inspect? ("),
    (["purg", "shop"], "saw the unknown command 'purg'; did you mean purge or purges?"),
    (["review"], "saw the unknown command 'review'; did you mean review-database?"),
    (["xyz"], "saw the unknown command 'xyz' (`roundsman --help` lists the commands)"),
    ([], "roundsman: saw no COMMAND, which is required"),
    (["--versoin"], "saw the unknown option --versoin; did you mean --version?"),
    (
        ["inspect", "shop", "--jsno", "x"],
        "roundsman inspect: saw the unknown option --jsno; did you mean --json?",
    ),
    (["inspect", "--jsno=x"], "roundsman inspect: saw the unknown option --jsno; did you mean --json?"),
    (["inspect", "--versoin"], "roundsman inspect: saw the unknown option --versoin\n"),
    (["purge", "--aply"], "roundsman purge: saw the unknown option --aply; did you mean --apply?"),
    (["inspect"], "inspect: saw nothing to look at, wanted one site, or addresses such as https://"),
    (["inspect", "shop", "barn"], "inspect: saw 2 names, wanted one site, or addresses such as https://"),
    (["compare", "shop", "--samples", "many"], "--samples: saw 'many', wanted a whole number"),
]


@pytest.mark.parametrize(("words", "says"), WRONG_WORDS)
def test_a_misspelled_word_is_answered_with_the_nearest_one_and_the_commands_own_usage(words, says, capsys):
    assert 3 == main(words)
    said = capsys.readouterr().err
    assert says in said
    own = words[0] if words and f"roundsman {words[0]}:" in says else ""
    assert said.startswith(f"usage: roundsman {own} ") == bool(own)
    assert "invalid choice" not in said


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_is_that_of_the_project(option, capsys):
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert 0 == main([option])
    assert capsys.readouterr().out.startswith(f"roundsman {project['version']} (Prefect ")


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        ("deployments", ["depoly"], "python -m deployments: saw the unknown command 'depoly'; did you mean deploy?"),
        ("deployments", ["deploy", "--pool-type", "doker"], "--pool-type: saw 'doker', wanted one of process, docker, kubernetes; did you mean docker?"),
        ("deployments", ["prune", "--aply"], "python -m deployments prune: saw the unknown option --aply; did you mean --apply?"),
        ("deployments.up", ["--bord-port", "1"], "roundsman up: saw the unknown option --bord-port; did you mean --board-port"),
        ("deployments.worker", ["--drain", "long"], "--drain: saw 'long', wanted a number of seconds from 0 on"),
        ("deployments.board", ["--port", "70000"], "--port: saw '70000', wanted a port from 1 to 65535"),
    ],
)  # fmt: skip
def test_every_other_command_answers_a_wrong_word_in_the_same_way(command, words, says, capsys):
    found = importlib.import_module(
        f"{command}.__main__" if command in {"deployments", "deployments.board"} else command
    )
    assert 3 == found.main(words)
    assert says in capsys.readouterr().err


RELEASE = {"version": {"path": "/version"}, "deploy": ["true"], "rollback": ["true"]}
LAB = site("http://a.test", [articles("a")])
MEMBERS_ONLY = articles("a", cache={"by": "member"}, examples={"not_cached": ["/articles/a/1"]})
SITES = {
    "lab": LAB,
    "no-edge": {name: value for name, value in LAB.items() if name not in {"edge", "blocks"}} | {"sessions": []},
    "nginx": site("http://a.test", [articles("a")], edge="nginx/lab"),
    "releases": {**LAB, "release": RELEASE},
    "staged": {**LAB, "staging": True, "release": RELEASE},
    "members": site("http://a.test", [MEMBERS_ONLY]),
}
REFUSED = [
    (["purge", "lab", "/a/*"], "saw '/a/*', wanted a route without `*`"),
    (["purge", "lab", "/a/*", "--apply"], "saw '/a/*', wanted a route without `*`"),
    (["purge", "lab", "everything"], "saw 'everything', wanted the routes to purge, one by one"),
    (["purge", "lab", "http://b.test/a"], "another site is not purged here"),
    (["purge", "lab", "/b"], "wanted a route that a rule of the site speaks of"),
    (["purge", "nginx", "/articles/a/one", "--soft"], "saw a soft purge by url at nginx/lab"),
    (["purge", "lab", *(f"/articles/a/{number}" for number in range(21))], "saw 21 URLs, wanted at most 20"),
    (["purge", "no-edge", "/articles/a/one"], "saw no edge, wanted one that can be purged"),
    (["purges", "--now", "no-edge"], "which has no edge; wanted one with `edge: TYPE/NAME` in its file"),
    (["rehearse", "lab"], "release.version: saw none in the site file"),
    (["rehearse", "lab", "--apply"], "release.deploy: saw none in the site file"),
    (["rehearse", "releases"], "staging: saw none in the site file"),
    (["rehearse", "staged", "--environment", "prod"], "environment: saw 'prod', wanted staging or production"),
    (["rehearse", "releases", "--environment", "production"], "readers are here; wanted --confirm lab:VERSION"),
    (["rehearse", "releases", "--environment", "production", "--confirm", "barn:1"], "saw --confirm barn:1, wanted this site"),
    (["compare", "lab", "--margin", "much"], "--margin: saw 'much', wanted a share above 0, such as 5%"),
    (["compare", "lab", "--baseline", "http://b.test"], "--candidate: saw only the other address"),
    (["compare", "lab", "--baseline", "http://u:hunter2@b.test", "--candidate", "http://b.test"], "--baseline: saw 'http://...@b.test'"),
    (["compare", "lab", "--baseline", "http://b.test:99999", "--candidate", "http://b.test"], "--baseline: saw 'http://b.test:99999'"),
    (["compare", "lab", "--baseline", "http://b.test", "--candidate", "http://[::1"], "--candidate: saw 'http://[::1'"),
    (["compare", "lab", "--control", "/nowhere"], "--control: saw '/nowhere', wanted a route that a rule of lab speaks of"),
    (["compare", "members", "--baseline", "http://b.test", "--candidate", "http://c.test"], "saw only members' pages in lab"),
    (["inspect", "lab", "--only", "cache"], "--only: saw 'cache', wanted one of cache-headers, logged-in-traffic"),
    (["inspect", "lab", "--only", "response-tme"], "; did you mean response-time?"),
    (["import", "lab"], "FEED: saw none, and no `catalogue: {feed: ...}` in the file of lab"),
    (["import", "lab", "nofile"], "FEED: saw no file nofile; wanted a file of JSON lines or CSV"),
    (["import", "lab", "feed.jsnl"], "FEED: saw no file feed.jsnl; did you mean feed.jsonl?"),
    (["import", "lab", "feed.example.com/articles"], "did you mean https://feed.example.com/articles?"),
    (["import", "lab", "htp://feed.example.com/articles"], "did you mean http://feed.example.com/articles?"),
    (["import", "lab", "ftp://feed.example.com/articles"], "FEED: saw 'ftp://feed.example.com/articles'; wanted an address such as"),
    (["import", "lab", "https://u:hunter2@feed.example.com/"], "FEED: saw a login in an address: https://...@feed.example.com/; wanted it without"),
    (["import", "lab", "."], "FEED: saw the folder .; wanted a file of JSON lines or CSV in it"),
    (["import", "lab", "/dev/zero"], "FEED: saw /dev/zero, which is no plain file"),
    (["import", "lab", "/nope.csv"], "FEED: saw no file /nope.csv; wanted a file of JSON lines or CSV"),
    (["import", "lab", "a\0b"], "FEED: saw 'a\\x00b', which can't be read"),
    (["import", "lab", "feed.jsonl"], "ROUNDSMAN_CATALOGUE_URL: saw nothing; wanted postgresql://"),
    (["quarantine", "--show", "3"], "saw '3', wanted JOB/ROW as the list has it, such as 3/1042"),
    (["quarantine", "--in", "NOT_SET"], "--in: NOT_SET: saw nothing; wanted postgresql://"),
    (["quarantine", "--in", "NO_FILE"], "none.db, which is not there; wanted the database of a batch job"),
    (["quarantine", "--replay", "lab", "nofile"], "FEED: saw no file nofile"),
    (["outbox", "--in", "NOT_SET"], "--in: NOT_SET: saw nothing; wanted postgresql://"),
    (["outbox", "--in", "NO_FILE"], "none.db, which is not there; wanted the database of a batch job"),
    (["move-ledger", "nofile"], "saw no file nofile; wanted the file of one"),
    (["move-ledger", "."], "saw ., which is a folder; wanted the file of one"),
    (["move-ledger", "feed.jsonl"], "saw feed.jsonl, which is no SQLite ledger"),
    (["lint", "nofile"], "deployments/sites/nofile.yaml: file: saw no such file"),
    (["review-database", "nofile"], "deployments/databases/nofile.yaml: file: saw no such file"),
    (["review-database", "postgresql://u:hunter2@h/shop"], "postgresql://...@h/shop: DATABASE: saw an address; name a file"),
    (["lint", "feed.jsonl"], "feed.jsonl:1:1: site: saw nothing"),
    (["inspect", ""], "SITE: saw no name; known sites: demo"),
    (["status", " "], "SITE: saw no name; known sites: demo"),
    (["inspect", "lab", "--json", "feed.jsonl/report.json"], "whose folder is not there"),
    (["inspect", "lab", "--json", "x" * 300], "which can't be written (File name too long)"),
    (["inspect", "lab", "--json", "a\0b"], "--json: saw 'a\\x00b', which can't be written (embedded null byte)"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "says"), REFUSED, ids=[ascii(" ".join(words)[:60]) for words, _ in REFUSED])
def test_what_needs_no_server_to_be_refused_starts_none(words, says, tmp_path, ledger, capsys, monkeypatch):
    monkeypatch.setattr("flows.terminal.start", lambda: pytest.fail("a server was started"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_FILE", f"sqlite:///{tmp_path}/none.db")
    for variable in ("PREFECT_API_URL", "ROUNDSMAN_CATALOGUE_URL", "NOT_SET"):
        monkeypatch.delenv(variable, raising=False)
    for name, content in SITES.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "feed.jsonl").write_text("{}\n")
    before = {path.name for path in tmp_path.iterdir()}
    assert 3 == main([f"./{word}.yaml" if word in SITES else word for word in words])
    told = capsys.readouterr()
    said = " ".join(f"{told.out}{told.err}".split())
    assert says in said
    assert said.count("FEED: saw") < 2
    assert "hunter2" not in said
    assert "Traceback" not in said
    assert before == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        (
            PREFECT_API_URL,
            "notaurl",
            "PREFECT_API_URL: saw 'notaurl', wanted an address such as http://127.0.0.1:4200/api",
        ),
        (PREFECT_API_URL, "ftp://u:hunter2@h/api", "PREFECT_API_URL: saw 'ftp://...@h/api', wanted an address"),
        (PREFECT_HOME, "file/prefect", "file/prefect, which can't be written (Not a directory); wanted one that can"),
    ],
)
def test_a_prefect_server_that_no_run_could_use_is_refused(setting, value, says, ledger, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("flows.terminal.start", lambda: pytest.fail("a server was asked"))
    (tmp_path / "file").write_text("")
    changed = {PREFECT_API_URL: None} | {setting: tmp_path / value if setting is PREFECT_HOME else value}
    with temporary_settings(changed):
        assert 3 == main(["inspect", "demo"])
    said = capsys.readouterr().err
    assert says in said
    assert "hunter2" not in said


def test_a_ledger_that_can_not_be_used_is_told_before_anything_is_run(capsys, monkeypatch):
    monkeypatch.setattr("flows.terminal.walk", lambda *_: pytest.fail("a round was run"))
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", "mysql://user:hunter2@host/name")
    assert {3} == {main([*words, "demo"]) for words in (["status"], ["rehearse", "--apply"], ["inspect"])}
    said = capsys.readouterr().err
    assert "wanted postgresql://" in said
    assert "hunter2" not in said


def test_a_round_that_breaks_down_is_unknown_and_no_traceback(tmp_path, ledger, capsys, monkeypatch):
    async def broken(*_):
        raise RuntimeError("the server is gone")

    monkeypatch.setattr("flows.terminal.walk", broken)
    assert 2 == main(["inspect", "demo"])
    assert "the round broke down: RuntimeError: the server is gone\n" == capsys.readouterr().err


@pytest.mark.harness
def test_what_nobody_thought_of_is_a_sentence_and_no_finding(capsys, monkeypatch):
    """Exit code 1 says that something was found, and Python gives it to whatever breaks down."""
    monkeypatch.setattr("flows.tasks.site.load", lambda _: 1 / 0)
    assert 2 == main(["lint", "demo"])
    assert "lint broke down: ZeroDivisionError: division by zero\n" == capsys.readouterr().err


def test_a_report_that_can_not_be_written_was_shown_and_is_told(capsys):
    with pytest.raises(Ended) as ended:
        write_json(Path("/dev/full"), {"site": "shop"})
    assert 2 == ended.value.code
    assert "--json: /dev/full could not be written: No space left on device\n" == capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["releases", "demo"], 0, "demo: no release is known"),
        (["purge", "demo", "articles"], 3, "nothing was purged"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_json_for_standard_output_stands_there_alone(words, code, says, ledger, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert code == main([*words, "--json", "-"])
    said = capsys.readouterr()
    assert "demo" == json.loads(said.out)["site"]
    assert says in said.err
    assert [] == [one.name for one in tmp_path.iterdir() if one.name == "-"]


def test_a_reader_that_has_read_enough_ends_a_command_quietly():
    """As `roundsman lint | head -0` does."""
    reading, writing = os.pipe()
    os.close(reading)
    lint = [sys.executable, "-u", "-m", "flows", "lint", "demo"]
    ended = subprocess.run(lint, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    os.close(writing)
    assert (2, "") == (ended.returncode, ended.stderr)


def a_home(tmp_path, kind):
    """A folder for ROUNDSMAN_HOME of some kind."""
    home = tmp_path / "home"
    if kind == "a file":
        home.touch()
    elif kind != "missing":
        home.mkdir()
    if kind == "the project's":
        (home / "flows" / "jobs").mkdir(parents=True)
        (home / "deployments").mkdir()
    return str(home)


HOMES = [
    (
        "an empty folder",
        "home', which is another folder; wanted the project's folder, with flows/ and deployments/ in it",
    ),
    ("missing", "home', which is not there; wanted the project's folder"),
    ("a file", "home', which is no folder; wanted the project's folder"),
]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("flows.__main__", ["status"]),
        ("flows.__main__", ["inspect", "demo"]),
        ("deployments.__main__", ["deploy"]),
        ("deployments.up", ["--no-demo"]),
        ("deployments.worker", []),
    ],
)
@pytest.mark.parametrize(("kind", "says"), HOMES)
def test_a_home_in_which_no_run_could_work_is_told_at_the_start(
    command, words, kind, says, tmp_path, capsys, monkeypatch
):
    found = importlib.import_module(command)
    for name in ("_up", "_work", "deploy"):
        monkeypatch.setattr(found, name, lambda *_: pytest.fail("something was started"), raising=False)
    if command == "deployments.up":
        words = [*words, "--port", str(free_port()), "--board-port", str(free_port())]
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setattr("deployments.__main__.address", lambda: "http://a.test/api")
    monkeypatch.setattr("deployments.__main__._validate", lambda _: 0)
    monkeypatch.setenv("ROUNDSMAN_HOME", a_home(tmp_path, kind))
    assert 3 == found.main(words)
    said = capsys.readouterr().err
    assert said.startswith("ROUNDSMAN_HOME: saw '")
    assert says in said
    assert 1 == said.count("\n")


def test_a_home_that_can_be_used_is_no_matter(tmp_path, ledger, capsys, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_HOME", a_home(tmp_path, "the project's"))
    assert 0 == main(["lint", "demo"])
    monkeypatch.setattr("os.access", lambda *_: False)
    home_ready()  # the ledger is elsewhere
    monkeypatch.delenv("ROUNDSMAN_LEDGER_URL")
    with pytest.raises(
        InputError, match="which can't be written; wanted a place for the ledger there, or ROUNDSMAN_LEDGER_URL"
    ):
        home_ready()
    monkeypatch.setenv("ROUNDSMAN_HOME", "")
    with pytest.raises(InputError, match="ROUNDSMAN_HOME: saw nothing; wanted the project's folder"):
        home_ready()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://user:hunter2@host/name", "saw a URL of mysql; wanted postgresql://"),
        ("hunter2", "saw text that is no database URL; wanted postgresql://"),
        ("postgresql://user:hunter2@127.0.0.1:1/name", "Connection refused"),
        ("sqlite:////proc/nowhere/ledger.db", "wanted a folder for the ledger"),
        ("sqlite:///{folder}", "unable to open database file"),
    ],
)
@pytest.mark.parametrize(("command", "words"), [("deployments.up", ["--no-demo"]), ("deployments.worker", [])])
def test_a_ledger_that_no_run_could_open_is_told_at_the_start(command, words, url, says, tmp_path, capsys, monkeypatch):
    found = importlib.import_module(command)
    for name in ("_up", "_work"):
        monkeypatch.setattr(found, name, lambda *_: pytest.fail("something was started"), raising=False)
    if command == "deployments.up":
        words = [*words, "--port", str(free_port()), "--board-port", str(free_port())]
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", url.format(folder=tmp_path))
    assert 3 == found.main(words)
    said = capsys.readouterr().err
    assert said.startswith("the ledger can't be opened: saw ")
    assert says in said
    assert "hunter2" not in said
    assert 1 == said.count("\n")


def test_a_folder_has_one_server_and_a_killed_process_holds_none(tmp_path, monkeypatch, capsys):
    """Two of them would find SQLite locked all the time."""
    code = "import sys, time; from pathlib import Path; from flows.commands.home import held\nwith held(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert "held\n" == holder.stdout.readline()
    ports = ["--port", str(free_port()), "--board-port", str(free_port())]
    monkeypatch.setattr("deployments.up._up", lambda *_: pytest.fail("a second one was started"))
    monkeypatch.setattr("flows.terminal.start", lambda: pytest.fail("a server was started"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert 3 == up.main([*ports, "--no-demo"])
    said = capsys.readouterr().err
    assert re.match(
        rf"PREFECT_HOME: saw {tmp_path}, which `make up` uses \(process {holder.pid}, since 20\S+ \S+ UTC\); wanted a folder",
        said,
    )
    with temporary_settings({PREFECT_HOME: tmp_path, PREFECT_API_URL: None}):
        assert 3 == main(["inspect", "demo"])
    assert "set PREFECT_API_URL, such as http://127.0.0.1:4200/api" in capsys.readouterr().err
    holder.kill()
    holder.communicate()
    monkeypatch.setattr("deployments.up._up", lambda *_: 0)
    assert 0 == up.main([*ports, "--no-demo"])


def test_servers_of_two_commands_start_one_after_the_other(tmp_path):
    """Each makes the database's tables where there are none yet."""
    order, entered, leave = [], threading.Event(), threading.Event()

    def first():
        with one_at_a_time(tmp_path):
            entered.set()
            leave.wait()
            order.append("first")

    def second():
        with one_at_a_time(tmp_path):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    entered.wait()
    threads[1].start()
    threads[1].join(0.2)
    assert [] == order
    leave.set()
    for thread in threads:
        thread.join()
    assert ["first", "second"] == order


def processes_with(variable):
    """Processes in whose environment this stands."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            found += [path.parent.name] if variable.encode() in path.read_bytes().split(b"\0") else []
    return found


@pytest.mark.harness
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_command_that_is_stopped_while_its_server_starts_ends_at_once_and_leaves_nothing(number, code, tmp_path):
    variables = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    variables |= {"PREFECT_HOME": str(tmp_path), "ROUNDSMAN_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db"}
    # Who runs these tests in the background of a shell passes an ignored SIGINT on.
    heard = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    run = f"{heard}runpy.run_module('flows', run_name='__main__')"
    with subprocess.Popen(
        [sys.executable, "-c", run, "inspect", "demo"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout.readline().startswith("starting Prefect")
        while len(processes_with(f"PREFECT_HOME={tmp_path}")) < 2:
            assert command.poll() is None
            time.sleep(0.05)
        asked = time.monotonic()
        command.send_signal(number)
        said = command.communicate(timeout=60)[1]
        took = time.monotonic() - asked
    assert (code, "stopped; the round was not finished, and nothing of it was recorded\n") == (command.returncode, said)
    assert [] == processes_with(f"PREFECT_HOME={tmp_path}")
    assert took < 10  # a Ctrl-C that waits for the server takes as long as its start does, up to two minutes


@pytest.mark.harness
def test_a_red_round_ends_with_1_and_an_unknown_one_with_2(prefect, ledger, origin, tmp_path, capsys):
    rule = articles("red", paths=["/error"], examples={"cached": ["/error"]})
    assert 1 == main(["inspect", written(tmp_path, site(origin.url, [rule])), "--only", "cache-headers"])
    said = capsys.readouterr().out
    assert "FAIL /error  cache-headers/status  saw 500, wanted 200  owner web-platform  rollback: true" in said.replace(
        "\n", ""
    )
    unlabelled = articles("grey", paths=["/articles/grey/one"], examples={"cached": ["/articles/grey/one"]})
    assert 2 == main(["inspect", written(tmp_path, site(origin.url, [unlabelled])), "--only", "cache-headers"])
    assert "UNKNOWN /articles/grey/one  cache-headers/hit" in capsys.readouterr().out


def test_watch_wants_an_address_to_ping(capsys):
    assert 3 == main(["watch", "--ping", "hc-ping.com/1"])
    assert "--ping: wanted an address that begins with http:// or https://" in capsys.readouterr().err


def test_watch_wants_a_server_to_watch(tmp_path):
    """A server that Prefect would embed misses nothing."""
    variables = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    variables |= {"PREFECT_HOME": str(tmp_path), "ROUNDSMAN_LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db"}
    done = subprocess.run(
        [sys.executable, "-m", "flows", "watch"], env=variables, capture_output=True, text=True, check=False
    )
    assert (3, "watch: saw no PREFECT_API_URL, wanted the address of the server to watch\n") == (
        done.returncode,
        done.stderr,
    )


def test_status_of_a_site_that_nobody_looked_at_is_unknown(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    path = written(tmp_path, site("http://a.test", [articles("a")]))
    assert 2 == main(["status", path])
    out = capsys.readouterr().out.splitlines()
    assert "lab" == out[0]
    assert 5 == sum(line.startswith("  UNKNOWN") for line in out)


def test_status_of_no_site_at_all_is_no_pass(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("roundsman.site.site_file.SITES", tmp_path)
    assert 2 == main(["status"])
    assert "no site: write a file in deployments/sites/" in capsys.readouterr().err


def test_outbox_takes_a_number_that_a_database_can_hold(capsys):
    assert 3 == main(["outbox", "--replay", "9" * 20])
    assert "--replay: saw '99999999999999999999', wanted the number of a dead message" in capsys.readouterr().err


def test_status_says_when_the_ledger_has_outgrown_its_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("ROUNDSMAN_LEDGER_URL", f"sqlite:///{tmp_path}/ledger.db")
    path = written(tmp_path, site("http://a.test", [articles("a")]))
    told = []
    for comfort in (ledger_size.COMFORT_BYTES, 1000):
        monkeypatch.setattr(ledger_size, "COMFORT_BYTES", comfort)
        main(["status", path])
        told.append("WARN: the ledger has" in capsys.readouterr().out)
    assert [False, True] == told
