"""However findings come, grouping them loses none and does not depend on their order."""

from hypothesis import given
from hypothesis import strategies as st

from roundsman.report.rules.grouping import group, passed, shape
from roundsman.report.rules.verdict import Finding, Outcome, Severity, Verdict

SAID = st.sampled_from(["61s", "73s", "0s", "404", "500", "/a: HIT", "/b: HIT", "no Vary", ""])
FINDINGS = st.builds(
    Finding,
    st.sampled_from(["c/a", "c/b"]),
    st.just("It holds."),
    st.sampled_from(Outcome),
    SAID,
    SAID,
    severity=st.sampled_from([None, *Severity]),
)
VERDICTS = st.lists(
    st.builds(
        Verdict,
        st.sampled_from(["c", "d"]),
        st.sampled_from(["/a", "/b", "/c", "/d", "/e"]),
        st.sampled_from(["r", "s"]),
        st.sampled_from(["web", "ops"]),
        st.just("All is well."),
        st.sampled_from(["", "make back"]),
        st.lists(FINDINGS, min_size=1, max_size=4).map(tuple),
        by_rfc=SAID,
        observed=SAID,
    ),
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
