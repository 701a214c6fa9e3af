"""Groups: who may see photometry, and that attaching them hides nobody's points by accident.

In YSE-PZ groups belong to a header, the shelf of one instrument and obs_group. Attaching one
hides every point on the shelf from everybody else, its uploaders included; no API takes it off
again; and YSE-PZ does not tell in which groups an account is. A shelf that an account may not
see takes its points all the same, and answers success (measured 2026-11).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.errors import PayloadError, UploadRefusedError

if TYPE_CHECKING:
    from yse_ingest.targets import Rules
    from yse_ingest.ysepz import ReadBack

ALLOWED_BY = "hide_public_points"
"""The rule by which a person says that public points are to become private."""
OWN_SHELF = "Give the private photometry an obs_group of its own"


def check_groups(stored: ReadBack | None, rules: Rules) -> None:
    """Refuse groups that would hide public points, or open private ones to others.

    Parameters
    ----------
    stored
        A fresh read-back; without one nothing is known of the shelf.
    rules
        How the photometry is to be sent.

    Raises
    ------
    PayloadError
        Nothing may be sent this way.
    """
    if not rules.groups:
        return
    if stored is None:
        raise PayloadError(
            "groups are attached only after a fresh read-back",
            service="YSE-PZ",
            field="groups",
            value=",".join(rules.groups),
            remedy="Read the transient back first; nothing was sent.",
        )
    for header in stored.headers:
        same = (header.instrument, header.obs_group) == (rules.instrument, rules.obs_group)
        points = int(np.count_nonzero(stored.photometry.header == header.pk))
        if not same or not points or set(rules.groups) <= set(header.groups):
            continue
        if header.groups:
            fact = f"groups would open {points} points of {', '.join(header.groups)} to others"
            remedy = f"{OWN_SHELF}."
        elif rules.hide_public_points:
            continue
        else:
            fact = (
                f"groups would hide {points} public points of this instrument from all others"
            )
            remedy = (
                f"{OWN_SHELF}; or say {ALLOWED_BY} = true for this target, if everybody is to "
                "lose sight of them."
            )
        raise PayloadError(
            fact,
            service="YSE-PZ",
            target=stored.name,
            field="groups",
            value=",".join(rules.groups),
            remedy=remedy,
        )


def membership_is_shown(stored: ReadBack | None, rules: Rules) -> bool:
    """Tell whether a read-back proves that this account sees what these groups see."""
    return not rules.groups or any(
        set(rules.groups) <= set(header.groups)
        and (header.instrument, header.obs_group) == (rules.instrument, rules.obs_group)
        for header in (() if stored is None else stored.headers)
    )


def shelf_is_shown(stored: ReadBack | None, rules: Rules) -> bool:
    """Tell whether this account sees a header of this instrument and obs_group.

    One that it does not see is still to be made, or hidden: YSE-PZ shows no difference.
    """
    shelf = rules.instrument, rules.obs_group
    headers = () if stored is None else stored.headers
    return any((header.instrument, header.obs_group) == shelf for header in headers)


def invisible(count: int, rules: Rules, *, target: str) -> UploadRefusedError:
    """Return the error of points that were accepted, but are invisible to this user."""
    points = "1 point was" if count == 1 else f"{count} points were"
    shelf = f"({rules.instrument}, {rules.obs_group})"
    if rules.groups:
        why = f"The header {shelf} is private, and this account is no member of the groups "
        why += f"{', '.join(rules.groups)}. Ask an administrator of YSE-PZ to add it"
    else:
        why = f"A group hides the header {shelf} from this account. Ask an administrator of "
        why += f"YSE-PZ to add it to the group; or: {OWN_SHELF[0].lower()}{OWN_SHELF[1:]}"
    return UploadRefusedError(
        f"{points} accepted, but invisible to this user",
        service="YSE-PZ",
        target=target,
        remedy=f"{why}. What is there is not sent twice; until it is seen, each try sends one "
        "point.",
    )
