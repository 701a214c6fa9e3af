"""How bands and kinds of photometry look: by colour, and in grey by shape."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

MarkKind = Literal["detection", "forced", "limit", "stored", "stored-limit"]
"""What a mark stands for; the last two are rows of YSE-PZ."""


class Style(NamedTuple):
    """How a band is drawn: told apart by colour, in grey by shape."""

    colour: str
    shape: Any
    """Of detections, filled, and of what is in YSE-PZ, open."""
    forced: Any
    """Of forced photometry: strokes."""


STYLES: Final = {
    "u": Style("#5e3c99", "^", "3"),
    "g": Style("#1fa187", "o", "+"),
    "c": Style("#2f7fd0", "v", (5, 2, 0)),
    "r": Style("#b8322a", "s", "x"),
    "o": Style("#e06c00", "D", "1"),
    "i": Style("#dba000", "p", (6, 2, 0)),
    "z": Style("#d96fc0", "P", "2"),
    "y": Style("#111111", "h", "4"),
}
"""First letter of a band's name to its style, from the shortest wavelength to the longest."""
SPARE: Final = (
    Style("#0b5fa5", "<", (7, 2, 0)),
    Style("#8c6d31", ">", (3, 2, 0)),
    Style("#5b3a1e", "8", (4, 2, 22)),
    Style("#7a8a00", "d", (8, 2, 0)),
)
"""For every other band, and for the second of a letter."""

_ARROW = ((-0.5, 0), (0.5, 0), (0, 0), (0, -1.6), (-0.34, -1.1), (0, -1.6), (0.34, -1.1))
_ARROW_MOVES = (0, 2, 4)
"""Where the pen is lifted."""


def styles_of(bands: Iterable[str]) -> dict[str, Style]:
    """Return a style for each band, the same for the same set; no two share one."""
    found: dict[str, Style] = {}
    spare = cycle(SPARE)
    for band in dict.fromkeys(bands):
        style = STYLES.get(band[:1])
        found[band] = next(spare) if style is None or style in found.values() else style
    order = [*STYLES]
    return dict(
        sorted(
            found.items(),
            key=lambda item: order.index(item[0][0]) if item[0][:1] in STYLES else len(order),
        )
    )


def mark_size(count: int) -> float:
    """Return how large marks are so that many of them are still told apart [points]."""
    return max(2.5, 6.0 - 1.6 * float(np.log10(max(count, 40) / 40)))


def look_of(kind: MarkKind, style: Style, size: float) -> dict[str, Any]:
    """Return how marks of a kind look, as matplotlib's options of a line."""
    look: dict[str, Any] = {"color": style.colour, "markersize": size, "zorder": 3}
    match kind:
        case "detection":
            look |= {"marker": style.shape, "markeredgewidth": 0}
        case "forced":
            look |= {"marker": style.forced, "markeredgewidth": 0.9, "zorder": 2.5}
        case "stored":
            look |= {
                "marker": style.shape,
                "markersize": size + 3.5,
                "markerfacecolor": "none",
                "markeredgewidth": 0.9,
                "zorder": 4,
            }
        case "limit" | "stored-limit":
            # The mark's size is that of its longest half.
            look |= {
                "marker": _arrow(),
                "markersize": 2.4 * (size + (3 if kind == "stored-limit" else 0)),
                "markerfacecolor": "none",
                "markeredgewidth": 0.5 if kind == "stored-limit" else 1.0,
                "zorder": 2,
            }
    return look


def _arrow() -> Any:
    """Return an arrow that hangs down from its point, whichever way the axis runs."""
    from matplotlib.path import Path as Outline

    codes = [Outline.LINETO] * len(_ARROW)
    for number in _ARROW_MOVES:
        codes[number] = Outline.MOVETO
    return Outline(_ARROW, codes)
