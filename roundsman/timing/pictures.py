"""Pictures of comparisons and of histories: how much longer, since when, and how the times are spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from roundsman.report.pictures import COLOURS, GREY, OUTCOMES, as_uri
from roundsman.report.rules.quantiles import Ratio
from roundsman.report.rules.text import for_picture
from roundsman.report.rules.verdict import Outcome
from roundsman.timing.rules.histogram import Histogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: By the words of a comparison.
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
    axes.axvspan(1 / (1 + margin), 1 + margin, color=GREY, alpha=0.15, linewidth=0)
    axes.axvline(1, color=GREY, linewidth=1)
    # An end that the sample can't tell would be infinitely far away.
    far = 2 * max(max(one.ratio, 1 / one.ratio, 1 + margin) for one in shown)
    lines = [(max(one.low, 1 / far), min(one.high, far)) for one in shown]
    least, most = min(low for low, _ in lines), max(high for _, high in lines)
    for row, (one, ends) in enumerate(zip(shown, lines, strict=True)):
        colour, _ = OUTCOMES[_WORDS[one.word]]
        axes.plot(ends, [row, row], color=colour, linewidth=2)
        axes.plot([one.ratio], [row], marker="o", color=colour, linestyle="none")
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # it may stand on the margin
        axes.annotate(one.word, (ends[1], row), (6, 0), textcoords="offset points", va="center", bbox=box)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.set_xlim(0.8 * min(least, 1 / (1 + margin)), 1.6 * max(most, 1 + margin))
    axes.set_yticks(range(len(shown)), [for_picture(f"{one.path}  {one.state}") for one in shown])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("times as long as before, with 95 % interval; the margin is shaded")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    return as_uri(figure)


@dataclass(frozen=True, slots=True)
class Course:
    """One route in one cache state, round after round: seconds at each time, and the levels that it had.

    A level is its first and last place and its median in seconds; `crept` says that it went evenly from the first
    level to the last instead.
    """

    state: str
    at: Sequence[datetime]
    p50: Sequence[float]
    p95: Sequence[float]
    levels: Sequence[tuple[int, int, float]] = ()
    crept: bool = False


def courses(shown: Sequence[Course], releases: Mapping[datetime, str]) -> str:
    """A route's history: medians as dots, p95 as a thin line, levels as bars, releases as dashed lines with names.

    One row for each cache state. A data URI; "" without data.
    """
    shown = [one for one in shown if one.at]
    if not shown:
        return ""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 + 1.7 * len(shown)), layout="constrained")
    FigureCanvasSVG(figure)
    rows = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    begin, end = min(one.at[0] for one in shown), max(one.at[-1] for one in shown)
    for place, (axes, one) in enumerate(zip(rows, shown, strict=True)):
        _draw_course(axes, one)
        named = [(at, version) for at, version in sorted(releases.items()) if begin <= at <= end]
        for at, _ in named:
            axes.axvline(at, color=GREY, linewidth=1, linestyle=(0, (3, 2)))
        if place == 0:
            _name_releases(axes, named, begin, end)
    rows[-1].set_xlabel("dot: median of a round, line: its p95, bar: level; dashed: a release")
    return as_uri(figure)


def _name_releases(axes: "Axes", named: Sequence[tuple[datetime, str]], begin: datetime, end: datetime) -> None:
    """Versions above their lines, the last ones first, and only those that do not stand in each other's way."""
    wide, free = (end - begin) / 9, end + (end - begin)
    for at, version in reversed(named):
        if at + wide <= free:
            label = for_picture(version if len(version) <= 12 else f"{version[:11]}\N{HORIZONTAL ELLIPSIS}")
            top = ("data", "axes fraction")
            axes.annotate(label, (at, 1), (0, 3), xycoords=top, textcoords="offset points", ha="center", fontsize=8)
            free = at


def _draw_course(axes: "Axes", one: Course) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

    colour = COLOURS.get(one.state, GREY)
    # matplotlib.dates has no types.
    at = date2num(list(one.at))  # type: ignore[no-untyped-call]
    axes.plot(at, [1000 * seconds for seconds in one.p95], color=colour, linewidth=0.8, alpha=0.5)
    axes.plot(at, [1000 * seconds for seconds in one.p50], ".", color=colour, markersize=4)
    ends = [(at[first], at[last], 1000 * level) for first, last, level in one.levels]
    if one.crept and len(ends) > 1:
        axes.plot([ends[0][0], ends[-1][1]], [ends[0][2], ends[-1][2]], color="black", linewidth=1.2)
    else:
        for begin, end, level in ends:
            axes.plot([begin, end], [level, level], color="black", linewidth=1.2, solid_capstyle="butt")
    for before, after in zip(one.levels, one.levels[1:], strict=False):
        place = at[len(at) // 2 if one.crept else after[0]]
        label = f"x{after[2] / before[2]:.2f}{' crept' if one.crept else ''}"
        axes.annotate(label, (place, 1000 * after[2]), (4, 6), textcoords="offset points", fontsize=9)
    axes.set_ylim(0, 1.25 * 1000 * max([*one.p95, *(level for *_, level in one.levels)]))
    axes.set_ylabel(f"{one.state} in ms")
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.spines[["top", "right"]].set_visible(False)


def spreads(pairs: Mapping[str, tuple[Histogram, Histogram]]) -> str:
    """How many requests were answered within which time, before a release (grey) and since, for each cache state.

    Cumulative, so that every quantile of both can be read off. A data URI; "" without data.
    """
    shown = {state: pair for state, pair in pairs.items() if all(one.total for one in pair)}
    if not shown:
        return ""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.4), layout="constrained")
    FigureCanvasSVG(figure)
    for axes, (state, pair) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown.items(), strict=True):
        for histogram, colour, when in zip(pair, (GREY, COLOURS.get(state, GREY)), ("before", "since"), strict=True):
            milliseconds, shares = histogram.cumulative()
            axes.step(1000 * milliseconds, 100 * shares, color=colour, linewidth=1.6, where="post", label=when)
        low, high = (f([one.quantile(share) for one in pair]) for f, share in ((min, 0.005), (max, 0.995)))
        axes.set_xscale("log")
        axes.set_xlim(700 * low, 1400 * high)
        ticks = [tick for tick in _MILLISECONDS if 700 * low <= tick <= 1400 * high]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_yticks((0, 50, 95, 100), ("0", "50 %", "95 %", ""))
        axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.8)
        axes.set_xlabel(f"{state}: answered within so many ms")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right", fontsize=9)
    return as_uri(figure)


_MILLISECONDS = [base * 10**power for power in range(-2, 5) for base in (1, 2, 5)]
