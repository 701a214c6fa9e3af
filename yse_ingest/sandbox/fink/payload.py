"""How Fink's API reads what it is asked for; what it cannot read is a 400 that is no JSON."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from yse_ingest.sandbox.server import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.sandbox.server import Request


class RefusedError(Exception):
    """A payload that the service refuses with a 400."""


def payload_of(request: Request) -> dict[str, Any]:
    """Return the query of the URL if there is one, whatever the body says; else the JSON."""
    if request.query:
        return dict(request.query)
    try:
        content = json.loads(request.body or b"{}")
    except ValueError as error:
        raise RefusedError("The payload is not JSON.\n") from error
    if not isinstance(content, dict):
        raise RefusedError("The payload is not a JSON object.\n")
    return content


def required(payload: Mapping[str, Any], name: str) -> Any:
    """Return a value that must be there."""
    if name not in payload:
        raise RefusedError(
            f"A value for `{name}` is required. See https://api.ztf.fink-portal.org \n"
        )
    return payload[name]


def number(payload: Mapping[str, Any], name: str) -> float:
    """Return a value that must be there, and be a finite number."""
    try:
        value = float(required(payload, name))
    except (TypeError, ValueError) as error:
        raise RefusedError(f"{name} must be a number\n") from error
    if not math.isfinite(value):
        raise RefusedError(f"{name} must be finite\n")
    return value


def refusal(error: RefusedError) -> Reply:
    """Return the 400: the text of a Python dictionary, called HTML."""
    text = str({"status": "error", "text": str(error)})
    return Reply(400, text.encode(), "text/html; charset=utf-8")
