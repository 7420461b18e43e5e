"""The answers to the questions as people read them."""

from dataclasses import replace

import pytest

from roundsman.status.rules.answers import broken, status
from roundsman.status.rules.facts import Answer, Facts, Mark, Question, SiteStatus
from roundsman.status.rules.page import caption, headline, lasted, markdown, overview, ranked, strip
from tests.status.test_answers import HOUR, NEW, NOW, OLD, SHOP, F, P, U, W, ago, ask, looks


def test_a_history_is_cut_into_cells_of_the_worst_outcome_and_the_longest_time():
    marks = [
        Mark(ago(days=8), F),
        Mark(ago(hours=5), P, 9.0),
        Mark(ago(hours=4), F, 3.0),
        Mark(NOW, P),
        Mark(NOW + HOUR, W),
    ]
    cells = strip(marks, NOW)
    assert 56 == len(cells)
    assert [(None, None), (F, 9.0), (W, None)] == [(cell.outcome, cell.ms) for cell in cells[-3:]]
    assert {None} == {cell.outcome for cell in cells[:-2]}


def test_a_picture_is_told_in_words():
    answer = ask(Question.UP, looks=looks("+-"))
    assert "Last 7 days, looks at it: 1 failed, 1 passed; the line is the time, 12 ms at most." == caption(answer)
    assert "Nothing was seen in the last 7 days." == caption(ask(Question.SLOW))
    known = {"releases": (OLD, NEW), "rounds": (Mark(NOW, P),)}
    assert "Last 7 days, rounds: 1 passed; 1 deployment (marked ▼)." == caption(ask(Question.RELEASE, **known))


@pytest.mark.parametrize(
    ("since", "words"),
    [(NOW, "for less than a minute"), (ago(minutes=3), "for 3 minutes"), (ago(days=1), "for 1 day")],
)
def test_how_long_something_has_been_so_is_said_in_one_unit(since, words):
    assert words == lasted(since, NOW)


def made(name, outcome):
    return SiteStatus(name, NOW, (broken(name, NOW, "x").answers[0],) if outcome is U else _with(outcome))


def _with(outcome):
    return (ask(Question.UP, looks=looks("+" if outcome is P else "-")),)


def test_the_heaviest_site_comes_first_and_is_named_in_the_headline():
    sites = [made("b", P), made("c", F), SiteStatus("", NOW, _with(P)), made("a", P), made("d", U)]
    assert ["c", "d", "a", "b", ""] == [one.site for one in ranked(sites)]
    assert "c needs somebody now" == headline(sites)
    assert "Nothing fails, but not all is known of d" == headline([made("d", U), made("a", P)])
    assert "All is well" == headline([made("a", P)])
    assert "There is no site yet" == headline([])


def test_the_headline_says_who_breaks_promises():
    leaking = SiteStatus("b", NOW, (Answer(Question.PROMISES, F, "No."),))
    assert "b needs somebody now: it breaks promises" == headline([made("a", P), leaking])
    assert "b, c need somebody now: b breaks promises" == headline([made("c", F), leaking])
    assert "a, b need somebody now: all break promises" == headline([leaking, replace(leaking, site="a")])
    assert ["b", "c"] == [one.site for one in ranked([made("c", F), leaking])]


def test_the_headline_knows_a_site_without_answers():
    assert U is SiteStatus("e", NOW, ()).outcome


def test_a_page_holds_each_question_with_its_runbook_and_picture():
    page = markdown(status(Facts(SHOP, NOW, looks=looks("+-"))), {Question.UP: "data:image/svg+xml;base64,QQ=="})
    assert "# shop: ✕ FAIL" in page
    assert "**✕ FAIL** No: /health answers 503." in page
    assert (
        "![Last 7 days, looks at it: 1 failed, 1 passed; the line is the time, 12 ms at most.](data:image/svg+xml;base64,QQ==)"
        in page
    )
    assert "- Since 2026-03-08 12:30 UTC, for less than a minute" in page
    assert "- Rollback: `make back` (never rehearsed)" in page
    assert [one.words for one in Question] == [line[3:] for line in page.splitlines() if line.startswith("## ")]


def test_what_a_server_says_stays_text_in_markdown():
    hostile = "<script>alert(1)</script> | [x](javascript:1) `a`\n# *b*"
    for page in (markdown(broken("shop", NOW, hostile), {}), overview([broken("shop", NOW, hostile)])):
        assert "<script>" not in page
        assert "\n# *b*" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt; \\| `[x](javascript:1)` &#96;a&#96; \\# \\*b\\*" in page
