"""Pictures for Prefect's UI, which shows an SVG only as a data URI."""

import base64
import io
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from flows.rules.order_statistics import interval, quantile
from flows.rules.ratio import Ratio
from flows.rules.series import Series
from flows.rules.status_facts import Mark
from flows.rules.status_page import CELL, strip
from flows.rules.verdict import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"hit": "#0072b2", "miss": "#d55e00", "origin": "#009e73"}  # told apart by colour-blind readers too
#: Colour and height of an outcome: each colour stands out from white and from black, and the height tells as well.
_OUTCOMES = {
    Outcome.PASS: ("#1f7fc0", 0.4),
    Outcome.WARN: ("#a67c00", 0.65),
    Outcome.UNKNOWN: ("#7d7d7d", 0.8),
    Outcome.FAIL: ("#d55e00", 1.0),
}
_GREY = "#7d7d7d"
#: By the words of a comparison, whose module brings numpy, which a round can do without.
_WORDS = {
    "slower": Outcome.FAIL,
    "probably slower": Outcome.WARN,
    "not enough data": Outcome.UNKNOWN,
    "unchanged": Outcome.PASS,
    "faster": Outcome.PASS,
}
#: Routes and states that one picture has room for.
_ROWS = 40
#: Ratios that are written below a picture of them.
_TICKS = (0.01, 0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10, 100)


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
        colour = _COLOURS[one.state]
        p50, p95 = quantile(one.times, 0.5), quantile(one.times, 0.95)
        axes.plot([low * 1000, high * 1000], [row, row], color=colour, linewidth=6, alpha=0.25, solid_capstyle="butt")
        axes.plot([p50 * 1000], [row], marker="o", color=colour, linestyle="none")
        axes.plot([p95 * 1000], [row], marker="|", markersize=14, markeredgewidth=2, color=colour, linestyle="none")
        axes.annotate(f"{p95 * 1000:.1f} ms", (high * 1000, row), (6, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(series)), [f"{one.path}  {one.state}" for one in reversed(series)])
    axes.set_ylim(-0.7, len(series) - 0.3)
    axes.set_xlim(left=0)
    axes.margins(x=0.15)
    axes.set_xlabel("time to first byte in ms: dot p50, bar p95, band its 95 % interval")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    return _drawn(figure)


def history(marks: Sequence[Mark], now: datetime, moments: Sequence[datetime] = ()) -> str:
    """The last days as a strip: every three hours' worst outcome is a cell, higher as it is heavier; a line is time.

    Deployments (`moments`) are dashed lines with a tip. No word is in it: it can be small and stand on any background.
    A data URI; "" without a mark.
    """
    if not marks:
        return ""
    cells = strip(marks, now)
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    timed = [(place, cell.ms) for place, cell in enumerate(cells) if cell.ms is not None]
    figure = Figure(figsize=(5.6, 0.9 if timed else 0.5))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 0.5 if timed else 0.9))
    axes.axhline(0, color=_GREY, linewidth=2)
    for outcome, (colour, height) in _OUTCOMES.items():
        places = [(place + 0.06, 0.88) for place, cell in enumerate(cells) if cell.outcome is outcome]
        hollow = outcome is Outcome.UNKNOWN
        look = {"facecolor": "none", "edgecolor": colour, "linewidth": 1} if hollow else {"facecolor": colour}
        axes.broken_barh(places, (0, height), **look)
    for moment in moments:
        if 0 < (place := len(cells) - (now - moment).total_seconds() / CELL) <= len(cells):
            axes.axvline(place, color=_GREY, linewidth=1.5, linestyle=(0, (3, 2)))
            axes.plot([place], [1.25], marker="v", color=_GREY, markersize=6)
    axes.set(xlim=(-0.2, len(cells) + 0.2), ylim=(-0.05, 1.4 if moments else 1.05))
    axes.set_axis_off()
    if timed:
        line = figure.add_axes((0, 0.55, 1, 0.42))
        line.plot([place + 0.5 for place, _ in timed], [ms for _, ms in timed], color=_GREY, linewidth=1.5)
        line.plot([place + 0.5 for place, _ in timed], [ms for _, ms in timed], ".", color=_GREY, markersize=4)
        line.set(xlim=(-0.2, len(cells) + 0.2), ylim=(0, 1.15 * max(ms for _, ms in timed) or 1))
        line.set_axis_off()
    return _drawn(figure, transparent=True)


def forest(ratios: Sequence[Ratio], margin: float) -> str:
    """How much longer a new release takes, by route and cache state: the ratio, its 95 % interval, the margin shaded.

    The slowest are on top, and only as many as there is room for. A data URI; "" without data.
    """
    if not ratios:
        return ""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    shown = sorted(ratios, key=lambda one: one.ratio)[-_ROWS:]
    figure = Figure(figsize=(8, 0.9 + 0.32 * len(shown)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.axvspan(1 / (1 + margin), 1 + margin, color=_GREY, alpha=0.15, linewidth=0)
    axes.axvline(1, color=_GREY, linewidth=1)
    # An end that the sample can't tell would be infinitely far away.
    far = 2 * max(max(one.ratio, 1 / one.ratio, 1 + margin) for one in shown)
    lines = [(max(one.low, 1 / far), min(one.high, far)) for one in shown]
    least, most = min(low for low, _ in lines), max(high for _, high in lines)
    for row, (one, ends) in enumerate(zip(shown, lines, strict=True)):
        colour, _ = _OUTCOMES[_WORDS[one.word]]
        axes.plot(ends, [row, row], color=colour, linewidth=2)
        axes.plot([one.ratio], [row], marker="o", color=colour, linestyle="none")
        axes.annotate(one.word, (ends[1], row), (6, 0), textcoords="offset points", va="center")
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.set_xlim(0.8 * min(least, 1 / (1 + margin)), 1.6 * max(most, 1 + margin))
    axes.set_yticks(range(len(shown)), [f"{one.path}  {one.state}" for one in shown])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("times as long as before, with 95 % interval; the margin is shaded")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    return _drawn(figure)


def _drawn(figure: "Figure", *, transparent: bool = False) -> str:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", transparent=transparent, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(drawn.getvalue()).decode()}"
