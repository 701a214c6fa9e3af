"""From the rows of a reply to the answer for one target: what every source does alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np

from yse_ingest.delta import twins
from yse_ingest.errors import (
    FormatChangedError,
    SourceReplyError,
    UnreadableRowsError,
    YseIngestError,
)
from yse_ingest.photometry import Alerts, Forced, Limits
from yse_ingest.schemas._load import Fault, Refusal, load_rows
from yse_ingest.sources.association import (
    NEIGHBOUR_ARCSEC,
    Association,
    Verdict,
    associate,
    associate_recent,
    row_separations,
)
from yse_ingest.sources.base import Answer, Ask, Status, Twin
from yse_ingest.sources.cuts import cut
from yse_ingest.targets import separation_arcsec
from yse_ingest.times import to_time_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from marshmallow import Schema

    from yse_ingest.targets import Rules

CONE_MARGIN_ARCSEC = 0.5
"""How far beyond the cone a row may lie before it counts as not asked for [arcsec]."""

CHANGED_ROWS = 3
"""So many rows refused for the same field, and none that can be read: the format changed."""

_OfObjects = TypeVar("_OfObjects", Forced, Limits)

_STATUS = {
    Verdict.ACCEPTED: Status.OK,
    Verdict.NOTHING: Status.EMPTY,
    Verdict.UNKNOWN: Status.UNKNOWN,
    Verdict.AMBIGUOUS: Status.AMBIGUOUS,
}


@dataclass(frozen=True, eq=False)
class Reading:
    """The rows of one or several replies about one target."""

    alerts: Alerts
    refused: tuple[Refusal, ...] = ()
    limits: Limits = field(default_factory=Limits.empty)
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Object id and reason to the number of its rows that are no detections we want."""
    forced: Forced = field(default_factory=Forced.empty)
    lacking: str = ""
    """What was wanted and could not be read, while the rest could: a sentence."""
    cut: int = 0
    """How many of the dropped rows could be read, and were not good enough."""

    @property
    def is_empty(self) -> bool:
        """Tell whether there was no row at all, of whatever kind."""
        tables = (self.alerts, self.limits, self.forced)
        return not (self.refused or self.dropped or any(map(len, tables)))

    @classmethod
    def merged(cls, readings: Iterable[Self]) -> Self:
        """Return all rows, each once.

        The same detection under two objects stays twice until it is known which is meant.
        """
        parts = list(readings)
        if not parts:
            return cls(Alerts.empty())
        if len(parts) == 1 and not parts[0].refused and not parts[0].alerts.repeats:
            return parts[0]
        refused: dict[object, Refusal] = {}
        for part in parts:
            for refusal in part.refused:
                refused.setdefault(refusal.native_id or refusal, refusal)
        alerts = Alerts.concatenate(part.alerts for part in parts)
        seen: dict[tuple[str, str], int] = {}
        ids = zip(alerts.native_id.tolist(), alerts.object_id.tolist(), strict=True)
        for row, key in enumerate(ids):
            seen.setdefault(key, row)
        rows = np.array(list(seen.values()), dtype=np.int64)
        return cls(
            alerts.take(rows),
            tuple(refused.values()),
            Limits.concatenate(part.limits for part in parts),
            sum((part.dropped for part in parts), Counter()),
            Forced.concatenate(part.forced for part in parts),
            next((part.lacking for part in parts if part.lacking), ""),
            sum(part.cut for part in parts),
        )


def read_rows(
    schema: Schema,
    rows: Sequence[object],
    *,
    id_key: str,
    date_format: Literal["jd", "mjd"],
    bands: Iterable[str],
    object_id: str | None = None,
    time_scale: Literal["utc", "tai"] = "utc",
    rules: Rules | None = None,
    score: Literal["rb", "reliability"] = "rb",
) -> Reading:
    """Return the rows that a schema can read, with one conversion of all their times.

    Parameters
    ----------
    schema
        Loads a row to the keys of `Alerts`, and ``time``.
    rows
        As decoded from JSON.
    id_key
        Key of the row's own id.
    date_format
        What ``time`` is.
    bands
        Letters that have a band in YSE-PZ; a row of any other is refused.
    object_id
        The object of all rows, where rows do not say so themselves.
    time_scale
        Scale of ``time``.
    rules
        With these, the rows that their quality cuts leave out are counted and dropped.
    score
        What ``quality`` of a row is.
    """
    if not rows:
        return Reading(Alerts.empty())
    kept, refused = of_known_bands(*load_rows(schema, rows, id_key=id_key), bands)
    if object_id is not None:
        kept = [{**row, "object_id": object_id} for row in kept]
    kept, dropped = (kept, Counter()) if rules is None else cut(kept, rules, score=score)
    count = dropped.total()
    if not kept:
        return Reading(Alerts.empty(), refused, dropped=dropped, cut=count)
    times = np.array([row["time"] for row in kept], dtype=np.float64)
    time_ms = to_time_ms(times, date_format=date_format, scale=time_scale)
    alerts = Alerts.from_rows(kept, time_ms=time_ms)
    return Reading(alerts, refused, dropped=dropped, cut=count)


def read_limits(
    schema: Schema,
    rows: Sequence[object],
    *,
    date_format: Literal["jd", "mjd"],
    bands: Iterable[str],
    object_id: str | None = None,
) -> Reading:
    """Return the upper limits that a schema can read, as `read_rows` returns detections.

    Parameters
    ----------
    schema
        Loads a row to the keys of `Limits`, and ``time``.
    rows, date_format, bands, object_id
        As `read_rows` takes them.
    """
    kept, refused = of_known_bands(*load_rows(schema, rows), bands)
    if object_id is not None:
        kept = [{**row, "object_id": object_id} for row in kept]
    if not kept:
        return Reading(Alerts.empty(), refused)
    times = np.array([row["time"] for row in kept], dtype=np.float64)
    limits = Limits.from_rows(kept, time_ms=to_time_ms(times, date_format=date_format))
    return Reading(Alerts.empty(), refused, limits)


def read_forced(
    schema: Schema,
    rows: Sequence[object],
    *,
    id_key: str | None = None,
    date_format: Literal["jd", "mjd"],
    bands: Iterable[str],
    time_scale: Literal["utc", "tai"] = "utc",
    rules: Rules | None = None,
) -> Reading:
    """Return the forced photometry that a schema can read, as `read_rows` returns detections.

    Parameters
    ----------
    schema
        Loads a row to the keys of `Forced`, and ``time``.
    rows, id_key, date_format, bands, time_scale, rules
        As `read_rows` takes them.
    """
    kept, refused = of_known_bands(*load_rows(schema, rows, id_key=id_key), bands)
    kept, dropped = (kept, Counter()) if rules is None else cut(kept, rules)
    count = dropped.total()
    if not kept:
        return Reading(Alerts.empty(), refused, dropped=dropped, cut=count)
    times = np.array([row["time"] for row in kept], dtype=np.float64)
    time_ms = to_time_ms(times, date_format=date_format, scale=time_scale)
    forced = Forced.from_rows(kept, time_ms=time_ms)
    return Reading(Alerts.empty(), refused, dropped=dropped, forced=forced, cut=count)


def of_known_bands(
    loaded: Sequence[dict[str, Any]], refused: Sequence[Refusal], bands: Iterable[str]
) -> tuple[list[Mapping[str, Any]], tuple[Refusal, ...]]:
    """Return the rows in bands that YSE-PZ has; the others join the refused."""
    known = sorted(bands)
    others = []
    for row in loaded:
        if row["band"] not in known:
            reason = f"is {row['band']}, which the band map lacks ({', '.join(known)})"
            fault = Fault(field="band", value=row["band"], reason=reason)
            others.append(Refusal(-1, row.get("native_id"), (fault,), excerpt=""))
    return [row for row in loaded if row["band"] in known], (*refused, *others)


def look_radius(ask: Ask) -> float:
    """Return the radius of the cone [arcsec]: never so small that a neighbour stays unseen."""
    rules = ask.rules
    return max(rules.cone_radius_arcsec, rules.match_radius_arcsec, NEIGHBOUR_ARCSEC)


def check_cone(alerts: Alerts, ask: Ask, *, service: str) -> None:
    """Refuse a reply that has nothing to do with the cone that was asked for.

    Raises
    ------
    SourceReplyError
        When most of its rows lie outside: the services ignore filters that they do not
        understand, without a word, and answer with the newest alerts of the whole sky.
    """
    target = ask.target
    if target.ra is None or target.dec is None or not len(alerts):
        return
    away = row_separations(alerts, ra=target.ra, dec=target.dec)
    outside = away > look_radius(ask) + CONE_MARGIN_ARCSEC
    if 2 * np.count_nonzero(outside) > len(alerts):
        raise SourceReplyError(
            f"answered without the filter: {np.count_nonzero(outside)} of {len(alerts)} rows "
            f"lie outside the cone, up to {away.max() / 3600:.4g} deg away",
            service=service,
            remedy="Nothing of it is used; check that its URL is the right one.",
        )


def inside_cone(
    found: Sequence[dict[str, Any]], *, ra: float, dec: float, radius: float, service: str
) -> list[dict[str, Any]]:
    """Return what lies in a cone, of loaded rows with ``ra`` and ``dec``.

    Parameters
    ----------
    ra, dec, radius
        The cone that was asked for [deg, deg, arcsec].

    Raises
    ------
    SourceReplyError
        When most of them lie outside, as by `check_cone`.
    """
    inside = [
        one
        for one in found
        if separation_arcsec(ra, dec, one["ra"], one["dec"]) <= radius + CONE_MARGIN_ARCSEC
    ]
    if 2 * len(inside) < len(found):
        raise SourceReplyError(
            f"answered without the filter: {len(found) - len(inside)} of {len(found)} "
            "objects lie outside the cone",
            service=service,
            remedy="Nothing of it is used; check that its URL is the right one.",
        )
    return inside


def check_object(alerts: Alerts, object_id: str, *, service: str) -> None:
    """Refuse a reply that has nothing to do with the object that was asked for.

    Raises
    ------
    SourceReplyError
        When a row is of another object.
    """
    others = np.count_nonzero(alerts.object_id != object_id)
    if others:
        raise SourceReplyError(
            f"answered without the filter: {others} of {len(alerts)} rows are of other "
            f"objects than {object_id}",
            service=service,
            remedy="Nothing of it is used; check that its URL is the right one.",
        )


def check_forced(reading: Reading, object_id: str, *, service: str) -> None:
    """Refuse forced photometry that is not of the object that was asked for, as `check_object`.

    Raises
    ------
    SourceReplyError
        When a row is of another object.
    """
    others = set(reading.forced.object_id.tolist()) - {object_id}
    if others:
        raise SourceReplyError(
            f"answered without the filter: forced photometry of {min(others)} instead of "
            f"{object_id}",
            service=service,
            remedy="Nothing of it is used; check that its URL is the right one.",
        )


def answer(ask: Ask, read: Callable[[bool], Reading], *, service: str) -> Answer:
    """Return the answer for one target: from recent rows where they can tell, else from all.

    Parameters
    ----------
    ask
        The question.
    read
        Reads everything (True), or what is newer than ``ask.since_ms`` (False).
    service
        Name of the source, for messages.
    """
    full = ask.since_ms is None
    try:
        if not full:
            recent = _recent_answer(ask, read(False), service=service)
            if recent is not None:
                return recent
            full = True
        return _full_answer(ask, read(True), service=service)
    except YseIngestError as error:
        return Answer.failed(ask.target.name, error, full=full)


def _full_answer(ask: Ask, reading: Reading, *, service: str) -> Answer:
    check_format(reading, service=service)
    if _unread(reading) and not len(reading.limits):
        fault = common_fault(reading.refused)
        error = UnreadableRowsError(
            f"sent {len(reading.refused)} rows and none can be read: {reading.refused[0]}",
            service=service,
            field=fault.field if fault else None,
            value=fault.value if fault else None,
            remedy="If every target shows this, its format has changed.",
        )
        failed = Answer.failed(ask.target.name, error, full=True)
        return replace(failed, refused=reading.refused)
    association = associate(reading.alerts, ask)
    return _told(ask, reading, reading.alerts, association, full=True)


def check_format(reading: Reading, *, service: str) -> None:
    """Refuse a reply whose shape is not what was agreed.

    A few bad rows among good ones are bad rows, and a few alone prove nothing. Nor does what
    brokers tell in another way, beside the detections: upper limits, rows with a bad tag.

    Raises
    ------
    FormatChangedError
        When none of `CHANGED_ROWS` rows or more can be read, all for the same field.
    """
    if not _unread(reading) or len(reading.refused) < CHANGED_ROWS:
        return
    fault = common_fault(reading.refused)
    if fault is not None and not _stands_for_none(fault):
        raise format_changed(fault, service=service)


def check_listed(found: Sequence[object], refused: Sequence[Refusal], *, service: str) -> None:
    """Refuse a list of objects of which one cannot be read: it might be the one.

    Raises
    ------
    UnreadableRowsError
        When none can be read, all for the same field: its ``field`` and ``value``.
    SourceReplyError
        When there are others, or other reasons.
    """
    if not refused:
        return
    fact = f"lists an object that cannot be read: {refused[0]}"
    fault = None if found else common_fault(refused)
    if fault is not None:
        raise UnreadableRowsError(fact, service=service, field=fault.field, value=fault.value)
    raise SourceReplyError(fact, service=service)


def common_fault(refused: Sequence[Refusal]) -> Fault | None:
    """Return what is wrong with every one of these rows; None: not one and the same field.

    A band that the band map lacks is a matter of the rules, not of the format.
    """
    if not refused or any(refusal.row < 0 for refusal in refused):
        return None
    first, *others = refused
    for fault in first.faults:
        if all(fault.field in {each.field for each in other.faults} for other in others):
            return fault
    return None


def format_changed(fault: Fault, *, service: str) -> FormatChangedError:
    """Return the error that says which field is missing, or what it holds instead."""
    what = f"field {fault.field}" if fault.field else "a row"
    return FormatChangedError(
        f"format changed: {what} {'missing' if fault.reason == 'is missing' else fault.reason}",
        service=service,
        field=fault.field,
        value=fault.value,
        remedy="Nothing of it is used. Look for a newer yse_ingest; "
        "`yse-ingest sources probe` names every field.",
    )


def _stands_for_none(fault: Fault) -> bool:
    """Tell whether the field is there and holds a number for "no value": NaN, -999."""
    return fault.reason.startswith("is missing") and isinstance(fault.value, int | float)


def _unread(reading: Reading) -> bool:
    """Tell whether measurements were sent and none can be read, not even to be left out."""
    read = len(reading.alerts) + len(reading.forced) + reading.cut
    return bool(reading.refused) and not read


def _recent_answer(ask: Ask, reading: Reading, *, service: str) -> Answer | None:
    check_format(reading, service=service)
    alerts = reading.alerts
    if reading.is_empty and ask.target.since is None:  # of a quiet target: most answers
        name, reason = ask.target.name, reading.lacking
        return Answer(name, Status.EMPTY, alerts=alerts, full=False, reason=reason)
    if ask.since_ms is not None:
        alerts = alerts.take(alerts.time_ms > ask.since_ms)
    association = associate_recent(alerts, ask)
    if association is None:
        return None
    return _told(ask, reading, alerts, association, full=False)


def _told(
    ask: Ask, reading: Reading, alerts: Alerts, association: Association, *, full: bool
) -> Answer:
    kept, lesser = _without_twins(alerts.take(association.belongs).unique())
    accepted = {found.object_id for found in association.objects if found.accepted}
    empty = association.verdict is Verdict.NOTHING and not association.objects
    return Answer(
        target_name=ask.target.name,
        status=_STATUS[association.verdict],
        alerts=kept,
        refused=reading.refused,
        twins=lesser,
        objects=association.objects,
        forced=_of_objects(reading.forced, accepted, since_ms=None if full else ask.since_ms),
        limits=_of_objects(reading.limits, accepted, since_ms=None if full else ask.since_ms),
        dropped=_dropped_of(reading.dropped, None if empty else accepted),
        set_aside=dict(Counter(alerts.object_id[~association.belongs].tolist())),
        others=alerts.take(~association.belongs),
        full=full,
        reason=association.reason or reading.lacking,
    )


def _of_objects(table: _OfObjects, accepted: set[str], *, since_ms: int | None) -> _OfObjects:
    """Return the rows of the objects that are the target, each once."""
    belongs = np.isin(table.object_id, np.array(sorted(accepted), dtype="U"))
    if since_ms is not None:
        belongs &= table.time_ms > since_ms
    return table.take(belongs).unique()


def _dropped_of(dropped: Counter[tuple[str, str]], accepted: set[str] | None) -> dict[str, int]:
    """Return how many rows of the target were left out, by reason; None: nothing else is."""
    counts: Counter[str] = Counter()
    for (object_id, reason), number in dropped.items():
        if accepted is None or object_id in accepted:
            counts[reason] += number
    return dict(counts)


def _without_twins(alerts: Alerts) -> tuple[Alerts, tuple[Twin, ...]]:
    """Return one row per exposure in order of time, and what stands for the others."""
    lesser = twins(alerts)
    kept = alerts.take(~lesser)
    told = []
    for row in np.flatnonzero(lesser):
        same = (kept.band == alerts.band[row]) & (kept.negative == alerts.negative[row])
        rivals = np.flatnonzero(same)
        best = rivals[np.argmin(np.abs(kept.time_ms[rivals] - alerts.time_ms[row]))]
        told.append(
            Twin(
                native_id=str(alerts.native_id[row]),
                twin_of=str(kept.native_id[best]),
                object_id=str(alerts.object_id[row]),
                time_ms=int(alerts.time_ms[row]),
                band=str(alerts.band[row]),
                mag=float(alerts.mag[row]),
                mag_err=float(alerts.mag_err[row]),
            )
        )
    return kept.take(np.argsort(kept.time_ms, kind="stable")), tuple(told)
