"""Whatever happens to a subject, what people are told of it makes sense."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from roundsman.alerts.rules.alert import STEADY, Alert, MessageKind, advance, let_go, notified
from roundsman.report.rules.verdict import Outcome
from roundsman.site.rules.promises import AlertPolicy

GONE = None
policies = st.builds(
    lambda bad, more, recover, hours: AlertPolicy(bad, bad + more, recover, hours * 3600.0),
    st.integers(1, 4),
    st.integers(0, 4),
    st.integers(1, 4),
    st.integers(1, 24),
)
rounds = st.lists(st.sampled_from([*Outcome, GONE]), max_size=60)


def told(outcomes, policy):
    """Each message of some rounds: its kind, its key, its time and the outcome of its round."""
    alert, messages = Alert("shop", "cache-headers", "/a"), []
    for number, outcome in enumerate(outcomes):
        at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=number)
        for _ in range(2):  # a round that is applied twice
            if outcome is GONE:
                alert, kind = let_go(alert, at, f"run-{number}")
            else:
                alert, kind = advance(alert, outcome, at, f"run-{number}", policy)
            if kind in {MessageKind.FIRING, MessageKind.REMINDER}:
                alert = notified(alert, at)
            if kind:
                messages.append((kind, alert.dedup_key, at, outcome))
    return messages


@given(rounds, policies)
def test_firing_and_resolved_take_turns_under_one_key(outcomes, policy):
    messages = told(outcomes, policy)
    turns = [(kind, key) for kind, key, _, _ in messages if kind is not MessageKind.REMINDER]
    assert [MessageKind.FIRING, MessageKind.RESOLVED] * (len(turns) // 2) + [MessageKind.FIRING] * (len(turns) % 2) == [
        kind for kind, _ in turns
    ]
    opened = ""
    for kind, key, _, _ in messages:
        if kind is MessageKind.FIRING:
            assert key not in {"", opened}
            opened = key
        assert opened == key


@given(rounds, policies)
def test_trouble_is_told_in_a_bad_round_and_recovery_in_a_good_one(outcomes, policy):
    for kind, _, _, outcome in told(outcomes, policy):
        assert (outcome in {Outcome.FAIL, Outcome.UNKNOWN}) == (kind is not MessageKind.RESOLVED)


@given(rounds, policies)
def test_calm_is_told_when_it_lasts(outcomes, policy):
    """And trouble that lasts is told, too."""
    for end, last in ((Outcome.PASS, MessageKind.RESOLVED), (Outcome.FAIL, MessageKind.FIRING)):
        messages = told([*outcomes, *[end] * max(policy.rounds, policy.recover, STEADY)], policy)
        kinds = [kind for kind, _, _, _ in messages if kind is not MessageKind.REMINDER]
        assert kinds[-1:] in ([], [last]) if end is Outcome.PASS else kinds[-1:] == [last]
