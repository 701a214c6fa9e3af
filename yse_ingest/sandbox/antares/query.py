"""How ANTARES reads a query: the two conditions whose form its client shows."""

from __future__ import annotations

import json
import re
from typing import Any

_PLACE = re.compile(
    r"(\d+)h(\d+)m([\d.]+)s ([+-])(\d+)d(\d+)m([\d.]+)s",
)
_RADIUS = re.compile(r"([\d.]+) degrees?")
RADIUS_MAX_DEG = 1.0


class RefusedError(Exception):
    """A query that the service refuses with a 400."""


def condition_of(text: str | None) -> tuple[str, Any]:
    """Return the kind of condition, and its value: an object id, or ra, dec, radius [deg]."""
    try:
        filters = json.loads(text or "")["query"]["bool"]["filter"]
        ((kind, value),) = filters.items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError("elasticsearch_query is no query") from error
    if kind == "term" and set(value) == {"properties.ztf_object_id"}:
        return "term", value["properties.ztf_object_id"]
    if kind == "sky_distance":
        return kind, _cone(value)
    raise RefusedError(f"nobody has seen what {kind} does")


def _cone(value: dict[str, Any]) -> tuple[float, float, float]:
    place = _PLACE.fullmatch(str(value.get("location")))
    radius = _RADIUS.fullmatch(str(value.get("radius")))
    if place is None or radius is None:
        raise RefusedError('sky_distance wants "0.0005 degree" and "10h00m24s +02d12m00s"')
    if float(radius[1]) > RADIUS_MAX_DEG:
        raise RefusedError("the radius must not be larger than 1 degree")
    hour, minute, second = (float(place[number]) for number in (1, 2, 3))
    degree, arcminute, arcsecond = (float(place[number]) for number in (5, 6, 7))
    north = degree + arcminute / 60 + arcsecond / 3600
    east = 15 * (hour + minute / 60 + second / 3600)
    return east, -north if place[4] == "-" else north, float(radius[1])
