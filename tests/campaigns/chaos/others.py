"""The other people: a second program that writes beside us, and a person who flags rows."""

from __future__ import annotations

import contextlib
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import requests

from tests.campaigns.chaos.sky import COPY_LATER_MS

if TYPE_CHECKING:
    from tests.campaigns.chaos.sky import Point, Transient
    from tests.campaigns.chaos.stand_ins import CountingYsePz
    from tests.campaigns.chaos.verdict import Archive

OTHER = ("othercron", "sandbox-only")


class Others:
    """What others do to the same YSE-PZ, told by the seed."""

    def __init__(
        self, seed: int, ysepz: CountingYsePz, archive: Archive, transients: list[Transient]
    ) -> None:
        self._draw = random.Random(f"others {seed}")
        self._ysepz = ysepz
        self._archive = archive
        self._transients = [each for each in transients if not each.created_by_us]
        self._reprocessed = {
            (each.name, point.time_ms)
            for each in transients
            for point in each.points
            if point.reprocessed is not None
        }

    def copy(self, transient: Transient, point: Point) -> None:
        """Store a copy of an exposure as another program rounds it, before it is published."""
        if transient.created_by_us:
            point.copied = False
            return
        row = _row(point.time_ms + COPY_LATER_MS, f"{point.band}-ZTF", point.mag + 0.01)
        self._ysepz.add_photometry(transient.name, [row])

    def act(self) -> None:
        """Write a forced point over HTTP, or flag one of our rows by hand."""
        if self._draw.random() < 0.5:
            self._post_own()
        else:
            self._flag_a_row()

    def _post_own(self) -> None:
        transient = self._draw.choice(self._transients)
        # A night in which nobody else observed: 2020 and later.
        time_ms = 1_700_000_000_000 + self._draw.randrange(10**10)
        request: dict[str, Any] = {
            "header": {"clobber": False, "mjdmatchmin": 0.01},
            "transient": {"name": transient.name, "status": "Following"},
            "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": None},
            "0": {**_row(time_ms, "r-ZTF", 19.0), "forced": 1},
        }
        url = f"{self._ysepz.url}/add_transient_phot/"
        with contextlib.suppress(requests.RequestException):
            requests.post(url, json=request, auth=OTHER, timeout=0.5)
        self._archive.note_foreign()

    def _flag_a_row(self) -> None:
        row = self._archive.row_of_ours(self._draw.random())
        if row is None:
            return
        time_ms = datetime.fromisoformat(row["obs_date"]).replace(tzinfo=UTC).timestamp() * 1000
        if any(abs(time_ms - known) < 1000 for _, known in self._reprocessed):
            return
        self._ysepz.set_flag(row["id"], "Bad", "human")
        self._archive.note_foreign(rewritten=[row["id"]])

    def ask_slowly(self) -> None:
        """Ask for something that occupies a server worker for a while."""
        with contextlib.suppress(requests.RequestException):
            requests.get(f"{self._ysepz.url}/get_transient/x/", auth=OTHER, timeout=30)


def _row(time_ms: float, band: str, mag: float) -> dict[str, Any]:
    obs_date = datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return {
        "obs_date": obs_date,
        "band": band,
        "mag": mag,
        "mag_err": 0.1,
        "flux": None,
        "flux_err": None,
        "flux_zero_point": None,
        "forced": 0,
        "diffim": 1,
        "discovery_point": 0,
        "data_quality": None,
    }
