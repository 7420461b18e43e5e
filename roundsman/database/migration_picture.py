"""The page of a rehearsal: which tables were locked when, by which migration, and who had to wait."""

import base64
import io
from collections.abc import Sequence

from roundsman.database.rules.migration_facts import seconds
from roundsman.database.rules.migration_locks import Hold
from roundsman.report.rules.text import code_for_markdown, for_markdown, for_picture, markdown_table, shortened
from roundsman.report.rules.verdict import Outcome, Verdict

#: Told apart by colour-blind readers too; dark enough for white and light enough for black.
_READS, _WRITES = "#d55e00", "#1f7fc0"
#: Locks that one picture has room for.
_MAX_ROWS = 30


def page_of(name: str, taken: Sequence[Hold], verdicts: Sequence[Verdict], picture: str, reused: str = "") -> str:
    """The page in Markdown. `picture` is a data URI, or empty; `reused` says that the rehearsal is an earlier one."""
    wrong = [
        f"- **{one.outcome.upper()} {for_markdown(verdict.subject)}** `{one.claim}`: "
        f"{for_markdown(f'saw {one.saw}, wanted {one.wanted}')}"
        for verdict in verdicts
        for one in verdict.findings
        if one.outcome is not Outcome.PASS
    ]
    heads = ["migration", "table", "lock", "who waits", "here", "in production", "statement"]
    parts = [
        f"# Migrations of {for_markdown(name)}",
        for_markdown(f"{reused[:1].upper()}{reused[1:]}.") if reused else "",
        "\n".join(wrong) or "Nothing needs anybody.",
        f"![Locks of the migrations: when, on which table, and who waits]({picture})" if picture else "",
        markdown_table(heads, map(_row, taken)) if taken else "",
    ]
    return "\n\n".join(filter(None, parts))


def _row(one: Hold) -> list[str]:
    who = "readers and writers" if one.stops_reads else "writers"
    took = (seconds(one.seconds), seconds(one.projected))
    sql = code_for_markdown(shortened(one.taken_by.sql, 120), cell=True)
    return [*map(for_markdown, (one.revision, one.table, one.mode, who, *took)), sql]


def timeline(taken: Sequence[Hold]) -> str:
    """Each lock from when it was taken to when it was given back, one row each. A data URI; "" without a lock."""
    if not taken:
        return ""
    # More than a second of import that a rehearsal without a lock need not pay.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shown = sorted(sorted(taken, key=lambda one: -one.projected)[:_MAX_ROWS], key=lambda one: -one.since)
    figure = Figure(figsize=(9, 1.4 + 0.34 * len(shown)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    whole = max(one.until for one in shown) or 1.0
    for row, one in enumerate(shown):
        colour = _READS if one.stops_reads else _WRITES
        # A lock of a millisecond is a thin line, and still seen.
        axes.barh(row, max(one.seconds, whole / 400), left=one.since, height=0.6, color=colour)
        then = f", {seconds(one.projected)} in production" if one.projected > 1.05 * one.seconds else ""
        axes.annotate(
            f"{seconds(one.seconds)}{then}",
            (one.until, row),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    names = [for_picture(f"{one.revision}  {one.table}  {one.mode}") for one in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlim(0, 1.35 * whole)
    axes.set_xlabel("seconds on the copy")
    kinds = [Patch(color=_READS, label="readers and writers wait"), Patch(color=_WRITES, label="writers wait")]
    axes.legend(handles=kinds, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"
