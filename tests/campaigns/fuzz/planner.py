"""The planner against a YSE-PZ that others write to, that fails, and that keeps half of things.

A run is a list of events: exposures, late and revised ones, other programs' rows, a person's
edit, a clobbering cron, uploads whose requests are lost, cut or refused. After each upload has
come to rest: every exposure stands, none of ours twice, no row of anybody else has changed, and
the next round sends nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from hypothesis import strategies as st

from tests.campaigns.fuzz.answers import ACCOUNT, VOCABULARY
from tests.campaigns.fuzz.curves import BANDS, GROUP, INSTRUMENT, START_MS, Exposure, curve_of
from tests.campaigns.fuzz.model import ModelYsePz, StoredRow
from tests.campaigns.fuzz.payload import NP2019
from tests.campaigns.fuzz.tally import BrokenPromiseError, Family
from yse_ingest.delivery import REFUSED_IN_A_ROW
from yse_ingest.delta import Verdict, compare, match, smallest_gaps, windows
from yse_ingest.errors import OutcomeUnknownError, UploadRefusedError
from yse_ingest.ledger import Flag, Ledger, merge_gaps
from yse_ingest.pipeline import Outcome, Plan, Receipt, State, deliver, plan_upload
from yse_ingest.targets import Rules

if TYPE_CHECKING:
    from yse_ingest.photometry import LightCurve
    from yse_ingest.ysepz import YsePz
    from yse_ingest.ysepz.readback import ReadBack

TOLERANCE_MS = 16_000.0
ROUNDS_MAX = 12

Event = tuple[Any, ...]


@dataclass
class World:
    """The source, YSE-PZ, and what the product knows."""

    server: ModelYsePz = field(default_factory=ModelYsePz)
    exposures: list[Exposure] = field(default_factory=list)
    ledger: Ledger | None = None
    gaps: dict[str, int] = field(default_factory=dict)
    refused: set[tuple[int, str]] = field(default_factory=set)
    must_look: bool = True

    # What happens ---------------------------------------------------------------------------

    def happen(self, event: Event) -> None:
        """Let one event happen."""
        getattr(self, event[0])(*event[1:])

    def expose(self, step_ms: int, band: str, mag: float, late: bool) -> None:
        """The source sees the object again, or tells of an exposure between two others."""
        last = max((each.time_ms for each in self.exposures), default=START_MS)
        time_ms = last - step_ms if late else last + step_ms
        near = [each for each in self.exposures if abs(each.time_ms - time_ms) < 6]
        if time_ms >= START_MS and not near:
            self.exposures.append(Exposure(time_ms, band, round(mag, 4), 0.05))
            self.exposures.sort(key=lambda each: each.time_ms)

    def revise(self, which: int, mag: float) -> None:
        """The source has reprocessed an exposure."""
        if self.exposures:
            at = which % len(self.exposures)
            self.exposures[at] = replace(self.exposures[at], mag=round(mag, 4))

    def foreign(self, which: int, shift_ms: int, mag: float, group: str) -> None:
        """Another program stores its copy of an exposure, or something near it."""
        if self.exposures:
            near = self.exposures[which % len(self.exposures)]
            row = StoredRow(
                pk=1 + max((row.pk for row in self.server.rows), default=0),
                instrument=INSTRUMENT, obs_group=group, band=near.band,
                time_us=(near.time_ms + shift_ms) * 1000 + 437, mag=mag, mag_err=0.1, flux=None,
                flux_err=None, flux_zero_point=None, created_by="othercron",
                modified_by="othercron",
            )  # fmt: skip
            self.server.rows.append(row)

    def edit(self, which: int, mag: float) -> None:
        """A person corrects a row by hand, whoever wrote it."""
        rows = self.server.rows
        if rows:
            at = which % len(rows)
            rows[at] = replace(rows[at], mag=mag, modified_by="human")

    def cron(self, shift_ms: int) -> None:
        """The documented cron posts the whole light curve with clobber true and 0.01 d."""
        points = {
            str(number): {
                "obs_date": str(curve_date(each.time_ms + shift_ms)), "band": each.band,
                "mag": each.mag, "mag_err": 0.07, "flux": None, "flux_err": None,
                "flux_zero_point": None,
            }
            for number, each in enumerate(self.exposures)
        }  # fmt: skip
        request = {
            "header": {"clobber": True, "mjdmatchmin": 0.01},
            "photheader": {"instrument": INSTRUMENT, "obs_group": GROUP},
            **points,
        }
        poison, self.server.poison_ms = self.server.poison_ms, set()
        self.server.store(request, user="othercron")
        self.server.poison_ms = poison
        # A quiet cycle looks at the ledger alone; what others moved is found by the audit.
        self.must_look = True

    def poison(self, which: int) -> None:
        """One exposure becomes a point at which the server fails."""
        if self.exposures:
            self.server.poison_ms.add(self.exposures[which % len(self.exposures)].time_ms)

    def forget(self) -> None:
        """The state is lost: the ledger is derived anew."""
        self.ledger, self.must_look = None, True

    def upload(self, faults: list[str], seconds_max: float) -> None:
        """Fetch, send, settle and repeat until nothing is owed; then everything must hold."""
        foreign = self.others()
        self.server.faults = list(faults)
        for _ in range(ROUNDS_MAX):
            receipt = self.round(seconds_max)
            self.nothing_foreign_changed(foreign)
            if receipt is None:
                break
        else:
            if self.refused_whole(receipt):
                return
            raise BrokenPromiseError(f"not at rest after {ROUNDS_MAX} rounds")
        self.server.faults = []
        self.all_stand()
        before = self.server.writes
        self.round(seconds_max)
        self.must_look = True
        self.round(seconds_max)
        if self.server.writes != before:
            raise BrokenPromiseError(f"{self.server.writes - before} requests when all stands")

    # What the service does ------------------------------------------------------------------

    def curve(self) -> LightCurve:
        """Return what the source says, without what YSE-PZ has refused."""
        kept = [
            each for each in self.exposures if (each.time_ms, each.band) not in self.refused
        ]
        return curve_of(kept)

    def round(self, seconds_max: float) -> Receipt | None:
        """Do one round as fetch and upload do; None where nothing was owed."""
        curve = self.curve()
        if not len(curve):
            return None
        seen = smallest_gaps(curve.time_ms, curve.band, instrument=INSTRUMENT)
        self.gaps = merge_gaps(self.gaps, seen)
        ledger = self.ledger
        if ledger is not None and not self.must_look:
            verdicts = self.verdicts(curve, ledger)
            owed = verdicts.where(Verdict.NEW, Verdict.CHANGED)
            if not len(owed):
                return None
            curve = curve.take(owed)
            self.must_look = verdicts.count(Verdict.CHANGED) > 0
        stored: ReadBack | None = None
        if ledger is None or self.must_look:
            self.server.settle()
            stored = self.server.read_back("2019np")
        receipt = deliver(
            self.plan(curve, stored, ledger, seconds_max),
            cast("YsePz", self.server),
            verify=stored is not None,
        )
        self.ledger = receipt.ledger(ledger, account=ACCOUNT.username)
        self.receipt_holds(receipt)
        for row in receipt.rows(Outcome.REFUSED):
            sent = receipt.plan.curve
            self.refused.add((int(sent.time_ms[row]), str(sent.band[row])))
        unclear = isinstance(receipt.error, OutcomeUnknownError)
        self.must_look = unclear or receipt.read_back is None
        quiet = receipt.requests == 0 and receipt.error is None and stored is not None
        return None if quiet else receipt

    def plan(
        self,
        curve: LightCurve,
        stored: ReadBack | None,
        ledger: Ledger | None,
        seconds_max: float,
    ) -> Plan:
        """Return what is to be sent."""
        return plan_upload(
            curve, NP2019, rules=Rules(), gaps=self.gaps, tolerance_ms=TOLERANCE_MS,
            account=ACCOUNT.username, vocabulary=VOCABULARY, stored=stored, ledger=ledger,
            seconds_max=seconds_max,
        )  # fmt: skip

    def verdicts(self, curve: LightCurve, ledger: Ledger) -> Any:
        """Return what the ledger says of each exposure."""
        window = windows(
            curve.band, instrument=INSTRUMENT, gaps=self.gaps, tolerance_ms=TOLERANCE_MS
        )
        return compare(curve, ledger, window, ours=ledger.ours, value_hash=ledger.value_hash)

    def refused_whole(self, receipt: Receipt | None) -> bool:
        """Tell whether so many points were refused, and none taken, that YSE-PZ is at fault.

        Nobody is to set them aside then: they stay owed, and the refusal is told.
        """
        if receipt is None or not isinstance(receipt.error, UploadRefusedError):
            return False
        owed = receipt.plan.curve.time_ms[receipt.rows(Outcome.OWED)]
        poisoned = np.isin(owed, list(self.server.poison_ms))
        return int(poisoned.sum()) >= REFUSED_IN_A_ROW

    def receipt_holds(self, receipt: Receipt) -> None:
        """A receipt can be told as JSON, and what it calls verified stands."""
        json.dumps(receipt.as_dict(), allow_nan=False)
        curve, now = receipt.plan.curve, self.server.rows
        here = {(row.time_us // 1000, row.band) for row in now}
        told = list(zip(curve.time_ms.tolist(), curve.band.tolist(), strict=True))
        for row in receipt.rows(Outcome.VERIFIED, Outcome.CORRECTED):
            if told[int(row)] not in here:
                raise BrokenPromiseError(f"{told[int(row)]} is told as verified, and not there")
        unsound = receipt.count(Outcome.OWED, Outcome.ACCEPTED, Outcome.ABSENT, Outcome.ALTERED)
        if receipt.state is State.VERIFIED and unsound:
            raise BrokenPromiseError(f"verified, with {unsound} exposures that are not")

    def gone(self, curve: LightCurve, window: dict[str, float]) -> int:
        """Return how many exposures have no row, not even one that somebody has moved."""
        if self.ledger is None or not len(curve):
            return len(curve)
        row, _ = match(curve, self.ledger, window)
        there = [each.pk for each in self.server.rows]
        moved = self.ledger.having(Flag.MOVED)[row]
        stand = (row >= 0) & moved & np.isin(self.ledger.pk[row], there)
        return int(np.count_nonzero(~stand))

    # What must hold -------------------------------------------------------------------------

    def others(self) -> dict[int, StoredRow]:
        """Return every row that is not ours alone."""
        return {
            row.pk: row
            for row in self.server.rows
            if (row.created_by, row.modified_by) != (ACCOUNT.username, ACCOUNT.username)
        }

    def nothing_foreign_changed(self, before: dict[int, StoredRow]) -> None:
        """No row that somebody else wrote or touched is another than it was."""
        now = {row.pk: row for row in self.server.rows}
        for pk, row in before.items():
            if now.get(pk) != row:
                raise BrokenPromiseError(f"changed {row} to {now.get(pk)}")

    def all_stand(self) -> None:
        """Each exposure stands, none of ours twice, and ours as the source has them."""
        curve = self.curve()
        ours = [row for row in self.server.rows if row.pk not in self.others()]
        times = Counter((row.time_us // 1000, row.band) for row in ours)
        if doubled := [key for key, count in times.items() if count > 1]:
            raise BrokenPromiseError(f"stored twice: {doubled}")
        stored = self.server.read_back("2019np").photometry
        window = windows(
            curve.band, instrument=INSTRUMENT, gaps=self.gaps, tolerance_ms=TOLERANCE_MS
        )
        found = compare(curve, stored, window, ours=stored.written_by(ACCOUNT.username))
        gone = self.gone(curve.take(found.where(Verdict.NEW)), window)
        if gone:
            raise BrokenPromiseError(f"{gone} exposures do not stand")
        said = {(each.time_ms, each.band): each.mag for each in self.exposures}
        for row in ours:
            key = (row.time_us // 1000, row.band)
            mag = said.get(key)
            if mag is None:
                raise BrokenPromiseError(f"{row} is no exposure of the source")
            if key not in self.refused and (row.mag is None or abs(row.mag - mag) > 2e-3):
                raise BrokenPromiseError(f"{row} should be at {mag}")


def curve_date(time_ms: int) -> Any:
    """Return a time as the cron writes it."""
    from yse_ingest.times import format_time_ms

    return format_time_ms(curve_of([Exposure(time_ms, BANDS[0], 1.0, 1.0)]).time_ms)[0]


def planner(events: list[Event]) -> int:
    """Let the events happen one after the other, and an upload without faults at the end."""
    world = World()
    for event in events:
        world.happen(event)
    world.happen(("upload", [], 10.0))
    return len(events) + 1


_MAGS = st.floats(14, 21)
_STEP = st.sampled_from(
    [6, 7, 12, 40, 500, 1000, 15_000, 16_000, 39_000, 41_000, 86_400_000, 86_400_000]
)
_SHIFT = st.sampled_from(
    [0, 0, -1, 1, 2, 3, 200, -400, 500, 900, 15_000, -15_000, 16_001, 39_000]
)
_WHICH = st.integers(0, 9)
_FAULT = st.sampled_from(["ok", "ok", "away", "lost", "lost", "unsent", "late", "large"])
_EXPOSE = st.tuples(st.just("expose"), _STEP, st.sampled_from(BANDS[:2]), _MAGS, st.booleans())
_UPLOAD = st.tuples(
    st.just("upload"), st.lists(_FAULT, max_size=4), st.sampled_from([0.158, 0.16, 10.0])
)
EVENTS = st.lists(
    _EXPOSE | _EXPOSE | _EXPOSE | _UPLOAD | _UPLOAD
    | st.tuples(st.just("revise"), _WHICH, _MAGS)
    | st.tuples(
        st.just("foreign"), _WHICH, _SHIFT, _MAGS, st.sampled_from([GROUP, GROUP, "YSE"])
    )
    | st.tuples(st.just("edit"), _WHICH, _MAGS)
    | st.tuples(st.just("cron"), st.sampled_from([0, 0, 1, 15_000]))
    | st.tuples(st.just("poison"), _WHICH)
    | st.tuples(st.just("forget")),
    min_size=4, max_size=18,
)  # fmt: skip

FAMILIES = (Family("planner against the model", 0.15, EVENTS, planner, weight=6),)
