"""`roundsman inspect URL`: what a stranger sees of an address, in ten lines and without a server."""

import json
import os
import subprocess
import sys

import pytest

from deployments.specs import ROOT
from roundsman.cli.command_line import main

KEPT = {"Cache-Control": "public, max-age=600", "Cache-Status": "ExampleCache; hit; ttl=50", "Age": "550"}
LEAKY = {"Cache-Control": "max-age=60", "X-Cache": "HIT", "Set-Cookie": "sid=a1b2c3d4e5f6g7h8i9j0", "Vary": "Cookie"}
PRIVATE = {"Cache-Control": "private", "X-Cache": "HIT", "Age": "40"}


def inspected(capsys, *words):
    code = main(["inspect", *words])
    return code, capsys.readouterr()


def test_a_first_look_says_in_ten_lines_what_was_asked_what_the_edge_did_and_what_is_next(pages, capsys):
    pages["/a"] = KEPT
    code, said = inspected(capsys, f"{pages.url}/a")
    lines = said.out.splitlines()
    assert (0, "") == (code, said.err)
    assert len(lines) <= 10
    assert lines[0].startswith(f"{pages.url}/a  200 text/html, 15 bytes, first byte after ")
    assert [
        f"asked    3 times in a row by HTTP/1.1 at {pages.host}",
        "edge     HIT, HIT, HIT; Age 550, 550, 550  (by cache-status)",
        "headers  storable: `max-age`, RFC 9111 3; fresh for 10m",
        "pass     what the edge did agrees with what the headers say",
        f"next     roundsman init {pages.url}/a writes down what this site should do",
    ] == lines[1:]


@pytest.mark.parametrize(
    ("path", "headers", "code", "worst", "next_"),
    [
        ("/leaky", LEAKY, 1, "fail     cache-headers/set-cookie: saw sid", "roundsman explain cache-headers/set-cookie"),
        ("/private", PRIVATE, 0, "warn     cache-headers/overdue: saw HIT with Age", "roundsman explain cache-headers/overdue"),
        ("/moved", {"Location": "/new", "Cache-Control": "no-store"}, 2, "goes to  /new", "roundsman inspect URL/new"),
    ],
)  # fmt: skip
def test_what_is_wrong_stands_there_with_what_to_do(path, headers, code, worst, next_, pages, capsys):
    pages[path] = headers
    pages.statuses[path] = 301 if "Location" in headers else 200
    found, said = inspected(capsys, f"{pages.url}{path}")
    assert code == found
    assert any(line.startswith(worst) for line in said.out.splitlines()), said.out
    assert said.out.splitlines()[-1] == f"next     {next_}".replace("URL", pages.url)


def test_a_first_look_imports_no_prefect_and_writes_nothing(pages, tmp_path):
    pages["/a"] = KEPT
    code = (
        "import sys; sys.modules['prefect'] = sys.modules['sqlmodel'] = None; from roundsman.cli.first_look import look"
    )
    code += f"; import asyncio; print(asyncio.run(look('{pages.url}/a')).verdict.outcome)"
    words = [sys.executable, "-c", code]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert ("pass\n", "") == (done.stdout, done.stderr)
    assert [] == list(tmp_path.iterdir())


def test_an_address_without_a_scheme_is_one_and_several_are_looked_at_in_turn(pages, capsys):
    pages["/a"], pages["/b"] = KEPT, LEAKY
    code, said = inspected(capsys, f"{pages.host}/a", f"{pages.host}/b")
    assert 1 == code, "the worst of them"
    assert [f"{pages.url}/a", f"{pages.url}/b"] == [
        line.split()[0] for line in said.out.splitlines() if line.startswith("http")
    ]


def test_a_header_is_sent_with_each_request_and_its_value_is_in_no_report(pages, capsys):
    pages["/a"] = KEPT
    words = ["--header", "Authorization: Bearer hunter2", "--header", "Accept-Language: de", "--json", "-"]
    _, said = inspected(capsys, f"{pages.url}/a", *words)
    assert {("Bearer hunter2", "de")} == {(sent["Authorization"], sent["Accept-Language"]) for _, sent in pages.asked}
    assert "hunter2" not in said.out + said.err


def test_the_edges_own_status_header_is_heard(pages, capsys):
    pages["/a"] = {"Cache-Control": "max-age=60", "X-Edge-Says": "HIT"}
    assert "edge     UNKNOWN" in inspected(capsys, f"{pages.url}/a")[1].out
    assert "edge     HIT, HIT, HIT" in inspected(capsys, f"{pages.url}/a", "--status-header", "X-Edge-Says")[1].out


def test_who_does_not_answer_is_unknown(capsys):
    code, said = inspected(capsys, "http://127.0.0.1:1/")
    assert 2 == code
    assert said.out.startswith("http://127.0.0.1:1/  no answer: connection refused")


def entry(url, headers, method="GET", status=200, **more):
    return {
        "startedDateTime": "2026-11-01T10:00:00.000Z",
        "time": 20,
        "request": {"method": method, "url": url, "headers": []},
        "response": {"status": status, "headers": [{"name": name, "value": value} for name, value in headers.items()]},
        **more,
    }


def saved(tmp_path, *entries):
    path = tmp_path / "saved.har"
    path.write_text(json.dumps({"log": {"entries": entries}}), encoding="utf-8")
    return str(path)


def test_saved_responses_are_judged_and_nobody_is_asked(tmp_path, capsys):
    kept, private = "https://www.example.com/a", "https://www.example.com/b"
    path = saved(
        tmp_path,
        entry(kept, {":status": "200", **KEPT}),
        entry(private, PRIVATE),
        entry(private, PRIVATE),
        entry(kept, LEAKY, method="POST"),
        entry(kept, LEAKY, _fromCache="memory"),
        entry("data:text/plain,x", {}),
        entry("wss://www.example.com/", {}),
        {"request": "nonsense"},
    )
    code, said = inspected(capsys, "--har", path)
    assert 0 == code
    assert [kept, private] == [line.split()[0] for line in said.out.splitlines() if line.startswith("http")]
    assert "asked    once, by the browser that saved it" in said.out
    assert "edge     HIT, HIT; Age 40, 40" in said.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--har", "absent.har"], "absent.har, which can't be read (No such file or directory); wanted a HAR file"),
        (["--har", "README.md"], "wanted a HAR file: JSON with `log.entries`"),
        (["a.test", "--header", "no colon"], "--header: saw 'no colon', wanted a header such as 'Accept-Language: de'"),
        (["a.test", "--header", "Cache-Control: no-cache"], "--header: saw Cache-Control, which some caches obey"),
        (["a.test", "--header", "X: a\r\nY: b"], "--header: saw 'X', wanted a header"),
        (["a.test", "--status-header", "X Cache"], "--status-header: saw 'X Cache', wanted the name of a header such as X-Cache"),
        (["a.test", "--only", "cache-headers"], "--only: saw an address"),
        (["a.test", "--json", "-", "--format", "junit"], "--json -: saw --format junit as well"),
        (["a.test", "--format", "junt"], "--format: saw 'junt', wanted one of text, json, junit, sarif, github; did you mean junit?"),
        (["demo", "--header", "X: y"], "with a site, wanted them in its site file"),
    ],
)  # fmt: skip
def test_what_can_not_be_used_is_refused_before_anybody_is_asked(words, says, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, said = inspected(capsys, *words)
    assert 3 == code
    assert says in said.err
    assert "" == said.out


def test_colors_are_for_terminals_and_for_who_wants_them(pages, capsys, monkeypatch):
    pages["/b"] = LEAKY
    assert "\x1b[" not in inspected(capsys, f"{pages.url}/b")[1].out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b[1;31mfail" in inspected(capsys, f"{pages.url}/b")[1].out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in inspected(capsys, f"{pages.url}/b")[1].out
