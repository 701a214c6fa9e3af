"""What a saved query of SQL Explorer answers: all its rows, as columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from marshmallow import EXCLUDE, Schema, ValidationError, fields

from yse_ingest.schemas._load import load
from yse_ingest.times import parse_obs_dates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

COLUMNS: Final[Mapping[str, str]] = {
    "transient": "i8",
    "pk": "i8",
    "instrument": "U",
    "obs_group": "U",
    "band": "U",
    "obs_date": "U",
    "mag": "f8",
    "mag_err": "f8",
    "flux": "f8",
    "flux_err": "f8",
    "flux_zero_point": "f8",
    "created_by": "i8",
    "modified_by": "i8",
    "restricted": "i8",
}
"""Column of the query to its type; a missing number is nan."""


class SavedQuerySchema(Schema):
    """The envelope of every saved query."""

    class Meta:
        """Other versions of YSE-PZ may show more."""

        unknown = EXCLUDE

    transients = fields.List(fields.Raw(), required=True)


def load_columns(reply: object) -> dict[str, NDArray[Any]]:
    """Return the columns of the answer, (n,) each; ``time_ms`` stands for ``obs_date``.

    Not row by row as other answers: there may be 200 000 of them.

    Raises
    ------
    marshmallow.ValidationError
        Naming the first column that does not fit.
    """
    rows = load(SavedQuerySchema(), reply)["transients"]
    found: dict[str, NDArray[Any]] = {}
    for name, kind in COLUMNS.items():
        try:
            found[name] = np.array([row[name] for row in rows], dtype=kind)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            # Without the value: the row may be private.
            raise ValidationError({name: ["is missing, or no column of its kind"]}) from error
    try:
        found["time_ms"] = parse_obs_dates(found.pop("obs_date"))
    except ValueError as error:
        raise ValidationError({"obs_date": ["is no date"]}) from error
    return found
