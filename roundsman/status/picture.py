"""The last days of a site's promises as a picture."""

from collections.abc import Sequence
from datetime import datetime

from roundsman.report.pictures import GREY, OUTCOMES, as_uri
from roundsman.report.rules.verdict import Outcome
from roundsman.status.rules.facts import Mark
from roundsman.status.rules.page import CELL_SECONDS, strip


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
    axes.axhline(0, color=GREY, linewidth=2)
    for outcome, (colour, height) in OUTCOMES.items():
        places = [(place + 0.06, 0.88) for place, cell in enumerate(cells) if cell.outcome is outcome]
        hollow = outcome is Outcome.UNKNOWN
        look = {"facecolor": "none", "edgecolor": colour, "linewidth": 1} if hollow else {"facecolor": colour}
        axes.broken_barh(places, (0, height), **look)
    for moment in moments:
        if 0 < (place := len(cells) - (now - moment).total_seconds() / CELL_SECONDS) <= len(cells):
            axes.axvline(place, color=GREY, linewidth=1.5, linestyle=(0, (3, 2)))
            axes.plot([place], [1.25], marker="v", color=GREY, markersize=6)
    axes.set(xlim=(-0.2, len(cells) + 0.2), ylim=(-0.05, 1.4 if moments else 1.05))
    axes.set_axis_off()
    if timed:
        line = figure.add_axes((0, 0.55, 1, 0.42))
        line.plot([place + 0.5 for place, _ in timed], [ms for _, ms in timed], color=GREY, linewidth=1.5)
        line.plot([place + 0.5 for place, _ in timed], [ms for _, ms in timed], ".", color=GREY, markersize=4)
        line.set(xlim=(-0.2, len(cells) + 0.2), ylim=(0, 1.15 * max(ms for _, ms in timed) or 1))
        line.set_axis_off()
    return as_uri(figure, transparent=True)
