"""Quality cuts: which rows of a source are good enough, and why the others are not.

The limits are fields of `yse_ingest.targets.Rules`. A cut looks at a row after its schema has
loaded it, so that its keys are the schema's own.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from yse_ingest.targets import Rules

    Row = Mapping[str, Any]

ATLAS_CLEANING: Mapping[str, tuple[float, float]] = {
    "duJy": (0.0, 10_000.0),
    "x": (100.0, 10_460.0),
    "y": (100.0, 10_460.0),
    "maj": (1.6, 5.0),
    "min": (1.6, 5.0),
    "apfit": (-1.0, -0.1),
    "mag5sig": (17.0, math.inf),
    "Sky": (17.0, math.inf),
}
"""Column of an ATLAS row to the open range in which it is good (ATLAS's own FAQ)."""


def cut(
    rows: Iterable[Row],
    rules: Rules,
    *,
    score: Literal["rb", "reliability"] = "rb",
    object_id: str | None = None,
) -> tuple[list[Row], Counter[tuple[str, str]]]:
    """Return the rows that are good enough, and how many others there are of each reason.

    A cut applies to rows that have its key: ``quality`` (the score that `score` names) and
    ``drb`` of a detection, nan or None where there is none; ``procstatus`` of ZTF's forced
    photometry, text as it came ("0", "56,57"); ``atlas``, a mapping of ATLAS's own columns
    (the keys of `ATLAS_CLEANING`, and ``err``).

    Parameters
    ----------
    rows
        As a schema loads them.
    rules
        Its fields ``min_rb``, ``min_drb``, ``min_reliability``, ``missing_score``,
        ``procstatus`` and ``atlas_cleaning``.
    score
        What ``quality`` is.
    object_id
        The object of all rows, where rows have no ``object_id``.

    Returns
    -------
    kept
        In the order given.
    dropped
        Object id and reason to the number of rows, as `Reading.dropped`.
    """
    kept: list[Row] = []
    dropped: Counter[tuple[str, str]] = Counter()
    for row in rows:
        reason = next(_faults(row, rules, score), None)
        if reason is None:
            kept.append(row)
        else:
            dropped[str(object_id or row["object_id"]), reason] += 1
    return kept, dropped


def _faults(row: Row, rules: Rules, score: Literal["rb", "reliability"]) -> Iterator[str]:
    least = {"rb": rules.min_rb, "reliability": rules.min_reliability}[score]
    for key, name, low in (("quality", score, least), ("drb", "drb", rules.min_drb)):
        if key not in row or low <= 0.0:
            continue
        if row[key] is None or math.isnan(row[key]):
            if rules.missing_score == "drop":
                yield f"has no {name}"
        elif row[key] < low:
            yield f"{name} is below {low:g}"
    if "procstatus" in row and rules.procstatus:
        codes = {code.strip() for code in str(row["procstatus"]).split(",")}
        if not codes <= set(rules.procstatus):
            yield f"procstatus is not {' or '.join(rules.procstatus)}"
    if "atlas" in row and rules.atlas_cleaning:
        yield from _atlas_faults(row["atlas"])


def _atlas_faults(columns: Mapping[str, float]) -> Iterator[str]:
    if columns["err"] != 0:
        yield "ATLAS cleaning: err"
    for name, (low, high) in ATLAS_CLEANING.items():
        if not low < columns[name] < high:
            yield f"ATLAS cleaning: {name}"
