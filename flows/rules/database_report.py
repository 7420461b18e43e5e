"""A review in words: each finding by itself, since each has a statement of its own that mends it."""

from flows.rules.grouping import urgency
from flows.rules.report import Report
from flows.rules.verdict import Finding, Outcome, Verdict

#: Claims whose breach is two plans: the one that was, and the one that is.
_SIDE_BY_SIDE = ("db202-changed", "db202-plans")


def found(report: Report) -> list[tuple[Verdict, Finding]]:
    """All findings that are no pass, the worst first."""
    wrong = [(verdict, one) for verdict in report.verdicts for one in verdict.findings]
    return sorted((pair for pair in wrong if pair[1].outcome is not Outcome.PASS), key=lambda pair: urgency(pair[1]))


def held(report: Report) -> list[tuple[Verdict, Finding]]:
    """All findings that are a pass."""
    return [(verdict, one) for verdict in report.verdicts for one in verdict.findings if one.outcome is Outcome.PASS]


def rows(report: Report) -> list[dict[str, str]]:
    """A row for each finding, the worst first."""
    return [
        {
            "outcome": one.outcome.value,
            "subject": verdict.subject,
            "claim": one.claim,
            "saw": one.saw,
            "wanted": one.wanted,
            "owner": verdict.owner,
        }
        for verdict, one in (*found(report), *held(report))
    ]


def page(report: Report) -> str:
    """The review for Prefect's UI."""
    wrong = [_item(verdict, one) for verdict, one in found(report)]
    well = [f"| {_cell(verdict.subject)} | `{one.claim}` | {_cell(one.saw)} |" for verdict, one in held(report)]
    parts = [
        f"# {report.site}: {report.summary}",
        f"{report.started:%Y-%m-%d %H:%M:%S} UTC, {(report.ended - report.started).total_seconds():.1f} s",
        "\n".join(wrong) or "Nothing needs anybody.",
        "## What holds" if well else "",
        "\n".join(["| subject | claim | saw |", "|---|---|---|", *well]) if well else "",
    ]
    return "\n\n".join(filter(None, parts))


def _item(verdict: Verdict, one: Finding) -> str:
    if one.claim.endswith(_SIDE_BY_SIDE):
        before, now = (_cell(text).replace(" > ", "<br>") for text in (one.wanted, one.saw))
        table = f"| before | now |\n|---|---|\n| {before} | {now} |"
        return f"- **{one.outcome.upper()} {verdict.subject}** `{one.claim}` Owner {verdict.owner}.\n\n{table}\n"
    mend, _, cost = one.wanted.partition("; cost: ")
    said = f"- **{one.outcome.upper()} {verdict.subject}** `{one.claim}`: {one.saw}."
    more = f" Mend: `{mend}` (cost: {cost})." if cost else f" Wanted {mend}."
    return f"{said}{more} Owner {verdict.owner}.".replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
