"""A figure, the reference that was measured beside it, and the goal; printed as a table."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True)
class Figure:
    """One row of the table: what was measured, beside what, and whether the goal holds."""

    name: str
    unit: str
    measured: float
    goal: float
    """Of the ratio where there is a reference, else of what was measured."""
    reference: float | None = None
    reference_name: str = ""
    more_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return measured by reference."""
        return None if self.reference is None else self.measured / self.reference

    @property
    def holds(self) -> bool:
        """Tell whether the goal is reached."""
        shown = self.measured if self.ratio is None else self.ratio
        return shown >= self.goal if self.more_is_better else shown <= self.goal

    def cells(self) -> tuple[str, ...]:
        """Return the cells of its row."""
        sign = ">=" if self.more_is_better else "<="
        told, goal = ("", ""), f"{sign} {self.goal:g} {self.unit}"
        if self.reference is not None and self.ratio is not None:
            told = (f"{self.reference:.4g} {self.reference_name}", as_ratio(self.ratio))
            goal = f"{sign} {as_ratio(self.goal)}"
        return (
            self.name,
            f"{self.measured:.4g} {self.unit}",
            *told,
            goal,
            "yes" if self.holds else "NO",
        )


def as_ratio(ratio: float) -> str:
    """Return a ratio as people say it: 1/80 rather than 0.0125."""
    return f"1/{1 / ratio:.3g}" if 0 < ratio < 0.5 else f"{ratio:.3g}"


def show(figures: Sequence[Figure]) -> None:
    """Print the table of figures, then what is to be known of each."""
    table = Table("figure", "measured", "reference", "ratio", "goal", "holds", show_lines=True)
    for figure in figures:
        table.add_row(*figure.cells())
    console = Console(file=sys.stdout, width=150, soft_wrap=False)
    console.print(table)
    for figure in figures:
        if figure.note:
            console.print(f"{figure.name}: {figure.note}", highlight=False)


def main(measure: Callable[[], Iterable[Figure]]) -> None:
    """Measure one command's figures and print them."""
    show(list(measure()))


def median(work: Callable[[], float], *, repeats: int) -> float:
    """Return the median of what `work` returns."""
    return statistics.median(work() for _ in range(repeats))


def cpu_s(work: Callable[[], object], *, times: int = 1) -> float:
    """Return the processor time of this process that one call takes [s], over so many calls."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times
