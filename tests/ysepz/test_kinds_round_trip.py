"""Rows of every kind: sent once, read back as they are, and only ever made better."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yse_ingest.delta import Verdict, compare, smallest_gaps
from yse_ingest.photometry import LIMIT_FLUX, LightCurve, PointKind, Rank
from yse_ingest.pipeline import Outcome, Plan, State, deliver, plan_upload
from yse_ingest.targets import Rules

if TYPE_CHECKING:
    from yse_ingest.ledger import Ledger
    from yse_ingest.sandbox.ysepz import YsePzStandIn
    from yse_ingest.ysepz import ReadBack, Transient, YsePz

T0 = 1_700_000_000_000
GAP_MS = 3_600_000
NAMES = itertools.count()
BANDS = ("g-ZTF", "r-ZTF")

Row = tuple[PointKind, float, float]
"""Kind, flux and its error."""

ERRORS = st.floats(0.5, 500.0)
KINDS: st.SearchStrategy[Row] = st.one_of(
    st.tuples(st.just(PointKind.DETECTION), st.floats(10.0, 1e5), ERRORS),
    st.tuples(st.just(PointKind.DETECTION), st.floats(-1e5, -10.0), ERRORS),
    st.tuples(st.just(PointKind.FORCED), st.floats(-1e5, 1e5), ERRORS),
    st.tuples(st.just(PointKind.LIMIT), st.just(0.0), ERRORS),
)


def curve_of(rows: list[tuple[int, Row]]) -> LightCurve:
    """Return a light curve of (number of the exposure, row), an hour apart, in two bands."""
    kind = np.array([row[0] for _, row in rows], dtype=np.uint8)
    flux_err = np.array([row[2] for _, row in rows])
    flux = np.array([row[1] for _, row in rows])
    flux = np.where((kind == PointKind.LIMIT) | (flux == 0), LIMIT_FLUX * flux_err, flux)
    with np.errstate(invalid="ignore", over="ignore"):
        mag, mag_err = 27.5 - 2.5 * np.log10(flux), 1.0857 * flux_err / flux
    shown = (kind == PointKind.DETECTION) & (flux > 0)
    shown |= (kind == PointKind.FORCED) & (flux >= 3 * flux_err)
    return LightCurve(
        native_id=np.array([f"{number}:{row[0]}" for number, row in rows], dtype="U"),
        time_ms=np.array([T0 + number * GAP_MS for number, _ in rows], dtype=np.int64),
        band=np.array([BANDS[number % 2] for number, _ in rows], dtype="U"),
        mag=np.where(shown, mag, np.nan),
        mag_err=np.where(shown, mag_err, np.nan),
        flux=flux,
        flux_err=flux_err,
        instrument="ZTF-Cam",
        obs_group="ZTF",
        kind=kind,
    )


class Shelf:
    """One transient of its own on the stand-in, and what we know of it."""

    def __init__(self, server: YsePzStandIn, client: YsePz) -> None:
        self.server, self.client = server, client
        name = f"2023t{next(NAMES)}"
        server.add_transient(name, 10.0 + 0.1 * next(NAMES), 20.0, status="Following")
        found = client.transient_by_name(name)
        assert found is not None
        self.transient: Transient = found
        self.ledger: Ledger | None = None

    def read_back(self) -> ReadBack:
        return self.client.read_back(self.transient.slug)

    def plan(self, curve: LightCurve, *, known: bool) -> Plan:
        return plan_upload(
            curve,
            self.transient,
            rules=Rules(),
            gaps=smallest_gaps(curve.time_ms, curve.band, instrument="ZTF-Cam"),
            tolerance_ms=16_000.0,
            account=self.client.account.username,
            vocabulary=self.client.vocabulary(),
            stored=None if known else self.read_back(),
            ledger=self.ledger,
        )

    def upload(self, curve: LightCurve) -> dict[Outcome, int]:
        """Send what is missing and prove it, as a first upload does."""
        receipt = deliver(self.plan(curve, known=False), self.client)
        assert receipt.state is State.VERIFIED, receipt.error
        self.ledger = receipt.ledger(self.ledger, account=self.client.account.username)
        return {each: receipt.count(each) for each in Outcome if receipt.count(each)}

    def open(self, curve: LightCurve) -> list[int]:
        """Return the exposures that a read-back, or the ledger, holds for new or changed."""
        assert self.ledger is not None
        to_do = (Verdict.NEW, Verdict.CHANGED)
        by_ledger = compare(
            curve,
            self.ledger,
            dict.fromkeys(BANDS, 16000.0),
            ours=self.ledger.ours,
            value_hash=self.ledger.value_hash,
        )
        by_rows = self.plan(curve, known=False).comparison
        return [*by_ledger.where(*to_do).tolist(), *by_rows.where(*to_do).tolist()]

    def rows(self) -> list[dict[str, Any]]:
        return self.server.rows(self.transient.name)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(KINDS, min_size=1, max_size=8))
def test_what_was_sent_is_never_sent_again(
    server: YsePzStandIn, client: YsePz, rows: list[Row]
) -> None:
    """Any mix of kinds is stored once; neither ledger nor read-back finds anything to do."""
    shelf = Shelf(server, client)
    curve = curve_of(list(enumerate(rows)))

    assert shelf.upload(curve) == {Outcome.VERIFIED: len(curve)}

    stored = shelf.read_back().photometry
    assert stored.rank.tolist() == curve.rank.tolist()
    assert shelf.ledger is not None
    assert shelf.ledger.rank.tolist() == curve.rank.tolist()
    assert shelf.open(curve) == []
    assert shelf.upload(curve) == {Outcome.SAME: len(curve)}
    assert [row["mag"] for row in shelf.rows() if row["flux"] < 0] == [
        None for row in rows if row[1] < 0
    ]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(pairs=st.lists(st.tuples(KINDS, KINDS), min_size=1, max_size=6))
def test_a_better_row_takes_the_place_of_a_lesser_one(
    server: YsePzStandIn, client: YsePz, pairs: list[tuple[Row, Row]]
) -> None:
    """Whatever comes second, there is one row an exposure, and it is never the lesser one."""
    shelf = Shelf(server, client)
    before = curve_of(list(enumerate(first for first, _ in pairs)))
    after = curve_of(list(enumerate(second for _, second in pairs)))
    shelf.upload(before)
    pks = [row["pk"] for row in shelf.rows()]

    shelf.upload(after)

    rows = shelf.rows()
    assert [row["pk"] for row in rows] == pks
    was, now = before.rank, after.rank
    # A detection whose sign the source corrects is another value, not a lesser row.
    taken = (now <= was) | ((was == Rank.DETECTION) & (now == Rank.NEGATIVE))
    stands = LightCurve.concatenate([after.take(taken), before.take(~taken)]).by_time()
    for number, row in enumerate(rows):
        assert row["flux"] == pytest.approx(stands.flux[number], rel=2e-2, abs=5.1)
        assert bool(row["forced"]) == (stands.kind[number] == PointKind.FORCED)
        assert (row["mag"] is None) == bool(np.isnan(stands.mag[number]))
    assert shelf.open(stands) == []
    assert shelf.open(after) == []
    assert shelf.upload(after).keys() == {Outcome.SAME}


def test_a_limit_becomes_a_detection_in_one_patch(server: YsePzStandIn, client: YsePz) -> None:
    """The row keeps its number; magnitude, flux and errors are the detection's."""
    shelf = Shelf(server, client)
    shelf.upload(curve_of([(0, (PointKind.LIMIT, 0.0, 142.243))]))
    (limit,) = shelf.rows()

    outcomes = shelf.upload(curve_of([(0, (PointKind.DETECTION, 1706.082, 188.569))]))

    (row,) = shelf.rows()
    assert outcomes == {Outcome.CORRECTED: 1}
    assert (row["pk"], row["forced"]) == (limit["pk"], 0)
    assert (row["mag"], row["mag_err"]) == pytest.approx((19.42, 0.12), abs=1e-4)
    assert (row["flux"], row["flux_err"]) == (1706.082, 188.569)


def test_a_row_of_somebody_else_is_adopted_whatever_it_is(
    server: YsePzStandIn, client: YsePz
) -> None:
    """A foreign limit is not made a detection: its exposure is taken, and we say it differs."""
    shelf = Shelf(server, client)
    curve = curve_of([(0, (PointKind.LIMIT, 0.0, 142.0))])
    shelf.upload(curve)
    (row,) = shelf.rows()
    other = {**{key: row[key] for key in ("band", "obs_date", "mag", "mag_err")}}
    name = shelf.transient.name
    server.add_photometry(
        name,
        [
            {
                **other,
                "obs_date": "2023-11-14T23:13:20.000",
                "band": "r-ZTF",
                "flux": 1e-4,
                "flux_err": 100.0,
                "flux_zero_point": 27.5,
            }
        ],
    )
    before = shelf.rows()

    outcomes = shelf.upload(curve_of([(1, (PointKind.DETECTION, 1706.082, 188.569))]))

    assert outcomes == {Outcome.DIFFERS: 1}
    assert shelf.rows() == before


def test_a_detection_of_the_same_values_is_no_forced_point_any_more(
    server: YsePzStandIn, client: YsePz
) -> None:
    """Of forced photometry that an alert confirms, the row says so: forced becomes 0."""
    shelf = Shelf(server, client)
    shelf.upload(curve_of([(0, (PointKind.FORCED, 1706.082, 188.569))]))
    (before,) = shelf.rows()

    outcomes = shelf.upload(curve_of([(0, (PointKind.DETECTION, 1706.082, 188.569))]))

    (row,) = shelf.rows()
    assert outcomes == {Outcome.CORRECTED: 1}
    assert (before["forced"], row["forced"]) == (1, 0)
    assert {key: row[key] for key in ("pk", "mag", "flux")} == {
        key: before[key] for key in ("pk", "mag", "flux")
    }
