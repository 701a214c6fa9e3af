"""Fields whose messages show the value: "is 400, outside 0 to 360"."""

from __future__ import annotations

import math
import reprlib
from typing import TYPE_CHECKING, Any

from marshmallow import fields

if TYPE_CHECKING:
    from marshmallow import ValidationError

_shorten = reprlib.Repr()
_shorten.maxstring = _shorten.maxother = 40


class ValueField(fields.Field[Any]):
    """A field that reads one value and refuses it by `make_error`."""

    default_error_messages = {  # noqa: RUF012  as marshmallow declares it
        "required": "is missing",
        "null": "is missing (null)",
        "missing": "is missing ({shown})",
        "number": "is {shown}, which is not a number",
        "finite": "is {shown}, which is not finite",
        "range": "is {shown}, outside {low:.10g} to {high:.10g}",
        "positive": "is {shown}, which is not positive",
        "text": "is {shown}, which is not text",
        "empty": "is empty",
        "long": "is longer than {length} characters",
        "choice": "is {shown}, none of {known}",
    }

    def make_error(self, key: str, **parts: Any) -> ValidationError:
        """Return the error; ``value`` is shown, shortened."""
        return super().make_error(key, shown=_shorten.repr(parts.pop("value", None)), **parts)

    def read(self, value: Any) -> Any:
        """Return the value as our side means it, or refuse it.

        Raises
        ------
        marshmallow.ValidationError
            By `make_error`.
        """
        raise NotImplementedError

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Any:
        return self.read(value)

    def _number(self, value: Any) -> float:
        """Return a number of the wire as a float, which may not be finite."""
        if type(value) is float:  # nearly always
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("number", value=value)
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf


class Number(ValueField):
    """A finite number within ``low`` and ``high``.

    Parameters
    ----------
    low, high
        Limits, both allowed.
    positive
        Whether it must be above zero as well.
    """

    def __init__(
        self,
        *,
        low: float = -math.inf,
        high: float = math.inf,
        positive: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high
        self.positive = positive

    def read(self, value: Any) -> float:
        """Return the value, or refuse it."""
        number = self._number(value)
        if not math.isfinite(number):
            raise self.make_error("finite", value=value)
        return self._within(number, value)

    def _within(self, number: float, value: Any) -> float:
        """Return a finite number that lies within the limits, or refuse ``value``."""
        if self.positive and number <= 0:
            raise self.make_error("positive", value=value)
        if not self.low <= number <= self.high:
            raise self.make_error("range", value=value, low=self.low, high=self.high)
        return number


class Text(ValueField):
    """Text that is not empty.

    Parameters
    ----------
    length_max
        Longest text taken.
    """

    def __init__(self, *, length_max: int = 64, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.length_max = length_max

    def read(self, value: Any) -> str:
        """Return the value, or refuse it."""
        if not isinstance(value, str):
            raise self.make_error("text", value=value)
        if not value.strip():
            raise self.make_error("empty")
        if len(value) > self.length_max:
            raise self.make_error("long", length=self.length_max)
        return value
