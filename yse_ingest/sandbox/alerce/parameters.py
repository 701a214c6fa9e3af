"""How ALeRCE reads the parameters of a URL; what it cannot read is a 400."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.sandbox.server import Request


class BadParameterError(Exception):
    """A parameter that the service refuses with a 400."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def all_values(request: Request, name: str) -> list[str]:
    """Return every value of a parameter, in the order of the URL."""
    return [value for key, value in request.query if key == name]


def choice(
    request: Request, name: str, choices: Sequence[str], *, default: str | None
) -> str | None:
    """Return the first value of a parameter, which must be one of the choices."""
    values = all_values(request, name)
    if not values:
        return default
    if values[0] not in choices:
        raise BadParameterError(name, f"The value '{values[0]}' is not a valid choice.")
    return values[0]


def float_value(request: Request, name: str, default: float | None = None) -> float | None:
    """Return the first value of a parameter as a number."""
    values = all_values(request, name)
    return to_float(name, values[0]) if values else default


def to_float(name: str, text: str) -> float:
    """Return one value as a number."""
    try:
        return float(text)
    except ValueError as error:
        raise BadParameterError(name, str(error)) from error


def int_value(request: Request, name: str, default: int) -> int:
    """Return the first value of a parameter as an integer."""
    values = all_values(request, name)
    try:
        return int(values[0]) if values else default
    except ValueError as error:
        raise BadParameterError(name, str(error)) from error
