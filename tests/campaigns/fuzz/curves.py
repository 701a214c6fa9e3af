"""Light curves and stored rows at random: window, comparison, cutter, ledger."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.campaigns.fuzz.tally import BrokenPromiseError, Family
from yse_ingest.delta import (
    TRUNCATION_MS,
    TWIN_MS,
    Verdict,
    compare,
    differs,
    smallest_gaps,
    windows,
)
from yse_ingest.ledger import Flag, Ledger, Slot
from yse_ingest.photometry import (
    LightCurve,
    StoredPhotometry,
    flux_err_of_mag_err,
    flux_of_mag,
    value_hash,
)
from yse_ingest.ysepz.cost import Speed, cut, modelled_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTRUMENT, GROUP = "ZTF-Cam", "ZTF"
START_MS = 1_546_300_800_000
BANDS = ("g-ZTF", "r-ZTF", "i-ZTF")


@dataclass(frozen=True)
class Exposure:
    """One exposure of a source."""

    time_ms: int
    band: str
    mag: float
    mag_err: float
    negative: bool = False


Exposures = list[Exposure]

# Steps of every size that matters: one exposure twice, a read-out, a visit, a night.
_STEPS = st.sampled_from(
    [0, 1, 2, 4, 5, 6, 12, 40, 100, 499, 500, 1000, 14_000, 15_000, 16_000, 16_001, 39_000,
     40_000, 60_000, 1_800_000, 86_400_000]
) | st.integers(1, 200_000)  # fmt: skip
_EXPOSURES = st.builds(
    Exposure,
    time_ms=_STEPS,
    band=st.sampled_from(BANDS),
    mag=st.floats(-5, 40),
    mag_err=st.floats(1e-6, 10),
    negative=st.booleans(),
)


def _cumulated(steps: Exposures) -> Exposures:
    time_ms, found = START_MS, []
    for each in steps:
        time_ms += each.time_ms
        found.append(Exposure(time_ms, each.band, each.mag, each.mag_err, each.negative))
    return found


CURVES: st.SearchStrategy[Exposures] = st.lists(_EXPOSURES, max_size=12).map(_cumulated)


def curve_of(exposures: Exposures, *, obs_group: str = GROUP) -> LightCurve:
    """Return exposures as a light curve."""
    negative = np.array([each.negative for each in exposures], dtype=bool)
    mag = np.array([each.mag for each in exposures], dtype=float)
    error = np.array([each.mag_err for each in exposures], dtype=float)
    flux = np.where(negative, -1.0, 1.0) * flux_of_mag(mag)
    return LightCurve(
        native_id=np.array([str(number) for number in range(len(exposures))], dtype="U"),
        time_ms=np.array([each.time_ms for each in exposures], dtype=np.int64),
        band=np.array([each.band for each in exposures], dtype="U8"),
        mag=np.where(negative, np.nan, mag),
        mag_err=np.where(negative, np.nan, error),
        flux=flux,
        flux_err=flux_err_of_mag_err(flux, error),
        instrument=INSTRUMENT,
        obs_group=obs_group,
    )


@dataclass(frozen=True)
class Row:
    """One row of YSE-PZ, placed by the exposure that it is near, or by itself."""

    near: int
    shift_ms: int
    band: str
    obs_group: str
    instrument: str
    owner: str
    mag: float | None


_ROWS = st.builds(
    Row,
    near=st.integers(0, 15),
    shift_ms=st.sampled_from([0, 0, 0, -1, 1, 3, -400, 500, 900, 15_000, -15_000, 16_001])
    | st.integers(-30_000, 30_000),
    band=st.sampled_from([*BANDS, "Unknown"]),
    obs_group=st.sampled_from([GROUP, GROUP, "YSE"]),
    instrument=st.sampled_from([INSTRUMENT, INSTRUMENT, INSTRUMENT, "ACAM1"]),
    owner=st.sampled_from(["ingest", "ingest", "othercron"]),
    mag=st.none() | st.floats(-5, 40),
)


def stored_of(rows: list[Row], exposures: Exposures) -> StoredPhotometry:
    """Return rows as a read-back shows them: times truncated to a millisecond."""
    plain: list[Mapping[str, Any]] = []
    for pk, row in enumerate(rows, start=1):
        base = exposures[row.near % len(exposures)].time_ms if exposures else START_MS
        plain.append(
            {
                "pk": pk,
                "time_ms": base + row.shift_ms,
                "instrument": row.instrument,
                "obs_group": row.obs_group,
                "band": row.band,
                "mag": row.mag,
                "mag_err": 0.1,
                "flux": None,
                "flux_err": None,
                "zero_point": None,
                "forced": False,
                "created_by": row.owner,
                "modified_by": row.owner,
                "header": 1,
                "restricted": False,
            }
        )
    return StoredPhotometry.from_rows(plain)


def comparison(one: tuple[Exposures, list[Row]]) -> None:
    """Every verdict is that of a comparison of all pairs, one by one."""
    exposures, rows = one
    curve, stored = curve_of(exposures), stored_of(rows, exposures)
    gaps = smallest_gaps(curve.time_ms, curve.band, instrument=INSTRUMENT)
    _gaps_must_hold(curve, gaps)
    window = windows(curve.band, instrument=INSTRUMENT, gaps=gaps, tolerance_ms=16_000.0)
    for band, width in window.items():
        gap = gaps.get(f"{INSTRUMENT}|{band}", math.inf)
        if not 2.0 <= width <= 16_000.0 or (gap > 5 and width >= gap / 2):
            raise BrokenPromiseError(f"window {width} beside a gap of {gap}")
    found = compare(
        curve, stored, window, ours=stored.written_by("ingest"), value_hash=stored.value_hash
    )
    hashes = curve.value_hash
    for number in range(len(curve)):
        row = int(found.row[number])
        allowed, own = _standing(curve, number, stored, window)
        if row not in allowed:
            raise BrokenPromiseError(f"row {row} stands for exposure {number}, not {allowed}")
        expected = Verdict.NEW if row < 0 else Verdict.ELSEWHERE
        if row >= 0 and own:
            expected = Verdict.ADOPTED
            if stored.created_by[row] == "ingest":
                same = stored.value_hash[row] == hashes[number]
                expected = Verdict.SAME if same else Verdict.CHANGED
        if found.verdict[number] != expected:
            raise BrokenPromiseError(
                f"exposure {number}: {Verdict(found.verdict[number])!r} is no {expected!r}"
            )
    differs(curve, stored, found.row)


def _gaps_must_hold(curve: LightCurve, gaps: dict[str, int]) -> None:
    for band in BANDS:
        times = sorted(curve.time_ms[curve.band == band].tolist())
        real = [b - a for a, b in itertools.pairwise(times) if b - a >= TWIN_MS]
        if gaps.get(f"{INSTRUMENT}|{band}") != (min(real) if real else None):
            raise BrokenPromiseError(f"gap of {band}: {gaps}, not {real}")


def _standing(
    curve: LightCurve, number: int, stored: StoredPhotometry, window: dict[str, float]
) -> tuple[list[int], bool]:
    """Return the rows of which one may stand, and whether in our own group, from all rows."""
    width = window[str(curve.band[number])] + TRUNCATION_MS
    near: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for row in range(len(stored)):
        same = stored.instrument[row] == INSTRUMENT and stored.band[row] == curve.band[number]
        away = abs(int(stored.time_ms[row]) - int(curve.time_ms[number]))
        if same and away < width:
            near[bool(stored.obs_group[row] == GROUP)].append((away, row))
    for own in (True, False):
        if near[own]:
            nearest = min(near[own])[0]
            return [row for away, row in near[own] if away == nearest], own
    return [-1], False


def cutter(one: tuple[Exposures, dict[str, int], float, int, float]) -> None:
    """Requests hold every point once, in order, below both limits, and none is empty."""
    exposures, held, seconds_max, bytes_max, ratio = one
    curve = curve_of(exposures * 40)
    speed = Speed()
    speed.observe(1.0, ratio)
    chunks = cut(curve, held, seconds_max=seconds_max, bytes_max=bytes_max, speed=speed)
    rows = np.concatenate(chunks) if chunks else np.empty(0, dtype=np.int64)
    if not np.array_equal(rows, np.arange(len(curve))):
        raise BrokenPromiseError("the requests do not hold every point once, in order")
    existing = dict(held)
    for chunk in chunks:
        posted = Counter(curve.band[chunk].tolist())
        cost = speed.seconds(modelled_seconds(sum(existing.values()), posted, existing))
        if len(chunk) > 1 and (
            cost > seconds_max + 1e-9 or 1024 + 365 * len(chunk) > max(bytes_max, 1755)
        ):
            raise BrokenPromiseError(f"a request of {len(chunk)} points costs {cost} s")
        for band, count in posted.items():
            existing[band] = existing.get(band, 0) + count


def ledger(one: tuple[Exposures, list[int], list[int]]) -> None:
    """A ledger survives packing, and knows what was sent."""
    exposures, pks, times = one
    curve = curve_of(exposures)
    sent = Ledger.empty().with_sent(curve)
    known = Ledger(
        time_ms=np.array(times, dtype=np.int64),
        slot=np.zeros(len(times), np.uint8),
        flags=np.full(len(times), Flag.VERIFIED, np.uint8),
        pk=np.resize(np.array(pks or [0], dtype=np.uint32), len(times)),
        value_hash=np.zeros(len(times), np.uint32),
        slots=(Slot(INSTRUMENT, GROUP, "g-ZTF"),),
        gaps={},
    )
    for each in (sent, known, known.with_sent(curve)):
        again = Ledger.unpack(each.pack(), slots=each.slots, gaps={}, read_back_ms=0)
        for column in ("time_ms", "slot", "flags", "pk", "value_hash"):
            if not np.array_equal(getattr(each, column), getattr(again, column)):
                raise BrokenPromiseError(f"{column} does not survive packing")
    if len(curve):
        gaps = smallest_gaps(curve.time_ms, curve.band, instrument=INSTRUMENT)
        window = windows(curve.band, instrument=INSTRUMENT, gaps=gaps, tolerance_ms=16_000.0)
        after = compare(curve, sent, window, ours=sent.ours, value_hash=sent.value_hash)
        if after.count(Verdict.NEW):
            raise BrokenPromiseError("what was sent is new again")


def hashes(one: tuple[float, float, float, float]) -> None:
    """Any four numbers have a hash, the same one each time."""
    columns = [np.array([value]) for value in one]
    if value_hash(*columns)[0] != value_hash(*columns)[0]:
        raise BrokenPromiseError("two hashes of one row")


FAMILIES = (
    Family("comparisons", 0.05, st.tuples(CURVES, st.lists(_ROWS, max_size=15)), comparison),
    Family(
        "cutter",
        0.02,
        st.tuples(
            CURVES,
            st.dictionaries(st.sampled_from([*BANDS, "Unknown"]), st.integers(0, 3000)),
            st.floats(0.01, 60),
            st.integers(0, 2_000_000),
            st.floats(1e-3, 1e3),
        ),
        cutter,
    ),
    Family(
        "ledgers",
        0.03,
        st.tuples(
            CURVES,
            st.lists(st.integers(0, 2**32 - 1), max_size=3),
            st.lists(st.integers(-62_135_596_800_000, 2**47 - 1), max_size=8),
        ),
        ledger,
    ),
    Family("hashes", 0.02, st.tuples(*[st.floats() for _ in range(4)]), hashes),
)
