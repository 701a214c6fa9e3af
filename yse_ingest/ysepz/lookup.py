"""Which transient of YSE-PZ a target is: by name, by alias, by position, in this order.

A name of the IAU is looked for as it is, then behind SN and AT: YSE-PZ keeps what was posted.

YSE-PZ itself looks up by name, then by a box of half-width 0.756", in which it renames, moves
or merges what it finds; it never asks the aliases there (measured 2026-11). So everything that
could be hit is looked up before anything is sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from yse_ingest.errors import AmbiguousTargetError, PlaceTakenError, TargetError
from yse_ingest.targets import check_position, prefixed_names, separation_arcsec
from yse_ingest.ysepz.http import SERVICE
from yse_ingest.ysepz.transients import NO_SLUG, SAVE_IT, Transient, alias_key, name_key

if TYPE_CHECKING:
    from yse_ingest.targets import Target
    from yse_ingest.ysepz.client import YsePz

Neighbour = tuple[Transient, float]
"""A transient and its separation [arcsec]."""

NEIGHBOUR_ARCSEC = 3.0
"""A transient this close may be the same thing in the sky ["]."""
MERGE_ARCSEC = 0.756
"""Half-width of the box in which YSE-PZ takes two transients for one ["]: 0.00021 deg."""
MERGE_MARGIN_ARCSEC = 0.004
"""Added to the box against rounding: 0.75" merged and 0.76" did not (measured 2026-11)."""
OFFSET_MAX_ARCSEC = 2.0
"""Coordinates of a target may be this far from those of its transient ["]."""


@dataclass(frozen=True)
class Resolution:
    """What was found."""

    transient: Transient | None
    """None: YSE-PZ has no such transient, and none that stands in its way."""
    by: Literal["name", "alias", "position", "none"]
    separation_arcsec: float | None
    """From the target's coordinates, where it has any ["]."""
    neighbours: tuple[Neighbour, ...] = ()
    """Others within 3", beside which the target may stand because it says so."""


def resolve(client: YsePz, target: Target) -> Resolution:
    """Return the transient of a target.

    Raises
    ------
    TargetError
        Its coordinates are more than 2" from those of the transient of its name, or YSE-PZ has
        several of that name, or that transient's coordinates are none, or it has no slug.
    AmbiguousTargetError
        Its name is an alias of several transients, or several have it behind a prefix.
    PlaceTakenError
        Another transient stands within 3", and the target may not stand beside it.
    YsePzError
        YSE-PZ did not do its part.
    """
    found = _resolve(client, target)
    if found.transient is not None:
        check_place(target, found.transient)
        _check_slug(target, found.transient)
    return found


def check_place(target: Target, transient: Transient) -> None:
    """Refuse a transient whose coordinates are none: YSE-PZ stores them as they come.

    Raises
    ------
    TargetError
        Nobody can tell where to look for its photometry.
    """
    try:
        check_position(transient.name, transient.ra, transient.dec)
    except TargetError as error:
        raise TargetError(
            f"its transient {transient.name} stands at ra {transient.ra:g}, dec "
            f"{transient.dec:g}: {error.fact}",
            service=SERVICE,
            target=target.name,
            field=error.field,
            value=error.value,
            remedy="Correct its coordinates in YSE-PZ.",
        ) from error


def _check_slug(target: Target, transient: Transient) -> None:
    if not transient.slug:
        raise TargetError(
            f"{NO_SLUG}: {transient} is number {transient.pk}",
            service=SERVICE,
            target=target.name,
            field="slug",
            remedy=SAVE_IT,
        )


def _resolve(client: YsePz, target: Target) -> Resolution:
    transient = client.transient_by_name(target.name)
    if transient is None:
        transient = _prefixed(client, target.name)
    if transient is not None:
        return _known(target, transient, by="name")
    transient = transient_by_alias(client, target.name)
    if transient is not None:
        return _known(target, transient, by="alias")
    if target.ra is None or target.dec is None:
        return Resolution(transient=None, by="none", separation_arcsec=None)
    near = client.transients_near(target.ra, target.dec, NEIGHBOUR_ARCSEC)
    if not near:
        return Resolution(transient=None, by="none", separation_arcsec=None)
    inside = [pair for pair in near if pair[1] <= MERGE_ARCSEC]
    if target.creation is None:
        if len(near) == 1 and inside:
            return Resolution(near[0][0], by="position", separation_arcsec=near[0][1])
    elif not any(in_merge_box(target.ra, target.dec, one) for one, _ in near):
        allowed = {name_key(name) for name in _beside(target)}
        if all(name_key(one.name) in allowed for one, _ in near):
            return Resolution(
                transient=None, by="none", separation_arcsec=None, neighbours=tuple(near)
            )
    raise _taken(target, near)


def _prefixed(client: YsePz, name: str) -> Transient | None:
    """Return the transient that has this name of the IAU behind SN or AT.

    Its filter knows one name at a time: a name that is no stored one costs four questions.

    Raises
    ------
    AmbiguousTargetError
        When several transients do.
    """
    found = [one for each in prefixed_names(name) if (one := client.transient_by_name(each))]
    if len(found) > 1:
        raise AmbiguousTargetError(
            f"{name} is the name of {len(found)} transients: {', '.join(map(str, found))}",
            service=SERVICE,
            target=name,
            remedy=f"In YSE-PZ, give the one that is meant the name {name}.",
        )
    return found[0] if found else None


def transient_by_alias(client: YsePz, name: str) -> Transient | None:
    """Return the transient that has this other name.

    Raises
    ------
    AmbiguousTargetError
        When several transients have it.
    """
    key = alias_key(name)
    for again in (False, True):
        pks = {
            alias.transient
            for alias in client.aliases()
            if alias.transient is not None and alias_key(alias.name) == key
        }
        found = [one for pk in sorted(pks) if (one := client.transient_by_pk(pk))]
        if len(found) == len(pks) or again:
            break
        # One of them is gone since the aliases were read.
        client.forget_aliases()
    if len(found) > 1:
        raise AmbiguousTargetError(
            f"{name} is an alias of {len(found)} transients: {', '.join(map(str, found))}",
            service=SERVICE,
            target=name,
            remedy="Name the transient by its primary name.",
        )
    return found[0] if found else None


def in_merge_box(ra: float, dec: float, transient: Transient) -> bool:
    """Tell whether YSE-PZ would take a new transient at this place for that one.

    It is a box, whose corners reach 1.07", or a circle across RA 0/360, where the server's box
    ends but the sky does not.
    """
    half = (MERGE_ARCSEC + MERGE_MARGIN_ARCSEC) / 3600
    reach = min(89.999999, abs(dec) + half)
    apart = abs(ra - transient.ra)
    in_box = abs(dec - transient.dec) <= half and apart <= half / math.cos(math.radians(reach))
    return in_box or (separation_arcsec(ra, dec, transient.ra, transient.dec) <= half * 3600)


def _known(target: Target, transient: Transient, *, by: Literal["name", "alias"]) -> Resolution:
    if target.ra is None or target.dec is None:
        return Resolution(transient, by=by, separation_arcsec=None)
    separation = separation_arcsec(target.ra, target.dec, transient.ra, transient.dec)
    if separation > OFFSET_MAX_ARCSEC:
        same = name_key(transient.name) == name_key(target.name)
        called = "" if same else f" {transient.name}"
        given = f"{target.ra:.5f}, {target.dec:+.5f}"
        raise TargetError(
            f'its coordinates {given} are {separation:.1f}" from those of the '
            f"transient{called} at {transient.ra:.5f}, {transient.dec:+.5f}",
            service=SERVICE,
            target=target.name,
            remedy="Leave ra and dec out to use those of YSE-PZ, or correct the name.",
        )
    return Resolution(transient, by=by, separation_arcsec=separation)


def _beside(target: Target) -> tuple[str, ...]:
    """Return the names beside which it may stand: one, or several joined by commas."""
    beside = str((target.creation or {}).get("beside", ""))
    return (beside, *(name.strip() for name in beside.split(",")))


def _taken(target: Target, near: list[Neighbour]) -> PlaceTakenError:
    shown = ", ".join(f'{one} {separation:.2f}" away' for one, separation in near)
    nearest = near[0][0]
    remedy = f"Use the name {nearest.name} for this target"
    if target.ra is None or target.dec is None or in_merge_box(target.ra, target.dec, nearest):
        remedy += f': within {MERGE_ARCSEC}" YSE-PZ would merge the two.'
    else:
        names = ", ".join(one.name for one, _ in near)
        remedy += f", or create it with beside = {names} if they are two things in the sky."
    return PlaceTakenError(
        f"no transient has this name, and another stands there: {shown}",
        service=SERVICE,
        target=target.name,
        remedy=remedy,
    )
