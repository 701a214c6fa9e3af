"""The table of docs/performance.md, written by the run that measured it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.figures import HEADS, Figure, tally

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BEGIN = "<!-- written by `python -m bench --write docs/performance.md` -->"
END = "<!-- end of what is written -->"


def table(measured: Mapping[str, Sequence[Figure]], facts: Sequence[str]) -> str:
    """Return the page's part: machine, one row a figure with its command, how many hold.

    Parameters
    ----------
    measured
        Command to its figures, in the order of the rows.
    facts
        The machine.
    """
    heads = ("command", *HEADS)
    rows = [
        (f"`{command}`" if first else "", *figure.cells())
        for command, figures in measured.items()
        for first, figure in zip([True] + [False] * len(figures), figures, strict=False)
    ]
    lines = [f"- {fact}" for fact in facts]
    lines += ["", _row(heads), _row(["---"] * len(heads)), *map(_row, rows)]
    notes = [figure for figures in measured.values() for figure in figures if figure.note]
    lines += ["", f"**{tally([each for some in measured.values() for each in some])}.**", ""]
    lines += [f"- {figure.name}: {figure.note}." for figure in notes]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def write(page: Path, text: str) -> None:
    """Put the part between its two marks; all else on the page stays.

    Raises
    ------
    ValueError
        When the page has no such marks.
    """
    before = page.read_text(encoding="utf-8")
    marks = re.compile(f"(?s){re.escape(BEGIN)}.*{re.escape(END)}")
    if not marks.search(before):
        raise ValueError(f"{page} has no place for the table: {BEGIN} ... {END}")
    part = f"{BEGIN}\n\n{text}\n\n{END}"
    page.write_text(marks.sub(lambda _: part, before), encoding="utf-8")
