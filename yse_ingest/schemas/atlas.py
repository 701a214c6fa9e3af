"""What the ATLAS forced-photometry server sends: tasks as JSON, a result as a table of text."""

from __future__ import annotations

from typing import Any, Final

from yse_ingest.schemas.alert_fields import AlertPart, ObjectId
from yse_ingest.schemas.value_fields import Number, Text, ValueField

ID_KEY: Final = "Obs"
TARGET_KEY: Final = "target"
"""Column that we add: a table does not say whose place it is of."""
FLUX_PER_UJY: Final = 10.0 ** (0.4 * (27.5 - 23.9))
"""Flux at zero point 27.5 of one microjansky, whose AB zero point is 23.9: 27.5423."""
CLEANING_COLUMNS: Final = ("err", "duJy", "x", "y", "maj", "min", "apfit", "mag5sig", "Sky")
COLUMNS: Final = frozenset({"MJD", "uJy", "duJy", "F", ID_KEY, *CLEANING_COLUMNS})
"""Those that are read. ``m`` is not: it is negative where the flux is."""
UJY_MAX = 1e12
"""Brighter than anything in the sky [microjansky]."""
MJD_LIMITS = (55000.0, 88069.0)
"""2009-06-18 and 2100-01-01."""


class TableNumber(Number):
    """A number that stands in a table as text."""

    def _number(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.make_error("number", value=value) from error


class Figure(ValueField):
    """A number of the table that only a cut looks at; one that is not finite fails it."""

    def read(self, value: Any) -> float:
        """Return the value, or refuse it."""
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise self.make_error("number", value=value) from error


class RowSchema(AlertPart):
    """One exposure; its ``time`` is the start as MJD, UTC [d], its flux is signed."""

    native_id = ObjectId(data_key=ID_KEY, required=True)
    object_id = Text(data_key=TARGET_KEY, required=True)
    time = TableNumber(data_key="MJD", required=True, low=MJD_LIMITS[0], high=MJD_LIMITS[1])
    band = Text(data_key="F", required=True)
    flux = TableNumber(data_key="uJy", required=True, low=-UJY_MAX, high=UJY_MAX)
    flux_err = TableNumber(data_key="duJy", required=True, low=0.0, high=UJY_MAX, positive=True)
    err = Figure(required=True)
    x = Figure(required=True)
    y = Figure(required=True)
    maj = Figure(required=True)
    min = Figure(required=True)
    apfit = Figure(required=True)
    mag5sig = Figure(required=True)
    sky = Figure(data_key="Sky", required=True)

    def finish(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return fluxes at zero point 27.5, and beside them what the cleaning looks at."""
        atlas = {name: row.pop(name) for name in ("err", "x", "y", "maj", "min", "apfit")}
        atlas |= {"mag5sig": row.pop("mag5sig"), "Sky": row.pop("sky")}
        atlas["duJy"] = row["flux_err"]
        scaled = {name: row[name] * FLUX_PER_UJY for name in ("flux", "flux_err")}
        return {**row, **scaled, "atlas": atlas}


class TaskSchema(AlertPart):
    """One task of the queue; a key without a value is null."""

    url = Text(required=True, length_max=300)
    ra = Number(required=True)
    dec = Number(required=True)
    comment = Text(length_max=300, allow_none=True, load_default=None)
    finished = Text(data_key="finishtimestamp", required=True, allow_none=True)
    result_url = Text(required=True, length_max=300, allow_none=True)
    error = Text(data_key="error_msg", required=True, length_max=2000, allow_none=True)
