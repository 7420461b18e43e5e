"""However findings come, grouping them loses none and does not depend on their order."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from roundsman.report.rules.grouping import group, passed, shape
from roundsman.report.rules.verdict import Finding, Outcome, Severity, Verdict

SAID = ["61s", "73s", "0s", "404", "500", "/a: HIT", "/b: HIT", "no Vary", ""]
# All that there can be is made once: each word drawn by itself would take ten times as long.
FINDINGS = [
    Finding(claim, "It holds.", outcome, saw, wanted, (), severity)
    for claim, outcome, saw, wanted, severity in product(["c/a", "c/b"], Outcome, SAID, SAID, [None, *Severity])
]
HEADS = list(product("cd", ["/a", "/b", "/c", "/d", "/e"], "rs", ["web", "ops"], ["", "make back"], SAID, SAID))


def verdict(head, findings):
    check, subject, rule, owner, rollback, by_rfc, observed = head
    said = (check, subject, rule, owner, "All is well.", rollback, tuple(findings))
    return Verdict(*said, by_rfc=by_rfc, observed=observed)


VERDICTS = st.lists(
    st.builds(verdict, st.sampled_from(HEADS), st.lists(st.sampled_from(FINDINGS), min_size=1, max_size=4)),
    max_size=20,
)


@given(VERDICTS)
def test_no_finding_is_lost(verdicts):
    findings = [one for verdict in verdicts for one in verdict.findings if one.outcome is not Outcome.PASS]
    assert len(findings) == sum(one.count for one in group(verdicts))
    assert {(one.claim, one.outcome) for one in findings} == {(one.claim, one.outcome) for one in group(verdicts)}
    good = [verdict for verdict in verdicts if verdict.outcome is Outcome.PASS]
    assert len(good) == sum(one.count for one in passed(verdicts))


@given(VERDICTS, st.randoms(use_true_random=False))
def test_no_order_changes_the_groups(verdicts, random):
    mixed = random.sample(verdicts, len(verdicts))
    assert (group(verdicts), passed(verdicts)) == (group(mixed), passed(mixed))


@given(VERDICTS)
def test_what_a_group_shows_is_true_of_its_first_example(verdicts):
    for one in group(verdicts):
        assert len(one.examples) <= min(3, one.subjects) <= one.count
        assert any(
            (one.claim, one.outcome, one.severity, one.saw, one.wanted)
            == (finding.claim, finding.outcome, finding.severity, finding.saw, finding.wanted)
            for verdict in verdicts
            if (verdict.check, verdict.rule, verdict.subject) == (one.check, one.rule, one.examples[0])
            for finding in verdict.findings
        )


@given(st.text())
def test_the_shape_of_a_shape_is_itself(text):
    assert shape(text) == shape(shape(text))
