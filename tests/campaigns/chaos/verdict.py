"""What the stand-in's database holds, compared with what the sky told: nothing else is asked.

This reads the SQLite file by itself and uses no code of the product.
"""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.campaigns.chaos.sky import BANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.campaigns.chaos.sky import Point, Transient

SAME_EXPOSURE_MS = 2_000
"""Rows this near to an exposure stand for it; real visits are 39 s apart [ms]."""
SHOWN = 8
"""So many cases of a kind are named."""

_POINTS = """
SELECT d.*, b.name AS band, h.transient_id, h.instrument_id, h.obs_group_id,
  (SELECT group_concat(q.dataquality_id) FROM YSE_App_transientphotdata_data_quality q
   WHERE q.transientphotdata_id = d.id) AS flags
FROM YSE_App_transientphotdata d
JOIN YSE_App_transientphotometry h ON h.id = d.photometry_id
JOIN YSE_App_photometricband b ON b.id = d.band_id
"""
_FOREIGN = "WHERE d.created_by_id != ? OR d.modified_by_id != ? ORDER BY d.id"
_OURS = "WHERE d.created_by_id = ? AND d.modified_by_id = ? AND d.id >= ? ORDER BY d.id LIMIT 1"

Row = dict[str, Any]


@dataclass
class Verdict:
    """The counts, and what exactly is wrong."""

    owed: int = 0
    stored: int = 0
    """Owed exposures for which a row stands."""
    by_others: int = 0
    """Those of them for which somebody else's row stands."""
    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Kind of violation to cases."""

    KINDS = (
        "lost",
        "duplicated",
        "altered",
        "unwanted",
        "foreign changed",
        "curated changed",
        "transients doubled",
    )

    def count(self, kind: str) -> int:
        """Return how many cases of one kind there are."""
        return len(self.wrong.get(kind, ()))

    @property
    def clean(self) -> bool:
        """Return whether nothing is wrong."""
        return not any(self.wrong.values())

    def lines(self) -> list[str]:
        """Return the first cases of each kind."""
        return [
            f"{kind}: {case}"
            for kind, cases in sorted(self.wrong.items())
            for case in cases[:SHOWN]
        ]


class Archive:
    """The stand-in's file, and what stood in it that is not ours to change."""

    def __init__(self, path: Path, *, our_id: int) -> None:
        self._path = path
        self._our_id = our_id
        self.foreign: dict[int, Row] = {}
        """Every row of somebody else, as it stood when it was seen first."""
        self.curated: dict[int, Row] = {}
        """Every transient that people keep, with its tags."""

    def _rows(self, query: str, values: Sequence[int] = ()) -> list[Row]:
        with closing(sqlite3.connect(self._path, timeout=30)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query, values)]

    def points(self) -> list[Row]:
        """Return every point with its band and flags."""
        return self._rows(f"{_POINTS} ORDER BY d.id")

    def count(self) -> int:
        """Return how many points there are."""
        return int(self._rows("SELECT count(*) AS n FROM YSE_App_transientphotdata")[0]["n"])

    def row_of_ours(self, share: float) -> Row | None:
        """Return the row of ours that lies at a share of all rows, or None."""
        ours = [self._our_id] * 2
        found = self._rows(_POINTS + _OURS, [*ours, int(share * self.count())])
        return found[0] if found else None

    def is_ours(self, row: Mapping[str, Any]) -> bool:
        """Say whether our account alone wrote a row."""
        return bool(row["created_by_id"] == self._our_id == row["modified_by_id"])

    def note_foreign(self, *, rewritten: Iterable[int] = ()) -> None:
        """Remember the rows of others that are new, and those that a person has rewritten."""
        found = self._rows(_POINTS + _FOREIGN, [self._our_id, self._our_id])
        now = {row["id"]: row for row in found}
        for pk in rewritten:
            self.foreign[pk] = now[pk]
        self.foreign = {**now, **self.foreign}

    def note_curated(self) -> None:
        """Remember the transients that are there."""
        self.curated = {row["id"]: row for row in self._transients()}

    def _transients(self) -> list[Row]:
        return self._rows(
            "SELECT t.*, (SELECT group_concat(g.transienttag_id) FROM YSE_App_transient_tags g "
            "WHERE g.transient_id = t.id) AS tags FROM YSE_App_transient t ORDER BY t.id"
        )

    def judge(self, transients: Iterable[Transient]) -> Verdict:
        """Compare what is stored with what was published."""
        verdict = Verdict()
        rows = self.points()
        known = self._transients()
        self._judge_foreign(verdict, rows, known)
        ids = defaultdict(list)
        for row in known:
            ids[row["name"]].append(row["id"])
        shelves: dict[tuple[int, str], list[Row]] = defaultdict(list)
        for row in rows:
            row["time_ms"] = _unix_ms(row["obs_date"])
            shelves[row["transient_id"], row["band"]].append(row)
        for transient in transients:
            mine = ids.get(transient.name, [])
            if len(mine) > 1:
                verdict.wrong["transients doubled"].append(f"{transient.name}: rows {mine}")
            for band in BANDS:
                shelf = shelves.get((mine[0], f"{band}-ZTF"), []) if mine else []
                owed = [point for point in transient.owed if point.band == band]
                self._judge_band(verdict, transient.name, owed, shelf)
        return verdict

    def _judge_foreign(self, verdict: Verdict, rows: list[Row], known: list[Row]) -> None:
        now = {row["id"]: dict(row) for row in rows}
        verdict.wrong["foreign changed"] += [
            f"row {pk}: {_difference(row, now.get(pk))}"
            for pk, row in self.foreign.items()
            if now.get(pk) != row
        ]
        kept = {row["id"]: row for row in known}
        verdict.wrong["curated changed"] += [
            f"{row['name']}: {_difference(row, kept.get(pk))}"
            for pk, row in self.curated.items()
            if kept.get(pk) != row
        ]

    def _judge_band(
        self, verdict: Verdict, name: str, owed: list[Point], shelf: list[Row]
    ) -> None:
        taken: set[int] = set()
        for point in owed:
            verdict.owed += 1
            near = [
                row for row in shelf if abs(row["time_ms"] - point.time_ms) < SAME_EXPOSURE_MS
            ]
            taken |= {row["id"] for row in near}
            if not near:
                verdict.wrong["lost"].append(f"{name} {point.band} {point.time_ms}")
                continue
            verdict.stored += 1
            ours = [row for row in near if row["created_by_id"] == self._our_id]
            # A row of ours beside one that stood before: whoever came later is the copy.
            copies = [row for row in ours if row["id"] != near[0]["id"]]
            if copies:
                pks = [(row["id"], row["created_by_id"], row["created_date"]) for row in near]
                verdict.wrong["duplicated"].append(f"{name} {point.band} {pks}")
            if not ours:
                verdict.by_others += 1
            for row in ours:
                if self.is_ours(row) and (off := _off(point, row)):
                    verdict.wrong["altered"].append(f"{name} row {row['id']}: {off}")
        verdict.wrong["unwanted"] += [
            f"{name} row {row['id']} {row['obs_date']}"
            for row in shelf
            if row["id"] not in taken and row["created_by_id"] == self._our_id
        ]


def _off(point: Point, row: Row) -> str:
    wanted = {
        "time_ms": (point.time_ms, 0.51),
        "mag": (point.mag_at_last, 1e-6),
        "mag_err": (point.mag_err, 1e-6),
        "flux": (point.flux_at_last, 1e-6 * point.flux_at_last),
        "flux_zero_point": (27.5, 1e-9),
        "forced": (0, 0.1),
        "diffim": (1, 0.1),
    }
    return ", ".join(
        f"{name} {row[name]} instead of {value}"
        for name, (value, within) in wanted.items()
        if row[name] is None or not math.isclose(row[name], value, rel_tol=0, abs_tol=within)
    )


def _difference(before: Row, after: Row | None) -> str:
    if after is None:
        return "gone"
    return ", ".join(
        f"{name} {value!r} became {after.get(name)!r}"
        for name, value in before.items()
        if after.get(name) != value
    )


def _unix_ms(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000
