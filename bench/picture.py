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
TARGETS_OF_EACH = 25
"""Along the axis of points, for the product: they share its questions to the source."""
QUIET = 4
REQUESTS_MAX = 1000
BROKEN_OFF_S = 30.0
"""YSE-PZ breaks off a request that takes longer."""
DAY_S = 86_400.0


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


# Okabe and Ito's colours, told apart with any colour vision; the marks differ too.
MENDED: Final = Line("cron, paging mended", "#E69F00", "s", _cron(every_page=True))
CRON: Final = Line("cron as documented", "#D55E00", "^", _cron(every_page=False))
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


Marks = dict[str, list[Mark]]


def draw(path: Path, targets: Marks, points: Marks) -> None:
    """Draw both axes: YSE-PZ's time above, our own below."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10.5, 7.6), layout="constrained")
        axes = figure.subplots(2, 2, sharex="col", sharey="row")
        columns = (
            (targets, f"targets followed, each with {POINTS_OF_EACH} points", "all targets"),
            (points, f"points of a light curve, one of {INSTALLATION:,} targets", "one target"),
        )
        for column, (marks, work, of) in enumerate(columns):
            for row, (what, seconds) in enumerate(
                (("YSE-PZ server", "ysepz_s"), ("own processor", "own_s"))
            ):
                panel = axes[row][column]
                _panel(panel, marks, seconds)
                panel.set_title(f"{what}, {of}", loc="left", fontsize=10.5, weight="bold")
                if column == 0:
                    panel.set_ylabel(f"{what} [s per day]")
            axes[1][column].set_xlabel(work)
        _day(axes[0][0])
        figure.suptitle(
            "What a day costs: 48 questions about each target, one new point", fontsize=13
        )
        figure.savefig(path, dpi=160)


def _panel(panel: Any, marks: Marks, seconds: str) -> None:
    """Draw the lines of one panel, each with its name at its end."""
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.grid(which="major", color="#dddddd", linewidth=0.6)
    for line in (MENDED, CRON, PRODUCT):
        known = marks[line.name]
        work = [mark.work for mark in known]
        values = [getattr(mark, seconds) for mark in known]
        panel.plot(work, values, color=line.colour, linewidth=1.8, zorder=3)
        for mark, value in zip(known, values, strict=True):
            face = "white" if mark.broken_off else line.colour
            panel.plot(
                [mark.work],
                [value],
                marker=line.marker,
                markersize=6,
                color=line.colour,
                markerfacecolor=face,
                zorder=4,
            )


def _day(panel: Any) -> None:
    """Draw how much one worker of the server can do."""
    panel.axhline(DAY_S, color="#555555", linewidth=1, linestyle=(0, (4, 3)))
    panel.annotate(
        "one server worker, busy all day",
        (0.02, DAY_S),
        xycoords=panel.get_yaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        color="#555555",
        fontsize=9,
    )


def main() -> None:
    """Run all, tell the figures, draw."""
    console = Console(width=110)
    targets: Marks = {}
    points: Marks = {}
    for line in (PRODUCT, CRON, MENDED):
        for axis, run, found in (
            ("targets", along_targets, targets),
            ("points", along_points, points),
        ):
            found[line.name] = []
            for mark in run(line):
                found[line.name].append(mark)
                console.print(
                    f"{line.name}, {mark.work:,} {axis}: YSE-PZ {mark.ysepz_s:.3g} s/day, "
                    f"own {mark.own_s:.3g} s/day{', broken off' if mark.broken_off else ''}",
                    highlight=False,
                )
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE, targets, points)


if __name__ == "__main__":
    main()
