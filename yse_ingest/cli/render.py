"""Tables and words for people."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_Result = TypeVar("_Result")

WIDTH_OF_FILES = 130
"""Width of tables where the output is no terminal [characters]."""
GAP = 3
"""Between two columns [characters]."""
PROGRESS_FROM = 2000
"""Work of fewer steps is over before a bar could be read."""
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Sequence[str] = (),
    styles: Mapping[str, str] | None = None,
    spare: Sequence[str] = (),
) -> None:
    """Print a table.

    Parameters
    ----------
    columns
        Headings.
    rows
        Cells, in the order of the headings; None is an empty cell.
    right
        Headings of columns whose cells end at the right: numbers.
    styles
        Cell text to rich's style of it.
    spare
        Headings of columns that are left out, in this order, where the terminal is too narrow;
        a line below says so.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    styles = styles or {}
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    console = Console(
        file=sys.stdout,
        highlight=False,
        width=None if sys.stdout.isatty() else WIDTH_OF_FILES,
    )
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    without = _left_out(columns, texts, spare, width=console.width)
    for column in columns:
        if column not in without:
            shown.add_column(
                column,
                justify="right" if column in right else "left",
                no_wrap=column == columns[0],
                # A name that is cut is none.
                min_width=max((len(row[0]) for row in texts), default=0)
                if column == columns[0]
                else None,
            )
    for row in texts:
        cells = [
            cell for column, cell in zip(columns, row, strict=True) if column not in without
        ]
        shown.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in cells))
    with console.capture() as captured:
        console.print(shown)
    # rich fills lines up with blanks.
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
    if without:
        say(f"(for want of width without: {', '.join(without)})")


def _left_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], *, width: int
) -> list[str]:
    """Return the headings that have no room."""
    widths = {
        column: max([len(column), *(len(row[number]) for row in rows)]) + GAP
        for number, column in enumerate(columns)
    }
    without: list[str] = []
    for column in spare:
        if sum(widths.values()) - GAP <= width:
            break
        del widths[column]
        without.append(column)
    return without


def say(text: str = "", *, style: str | None = None) -> None:
    """Print a line for people."""
    click.echo(click.style(text, fg=style) if style else text)


def warn(text: str) -> None:
    """Print a line that should not be missed, on the error output."""
    click.echo(click.style(text, fg="yellow"), err=True)


def plural(count: int, noun: str) -> str:
    """Return "1 point", "3 points"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(counts: Mapping[str, int]) -> str:
    """Return "g-ZTF 17, r-ZTF 16"."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def duration(seconds: float) -> str:
    """Return a duration in the largest fitting unit: "45 s", "12 min", "3.5 h", "2.1 d"."""
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} d"


def ago(then_ms: float | None, now_ms: float) -> str:
    """Return how long ago a Unix time [ms] was; "never" for None."""
    return "never" if not then_ms else f"{duration(max(0.0, (now_ms - then_ms) / 1000))} ago"


def ahead(then_ms: float | None, now_ms: float) -> str:
    """Return how far ahead a Unix time [ms] is: "now", "in 12 min"; empty for None."""
    if not then_ms:
        return ""
    return "now" if then_ms <= now_ms else f"in {duration((then_ms - now_ms) / 1000)}"


def minute_of(time_ms: float) -> str:
    """Return a Unix time [ms] as a UTC date to the minute."""
    from yse_ingest.times import iso_of_unix

    return iso_of_unix(time_ms / 1000)[:16].replace("T", " ")


def both_times(time_ms: float) -> str:
    """Return a Unix time [ms] to the minute, in UTC and, where that differs, as here."""
    utc = f"{minute_of(time_ms)} UTC"
    here = dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).astimezone()
    return utc if not here.utcoffset() else f"{utc} ({here:%H:%M} {here.tzname()})"


@contextlib.contextmanager
def busy(label: str, *, shown: bool = True) -> Iterator[None]:
    """Show that work of unknown length goes on, on the error output of a terminal."""
    if not shown or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(label):
        yield


@contextlib.contextmanager
def progress(
    label: str, total: int, *, shown: bool = True, least: int = PROGRESS_FROM
) -> Iterator[Callable[[int], None]]:
    """Show how far long work is, on the error output of a terminal; yield what moves it on.

    Parameters
    ----------
    least
        Work of fewer steps shows nothing.
    """
    if not shown or not sys.stderr.isatty() or total < least:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (label, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.advance(task, done)


def counted(
    label: str, total: int, results: Iterable[_Result], *, shown: bool = True
) -> Iterator[_Result]:
    """Yield results that each take seconds, while a bar shows how many there are."""
    with progress(label, total, shown=shown, least=2) as advance:
        for result in results:
            yield result
            advance(1)
