"""The page of a rehearsal: a picture of each leg from its beginning to its end, and what its command said."""

import base64
import io
from collections.abc import Sequence

from roundsman.report.rules.report import Report, markdown
from roundsman.report.rules.text import for_markdown, markdown_table, visible
from roundsman.rollback.rules.judge_rehearsal import RehearsalOutcome, legs, took
from roundsman.rollback.rules.plan import DEPLOYS, ROLLS_BACK, LegResult, LegState

#: Told apart by colour-blind readers too; the words beside a bar say the same.
_DEPLOY, _BACK, _LOOK, _WRONG = "#1f7fc0", "#a67c00", "#7d7d7d", "#d55e00"


def page_of(report: Report, outcome: RehearsalOutcome, picture: str) -> str:
    """The page in Markdown; `picture` is a data URI, or empty."""
    return "\n\n".join([markdown(report, picture, "Each leg and its seconds"), "## Legs", *_legs(outcome)])


def _legs(outcome: RehearsalOutcome) -> Sequence[str]:
    rows = [
        (leg["leg"], leg["state"], f"{leg['seconds']:.1f} s", for_markdown(leg["saw"]))
        for leg in legs(outcome.state.steps)
    ]
    # Indented, so that nothing in it can end the block and be read as a page.
    outputs = [
        f"### What {step.leg} said\n\n" + "\n".join(f"    {visible(line)}" for line in step.output.splitlines())
        for step in outcome.state.steps
        if step.output
    ]
    return [markdown_table(("leg", "state", "took", "saw"), rows), *outputs]


def timeline(steps: Sequence[LegResult]) -> str:
    """Each leg as a bar with its seconds, the first one on top. A data URI; "" without a leg."""
    if not steps:
        return ""
    # More than a second of import that a refused rehearsal need not pay.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(8, 1.3 + 0.32 * len(steps)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    whole, since = sum(step.seconds for step in steps) or 1.0, 0.0
    for row, step in enumerate(steps):
        # A leg of a millisecond is a thin line, and still seen.
        axes.barh(row, max(step.seconds, whole / 400), left=since, height=0.6, color=_colour(step))
        since += step.seconds
        axes.annotate(_label(step), (since, row), (6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(steps)), [step.leg.replace("-", " ") for step in steps], fontsize=8)
    axes.set_ylim(len(steps) - 0.3, -0.7)
    axes.set_xlim(0, 1.3 * whole)
    axes.set_xlabel("seconds")
    kinds = {"deploy": _DEPLOY, "rollback": _BACK, "looking": _LOOK, "went wrong": _WRONG}
    patches = [Patch(color=colour, label=name) for name, colour in kinds.items()]
    axes.legend(handles=patches, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False, fontsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"


def _colour(step: LegResult) -> str:
    if step.state is not LegState.PASSED:
        return _WRONG
    if step.leg in DEPLOYS:
        return _DEPLOY
    return _BACK if step.leg in ROLLS_BACK else _LOOK


def _label(step: LegResult) -> str:
    if step.state is LegState.BEGUN:
        return "cut off"
    return f"{'failed, ' * (step.state is LegState.FAILED)}{took(step)}"
