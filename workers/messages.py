"""What a message in our queues must look like; anything else is dropped with one line.

A list in Redis takes whatever somebody writes into it, and kombu 5.7 trusts it: text that is no
JSON ends the worker, a missing key ends its connection (measured 2026-11). A message is a hint
here, and `sweep` makes lost ones anew: dropping costs nothing.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any

LENGTH_MAX = 256 * 2**10
"""Longest message [B]; ours, of 50 names, have 10 kB."""


_TASK_HEADERS = {
    "retries": int | None,
    "timelimit": list | None,
    # Ours are not compressed: what is might unfold without end.
    "compression": type(None),
}


class JunkError(Exception):
    """What came is no message; the text says why, and shows nothing of it."""


def envelope(raw: bytes | str) -> dict[str, Any]:
    """Return the envelope of a message as kombu delivers it.

    Raises
    ------
    JunkError
        When it is none.
    """
    if len(raw) > LENGTH_MAX:
        raise JunkError(f"longer than {LENGTH_MAX >> 10} KiB")
    message = _json(raw, "the envelope")
    check_envelope(message)
    checked: dict[str, Any] = message
    return checked


def check_envelope(message: object) -> None:
    """Refuse an envelope that lacks what kombu and Celery take for granted.

    Raises
    ------
    JunkError
        When something is missing or of another type.
    """
    envelope = _mapping(message, "the envelope")
    properties = _mapping(envelope.get("properties"), "properties")
    _mapping(properties.get("delivery_info"), "delivery_info")
    _mapping(envelope.get("headers", {}), "headers")
    if not isinstance(properties.get("delivery_tag"), str):
        raise JunkError("it has no delivery tag")
    if properties.get("body_encoding") not in {None, "base64"}:
        raise JunkError("its body is encoded in an unknown way")
    if envelope.get("content-type") != "application/json":
        raise JunkError("its content is not JSON")
    if envelope.get("content-encoding") not in {None, "utf-8", "us-ascii"}:
        raise JunkError("its content is not UTF-8")


def check_task(message: dict[str, Any]) -> None:
    """Refuse a message of a task queue that names no task, or carries no arguments.

    Raises
    ------
    JunkError
        When it does.
    """
    headers = _mapping(message.get("headers"), "headers")
    for name in ("id", "task"):
        if not isinstance(headers.get(name), str):
            raise JunkError(f"it has no {name}")
    for name, kinds in _TASK_HEADERS.items():
        if not isinstance(headers.get(name), kinds):
            raise JunkError(f"its {name} is of an unknown kind")
    for name in ("eta", "expires"):
        _check_moment(headers.get(name), name)
    text = message.get("body")
    if not isinstance(text, str):
        raise JunkError("it has no body")
    if message["properties"].get("body_encoding") == "base64":
        try:
            body = _json(base64.b64decode(text, validate=True), "the body")
        except ValueError as error:
            raise JunkError("its body is not base64") from error
    else:
        body = _json(text, "the body")
    if not isinstance(body, list) or [type(part) for part in body] != [list, dict, dict]:
        raise JunkError("its body is not a call of a task")
    if any(body[2].values()):
        raise JunkError("it would call further tasks")


def _check_moment(value: object, name: str) -> None:
    try:
        if value is not None:
            datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise JunkError(f"its {name} is no time") from error


def _json(text: bytes | str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JunkError(f"{what} is not JSON") from error


def _mapping(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise JunkError(f"{what} is no object")
    return value
