"""Matching and storing points: the loop that both uploads run, with its quadratic cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.ysepz import session as cost
from yse_ingest.sandbox.ysepz.columns import POINT_PLAIN
from yse_ingest.sandbox.ysepz.values import obs_date, stored, stored_mjd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.sandbox.ysepz.session import Session

INSERTED: Final = (
    "flux",
    "flux_err",
    "mag",
    "mag_err",
    "forced",
    "diffim",
    "flux_zero_point",
    "discovery_point",
)
"""The keys that an inserted point must have, in the order in which a missing one is noticed."""


@dataclass(slots=True)
class _Existing:
    id: int
    band: int
    mjd: float


def store_points(
    session: Session,
    header: int,
    *,
    instrument: object,
    settings: Mapping[str, Any],
    points: Mapping[str, Any],
) -> None:
    """Store the points of one block one by one, each committed by itself.

    The stored points are read once, before the first one is compared, so that neither points of
    the same block nor those of a concurrent request are seen.

    Parameters
    ----------
    instrument
        The posted name, which together with a point's band names the band.
    settings
        Where `mjdmatchmin` and `clobber` are looked up, when they are needed and not before.

    Raises
    ------
    KeyError, TypeError, ValueError, ServerError
        What a bad point makes the server raise; the points before it stay.
    """
    db = session.db
    rows = db.all(
        "SELECT id, band_id, obs_date FROM YSE_App_transientphotdata "
        "WHERE photometry_id = ? ORDER BY id",
        [header],
    )
    existing = [
        _Existing(row["id"], row["band_id"], stored_mjd(row["obs_date"])) for row in rows
    ]
    if points:
        session.charge(cost.EXISTING_POINT_S * len(existing))
    for key in points:
        point = points[key]
        mjd, _ = obs_date(point["obs_date"])
        band = db.band(point["band"], instrument)
        same = [one for one in existing if one.band == band]
        session.charge(
            cost.SAME_BAND_PAIR_S * len(same)
            + cost.OTHER_BAND_PAIR_S * (len(existing) - len(same))
        )
        matched = False
        for one in same:
            if abs(one.mjd - mjd) < settings["mjdmatchmin"]:
                matched = True
                if settings["clobber"]:
                    _overwrite(session, one, point)
        if not matched:
            _insert(session, header, band, point)


def _flag(session: Session, value: object) -> int | None:
    """Return the id of a data-quality name; an unknown one is `Bad`."""
    if not value:
        return None
    return session.db.first_named("dataquality", value, otherwise="Bad")


def _insert(session: Session, header: int, band: int, point: Mapping[str, Any]) -> None:
    flag = _flag(session, point["data_quality"])
    fields = {name: point[name] for name in ("obs_date", *INSERTED)}
    values = {name: stored(fields[name], name, POINT_PLAIN[name]) for name in POINT_PLAIN}
    session.charge(cost.NEW_POINT_S)
    new = session.db.insert(
        "transientphotdata",
        session.user.id,
        {"photometry_id": header, "band_id": band, **values},
    )
    if flag is not None:
        session.db.set_flags(new, [flag])
        session.db.update("transientphotdata", [new], {"modified_date": session.db.now()})


def _overwrite(session: Session, one: _Existing, point: Mapping[str, Any]) -> None:
    """Overwrite a matched row; its flags go first, and no flag at all is dropped silently."""
    flag = _flag(session, point["data_quality"])
    names = [name for name in POINT_PLAIN if name != "discovery_point"]
    posted = {name: point[name] for name in names}
    session.db.set_flags(one.id, [] if flag is None else [flag])
    posted["discovery_point"] = point["discovery_point"]
    values = {name: stored(posted[name], name, POINT_PLAIN[name]) for name in POINT_PLAIN}
    session.db.update(
        "transientphotdata",
        [one.id],
        {
            **values,
            "modified_by_id": session.user.id,
            "modified_date": session.db.now(),
        },
    )
    one.mjd, _ = obs_date(point["obs_date"])
