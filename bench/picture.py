"""Draw docs/pictures/cost.png: what a day costs against how much there is to do.

``python -m bench.picture [FILE]`` runs the documented cron job, the same with its paging
mended, and the product on the stand-ins, along two axes: the number of targets, and the points
that each has. A day is 48 questions about each target, one of which finds a new point. YSE-PZ's
seconds are what its original was measured to take for the same requests; our own are processor
time: Python and Valkey, or the cron's Python. Needs matplotlib (extra ``plot``).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from bench.server_seconds import INSTALLATION, Day, cron, product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PICTURE = Path(__file__).parent.parent / "docs" / "pictures" / "cost.png"
TARGETS = (1, 3, 10, 30, 100, 300)
POINTS = (10, 30, 100, 300, 1000, 3000)
POINTS_OF_EACH = 100
"""Along the axis of targets."""
TARGETS_OF_EACH = 10
"""Along the axis of points, for the product: they share its questions to the source."""
QUIET = 2
REQUESTS_MAX = 300
BROKEN_OFF_S = 30.0
"""YSE-PZ breaks off a request that takes longer."""
DAY_S = 86_400.0
NEAR = 4.0
"""Ends of two lines that are no further apart than by this factor."""


@dataclass(frozen=True)
class Line:
    """One contender: how it is named and drawn, and what runs its day."""

    name: str
    colour: str
    marker: str
    day: Callable[[int, int], Day]


def _cron(*, every_page: bool) -> Callable[[int, int], Day]:
    def day(targets: int, points: int) -> Day:
        rounds = max(1, min(4, REQUESTS_MAX // targets // max(1, points // 100)))
        return cron(every_page=every_page, targets=targets, points=points, rounds=rounds)

    return day


def _product(targets: int, points: int) -> Day:
    return product(targets=targets, points=points, quiet=QUIET)


# Told apart with any colour vision, and in grey by their marks.
MENDED: Final = Line("cron, paging\nmended", "#6B2A63", "s", _cron(every_page=True))
CRON: Final = Line("cron as\ndocumented", "#D55E00", "^", _cron(every_page=False))
PRODUCT: Final = Line("yse_ingest", "#0072B2", "o", _product)


@dataclass(frozen=True)
class Mark:
    """One point of a line."""

    work: int
    ysepz_s: float
    own_s: float
    broken_off: bool = False
    """YSE-PZ would break off a request of this day."""


def along_targets(line: Line) -> Iterator[Mark]:
    """Yield the day of an installation of so many targets."""
    for targets in TARGETS:
        day = line.day(targets, POINTS_OF_EACH)
        yield Mark(targets, day.of(targets), targets * day.own_cpu, _is_broken(day))


def along_points(line: Line) -> Iterator[Mark]:
    """Yield the day of one of very many targets, each with so many points."""
    for points in POINTS:
        day = line.day(TARGETS_OF_EACH if line is PRODUCT else 1, points)
        yield Mark(points, day.of(INSTALLATION) / INSTALLATION, day.own_cpu, _is_broken(day))


def _is_broken(day: Day) -> bool:
    return day.longest > BROKEN_OFF_S


Marks = dict[Line, list[Mark]]


def draw(path: Path, targets: Marks, points: Marks) -> None:
    """Draw both axes: YSE-PZ's time above, our own below."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10.5, 7.6), layout="constrained")
        axes = figure.subplots(2, 2, sharex="col", sharey="row")
        columns = (
            (targets, f"targets, each with {POINTS_OF_EACH} points", "all targets"),
            (
                points,
                f"points of its light curve (one of {INSTALLATION:,} targets)",
                "a target",
            ),
        )
        for column, (marks, work, of) in enumerate(columns):
            above, below = axes[0][column], axes[1][column]
            _panel(above, {line: _pairs(marks[line], "ysepz_s") for line in marks})
            _panel(below, {line: _pairs(marks[line], "own_s") for line in marks})
            _open_marks(above, marks)
            _busy_all_day(above, told=column == 0)
            above.set_title(f"YSE-PZ's server, for {of}", loc="left", weight="bold")
            below.set_title(f"own processor, for {of}", loc="left", weight="bold")
            below.set_xlabel(work)
            for panel in (above, below):
                panel.tick_params(labelbottom=True, labelleft=True)
                panel.set_ylabel("seconds per day")
        # Once both share their range: room for what stands beside the line of a day.
        axes[0][0].set_ylim(top=5 * DAY_S)
        _note_of_open_marks(axes[0][1])
        figure.suptitle(
            "What a day costs: 48 questions about each target, of which one finds a new point",
            fontsize=12.5,
        )
        figure.savefig(path, dpi=160)


Pairs = list[tuple[int, float]]


def _pairs(marks: list[Mark], seconds: str) -> Pairs:
    return [(mark.work, getattr(mark, seconds)) for mark in marks]


def _panel(panel: Any, lines: dict[Line, Pairs]) -> None:
    """Draw the lines of one panel, each with its name at its end, and how far apart two are."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    panel.grid(which="major", color="#e2e2e2", linewidth=0.6)
    for line, pairs in lines.items():
        panel.plot(
            *zip(*pairs, strict=True),
            color=line.colour,
            marker=line.marker,
            markersize=6,
            linewidth=1.8,
            zorder=3,
        )
        panel.annotate(
            line.name,
            pairs[-1],
            xytext=(9, _lift(line, lines)),
            textcoords="offset points",
            color=line.colour,
            va="center",
            weight="bold" if line is PRODUCT else "normal",
        )
    first, last = lines[PRODUCT][0][0], lines[PRODUCT][-1][0]
    # Room for the names.
    panel.set_xlim(first / 1.4, last * (last / first) ** 0.36)
    _apart(panel, lines[CRON][-1], lines[PRODUCT][-1])


def _lift(line: Line, lines: dict[Line, Pairs]) -> float:
    """Return by how much a name is moved off another one that ends nearly where it does."""
    ends = [pairs[-1][1] for other, pairs in lines.items() if other not in {line, PRODUCT}]
    end = lines[line][-1][1]
    if line is PRODUCT or not any(1 / NEAR < end / other < NEAR for other in ends):
        return 0
    return 14 if line is MENDED else -14


def _apart(panel: Any, high: tuple[int, float], low: tuple[int, float]) -> None:
    """Draw how many times less the lower end of a line is."""
    panel.annotate(
        "",
        high,
        low,
        arrowprops={"arrowstyle": "<->", "color": "#555555", "shrinkA": 6, "shrinkB": 6},
    )
    ratio = high[1] / low[1]
    panel.annotate(
        f"1/{ratio:,.0f}" if ratio >= 10 else f"1/{ratio:.1f}",
        (high[0], (high[1] * low[1]) ** 0.5),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        color="#333333",
    )


def _open_marks(panel: Any, marks: Marks) -> None:
    """Leave the marks open of days in which YSE-PZ would break off a request."""
    for line, known in marks.items():
        broken = [(mark.work, mark.ysepz_s) for mark in known if mark.broken_off]
        for pair in broken:
            panel.plot(
                *pair,
                marker=line.marker,
                markersize=6,
                color=line.colour,
                markerfacecolor="white",
                zorder=4,
            )


def _note_of_open_marks(panel: Any) -> None:
    panel.annotate(
        f"open: a request of more than {BROKEN_OFF_S:.0f} s,\nwhich YSE-PZ breaks off",
        (0.02, DAY_S),
        xycoords=panel.get_yaxis_transform(),
        xytext=(0, -4),
        textcoords="offset points",
        va="top",
        fontsize=9,
        color="#333333",
    )


def _busy_all_day(panel: Any, *, told: bool) -> None:
    """Draw how much one worker of the server can do."""
    panel.axhline(DAY_S, color="#555555", linewidth=1, linestyle=(0, (4, 3)))
    if told:
        panel.annotate(
            "one server worker, busy all day",
            (0.02, DAY_S),
            xycoords=panel.get_yaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            color="#333333",
            fontsize=9,
        )


def main() -> None:
    """Run all, tell the figures, draw."""
    console = Console(width=110)

    def told(line: Line, axis: str, marks: Iterator[Mark]) -> list[Mark]:
        found = []
        for mark in marks:
            found.append(mark)
            console.print(
                f"{' '.join(line.name.split())}, {mark.work:,} {axis}: YSE-PZ "
                f"{mark.ysepz_s:.4g} s/day, own {mark.own_s:.4g} s/day"
                f"{', broken off' if mark.broken_off else ''}",
                highlight=False,
            )
        return found

    # With so few points the two crons are one.
    targets = {line: told(line, "targets", along_targets(line)) for line in (CRON, PRODUCT)}
    points = {
        line: told(line, "points", along_points(line)) for line in (CRON, MENDED, PRODUCT)
    }
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE, targets, points)


if __name__ == "__main__":
    main()
