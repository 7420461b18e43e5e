"""Pictures for Prefect's UI, which shows an SVG only as a data URI."""

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from roundsman.report.rules.quantiles import Series, interval, quantile
from roundsman.report.rules.text import for_picture
from roundsman.report.rules.verdict import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"hit": "#0072b2", "miss": "#d55e00", "origin": "#009e73"}  # told apart by colour-blind readers too
#: Colour and height of an outcome: each colour stands out from white and from black, and the height tells as well.
OUTCOMES = {
    Outcome.PASS: ("#1f7fc0", 0.4),
    Outcome.WARN: ("#a67c00", 0.65),
    Outcome.UNKNOWN: ("#7d7d7d", 0.8),
    Outcome.FAIL: ("#d55e00", 1.0),
}
GREY = "#7d7d7d"


def warm_up() -> None:
    """Import what draws, which takes more than a second, while there is something else to wait for."""
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401 - what it imports stays


def latencies(series: Sequence[Series]) -> str:
    """Time to first byte by route and cache state: p50, p95 and the interval of p95. A data URI; "" without data."""
    if not series:
        return ""
    # More than a second of import that a round without samples need not pay.
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.8 + 0.42 * len(series)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for row, one in enumerate(reversed(series)):
        low, high = interval(one.times, 0.95)
        colour = COLOURS[one.state]
        p50, p95 = quantile(one.times, 0.5), quantile(one.times, 0.95)
        axes.plot([low * 1000, high * 1000], [row, row], color=colour, linewidth=6, alpha=0.25, solid_capstyle="butt")
        axes.plot([p50 * 1000], [row], marker="o", color=colour, linestyle="none")
        axes.plot([p95 * 1000], [row], marker="|", markersize=14, markeredgewidth=2, color=colour, linestyle="none")
        axes.annotate(f"{p95 * 1000:.1f} ms", (high * 1000, row), (6, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(series)), [for_picture(f"{one.path}  {one.state}") for one in reversed(series)])
    axes.set_ylim(-0.7, len(series) - 0.3)
    axes.set_xlim(left=0)
    axes.margins(x=0.15)
    axes.set_xlabel("time to first byte in ms: dot p50, bar p95, band its 95 % interval")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    return as_uri(figure)


def as_uri(figure: "Figure", *, transparent: bool = False) -> str:
    """A figure as a data URI."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", transparent=transparent, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"
