"""A review in words: each finding by itself, since each has a statement of its own that mends it."""

from roundsman.report.rules.grouping import urgency
from roundsman.report.rules.report import Report
from roundsman.report.rules.text import code_for_markdown, for_markdown, for_table, markdown_table
from roundsman.report.rules.verdict import Finding, Outcome, Verdict

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
            "subject": for_table(verdict.subject),
            "claim": one.claim,
            "saw": for_table(one.saw),
            "wanted": for_table(one.wanted),
            "owner": for_table(verdict.owner),
        }
        for verdict, one in (*found(report), *held(report))
    ]


def page(report: Report) -> str:
    """The review for Prefect's UI."""
    wrong = [_item(verdict, one) for verdict, one in found(report)]
    well = [(for_markdown(verdict.subject), f"`{one.claim}`", for_markdown(one.saw)) for verdict, one in held(report)]
    parts = [
        f"# {for_markdown(f'{report.site}: {report.summary}')}",
        f"{report.started:%Y-%m-%d %H:%M:%S} UTC, {(report.ended - report.started).total_seconds():.1f} s",
        "\n".join(wrong) or "Nothing needs anybody.",
        "## What holds" if well else "",
        markdown_table(("subject", "claim", "saw"), well) if well else "",
    ]
    return "\n\n".join(filter(None, parts))


def _item(verdict: Verdict, one: Finding) -> str:
    what = f"- **{one.outcome.upper()} {for_markdown(verdict.subject)}** `{one.claim}`"
    owner = for_markdown(f"Owner {verdict.owner}.")
    if one.claim.endswith(_SIDE_BY_SIDE):
        plans = ["<br>".join(map(for_markdown, text.split(" > "))) for text in (one.wanted, one.saw)]
        return f"{what} {owner}\n\n{markdown_table(('before', 'now'), [plans])}\n"
    mend, _, cost = one.wanted.partition("; cost: ")
    if cost:
        more = f"Fix: {code_for_markdown(mend)} {for_markdown(f'(cost: {cost}).')}"
    else:
        more = for_markdown(f"Wanted {mend}.")
    return f"{what}: {for_markdown(f'{one.saw}.')} {more} {owner}"
