"""What YSE-PZ holds of one transient, from ``/download_data/<slug>/``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from marshmallow import ValidationError

from yse_ingest.errors import YsePzReplyError
from yse_ingest.photometry import StoredPhotometry
from yse_ingest.schemas._load import Refusal, faults_of, load, load_rows
from yse_ingest.schemas.readback import (
    DownloadSchema,
    StoredHeaderSchema,
    StoredPlaceSchema,
    StoredPointSchema,
)
from yse_ingest.times import parse_obs_dates
from yse_ingest.ysepz.http import SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.photometry import Bools
    from yse_ingest.ysepz.vocabulary import Vocabulary


NAME_SHOWN = 128
"""Characters of an instrument's name in a message: two names of 64 make one."""
EPOCH = "1970-01-01T00:00:00"
"""Instead of a date that a row does not show."""


@dataclass(frozen=True)
class Header:
    """A photometry header: the shelf on which points of one instrument and group stand."""

    pk: int
    instrument: str
    obs_group: str
    groups: tuple[str, ...]
    """Who alone may see it; none: everybody."""


@dataclass(frozen=True, eq=False)
class ReadBack:
    """One transient as YSE-PZ shows it to our account."""

    transient: Mapping[str, Any]
    """Every column of its row by name, with ``pk`` and the names of its ``tags``."""
    photometry: StoredPhotometry
    headers: tuple[Header, ...]
    refused: tuple[Refusal, ...]
    """Rows whose values or owner could not be read. They stand in ``photometry`` as rows
    without values that nobody touched last: a row that is there stands for its exposure."""
    unread: Bools
    """Which rows of ``photometry`` these are, shape (n,)."""
    bytes: int
    """Length of the answer [B]."""
    seconds: float
    """How long it took [s]."""

    @property
    def pk(self) -> int:
        """Return the transient's primary key."""
        return int(self.transient["pk"])

    @property
    def name(self) -> str:
        """Return the transient's name."""
        return str(self.transient["name"])

    @property
    def status(self) -> str | None:
        """Return the name of the transient's status, as it is now; None: it is not shown."""
        status = self.transient.get("status")
        return status if isinstance(status, str) and status else None

    @property
    def digest(self) -> str:
        """Return a hash that is equal for two read-backs that show the same photometry."""
        columns = (getattr(self.photometry, item.name) for item in fields(StoredPhotometry))
        digest = hashlib.blake2b(repr(self.headers).encode(), digest_size=16)
        for column in columns:
            digest.update(column.tobytes())
        digest.update(repr(self.refused).encode())
        return digest.hexdigest()


def parse_read_back(
    reply: object, *, account: str, vocabulary: Vocabulary, size: int, seconds: float
) -> ReadBack:
    """Return a read-back; a point of which only the place can be read is one without values.

    Parameters
    ----------
    account
        Our user name: YSE-PZ's log-in ignores case, so a name that differs in case alone is
        shown as exactly this one.
    size, seconds
        Length of the answer [B] and how long it took [s].

    Raises
    ------
    YsePzReplyError
        When it is no read-back at all, or a point's place cannot be read: left out, it would
        look like one that is missing, and be sent again.
    """
    try:
        loaded = load(DownloadSchema(), reply)
        shelves = [load(StoredHeaderSchema(), one["content"]) for one in loaded["photometry"]]
    except ValidationError as error:
        fault = faults_of(error, reply)[0]
        raise YsePzReplyError(
            " ".join(f"the read-back cannot be read: {fault.field} {fault.reason}".split()),
            service=SERVICE,
            remedy="Is YSE_PZ_URL the address of a YSE-PZ?",
        ) from error
    if len(loaded["transient"]) != 1:
        raise YsePzReplyError(
            f"the read-back shows {len(loaded['transient'])} transients instead of one",
            service=SERVICE,
            remedy="Is YSE_PZ_URL the address of a YSE-PZ?",
        )
    headers: list[Header] = []
    points: list[Mapping[str, Any]] = []
    refused: list[Refusal] = []
    unread: list[bool] = []
    for model, shelf in zip(loaded["photometry"], shelves, strict=True):
        header = Header(
            pk=model["pk"],
            instrument=vocabulary.instrument_of(shelf["instrument"]),
            obs_group=shelf["obs_group"],
            groups=tuple(shelf["groups"]),
        )
        headers.append(header)
        shown = [_flat(point) for point in model["data"]]
        rows, faulty = load_rows(StoredPointSchema(), shown, id_key="pk")
        refused += faulty
        unread += [False] * len(rows) + [True] * len(faulty)
        rows += [_place(shown[refusal.row], refusal, header) for refusal in faulty]
        points += [_point(row, header, account=account, vocabulary=vocabulary) for row in rows]
    times = parse_obs_dates([point["obs_date"] for point in points]).tolist() if points else []
    created = parse_obs_dates([point["created_date"] or EPOCH for point in points])
    return ReadBack(
        transient=_transient(loaded["transient"][0], vocabulary),
        photometry=StoredPhotometry.from_rows(
            [
                {**point, "time_ms": time, "created_ms": at}
                for point, time, at in zip(points, times, created.tolist(), strict=True)
            ]
        ),
        headers=tuple(headers),
        refused=tuple(refused),
        unread=np.array(unread, dtype=bool),
        bytes=size,
        seconds=seconds,
    )


def _flat(model: dict[str, Any]) -> dict[str, Any]:
    content = model.get("fields")
    return {**(content if isinstance(content, dict) else {}), "pk": model.get("pk")}


def _place(shown: dict[str, Any], refusal: Refusal, header: Header) -> dict[str, Any]:
    """Return a row of which only the place is known; raise where not even that is."""
    try:
        place = load(StoredPlaceSchema(), shown)
    except ValidationError as error:
        fault = faults_of(error, shown)[0]
        # Without the value: the header may be private.
        raise YsePzReplyError(
            f"stored row {refusal.native_id or '?'} of {header.instrument[:NAME_SHOWN]} cannot "
            f"be read: {fault.field} {fault.reason}",
            service=SERVICE,
            field=fault.field,
            remedy="Nothing is sent to this transient: nobody can tell which exposure the row "
            "stands for. Correct the row in YSE-PZ; what is owed waits.",
        ) from error
    unknown = ("mag", "mag_err", "flux", "flux_err", "flux_zero_point", "created_date")
    return {**dict.fromkeys(unknown), **place, "forced": False, "modified_by": []}


def _point(
    row: dict[str, Any], header: Header, *, account: str, vocabulary: Vocabulary
) -> dict[str, Any]:
    return {
        "pk": row["pk"],
        "obs_date": row["obs_date"],
        "instrument": header.instrument,
        "obs_group": header.obs_group,
        "band": vocabulary.band_of(row["band"], header.instrument),
        "mag": row["mag"],
        "mag_err": row["mag_err"],
        "flux": row["flux"],
        "flux_err": row["flux_err"],
        "zero_point": row["flux_zero_point"],
        "forced": row["forced"],
        "created_by": _who(row["created_by"], account),
        "modified_by": _who(row["modified_by"], account),
        "created_date": row["created_date"],
        "header": header.pk,
        "restricted": bool(header.groups),
    }


def _who(names: list[str] | None, account: str) -> str:
    name = names[0] if names else ""
    return account if name.casefold() == account.casefold() else name


def _transient(model: dict[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    content = model["content"]
    tags = content.get("tags")
    owners = {
        key: content[key][0]
        for key in ("created_by", "modified_by")
        if isinstance(content.get(key), list) and content[key]
    }
    return {
        **content,
        **owners,
        "pk": model["pk"],
        "tags": [_tag(tag, vocabulary) for tag in tags] if isinstance(tags, list) else [],
    }


def _tag(tag: object, vocabulary: Vocabulary) -> str:
    # Tags are shown by primary key, everything else by name (measured 2026-11).
    name = vocabulary.name_of("tag", tag) if isinstance(tag, int) else None
    return str(tag) if name is None else name
