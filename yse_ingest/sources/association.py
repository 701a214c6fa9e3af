"""Which of the detections near a target are the target's: pure functions on columns.

The cone is where we look, not what we keep. A broker gives an object a new id now and then, and
a supernova has neighbours: the nucleus of its host, a variable star. So ids whose median
positions lie within 1.5" of each other are one object, a row belongs when its own position is
near enough, and where several objects could be meant nothing is taken until somebody says
which.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.errors import TargetError
from yse_ingest.sources.base import FoundObject
from yse_ingest.times import MS_PER_DAY, format_time_ms, time_ms_of_date

if TYPE_CHECKING:
    from yse_ingest.photometry import Alerts, Bools, Floats, Ints
    from yse_ingest.sources.base import Ask
    from yse_ingest.targets import Target

JOIN_ARCSEC = 1.5
"""Ids this close to each other are one object: ZTF itself associates within this radius."""
NEIGHBOUR_ARCSEC = 3.0
"""Two objects this close to a target make it ambiguous."""
AGE_LIMIT_DAYS = 100
"""Detections that much older than the discovery are not of what was discovered."""


class Verdict(Enum):
    """What the positions say."""

    ACCEPTED = auto()
    """One object is the target."""
    NOTHING = auto()
    """No row belongs."""
    UNKNOWN = auto()
    """The object that the target names has no row."""
    AMBIGUOUS = auto()


@dataclass(frozen=True, eq=False)
class Association:
    """Which rows belong, and why."""

    verdict: Verdict
    belongs: Bools
    """One per row, shape (n,)."""
    objects: tuple[FoundObject, ...]
    """Every object seen, nearest first."""
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Objects:
    """The objects of a table of alerts; columns (k,)."""

    ids: list[str]
    member: Ints
    """Object number of each row, -1 for none; shape (n,)."""
    median: Floats
    """Median positions as unit vectors, shape (k, 3)."""


@dataclass(frozen=True, eq=False)
class _Group:
    """Ids that are one object."""

    ids: list[str]
    rows: Bools
    """Its rows, shape (n,)."""
    separation_arcsec: float
    """Of the median of its rows from the target."""

    def told(self, alerts: Alerts) -> str:
        """Return name, distance, count and age as text."""
        count = int(np.count_nonzero(self.rows))
        plural = "" if count == 1 else "s"
        first = _day(int(alerts.time_ms[self.rows].min()))
        return (
            f'{" = ".join(self.ids)} at {self.separation_arcsec:.1f}" '
            f"({count} detection{plural} since {first})"
        )


def unit_vectors(ra: Floats, dec: Floats) -> Floats:
    """Return ICRS positions in degrees, shape (n,), as unit vectors, shape (n, 3)."""
    east, north = np.radians(ra), np.radians(dec)
    return np.stack(
        [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1
    )


def separations_arcsec(vectors: Floats, other: Floats) -> Floats:
    """Return great-circle distances of unit vectors [arcsec]; the arguments broadcast."""
    # Through the chord: the arc cosine of a scalar product loses everything below 0.004".
    chord = np.linalg.norm(vectors - other, axis=-1)
    arcsec: Floats = np.degrees(2.0 * np.arcsin(np.minimum(chord / 2.0, 1.0))) * 3600.0
    return arcsec


def row_separations(alerts: Alerts, *, ra: float, dec: float) -> Floats:
    """Return how far each row lies from a position in degrees, shape (n,) [arcsec]."""
    return separations_arcsec(
        unit_vectors(alerts.ra, alerts.dec), unit_vectors(np.array([ra]), np.array([dec]))
    )


def associate(alerts: Alerts, ask: Ask) -> Association:
    """Decide from everything that a source has near the target, or under its object id.

    Raises
    ------
    TargetError
        When the target's ``since`` is no date.
    """
    eligible = _not_before_since(alerts, ask.target)
    if ask.target.object_id is not None:
        return _by_object_id(alerts, eligible, ask)
    return _by_position(alerts, eligible, ask)


def associate_recent(alerts: Alerts, ask: Ask) -> Association | None:
    """Decide from recent rows alone, by what was accepted when everything was read last.

    Returns
    -------
    association
        None where an object that was not accepted then shows up near the target: recent rows
        cannot tell whether it is a new id of the same thing or another thing.

    Raises
    ------
    TargetError
        When the target's ``since`` is no date.
    """
    eligible = _not_before_since(alerts, ask.target)
    known = np.isin(alerts.object_id, np.array(ask.known_objects, dtype="U"))
    belongs = known & eligible
    if ask.target.ra is not None and ask.target.dec is not None:
        away = row_separations(alerts, ra=ask.target.ra, dec=ask.target.dec)
        if np.any(~known & eligible & (away <= _neighbour_radius(ask))):
            return None
        if ask.target.object_id is None:
            belongs &= away <= ask.rules.match_radius_arcsec
    elif np.any(~known):
        return None
    verdict = Verdict.ACCEPTED if np.any(belongs) else Verdict.NOTHING
    return Association(verdict, belongs, _listed(alerts, ask.target, set(ask.known_objects)))


def _by_position(alerts: Alerts, eligible: Bools, ask: Ask) -> Association:
    target, rules = ask.target, ask.rules
    nothing = np.zeros(len(alerts), dtype=bool)
    if target.ra is None or target.dec is None:
        raise TargetError(
            "it has neither coordinates nor an object id",
            service="targets",
            target=target.name,
            remedy="Give ra and dec in degrees, or object_id.",
        )
    listed = _listed(alerts, target, set())
    groups = _groups(alerts, eligible, ra=target.ra, dec=target.dec)
    near = [group for group in groups if group.separation_arcsec <= _neighbour_radius(ask)]
    if len(near) > 1:
        told = "; ".join(group.told(alerts) for group in near)
        reason = f'{len(near)} objects lie within {_neighbour_radius(ask):g}": {told}'
        return Association(Verdict.AMBIGUOUS, nothing, listed, reason)
    if not near:
        reason = f"the nearest object is {groups[0].told(alerts)}" if groups else ""
        return Association(Verdict.NOTHING, nothing, listed, reason)
    away = row_separations(alerts, ra=target.ra, dec=target.dec)
    belongs = near[0].rows & (away <= rules.match_radius_arcsec)
    if not np.any(belongs):
        reason = (
            f'no detection lies within {rules.match_radius_arcsec:g}"; '
            f"near is {near[0].told(alerts)}"
        )
        return Association(Verdict.NOTHING, nothing, listed, reason)
    if (old := _too_old(alerts, belongs, ask)) is not None:
        return Association(Verdict.AMBIGUOUS, nothing, listed, old)
    return Association(Verdict.ACCEPTED, belongs, _listed(alerts, target, set(near[0].ids)))


def _by_object_id(alerts: Alerts, eligible: Bools, ask: Ask) -> Association:
    target = ask.target
    nothing = np.zeros(len(alerts), dtype=bool)
    everything = _objects(alerts, np.ones(len(alerts), dtype=bool))
    if target.object_id not in everything.ids:
        listed = _listed(alerts, target, set())
        seen = ", ".join(found.object_id for found in listed)
        reason = f"it has no alert of {target.object_id}"
        reason += f", but of {seen}" if seen else ""
        return Association(Verdict.UNKNOWN, nothing, listed, reason)
    own = everything.ids.index(target.object_id)
    if target.ra is not None and target.dec is not None:
        centre = unit_vectors(np.array([target.ra]), np.array([target.dec]))
        distance = float(separations_arcsec(everything.median[[own]], centre)[0])
        if distance > NEIGHBOUR_ARCSEC:
            reason = (
                f"{target.object_id} lies {distance:.1f}\" from the target's coordinates: "
                "one of the two is wrong"
            )
            return Association(
                Verdict.AMBIGUOUS, nothing, _listed(alerts, target, set()), reason
            )
    label = _joined(everything.median)
    group = np.flatnonzero(label == label[own])
    belongs = np.isin(everything.member, group) & eligible
    accepted = {everything.ids[number] for number in group}
    verdict = Verdict.ACCEPTED if np.any(belongs) else Verdict.NOTHING
    return Association(verdict, belongs, _listed(alerts, target, accepted))


def _not_before_since(alerts: Alerts, target: Target) -> Bools:
    if target.since is None:
        return np.ones(len(alerts), dtype=bool)
    try:
        since_ms = time_ms_of_date(target.since)
    except ValueError as error:
        raise TargetError(
            "the date of its first detection cannot be read",
            service="targets",
            target=target.name,
            field="since",
            value=target.since,
            remedy="Write it like 2019-01-01.",
        ) from error
    eligible: Bools = alerts.time_ms >= since_ms
    return eligible


def _neighbour_radius(ask: Ask) -> float:
    return max(NEIGHBOUR_ARCSEC, ask.rules.match_radius_arcsec)


def _objects(alerts: Alerts, chosen: Bools) -> _Objects:
    """Return the objects of the chosen rows; other rows are members of none (-1)."""
    member = np.full(len(alerts), -1, dtype=np.int64)
    ids, member[chosen] = np.unique(alerts.object_id[chosen], return_inverse=True)
    vectors = unit_vectors(alerts.ra, alerts.dec)
    median = np.empty((len(ids), 3))
    for number in range(len(ids)):
        median[number] = _median(vectors[member == number])
    return _Objects(ids=ids.tolist(), member=member, median=median)


def _median(vectors: Floats) -> Floats:
    # Of components: right ascension wraps at 0 and means nothing at the poles.
    middle = np.median(vectors, axis=0)
    length = np.linalg.norm(middle)
    # Rows all over the sky can cancel out; then any of them is as good.
    unit: Floats = middle / length if length > 0 else vectors[0]
    return unit


def _joined(median: Floats) -> Ints:
    """Return a label per object, equal for ids that a chain of 1.5" steps connects."""
    count = len(median)
    label = np.arange(count)
    for number in range(count):
        close = separations_arcsec(median, median[number]) <= JOIN_ARCSEC
        touched = np.isin(label, label[close])
        label[touched] = label[touched].min()
    return label


def _groups(alerts: Alerts, chosen: Bools, *, ra: float, dec: float) -> list[_Group]:
    """Return the joined objects of the chosen rows, nearest first."""
    objects = _objects(alerts, chosen)
    label = _joined(objects.median)
    centre = unit_vectors(np.array([ra]), np.array([dec]))
    groups = []
    for name in np.unique(label):
        numbers = np.flatnonzero(label == name)
        rows = np.isin(objects.member, numbers)
        middle = _median(unit_vectors(alerts.ra[rows], alerts.dec[rows]))
        groups.append(
            _Group(
                ids=[objects.ids[number] for number in numbers],
                rows=rows,
                separation_arcsec=float(separations_arcsec(middle, centre)[0]),
            )
        )
    return sorted(groups, key=lambda group: group.separation_arcsec)


def _too_old(alerts: Alerts, belongs: Bools, ask: Ask) -> str | None:
    if ask.discovery_ms is None or ask.target.since is not None:
        return None  # nobody knows, or a person has said it
    limit = ask.discovery_ms - AGE_LIMIT_DAYS * MS_PER_DAY
    old = belongs & (alerts.time_ms < limit)
    if not np.any(old):
        return None
    first = int(alerts.time_ms[old].min())
    days = (ask.discovery_ms - first) / MS_PER_DAY
    ids = ", ".join(sorted(set(alerts.object_id[old].tolist())))
    return (
        f"{ids} has {np.count_nonzero(old)} detections more than {AGE_LIMIT_DAYS} d before the "
        f"discovery on {_day(ask.discovery_ms)}: first on {_day(first)}, {days:.0f} d before"
    )


def _listed(alerts: Alerts, target: Target, accepted: set[str]) -> tuple[FoundObject, ...]:
    """Return every object of all rows, nearest first."""
    objects = _objects(alerts, np.ones(len(alerts), dtype=bool))
    away: list[float | None] = [None] * len(objects.ids)
    if target.ra is not None and target.dec is not None:
        centre = unit_vectors(np.array([target.ra]), np.array([target.dec]))
        away = separations_arcsec(objects.median, centre).tolist()
    found = []
    for number, object_id in enumerate(objects.ids):
        times = alerts.time_ms[objects.member == number]
        found.append(
            FoundObject(
                object_id=object_id,
                detections=len(times),
                separation_arcsec=away[number],
                first_ms=int(times.min()),
                last_ms=int(times.max()),
                accepted=object_id in accepted,
            )
        )
    return tuple(sorted(found, key=lambda one: (one.separation_arcsec or 0.0, one.object_id)))


def _day(time_ms: int) -> str:
    return str(format_time_ms(np.array([time_ms]))[0])[:10]
