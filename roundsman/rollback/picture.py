"""The picture of a rehearsal: each leg from when it was begun to its end, and how it ended."""

import base64
import io
from collections.abc import Sequence

from roundsman.rollback.rules.judge_rehearsal import took
from roundsman.rollback.rules.legs import DEPLOYS, ROLLS_BACK, State, Step

#: Told apart by colour-blind readers too; the words beside a bar say the same.
_DEPLOY, _BACK, _LOOK, _WRONG = "#1f7fc0", "#a67c00", "#7d7d7d", "#d55e00"


def timeline(steps: Sequence[Step]) -> str:
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
        axes.annotate(_said(step), (since, row), (6, 0), textcoords="offset points", va="center", fontsize=8)
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


def _colour(step: Step) -> str:
    if step.state is not State.PASSED:
        return _WRONG
    if step.leg in DEPLOYS:
        return _DEPLOY
    return _BACK if step.leg in ROLLS_BACK else _LOOK


def _said(step: Step) -> str:
    if step.state is State.BEGUN:
        return "cut off"
    return f"{'failed, ' * (step.state is State.FAILED)}{took(step)}"
