"""What one transient is owed, as it lies in the outbox and as the pipeline reads it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from yse_ingest.photometry import LightCurve, PointKind
from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

Place = Literal["inflight", "refused", "due", "nowhere"]
PLACES: tuple[Place, ...] = ("inflight", "refused", "due")

_VALUES = ("mag", "mag_err", "flux", "flux_err")


class Claim(NamedTuple):
    """The right to upload to one transient, until its lease ends."""

    key: str
    fence: int


@dataclass(frozen=True, eq=False)
class OwedRow:
    """What is owed to one transient, at one moment."""

    key: str
    """The transient's numeric id as text, or "name:<NAME>" while it is to be created."""
    targets: tuple[str, ...]
    """Targets that are this transient."""
    curves: list[tuple[str, LightCurve]]
    """Per target, source, instrument and group: the target's name and its exposures by time."""
    gaps: Mapping[str, int]
    """"instrument|band" to the smallest gap ever seen [ms]."""
    tolerances: Mapping[str, float]
    """Target to how far two programs' times of one exposure may lie apart [ms]."""
    instruments: Mapping[str, float]
    """Instrument to the same; lacks those that were owed before it was kept."""
    state: Literal["owed", "settling", "refused"]
    attempts: int
    """Uploads that failed since the last success."""
    fence: int | None
    """Fence of the claim, None when the row is not in flight."""
    started: int
    """STARTs under that claim."""
    since_ms: int
    """Since when something is owed [Unix ms]."""
    reason: str | None
    """Why the last upload did not end well."""
    settle: dict[str, Any] | None
    """Where settling stands; ``stage`` "ping" comes first."""
    versions: Mapping[str, str]
    """Field of each point (`exposure_field`) to its stored text."""

    @property
    def tolerance_ms(self) -> float:
        """Return the smallest tolerance of its targets [ms]."""
        return min(self.tolerances.values(), default=0.0)

    def tolerance_of(self, instrument: str) -> float:
        """Return how far two programs' times of one exposure of it may lie apart [ms]."""
        return self.instruments.get(instrument, self.tolerance_ms)

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.versions)


@dataclass(frozen=True)
class RowSummary:
    """One row of the outbox for people."""

    key: str
    targets: tuple[str, ...]
    points: int
    place: Place
    """"nowhere": lost, until the next sweep."""
    settling: bool
    at_ms: int | None
    """When it is due, its lease ends, or it was refused [Unix ms]."""
    attempts: int
    since_ms: int
    reason: str | None
    settle: dict[str, Any] | None


@dataclass(frozen=True)
class Standing:
    """What is owed to all transients together."""

    transients: int
    points: int
    late_transients: int
    """Those to which points are owed since before a time,"""
    late_points: int
    """and how many points."""
    oldest: tuple[RowSummary, ...]
    """Some of the late ones, the oldest first."""


def exposure_field(instrument: str, obs_group: str, band: str, time_ms: int) -> str:
    """Return the name of one exposure in a row of the outbox."""
    return "|".join((*map(_quoted, (instrument, obs_group, band)), str(time_ms)))


def exposure_of(field: str) -> tuple[str, str, str, int]:
    """Return instrument, group, band and time [ms] of a name of `exposure_field`.

    Raises
    ------
    ValueError
        When it is no such name.
    """
    *labels, time_ms = field.split("|")
    instrument, obs_group, band = map(_unquoted, labels)
    return instrument, obs_group, band, int(time_ms)


def exposure_fields(curve: LightCurve) -> list[str]:
    """Return the name of each exposure of a light curve, in its order."""
    return [
        exposure_field(curve.instrument, curve.obs_group, band, time_ms)
        for band, time_ms in zip(curve.band.tolist(), curve.time_ms.tolist(), strict=True)
    ]


def points_of(curve: LightCurve, *, target: str) -> dict[str, str]:
    """Return the points of a light curve as the outbox keeps them: field to JSON."""
    columns = (
        [None if math.isnan(value) else value for value in getattr(curve, name).tolist()]
        for name in _VALUES
    )
    source = {"source": curve.source} if curve.source else {}
    return {
        field: dumps(
            {
                "native_id": native_id,
                "target": target,
                **source,
                **({"kind": kind} if kind else {}),
                **dict(zip(_VALUES, values, strict=True)),
            }
        )
        for field, native_id, kind, *values in zip(
            exposure_fields(curve),
            curve.native_id.tolist(),
            curve.kind.tolist(),
            *columns,
            strict=True,
        )
    }


def curves_of(points: Mapping[str, str]) -> list[tuple[str, LightCurve]]:
    """Return the light curves of stored points, per target, source, instrument and group.

    A point that says no kind is a detection, and one that says no source is of the target's
    own: so they were written before there were others.
    """
    shelves: dict[tuple[str, str, str, str], list[tuple[int, str, dict[str, Any]]]] = {}
    for field, text in points.items():
        try:
            instrument, obs_group, band, time_ms = exposure_of(field)
            point = loads(text)
            values = {name: point[name] for name in ("native_id", *_VALUES)}
            values["kind"] = PointKind(point.get("kind", PointKind.DETECTION))
            shelf = (point["target"], point.get("source", ""), instrument, obs_group)
            shelves.setdefault(shelf, []).append((time_ms, band, values))
        except (ValueError, KeyError, TypeError):
            # Written by nobody we know; the rest of the row goes on.
            logger.warning("owed point unreadable", extra={"field": field})
    return [
        (target, _light_curve(rows, source=source, instrument=instrument, obs_group=obs_group))
        for (target, source, instrument, obs_group), rows in sorted(shelves.items())
    ]


def _light_curve(
    rows: list[tuple[int, str, dict[str, Any]]],
    *,
    source: str,
    instrument: str,
    obs_group: str,
) -> LightCurve:
    rows.sort(key=lambda row: row[:2])
    values = {
        name: np.array([row[2][name] for row in rows], dtype=np.float64) for name in _VALUES
    }
    return LightCurve(
        native_id=np.array([row[2]["native_id"] for row in rows], dtype="U"),
        time_ms=np.array([row[0] for row in rows], dtype=np.int64),
        band=np.array([row[1] for row in rows], dtype="U"),
        kind=np.array([row[2]["kind"] for row in rows], dtype=np.uint8),
        instrument=instrument,
        obs_group=obs_group,
        source=source,
        **values,
    )


def owed_row(
    key: str,
    row: Mapping[str, str],
    points: Mapping[str, str],
    *,
    settling: bool,
    refused: bool,
) -> OwedRow:
    """Return the row that two hashes and two memberships make up."""
    tolerances = {
        name.removeprefix("target:"): float(value)
        for name, value in row.items()
        if name.startswith("target:")
    }
    return OwedRow(
        key=key,
        targets=tuple(sorted(tolerances)),
        curves=curves_of(points),
        gaps={
            name.removeprefix("gap:"): int(value)
            for name, value in row.items()
            if name.startswith("gap:")
        },
        tolerances=tolerances,
        instruments={
            name.removeprefix("tolerance:"): float(value)
            for name, value in row.items()
            if name.startswith("tolerance:")
        },
        state="refused" if refused else "settling" if settling else "owed",
        attempts=int(row.get("attempts", 0)),
        fence=int(row["fence"]) if "fence" in row else None,
        started=int(row.get("started", 0)),
        since_ms=int(row.get("since_ms", 0)),
        reason=row.get("reason"),
        settle=loads(row["settle"]) if "settle" in row else None,
        versions=dict(points),
    )


def row_summary(
    key: str,
    row: Mapping[str, str],
    *,
    points: int,
    settling: bool,
    at: Mapping[Place, float],
) -> RowSummary:
    """Return the summary of a row; ``at`` tells where it is, and since or until when."""
    place: Place = next(iter(at), "nowhere")
    names = (name.removeprefix("target:") for name in row if name.startswith("target:"))
    return RowSummary(
        key=key,
        targets=tuple(sorted(names)),
        points=points,
        place=place,
        settling=settling,
        at_ms=int(at[place]) if place in at else None,
        attempts=int(row.get("attempts", 0)),
        since_ms=int(row.get("since_ms", 0)),
        reason=row.get("reason"),
        settle=loads(row["settle"]) if "settle" in row else None,
    )


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace("|", "%7C")


def _unquoted(part: str) -> str:
    return part.replace("%7C", "|").replace("%25", "%")
