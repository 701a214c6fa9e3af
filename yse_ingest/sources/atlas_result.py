"""From the text of an ATLAS result to forced photometry."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.errors import FormatChangedError, UnreadableRowsError
from yse_ingest.photometry import Forced
from yse_ingest.schemas._load import load_rows
from yse_ingest.schemas.atlas import COLUMNS, ID_KEY, TARGET_KEY, RowSchema
from yse_ingest.sources.answers import of_known_bands
from yse_ingest.sources.atlas_queue import TITLE
from yse_ingest.sources.base import ATLAS
from yse_ingest.sources.cuts import cut
from yse_ingest.times import time_ms_of_date, to_time_ms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.schemas._load import Refusal
    from yse_ingest.sources.base import Ask

FAILED_MAG5SIG = 10.0
"""Below it the photometry of an exposure failed [mag]."""
_ROW = RowSchema()


def read_result(text: str, ask: Ask) -> tuple[Forced, tuple[Refusal, ...], dict[str, int]]:
    """Return the forced photometry of a result, the rows refused, and what was left out.

    Raises
    ------
    FormatChangedError, UnreadableRowsError
        When the header is not what was agreed, or no row can be read.
    """
    loaded, refused = load_rows(_ROW, _rows(text, target=ask.target.name), id_key=ID_KEY)
    if refused and not loaded:
        raise UnreadableRowsError(
            f"sent {len(refused)} rows and none can be read: {refused[0]}",
            service=TITLE,
            remedy="If every target shows this, its format has changed.",
        )
    dropped: Counter[str] = Counter()
    photometry: list[Mapping[str, Any]] = []
    for row in loaded:
        if row["band"] not in ATLAS.band_map:
            dropped[f"filter {row['band']}"] += 1
        elif row["atlas"]["mag5sig"] < FAILED_MAG5SIG:
            dropped[f"photometry failed (mag5sig below {FAILED_MAG5SIG:g})"] += 1
        else:
            photometry.append(row)
    kept, cuts = cut(photometry, ask.rules)
    for (_, reason), count in cuts.items():
        dropped[reason] += count
    known, refusals = of_known_bands([dict(row) for row in kept], refused, ask.rules.band_map)
    times = np.array([row["time"] for row in known], dtype=np.float64)
    forced = Forced.from_rows(known, time_ms=to_time_ms(times, date_format="mjd")).unique()
    if ask.target.since is not None:
        old = forced.time_ms < time_ms_of_date(ask.target.since)
        dropped["before the target's since"] += int(np.count_nonzero(old))
        forced = forced.take(~old)
    return forced, refusals, {reason: count for reason, count in dropped.items() if count}


def _rows(text: str, *, target: str) -> list[dict[str, str]]:
    """Return the lines of a result by column, each with the target whose place it is."""
    header, *lines = text.splitlines() or [""]
    columns = header.lstrip("#").split()
    lacking = sorted(COLUMNS - set(columns))
    if not header.startswith("#") or lacking:
        missing = f"column {lacking[0]} missing" if lacking else "the header is missing"
        raise FormatChangedError(
            f"format changed: {missing} (the result begins {header[:120]!r})",
            service=TITLE,
            remedy="Nothing of it is used. Look for a newer yse_ingest.",
        )
    return [
        {**dict(zip(columns, line.split(), strict=False)), TARGET_KEY: target}
        for line in lines
        if line.strip() and not line.startswith("#")
    ]
