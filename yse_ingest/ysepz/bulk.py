"""Bulk read-back: the photometry of all transients in one answer of a saved query.

Its rows ignore groups: they are compared with a ledger, and never shown (docs/sql-explorer.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from marshmallow import ValidationError

from yse_ingest.errors import YsePzReplyError
from yse_ingest.photometry import ZERO_POINT, value_hash
from yse_ingest.schemas._load import faults_of
from yse_ingest.schemas.bulk import load_columns
from yse_ingest.ysepz.http import SERVICE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from yse_ingest.ledger import Ledger


class BulkReadBack:
    """What a saved query says of all transients.

    Parameters
    ----------
    columns
        As `yse_ingest.schemas.bulk.load_columns` returns them.
    seconds
        How long the answer took [s].
    """

    def __init__(self, columns: dict[str, NDArray[Any]], *, seconds: float) -> None:
        order = np.argsort(columns["transient"], kind="stable")
        self._columns = {name: column[order] for name, column in columns.items()}
        self.seconds = seconds

    def __repr__(self) -> str:
        """Return the number of rows: what they hold may be private."""
        return f"BulkReadBack({len(self)} rows)"

    def __len__(self) -> int:
        """Return the number of rows, those of private headers too."""
        return len(self._columns["transient"])

    def agrees(self, transient: int, ledger: Ledger) -> bool:
        """Tell whether YSE-PZ holds exactly what the ledger says.

        Every row of the ledger stands there with its time, ours unchanged and untouched by
        others, and no other row is to be seen. Rows of private headers that the ledger does
        not know do not count: our account may not see them. False is no finding: read back.

        Parameters
        ----------
        transient
            Primary key.
        """
        rows = self._of(transient)
        index = _find(ledger, rows)
        if np.any(index < 0) or len(set(index.tolist())) < len(ledger):
            return False
        unknown = np.ones(len(rows["pk"]), dtype=bool)
        unknown[index] = False
        if np.any(unknown & (rows["restricted"] == 0)):
            return False
        ours = index[ledger.ours]
        touched = rows["modified_by"][ours] != rows["created_by"][ours]
        changed = _hashes(rows)[ours] != ledger.value_hash[ledger.ours]
        return not np.any(touched) and not np.any(changed)

    def _of(self, transient: int) -> dict[str, NDArray[Any]]:
        begin, end = np.searchsorted(self._columns["transient"], [transient, transient + 1])
        return {name: column[begin:end] for name, column in self._columns.items()}


def parse_bulk(reply: object, *, request: str, seconds: float) -> BulkReadBack:
    """Return what the answer to a saved query says.

    Raises
    ------
    YsePzReplyError
        When it is no answer of the query of docs/sql-explorer.md.
    """
    try:
        columns = load_columns(reply)
    except ValidationError as error:
        fault = faults_of(error, reply)[0]
        raise YsePzReplyError(
            f"the answer to {request} cannot be read: {fault.field} {fault.reason}"[:300],
            service=SERVICE,
            field="YSE_INGEST_BULK_QUERY",
            remedy="Paste the query of docs/sql-explorer.md into YSE-PZ's SQL Explorer.",
        ) from error
    return BulkReadBack(columns, seconds=seconds)


def _find(ledger: Ledger, rows: dict[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Return for each row of the ledger the row that is it, -1 where there is none."""
    by_pk = {pk: row for row, pk in enumerate(rows["pk"].tolist())}
    names = ("instrument", "obs_group", "band", "time_ms")
    by_place = {
        place: row
        for row, place in enumerate(zip(*(rows[name].tolist() for name in names), strict=True))
    }
    places = zip(*(getattr(ledger, name).tolist() for name in names), strict=True)
    found = [
        # A row that was accepted and not yet seen has no primary key.
        by_pk.get(pk, -1) if pk else by_place.get(place, -1)
        for pk, place in zip(ledger.pk.tolist(), places, strict=True)
    ]
    index = np.array(found, dtype=np.int64)
    known = index >= 0
    moved = known.copy()
    moved[known] = rows["time_ms"][index[known]] != ledger.time_ms[known]
    index[moved] = -1
    return index


def _hashes(rows: dict[str, NDArray[Any]]) -> NDArray[np.uint32]:
    factor = np.power(10.0, 0.4 * (ZERO_POINT - rows["flux_zero_point"]))
    flux, flux_err = rows["flux"] * factor, rows["flux_err"] * factor
    return value_hash(rows["mag"], rows["mag_err"], flux, flux_err)
