"""People are told once that something broke, once that it is mended, and now and then in between."""

from datetime import UTC, datetime, timedelta

import pytest

from roundsman.alerts.rules.alert import Alert, IncidentLevel, MessageKind, advance, changes, let_go, notified
from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.promises import AlertPolicy

START = datetime(2026, 3, 1, tzinfo=UTC)
LETTERS = {"P": Outcome.PASS, "W": Outcome.WARN, "U": Outcome.UNKNOWN, "F": Outcome.FAIL}
TOLD = {None: ".", "firing": "F", "reminder": "m", "resolved": "R"}
FRESH = Alert("shop", "cache-headers", "/a", "articles", "web")


def walk(rounds, policy, minutes=60, alert=FRESH, *, heard=True):
    """Every state of an alert after each of some rounds, and what was told to whoever is there to hear it."""
    told, states = "", []
    for number, letter in enumerate(rounds):
        at = START + number * timedelta(minutes=minutes)
        alert, kind = advance(alert, LETTERS[letter], at, f"run-{number}", policy)
        if heard and kind in {MessageKind.FIRING, MessageKind.REMINDER}:
            alert = notified(alert, at)
        told += TOLD[kind]
        states.append(alert)
    return told, states


@pytest.mark.parametrize(
    ("rounds", "told", "policy"),
    [
        ("PPPP", "....", AlertPolicy()),
        ("PFFFP", ".F..R", AlertPolicy()),
        ("U", "F", AlertPolicy()),
        ("W", ".", AlertPolicy()),
        ("FW", "FR", AlertPolicy()),
        ("FUU", "F..", AlertPolicy()),
        ("UUFF", "F.m.", AlertPolicy()),
        ("PFP", "...", AlertPolicy(2, 2)),
        ("FPF", "..F", AlertPolicy(2, 3)),
        ("FPPF", "....", AlertPolicy(2, 3)),
        ("FPPFPF", ".....F", AlertPolicy(2, 3)),
        ("FPPPP", ".....", AlertPolicy(2, 5)),
        ("FFPFF", ".FRF.", AlertPolicy(2, 3)),
        ("FFPPF", ".FR..", AlertPolicy(2, 3)),
        ("FPFPP", "F...R", AlertPolicy(recover=2)),
        ("FPPFP", "F.RF.", AlertPolicy(recover=2)),
        ("F" * 25 + "P", "F" + "." * 11 + "m" + "." * 11 + "m" + "R", AlertPolicy()),
        ("F" * 5 + "P", "F.m.mR", AlertPolicy(remind=2 * 3600)),
        ("FPFPFPFPFP", "FRFRF.....", AlertPolicy()),
        ("FPFPFPPPPPP", "FRFRF....R.", AlertPolicy()),
        ("FPFPFPFPFPFPFPFPFP", "FRFRF...........m.", AlertPolicy()),
    ],
)  # fmt: skip
def test_what_is_told_of_a_row_of_hourly_rounds(rounds, told, policy):
    assert told == walk(rounds, policy)[0]


def test_the_states_on_the_way():
    _, states = walk("PFFPFPPP", AlertPolicy(bad=2, rounds=2, recover=2))
    assert ["ok", "pending", "firing", "recovering", "firing", "recovering", "resolved", "ok"] == [
        alert.state for alert in states
    ]


@pytest.mark.parametrize(
    ("rounds", "states"),
    [("FP", "pending ok"), ("FPP", "pending pending ok"), ("FPF", "pending pending firing"), ("PFPPF", "ok pending pending ok pending")],
)  # fmt: skip
def test_trouble_is_pending_as_long_as_its_rounds_still_count(rounds, states):
    policy = AlertPolicy(2, 2) if rounds == "FP" else AlertPolicy(2, 3)
    walked = walk(rounds, policy)[1]
    assert states.split() == [alert.state for alert in walked]
    assert walked[-1].state != "firing" or walked[-1].opened_at == START


def test_one_key_from_the_first_bad_round_to_the_recovery():
    _, states = walk("PFFPPPF", AlertPolicy(bad=2, rounds=2, recover=2))
    key = "shop|cache-headers|/a|2026-03-01T01:00:00+00:00"
    assert ["", key, key, key, key, ""] == [alert.dedup_key for alert in states[:6]]
    assert START + timedelta(hours=1) == states[4].opened_at
    assert key != states[6].dedup_key


def test_repeats_are_counted_until_the_next_reminder():
    _, states = walk("FFFFF", AlertPolicy(remind=3 * 3600))
    assert [0, 1, 2, 0, 1] == [alert.folded for alert in states]


def test_nobody_is_reminded_of_what_nobody_heard_of():
    told, states = walk("FFFF", AlertPolicy(remind=3600), heard=False)
    assert ("F...", {None}) == (told, {alert.told_at for alert in states})


def test_a_round_applied_again_changes_nothing():
    _, [alert] = walk("F", AlertPolicy())
    assert (alert, None) == advance(alert, Outcome.PASS, START + timedelta(days=2), "run-0", AlertPolicy())
    assert (alert, None) == let_go(alert, START + timedelta(days=2), "run-0")


@pytest.mark.parametrize(("rounds", "told"), [("F", "resolved"), ("FPF", "resolved"), ("PF", None), ("P", None)])
def test_what_is_no_longer_looked_at_is_told_as_resolved_only_when_it_was_firing(rounds, told):
    policy = AlertPolicy(bad=2, rounds=2, recover=2) if rounds == "PF" else AlertPolicy(recover=2)
    _, states = walk(rounds, policy)
    gone, kind = let_go(states[-1], START + timedelta(days=1), "last")
    assert told == kind
    assert ("resolved" if told else "ok") == gone.state
    assert (states[-1].dedup_key if told else "") == gone.dedup_key


def test_an_alert_that_nothing_is_known_of():
    new = Alert("shop", "cache-headers", "/a")
    assert ("", "", "ok", None, (), "", "", "") == (
        new.rule, new.owner, new.state, new.since, new.recent, new.dedup_key, new.run_id, new.incident
    )  # fmt: skip
    assert (None, None, 0, False) == (new.opened_at, new.told_at, new.folded, new.flapping)


def test_an_alert_is_well_since_its_first_round_until_something_breaks():
    states = walk("PPFFP", AlertPolicy())[1]
    hours = [(alert.since - START) / timedelta(hours=1) for alert in states]
    assert [0, 0, 2, 2, 4] == hours


@pytest.mark.parametrize(
    ("rounds", "changed", "flapping"),
    [
        ("", 0, False),
        ("PW", 0, False),
        ("FU", 0, False),
        ("WU", 1, False),
        ("PFPFP", 4, False),
        ("PFPFPF", 5, True),
        ("PFPFPFFFFF", 5, True),
        ("PFPFPFFFFFF", 4, False),
    ],
)
def test_five_changes_in_ten_rounds_are_flapping(rounds, changed, flapping):
    recent = tuple(LETTERS[letter] for letter in rounds)
    alert = Alert("shop", "cache-headers", "/a", recent=recent)
    assert (changed, flapping) == (changes(recent), alert.flapping)


@pytest.mark.parametrize(
    ("rounds", "told"), [("F" + "U" * 10 + "F", "F..........m"), ("F" + "U" * 9 + "F", "F..........")]
)
def test_a_failure_is_told_again_when_ten_rounds_could_not_look(rounds, told):
    assert told == walk(rounds, AlertPolicy())[0]


def test_what_is_pending_is_well_when_a_policy_of_one_round_finds_it_so():
    [pending] = walk("F", AlertPolicy(2, 3))[1]
    alert, kind = advance(pending, Outcome.PASS, START, "later", AlertPolicy())
    assert ("ok", None) == (alert.state, kind)


def test_levels_are_ordered_and_named_as_pagers_do():
    graver = {(one.value, other.value) for one in IncidentLevel for other in IncidentLevel if one.exceeds(other)}
    assert {("critical", "error"), ("critical", "warning"), ("error", "warning")} == graver


def test_only_so_many_outcomes_are_remembered():
    _, states = walk("P" * 30, AlertPolicy())
    assert 20 == len(states[-1].recent)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bad": 0},
        {"bad": 3, "rounds": 2},
        {"bad": 1, "rounds": 21},
        {"recover": 0},
        {"recover": 21},
        {"remind": 0},
    ],
)
def test_a_policy_that_can_t_come_true_is_refused(wrong):
    with pytest.raises(ValueError, match="wanted"):
        AlertPolicy(**wrong)
