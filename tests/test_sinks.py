"""Whatever a server, a feed or a database says is text in every place that shows it, by the place's own reader."""

import base64
import io
import json
import logging
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_string, policy
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from flows import terminal
from flows.commands import review_database as review_command
from flows.commands import sweep as sweep_command
from roundsman.alerts.rules.notice import _notice
from roundsman.database.rules import report as database_report
from roundsman.report.rules import report
from roundsman.report.rules.grouping import group
from roundsman.report.rules.quantiles import Ratio, Series
from roundsman.report.rules.report import Report
from roundsman.report.rules.verdict import Claim, Outcome, Severity, Verdict
from roundsman.rollback.rules.plan import Leg, LegResult, LegState
from roundsman.status.rules import page as status_page
from roundsman.status.rules.facts import Answer, Question, SiteStatus
from roundsman.sweep.rules import judge as sweep
from tests.hostile_text import HOSTILE, LINK, OF_PAGES, UNSEEN, VALUES, elements

NOW = datetime(2026, 3, 2, tzinfo=UTC)
EVERYTHING = "\n".join(HOSTILE.values())
OURS = {"h1", "h2", "h3", "p", "ul", "li", "code", "pre", "strong", "table", "thead", "tbody", "tr", "th", "td", "br"}


def verdicts(value, claim="cache-headers/kept"):
    made = Claim(claim, value, severity=Severity.CRITICAL)
    found = [made.against(value, value, holds=holds) for holds in (False, None, True)]
    said = dict.fromkeys(("subject", "rule", "owner", "expected_result", "rollback", "by_rfc", "observed"), value)
    return tuple(Verdict("cache-headers", findings=(one,), **said) for one in found)


def a_report(value, claim="cache-headers/kept"):
    return Report("run", "shop", NOW, NOW + timedelta(seconds=3), verdicts(value, claim))


def a_status(value):
    said = {"owner": value, "expected": value, "rollback": value, "rehearsed": value, "details": (value,)}
    return SiteStatus(value, NOW, (Answer(Question.UP, Outcome.FAIL, value, **said),))


def a_sweep(value):
    return sweep.Swept("shop", value, 3, 3, {Outcome.FAIL: 3}, group(verdicts(value)), [value], 1.0)


def a_lock(value):
    said = {"revision": value, "table": value, "mode": value, "taken_by": SimpleNamespace(sql=value)}
    return SimpleNamespace(stops_reads=True, seconds=1.0, projected=2.0, since=0.0, until=1.0, **said)


def pages(value):
    """Every page that is written in Markdown."""
    from roundsman.database.migration_picture import page_of
    from roundsman.rollback.picture import _legs

    step = LegResult(next(iter(Leg)), LegState.FAILED, 1.0, detail=value, output=value)
    return {
        "round": report.markdown(a_report(value), ""),
        "review": database_report.page(a_report(value)),
        "plans": database_report.page(a_report(value, "query-plans/db202-changed")),
        "migrations": page_of(value, [a_lock(value)], verdicts(value), ""),
        "rehearsal": "\n\n".join(_legs(SimpleNamespace(state=SimpleNamespace(steps=(step,))))),
        "sweep": sweep.markdown(a_sweep(value)),
        "status": status_page.markdown(a_status(value), {}),
        "overview": status_page.overview([a_status(value)]),
    }


@VALUES
def test_no_page_in_prefect_has_an_element_from_outside(value):
    for name, page in pages(value[:10_000]).items():
        found, words = elements(OF_PAGES.render(page))
        assert OURS >= set(found), (name, set(found) - OURS)
        assert not LINK.search(words), name
        assert not UNSEEN.search(page.replace("\n", "")), name
        assert len(page) < 60_000, name


@VALUES
def test_no_row_of_a_table_in_prefect_has_an_element_from_outside(value):
    for row in (*report.rows(verdicts(value)), *database_report.rows(a_report(value))):
        for cell in row.values():
            found, words = elements(OF_PAGES.render(cell))
            assert {"p", "code"} >= set(found)
            assert not LINK.search(words)
            assert len(cell) < 7_000


def test_a_page_of_a_site_that_is_wrong_in_many_ways_is_bounded_and_counts_the_others():
    words = ["".join(chr(97 + number // 26**place % 26) for place in range(4)) for number in range(3_000)]
    many = [one for word in words for one in verdicts(f"wrong {word}")[:1]]
    page = report.markdown(Report("run", "shop", NOW, NOW, tuple(many)), "")
    assert len(page) < 400_000
    assert 2 == page.count("and 2,500 more; `--json` has all of them")
    assert 501 == len(report.rows(many))


@VALUES
@pytest.mark.parametrize("width", [40, 200])
def test_a_terminal_obeys_nothing_from_outside(value, width):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    terminal.show(a_report(value), console)
    terminal.show_comparison(a_report(value), console)
    review_command.show(a_report(value), console)
    sweep_command.show(a_sweep(value), console)
    said = out.getvalue()
    assert not UNSEEN.search(said.replace("\n", ""))
    assert not re.search(r"(?im)^\s*::(error|set-env|stop-commands)|##\w*\[|section_(start|end):", said)
    assert max(map(len, said.splitlines())) < 20_000


@VALUES
@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_going_on_obeys_nothing_from_outside(value, is_terminal):
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=is_terminal, color_system=None)
    with console.status("begun") as status:
        record = logging.makeLogRecord({"msg": "%s", "args": (value,), "name": "roundsman"})
        terminal._Progress(console, status).emit(record)
    # A spinner moves the cursor by sequences of its own.
    assert not re.search("\x1b\\[31m|\x1b\\]8|\x07|\u202e", out.getvalue())


@VALUES
@pytest.mark.parametrize("error", [True, False])
def test_a_command_says_text(value, error, capsys):
    from roundsman.cli.output import say, say_broken

    say(value, error=error)
    say_broken("the round", ValueError(f"{value} http://u:hush@a.test/"))
    said = "".join(capsys.readouterr())
    assert not UNSEEN.search(said.replace("\n", ""))
    assert not re.search(r"(?im)^\s*::(error|set-env|stop-commands)|##\w*\[|section_(start|end):", said)
    assert "hush" not in said
    assert max(map(len, said.splitlines())) < 3_000


def test_every_picture_is_an_svg_without_links():
    from roundsman.database.migration_picture import timeline
    from roundsman.report import pictures as picture
    from roundsman.timing import pictures as picture_times

    names = ("element", "formula", "controls", "half characters", "no characters", "lines", "long")
    values = [HOSTILE[name] for name in names]
    course = picture_times.Course("hit", [NOW, NOW + timedelta(hours=1)], [0.1, 0.1], [0.2, 0.2], [(0, 1, 0.1)])
    drawn = [
        picture.latencies([Series(one, "hit", (0.1, 0.2, 0.3), hits=3, asked=3) for one in values]),
        picture_times.forest([Ratio(one, "hit", 1.1, 1.0, 1.2, "slower") for one in values], 0.05),
        *(picture_times.courses([course], {NOW + timedelta(minutes=5): one}) for one in values[1:3]),
        timeline([a_lock(one) for one in values]),
    ]
    for uri in drawn:
        svg = ET.fromstring(base64.b64decode(uri.partition("base64,")[2]))
        assert not {element.tag.rpartition("}")[2] for element in svg.iter()} & {
            "script",
            "image",
            "a",
            "foreignObject",
        }
        links = [value for element in svg.iter() for name, value in element.attrib.items() if name.endswith("href")]
        assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize("template", ["index.html", "site.html", "message.html"])
def test_the_board_shows_text(template):
    from deployments.board.app import _TEMPLATES
    from roundsman.alerts.outbox import TargetOutbox

    said = dict.fromkeys(("channel", "subject", "kind", "error", "site", "item"), EVERYTHING)
    lost = SimpleNamespace(dead_at=NOW, ended_at=NOW, **said)
    status = replace(a_status(EVERYTHING), site="shop")
    shown = {"at": NOW, "style": "", "status": status, "statuses": [status], "says": EVERYTHING}
    shown |= {"pictures": {Question.UP: "", "shop": (status.answers[0], "")}, "outboxes": [TargetOutbox("", [lost], 1)]}
    page = _TEMPLATES.get_template(template).render(**shown, kept=[lost], kept_count=1)
    assert not re.search(r"<(img|a|script)\b[^>]*(evil|alert)|<[^>]* on\w+=", page)
    assert "http://evil.test" in page
    assert not UNSEEN.search(re.sub(r"[\n\t]", "", page))


def message_of(value):
    return _notice(f"FIRING: {value}", [f"observed: {value}"], "http://127.0.0.1:4200/runs/flow-run/1")


def test_slack_calls_nobody_and_links_to_the_run_only(monkeypatch):
    from apprise.plugins.slack import NotifySlack

    sent = []
    monkeypatch.setattr(NotifySlack, "_send", lambda self, url, payload, **how: sent.append(payload) or {"ok": True})
    slack = NotifySlack(token_a="T1234567A", token_b="B12345678", token_c="a" * 24)
    for value in HOSTILE.values():
        said = message_of(value)
        assert slack.notify(body=said.body, title=said.subject)
    assert len(HOSTILE) == len(sent)
    for payload in sent:
        [one] = payload["attachments"]
        assert not re.search(r"<[!#]|<@(?!evil\.test>)|<\w+:|http://evil", f"{one['title']} {one['text']}")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
def test_a_mail_has_one_subject_and_no_element_from_outside():
    from apprise.plugins.email import NotifyEmail

    for value in HOSTILE.values():
        said = message_of(value)
        [made] = NotifyEmail.prepare_emails(
            said.subject, said.body, ("", "shop@example.test"), [("", "ops@example.test")]
        )
        mail = message_from_string(made.body, policy=policy.default)
        assert [said.subject] == mail.get_all("subject")
        for part in mail.walk():
            if part.get_content_type() == "text/html":
                found, _ = elements(part.get_content())
                assert {"html", "body", "head", "br", "p"} >= {name for name in found if "@" not in name}


def test_json_is_left_as_data():
    kept = json.loads(json.dumps(report.as_json(a_report("max-age=\x1b[31m60"))))
    assert "max-age=\x1b[31m60" == kept["verdicts"][0]["findings"][0]["saw"]
