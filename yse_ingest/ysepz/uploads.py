"""Requests to YSE-PZ, built from light curves and targets; each checked by its schema.

An update names the transient and its points and nothing else: every field that is sent for an
existing transient overwrites what people curated there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.delta import window_days
from yse_ingest.errors import PayloadError, TargetError
from yse_ingest.photometry import ZERO_POINT, PointKind
from yse_ingest.schemas.payload import (
    CreationSchema,
    DocumentedUploadSchema,
    PhotometryUploadSchema,
    PointChangeSchema,
    checked,
)
from yse_ingest.times import format_time_ms
from yse_ingest.ysepz.http import SERVICE

if TYPE_CHECKING:
    from yse_ingest.photometry import Floats, LightCurve, StoredPhotometry
    from yse_ingest.targets import Rules, Target
    from yse_ingest.ysepz.transients import Transient

PHOTOMETRY_UPLOAD = PhotometryUploadSchema()
DOCUMENTED_UPLOAD = DocumentedUploadSchema()
CREATION = CreationSchema()
POINT_CHANGE = PointChangeSchema()

OURS_ALONE = frozenset({"beside"})
"""Creation fields that tell us something, and are never sent."""
DATES = frozenset({"disc_date", "non_detect_date", "abs_mag_peak_date"})
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
ROUNDING = 1e-6
"""Relative difference below which a stored flux is the same; of a magnitude, in mag."""


def photometry_request(
    transient: Transient, curve: LightCurve, rules: Rules, *, window_ms: float
) -> dict[str, Any]:
    """Return the request to ``/add_transient_phot/`` that adds points to a transient.

    Parameters
    ----------
    transient
        As YSE-PZ has it; its row is left untouched.
    curve
        What to send, one window for all of it.
    window_ms
        Match window [ms].

    Raises
    ------
    PayloadError
        Naming the field at fault.
    """
    groups = _joined(rules.groups, transient.name)
    points = _points(curve, rules, no_flag=None)
    request = {
        "header": {"clobber": rules.clobber, "mjdmatchmin": window_days(window_ms)},
        # Its database does not see blanks at the end of a name, which scripts leave there.
        "transient": {"name": transient.name.rstrip(" "), "status": transient.status},
        "photheader": {
            "instrument": curve.instrument,
            "obs_group": curve.obs_group,
            "groups": groups,
        },
        **{str(number): point for number, point in enumerate(points)},
    }
    return checked(PHOTOMETRY_UPLOAD, request, target=transient.name)


def documented_request(
    target: Target, curve: LightCurve, rules: Rules, *, window_ms: float | None
) -> dict[str, Any]:
    """Return the dictionary that YSE-PZ documents for ``/add_transient/``, key by key.

    It is shown, not sent: for an existing transient it would overwrite position, group and
    every other field it names.

    Parameters
    ----------
    window_ms
        Match window [ms]; None: the rules' ``mjdmatchmin``.

    Raises
    ------
    PayloadError
        Naming the field at fault.
    """
    mjdmatchmin = rules.mjdmatchmin if window_ms is None else window_days(window_ms)
    survey = {
        "instrument": curve.instrument,
        "obs_group": curve.obs_group,
        "photdata": dict(enumerate(_points(curve, rules, no_flag=0))),
    }
    row = {
        **_row(target),
        "transientphotometry": {
            "mjdmatchmin": mjdmatchmin,
            "clobber": rules.clobber,
            curve.obs_group: survey,
        },
    }
    request = {"noupdatestatus": True, target.name: row}
    return checked(DOCUMENTED_UPLOAD, request, target=target.name)


def creation_request(target: Target) -> dict[str, Any]:
    """Return the request to ``/add_transient/`` that creates a target, without photometry.

    Raises
    ------
    TargetError
        When the target may not be created, or lacks coordinates, status or obs_group.
    PayloadError
        Naming the field at fault.
    """
    if target.creation is None:
        raise TargetError(
            "no transient has this name, and the target may not be created",
            service=SERVICE,
            target=target.name,
            remedy="Give it creation fields (status, obs_group), or correct the name.",
        )
    row = _row(target)
    for field in ("ra", "dec", "status", "obs_group"):
        if field not in row:
            raise TargetError(
                f"{field} is missing, and no transient is created without it",
                service=SERVICE,
                target=target.name,
                field=field,
                remedy=f"Give the target {field}.",
            )
    return checked(CREATION, {"noupdatestatus": True, target.name: row}, target=target.name)


def declared_fields(target: Target) -> dict[str, Any]:
    """Return the fields of the transient row that a target declares for its creation.

    A day without a time of day is its midnight: only that form is known to be taken everywhere.
    """
    declared: dict[str, Any] = {}
    for field, value in (target.creation or {}).items():
        if field in OURS_ALONE:
            continue
        if field in DATES and isinstance(value, str) and _DAY.fullmatch(value):
            value = f"{value}T00:00:00"
        declared[field] = list(value) if isinstance(value, tuple) else value
    return declared


def point_changes(
    curve: LightCurve, row: int, stored: StoredPhotometry, at: int
) -> dict[str, Any]:
    """Return the fields of a stored point that a correction changes, at its own zero point.

    A field that the row lacks is no change, and none is filled in: but where the source has a
    better row than this one (a detection in place of an upper limit), or forced photometry has
    come above 3 sigma, the magnitude is. A magnitude that the source has withdrawn (a negative
    subtraction) becomes null.

    Parameters
    ----------
    curve, row
        The source's exposure.
    stored, at
        The row that stands for it.

    Raises
    ------
    PayloadError
        When a value cannot be sent.
    """
    flux_scale = 10.0 ** (0.4 * (float(stored.zero_point[at]) - ZERO_POINT))
    changes: dict[str, Any] = {}
    forced = curve.kind[row] == PointKind.FORCED
    better = curve.rank[row] < stored.rank[at]
    filled_in = {"mag", "mag_err"} if better or forced else set()
    # A flux may stand in any unit: in Jy a whole light curve differs by less than 1e-6.
    for field, scale, floor in (
        ("mag", 1.0, 1.0),
        ("mag_err", 1.0, 1.0),
        ("flux", flux_scale, 0.0),
        ("flux_err", flux_scale, 0.0),
    ):
        old = float(getattr(stored, field)[at])
        new = float(getattr(curve, field)[row]) * scale
        if np.isnan(scale) or (np.isnan(old) and field not in filled_in):
            continue
        if np.isnan(new):
            if not np.isnan(old):
                changes[field] = None
        elif np.isnan(old) or abs(new - old) > ROUNDING * max(floor, abs(old)):
            changes[field] = new
    if better and forced != stored.forced[at]:
        changes["forced"] = int(forced)
    return checked(POINT_CHANGE, changes)


def _row(target: Target) -> dict[str, Any]:
    place = {"ra": target.ra, "dec": target.dec} if target.has_position else {}
    return {"name": target.name, **place, **declared_fields(target)}


def _joined(groups: tuple[str, ...], target: str) -> str | None:
    for group in groups:
        if "," in group:
            raise PayloadError(
                "a group's name holds a comma, at which YSE-PZ would split it",
                service=SERVICE,
                target=target,
                field="groups",
                value=group,
                remedy="Give each group by itself.",
            )
    return ",".join(groups) or None


def _points(curve: LightCurve, rules: Rules, *, no_flag: int | None) -> list[dict[str, Any]]:
    """Return the points with all eleven keys, in the documented order."""
    count = len(curve)
    flux: list[float | None] = [None] * count
    flux_err: list[float | None] = [None] * count
    if rules.flux_zero_point is not None:
        scale = 10.0 ** (0.4 * (rules.flux_zero_point - ZERO_POINT))
        flux, flux_err = _or_null(curve.flux * scale), _or_null(curve.flux_err * scale)
    flag = no_flag if rules.data_quality is None else rules.data_quality
    columns = zip(
        format_time_ms(curve.time_ms).tolist(),
        _or_null(curve.mag),
        _or_null(curve.mag_err),
        curve.band.tolist(),
        flux,
        flux_err,
        (curve.kind == PointKind.FORCED).tolist(),
        strict=True,
    )
    return [
        {
            "obs_date": obs_date,
            "mag": mag,
            "mag_err": mag_err,
            "band": band,
            "data_quality": flag,
            "diffim": 1,
            "flux": point_flux,
            "flux_err": point_flux_err,
            "flux_zero_point": None if point_flux is None else rules.flux_zero_point,
            "forced": int(forced),
            "discovery_point": 0,
        }
        for obs_date, mag, mag_err, band, point_flux, point_flux_err, forced in columns
    ]


def _or_null(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]
