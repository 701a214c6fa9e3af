"""How the server reads what it is asked for; what it cannot read is a 400 with the fields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.sandbox.server import Request

RADECLIST_MAX: Final = 100
COMMENT_MAX: Final = 300
MJD_DEFAULT_D: Final = 30.0
"""How far back it looks where no ``mjd_min`` is given [d]; null is the whole archive."""


class RefusedError(Exception):
    """A request that is answered with a 400."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(str(content))
        self.content = dict(content)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request for photometry asks for."""

    places: tuple[tuple[float, float], ...]
    mjd_min: float | None
    mjd_max: float | None
    use_reduced: bool
    send_email: bool
    comment: str
    batch: bool
    """Whether the answer is a list."""


def fields_of(request: Request) -> dict[str, Any]:
    """Return the fields of a form or of a JSON object."""
    if "json" in (request.headers.get("Content-Type") or ""):
        try:
            content = json.loads(request.body or b"{}")
        except ValueError as error:
            raise RefusedError({"detail": f"JSON parse error - {error}"}) from error
        if not isinstance(content, dict):
            raise RefusedError({"non_field_errors": ["Invalid data. Expected a dictionary."]})
        return content
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def wanted(fields: Mapping[str, Any], *, mjd_now: float) -> Wanted:
    """Return what is asked for, or refuse it."""
    errors: dict[str, list[str]] = {}
    batch = "radeclist" in fields
    if batch:
        places = _places(str(fields["radeclist"]), errors)
    else:
        ra, dec = (_number(fields, key, errors, required=True) for key in ("ra", "dec"))
        places = () if ra is None or dec is None else ((ra, dec),)
    comment = str(fields.get("comment") or "")
    if len(comment) > COMMENT_MAX:
        errors["comment"] = [f"Ensure this field has no more than {COMMENT_MAX} characters."]
    mjd_min = _number({"mjd_min": mjd_now - MJD_DEFAULT_D, **fields}, "mjd_min", errors)
    mjd_max = _number(fields, "mjd_max", errors)
    if errors:
        raise RefusedError(errors)
    return Wanted(
        places=places,
        mjd_min=mjd_min,
        mjd_max=mjd_max,
        use_reduced=_flag(fields.get("use_reduced", False)),
        send_email=_flag(fields.get("send_email", True)),
        comment=comment,
        batch=batch,
    )


def _places(text: str, errors: dict[str, list[str]]) -> tuple[tuple[float, float], ...]:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or len(lines) > RADECLIST_MAX:
        errors["radeclist"] = [f"Give 1 to {RADECLIST_MAX} lines."]
        return ()
    places = []
    for line in lines:
        try:
            ra, dec = map(float, line.replace(",", " ").split())
        except ValueError:
            errors["radeclist"] = [f"Invalid line: {line[:40]}"]
            continue
        if not (0 <= ra <= 360 and -90 <= dec <= 90):
            errors["radeclist"] = [f"Out of range: {line[:40]}"]
        places.append((ra, dec))
    return tuple(places)


def _number(
    fields: Mapping[str, Any],
    key: str,
    errors: dict[str, list[str]],
    *,
    required: bool = False,
) -> float | None:
    value = fields.get(key)
    if value in {None, ""}:
        if required:
            errors[key] = ["This field is required."]
        return None
    try:
        return float(str(value))
    except ValueError:
        errors[key] = ["A valid number is required."]
        return None


def _flag(value: object) -> bool:
    return str(value).lower() in {"true", "1", "on", "yes"}
