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
    beyond: bool = False
    """The goal is of what was measured beyond the reference, not of their ratio."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Return measured by reference."""
        return None if self.reference is None else self.measured / self.reference

    @property
    def judged(self) -> float:
        """Return what is compared with the goal."""
        if self.ratio is None or self.reference is None:
            return self.measured
        return self.measured - self.reference if self.beyond else self.ratio

    @property
    def holds(self) -> bool:
        """Tell whether the goal is reached."""
        return self.judged >= self.goal if self.more_is_better else self.judged <= self.goal

    @property
    def goal_text(self) -> str:
        """Return the goal as people read it."""
        sign = ">=" if self.more_is_better else "<="
        if self.reference is None:
            return f"{sign} {self.goal:g} {self.unit}"
        if self.beyond:
            return f"{sign} reference + {self.goal:g} {self.unit}"
        return f"{sign} {as_ratio(self.goal)}"

    def cells(self) -> tuple[str, ...]:
        """Return the cells of its row."""
        reference = ratio = ""
        if self.reference is not None and self.ratio is not None:
            reference = f"{self.reference:.4g} {self.reference_name}"
            ratio = as_ratio(self.ratio)
        return (
            self.name,
            f"{self.measured:.4g} {self.unit}",
            reference,
            ratio,
            self.goal_text,
            "holds" if self.holds else "MISSES",
        )


HEADS = ("figure", "measured", "reference", "ratio", "goal", "")


def as_ratio(ratio: float) -> str:
    """Return a ratio as people say it: 1/80 rather than 0.0125."""
    return f"1/{1 / ratio:.3g}" if 0 < ratio < 0.5 else f"{ratio:.3g}"


def show(figures: Sequence[Figure]) -> None:
    """Print the table of figures, then what is to be known of each."""
    table = Table(*HEADS, show_lines=True)
    for figure in figures:
        table.add_row(*figure.cells())
    console = Console(file=sys.stdout, width=150, soft_wrap=False)
    console.print(table)
    for figure in figures:
        if figure.note:
            console.print(f"{figure.name}: {figure.note}", highlight=False)


def tally(figures: Sequence[Figure]) -> str:
    """Return how many goals hold."""
    return f"{sum(figure.holds for figure in figures)} of {len(figures)} goals hold"


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
