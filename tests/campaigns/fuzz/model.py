"""YSE-PZ in memory: its match rules and its read-back, written from the contract.

A request is compared with the points that its header held before it, band by band and
strictly within ``mjdmatchmin``; what matches is skipped (or overwritten, where clobber is
true), everything else is inserted, one row at a time, so that an error leaves what came before.
The read-back truncates to milliseconds and drops ``.000``. No line of the product's sandbox is
used here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.campaigns.fuzz.answers import ACCOUNT, VOCABULARY
from yse_ingest.errors import (
    OutcomeUnknownError,
    RequestTooLargeError,
    UploadRefusedError,
    YsePzUnavailableError,
)
from yse_ingest.ysepz.readback import ReadBack, parse_read_back

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_S = 86400.0


@dataclass(frozen=True)
class StoredRow:
    """One point as the database holds it."""

    pk: int
    instrument: str
    obs_group: str
    band: str
    time_us: int
    mag: float | None
    mag_err: float | None
    flux: float | None
    flux_err: float | None
    flux_zero_point: float | None
    created_by: str
    modified_by: str

    @property
    def mjd(self) -> float:
        """Return its time as the match loop sees it."""
        return 40587.0 + self.time_us / 1e6 / DAY_S


@dataclass
class ModelYsePz:
    """What `yse_ingest.pipeline.deliver` needs of a client, and what others do to the rows."""

    rows: list[StoredRow] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What becomes of the next requests that write: ok, away, lost, unsent, late, large."""
    poison_ms: set[int] = field(default_factory=set)
    """Times of points at which the server fails, whatever else they hold."""
    writes: int = 0
    late: list[Mapping[str, Any]] = field(default_factory=list)
    account = ACCOUNT

    # What the product asks ------------------------------------------------------------------

    def upload_photometry(self, request: Mapping[str, Any]) -> None:
        """Carry a request out, or do to it what the next fault says."""
        self.writes += 1
        fault = self.faults.pop(0) if self.faults else "ok"
        if fault == "away":
            raise YsePzUnavailableError("HTTP 503", service="YSE-PZ")
        if fault == "large" and len(request) > 4:
            raise RequestTooLargeError("HTTP 413", service="YSE-PZ")
        if fault == "late":
            self.late.append(request)
        if fault in {"late", "unsent"}:
            raise OutcomeUnknownError("no answer", service="YSE-PZ")
        self.store(request, user=ACCOUNT.username)
        if fault == "lost":
            raise OutcomeUnknownError("the answer was lost", service="YSE-PZ")

    def patch_point(self, pk: int, changes: Mapping[str, Any]) -> None:
        """Change one row."""
        self.writes += 1
        fault = self.faults.pop(0) if self.faults else "ok"
        if fault == "away":
            raise YsePzUnavailableError("HTTP 503", service="YSE-PZ")
        if fault in {"late", "unsent"}:
            raise OutcomeUnknownError("no answer", service="YSE-PZ")
        at = next(number for number, row in enumerate(self.rows) if row.pk == pk)
        self.rows[at] = replace(self.rows[at], **changes, modified_by=ACCOUNT.username)
        if fault == "lost":
            raise OutcomeUnknownError("the answer was lost", service="YSE-PZ")

    def read_back(self, _slug: str) -> ReadBack:
        """Show every row, as ``/download_data/`` does."""
        shelves: dict[tuple[str, str], list[Any]] = {}
        for row in self.rows:
            shelves.setdefault((row.instrument, row.obs_group), []).append(_shown(row))
        reply = {
            "2019np": {
                "transient": [{"pk": 1, "fields": {"name": "2019np"}}],
                "photometry": [
                    {
                        "pk": number,
                        "fields": {
                            "instrument": f"P48 - {instrument}",
                            "obs_group": obs_group,
                            "groups": [],
                        },
                        "data": data,
                    }
                    for number, ((instrument, obs_group), data) in enumerate(
                        shelves.items(), start=1
                    )
                ],
            }
        }
        return parse_read_back(
            reply, account="ingest", vocabulary=VOCABULARY, size=1, seconds=0.1
        )

    # What the server does -------------------------------------------------------------------

    def settle(self) -> None:
        """Let the requests end on which the client gave up."""
        for request in self.late:
            try:
                self.store(request, user=ACCOUNT.username)
            except UploadRefusedError:
                continue
        self.late.clear()

    def store(self, request: Mapping[str, Any], *, user: str) -> None:
        """Match and insert, or overwrite, each point of a request."""
        shelf, header = request["photheader"], request["header"]
        window, clobber = header["mjdmatchmin"], header["clobber"]
        points = [
            value
            for key, value in request.items()
            if key not in {"header", "transient", "photheader"}
        ]
        before = [
            row.pk
            for row in self.rows
            if (row.instrument, row.obs_group) == (shelf["instrument"], shelf["obs_group"])
        ]
        for point in points:
            time_us = _time_us(point["obs_date"])
            if time_us // 1000 in self.poison_ms:
                error = UploadRefusedError("ValidationError", service="YSE-PZ")
                error.partial = True
                raise error
            values = {
                key: point[key]
                for key in ("mag", "mag_err", "flux", "flux_err", "flux_zero_point")
            }
            new = StoredRow(
                pk=1 + max((row.pk for row in self.rows), default=0),
                instrument=shelf["instrument"],
                obs_group=shelf["obs_group"],
                band=point["band"],
                time_us=time_us,
                created_by=user,
                modified_by=user,
                **values,
            )
            matches = [
                number
                for number, row in enumerate(self.rows)
                if row.pk in before and row.band == new.band and abs(row.mjd - new.mjd) < window
            ]
            if not matches:
                self.rows.append(new)
            elif clobber:
                for number in matches:
                    self.rows[number] = replace(
                        self.rows[number], time_us=time_us, modified_by=user, **values
                    )


def _time_us(obs_date: str) -> int:
    moment = datetime.fromisoformat(obs_date).replace(tzinfo=UTC)
    whole = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86400 + whole.seconds) * 1_000_000 + whole.microseconds


def _shown(row: StoredRow) -> dict[str, Any]:
    seconds, rest = divmod(row.time_us, 1_000_000)
    text = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    text += f".{rest // 1000:03d}Z" if rest // 1000 else "Z"
    return {
        "pk": row.pk,
        "fields": {
            "band": f"{row.instrument} - {row.band}",
            "obs_date": text,
            "mag": row.mag,
            "mag_err": row.mag_err,
            "flux": row.flux,
            "flux_err": row.flux_err,
            "flux_zero_point": row.flux_zero_point,
            "forced": False,
            "created_by": [row.created_by],
            "modified_by": [row.modified_by],
        },
    }
