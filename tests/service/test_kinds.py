"""Upper limits and detections of one service: off by default, few, and upgraded in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yse_ingest.photometry import Forced, forced_curve
from yse_ingest.reconcile import Auditor
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.targets import Target
from yse_ingest.ysepz import Account, YsePz

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.service import Service

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")
ZTF_ID = "ZTF21abcdefg"
JD = 2459500.5
"""2021-10-13T00:00:00 UTC"""
BEFORE = {"YSE_INGEST_UPPER_LIMITS": "before"}


@pytest.fixture
def fink() -> Iterator[FinkStandIn]:
    with FinkStandIn() as stand_in:
        yield stand_in


def following(house: Any, fink: FinkStandIn, **environment: str) -> Service:
    environment |= {"FINK_URL": fink.api_url, "YSE_INGEST_SOURCE": "fink"}
    service: Service = house.service(**environment)
    service.enqueue(NP)
    return service


def found(fink: FinkStandIn, jd: float, mag: float = 19.0, band: str = "g") -> None:
    fink.add_alert(ZTF_ID, jd, band, mag, 0.1, RA, DEC)


def stored(house: Any) -> list[tuple[str, str, float | None, int]]:
    """Return date, band, magnitude and forced of each stored row, by date."""
    return sorted(
        (str(row["obs_date"])[:10], row["band"], row["mag"], row["forced"])
        for row in house.ysepz.rows("2019np")
    )


def detail(service: Service) -> dict[str, Any]:
    return dict(service.state.clocks.get("2019np")["fink"].detail)


def test_limits_are_off_unless_they_are_wanted(house: Any, fink: FinkStandIn) -> None:
    """Nobody gets a row without a magnitude who has not asked for it."""
    found(fink, JD)
    fink.add_limit(ZTF_ID, JD - 2, 1, 20.37)
    service = following(house, fink)

    house.cycle(service, "2019np")

    assert stored(house) == [("2021-10-13", "g-ZTF", 19.0, 0)]


def test_limits_of_the_last_30_days_before_the_first_detection(
    house: Any, fink: FinkStandIn
) -> None:
    """Those are stored as YSE-PZ shows limits; the others are counted by their reason."""
    found(fink, JD)
    for days in (-40.0, -31.0, -29.0, -2.0, 3.0):
        fink.add_limit(ZTF_ID, JD + days, 1, 20.37)
    service = following(house, fink, **BEFORE)

    house.cycle(service, "2019np")

    assert stored(house) == [
        ("2021-09-14", "g-ZTF", None, 0),
        ("2021-10-11", "g-ZTF", None, 0),
        ("2021-10-13", "g-ZTF", 19.0, 0),
    ]
    limit = next(row for row in house.ysepz.rows("2019np") if row["mag"] is None)
    assert limit["flux_err"] == pytest.approx(142.243, abs=5e-4)
    assert limit["flux"] == pytest.approx(1e-6 * limit["flux_err"])
    assert limit["flux_zero_point"] == 27.5
    assert detail(service)["dropped"] == {
        "limit after the first detection": 1,
        "limit more than 30 d before the first detection": 2,
    }


def test_a_limit_becomes_a_detection_in_its_own_row(house: Any, fink: FinkStandIn) -> None:
    """A detection found later in the exposure of a stored limit: one row, changed in place."""
    found(fink, JD)
    fink.add_limit(ZTF_ID, JD - 2, 1, 20.37)
    service = following(house, fink, **BEFORE)
    house.cycle(service, "2019np")
    (limit,) = [row for row in house.ysepz.rows("2019np") if row["mag"] is None]

    found(fink, JD - 2, 20.1)
    house.cycle(service, "2019np")
    house.cycle(service, "2019np")

    assert stored(house) == [
        ("2021-10-11", "g-ZTF", 20.1, 0),
        ("2021-10-13", "g-ZTF", 19.0, 0),
    ]
    (row,) = [row for row in house.ysepz.rows("2019np") if row["mag"] == 20.1]
    assert row["pk"] == limit["pk"]
    assert row["flux"] > 100 * limit["flux"]
    receipt = service.state.receipts.last("1")
    assert receipt is not None
    assert receipt["corrections"][0]["old"]["mag"] is None
    assert receipt["counts"] == {"corrected": 1}


def test_a_second_cycle_with_limits_writes_nothing(house: Any, fink: FinkStandIn) -> None:
    """Limits are known once they are sent: a quiet target costs YSE-PZ nothing."""
    for night in range(5):
        found(fink, JD + night, 19.0 - night / 10)
        fink.add_limit(ZTF_ID, JD - 1 - night, 2, 20.0 + night / 10)
    service = following(house, fink, **BEFORE)
    house.cycle(service, "2019np")
    assert len(stored(house)) == 10
    requests = len(house.ysepz.log)

    for _ in range(3):
        house.cycle(service, "2019np")

    assert len(house.ysepz.log) == requests


def test_an_incremental_question_takes_no_limit_after_the_first_detection(
    house: Any, fink: FinkStandIn
) -> None:
    """The first detection is remembered: what a later question finds is not the first."""
    for night in (0, 10, 20, 30):
        found(fink, JD + night)
    service = following(house, fink, **BEFORE)
    house.cycle(service, "2019np")
    found(fink, JD + 31)
    fink.add_limit(ZTF_ID, JD + 28, 1, 20.3)  # before the first that is asked for now

    house.cycle(service, "2019np")

    assert [mag for _, _, mag, _ in stored(house)] == [19.0] * 5
    assert detail(service)["dropped_lately"] == {"limit after the first detection": 1}


def test_limits_that_are_switched_on_later_are_read_from_the_beginning(
    house: Any, fink: FinkStandIn
) -> None:
    """What is new would never show them: everything is read once more."""
    for night in (0, 10, 20):
        found(fink, JD + night)
    fink.add_limit(ZTF_ID, JD - 3, 1, 20.3)
    house.cycle(following(house, fink), "2019np")
    assert len(stored(house)) == 3

    house.cycle(following(house, fink, **BEFORE), "2019np")

    assert stored(house)[0] == ("2021-10-10", "g-ZTF", None, 0)


def test_a_detection_is_never_made_a_limit(house: Any, fink: FinkStandIn) -> None:
    """A detection that fails a new cut leaves a limit of its exposure: the detection stays."""
    fink.add_alert(ZTF_ID, JD - 1, "g", 19.5, 0.1, RA, DEC, rb=0.6)
    found(fink, JD)
    service = following(house, fink, **BEFORE)
    house.cycle(service, "2019np")
    before = house.ysepz.rows("2019np")
    fink.add_limit(ZTF_ID, JD - 1, 1, 20.3)
    written = len(house.writes())
    asks = {"FINK_URL": fink.api_url, "YSE_INGEST_SOURCE": "fink", "YSE_INGEST_MIN_RB": "0.7"}

    result = house.push(NP, **asks, **BEFORE)

    assert (result.state, result.same, result.sent) == ("verified", 2, 0)
    assert result.dropped == {"rb is below 0.7": 1}
    assert house.ysepz.rows("2019np") == before
    assert len(house.writes()) == written


def test_what_a_limit_was_owed_as_does_not_hinder_its_detection(
    house: Any, fink: FinkStandIn
) -> None:
    """Limit and detection of one exposure come before either is sent: one row is stored."""
    found(fink, JD)
    service = following(house, fink, **BEFORE)
    house.cycle(service, "2019np")
    fink.add_limit(ZTF_ID, JD - 1, 1, 20.3)
    (hint,) = service.refresh(["2019np"])
    # Another broker's time of the same exposure: its middle.
    found(fink, JD - 1 + 15 / 86400, 19.7)
    service.refresh(["2019np"])
    row = service.state.outbox.owed("1")
    assert row is not None
    assert len(row) == 2

    service.upload(hint.name, hint.key, hint.fence, attempt=1)
    for again in service.drain():
        service.upload(again.name, again.key, again.fence, attempt=1)

    assert [mag for _, _, mag, _ in stored(house)] == [19.7, 19.0]


def test_points_of_two_instruments_go_under_their_own_names(
    house: Any, fink: FinkStandIn
) -> None:
    """One target's points of ZTF and ATLAS are owed together, and stored on two shelves."""
    found(fink, JD)
    service = following(house, fink)
    (hint,) = service.refresh(["2019np"])
    forced = Forced.from_rows(
        [
            {
                "native_id": f"atlas:{number}",
                "object_id": "x",
                "band": "o",
                "flux": flux,
                "flux_err": 165.3,
            }
            for number, flux in enumerate((2726.7, -40.0))
        ],
        time_ms=np.array([1_634_000_000_000, 1_634_000_900_000]),
    )
    curve = forced_curve(
        forced, instrument="ACAM1", obs_group="ATLAS", band_map={"o": "orange-ATLAS"}
    )
    service.state.outbox.owe("1", curve, target="2019np", gaps={}, tolerance_ms=1_000)

    service.upload(hint.name, hint.key, hint.fence, attempt=1)

    rows = house.ysepz.rows("2019np")
    assert {
        (row["instrument"], row["obs_group"], row["band"], row["forced"]) for row in rows
    } == {
        ("ZTF-Cam", "ZTF", "g-ZTF", 0),
        ("ACAM1", "ATLAS", "orange-ATLAS", 1),
    }
    mags = [row["mag"] for row in rows if row["forced"]]
    assert mags == [pytest.approx(18.911, abs=5e-4), None]
    assert service.state.outbox.owed("1") is None


def audited(house: Any, service: Service) -> dict[str, int]:
    """Read YSE-PZ back and compare; return what was found, by kind."""
    auditor = Auditor(service)
    hint = auditor.claim("1", NP, early=True)
    assert hint is not None
    service.upload(hint.name, hint.key, hint.fence, attempt=1)
    house.cycle(service, "2019np")
    counts = dict(service.state.audits.found("1"))
    counts.pop("at_ms")
    return counts


def test_an_audit_finds_limits_and_upgraded_rows_as_ours(house: Any, fink: FinkStandIn) -> None:
    """Neither a limit nor a limit that became a detection looks edited by somebody."""
    found(fink, JD)
    fink.add_limit(ZTF_ID, JD - 1, 1, 20.3)
    fink.add_limit(ZTF_ID, JD - 2, 1, 20.3)
    service = following(house, fink, **BEFORE)
    house.cycle(service, "2019np")

    assert audited(house, service) == {"ours": 3}
    found(fink, JD - 2 + 15 / 86400, 20.1)  # the middle of the exposure
    house.cycle(service, "2019np")
    assert [mag for _, _, mag, _ in stored(house)] == [20.1, None, 19.0]
    ledger = service.state.ledgers.get(1)
    assert ledger is not None
    assert ledger.ours.all()
    before, written = house.ysepz.rows("2019np"), len(house.writes())

    assert audited(house, service) == {"ours": 3}

    assert house.ysepz.rows("2019np") == before
    assert len(house.writes()) == written


def test_a_limit_that_somebody_edited_stays_his(house: Any, fink: FinkStandIn) -> None:
    """A row that a person touched is adopted, even where a detection comes for it."""
    found(fink, JD)
    fink.add_limit(ZTF_ID, JD - 1, 1, 20.3)
    service = following(house, fink, **BEFORE)
    house.cycle(service, "2019np")
    (limit,) = [row for row in house.ysepz.rows("2019np") if row["mag"] is None]
    person = YsePz(house.ysepz.url, Account("othercron", "sandbox-only", origin="test"))
    person.patch_point(limit["pk"], {"flux_err": 99.0})
    person.close()
    before = house.ysepz.rows("2019np")
    found(fink, JD - 1, 20.1)

    house.cycle(service, "2019np")
    house.cycle(service, "2019np")

    assert house.ysepz.rows("2019np") == before


def test_a_limit_that_is_gone_does_not_keep_a_detection_out(
    house: Any, fink: FinkStandIn
) -> None:
    """A person removes a limit, twice: it is sent no more, but the detection of it is."""
    found(fink, JD)
    fink.add_limit(ZTF_ID, JD - 1, 1, 20.3)
    service = following(house, fink, **BEFORE)
    house.cycle(service, "2019np")
    for _ in range(2):
        (limit,) = [row for row in house.ysepz.rows("2019np") if row["mag"] is None]
        with house.ysepz.store.connect() as database:
            database.run("DELETE FROM YSE_App_transientphotdata WHERE id = ?", (limit["pk"],))
        audited(house, service)
    assert [mag for _, _, mag, _ in stored(house)] == [19.0]

    found(fink, JD - 1, 20.1)
    house.cycle(service, "2019np")

    assert [mag for _, _, mag, _ in stored(house)] == [20.1, 19.0]


def test_shadow_plans_limits_and_upgrades_and_writes_nothing(
    house: Any, fink: FinkStandIn
) -> None:
    """In shadow a limit counts among what would be sent, once."""
    found(fink, JD)
    fink.add_limit(ZTF_ID, JD - 1, 1, 20.3)
    service = following(house, fink, YSE_INGEST_SHADOW="true", **BEFORE)

    house.cycle(service, "2019np")
    receipt = service.state.receipts.last("1")
    house.cycle(service, "2019np")

    assert receipt is not None
    assert receipt["counts"] == {"planned": 2}
    assert house.writes() == []
    assert service.state.receipts.last("1") == receipt


def test_alerts_forced_photometry_and_limits_of_one_broker(house: Any) -> None:
    """ALeRCE's three tables become one row an exposure, and a second cycle sends nothing."""
    scale = 10 ** (0.4 * (27.5 - 26.2))
    with AlerceStandIn() as alerce:
        for night, sign in enumerate((1, 1, -1)):
            alerce.add_detection(
                ZTF_ID, JD + night, "g", 19.0, 0.1, RA, DEC, isdiffpos=sign, rb=0.9
            )
        alerce.add_forced(ZTF_ID, JD, "g", 800.0, 20.0)  # of an alert: that stands
        alerce.add_forced(ZTF_ID, JD + 2, "g", -500.0, 20.0)  # of a negative subtraction
        alerce.add_forced(ZTF_ID, JD - 1, "g", 30.0, 20.0)  # of a limit: below 3 sigma
        alerce.add_forced(ZTF_ID, JD + 3, "g", 800.0, 20.0, procstatus="56")
        for night in (-3, -1, 4):
            alerce.add_non_detection(ZTF_ID, JD + night, "g", 20.37)
        service = house.service(
            ALERCE_URL=alerce.api_url,
            ALERCE_FORCED_URL=alerce.forced_url,
            YSE_INGEST_SOURCE="alerce",
            YSE_INGEST_FORCED="true",
            YSE_INGEST_NEGATIVES="flux",
            **BEFORE,
        )
        service.enqueue(NP)
        house.cycle(service, "2019np")
        written = len(house.writes())
        house.cycle(service, "2019np")

    rows = sorted(house.ysepz.rows("2019np"), key=lambda row: str(row["obs_date"]))
    assert [(row["mag"], row["forced"]) for row in rows] == [
        (None, 0),
        (None, 1),
        (19.0, 0),
        (19.0, 0),
        (None, 1),
    ]
    assert rows[1]["flux"] == pytest.approx(30.0 * scale)
    assert rows[4]["flux"] == pytest.approx(-500.0 * scale)
    assert len(house.writes()) == written
    dropped = service.state.clocks.get("2019np")["alerce"].detail["dropped"]
    assert dropped == {
        "procstatus is not 0": 1,
        "limit after the first detection": 1,
        "forced beside a better row of its exposure": 1,
        "detection beside a better row of its exposure": 1,
        "limit beside a better row of its exposure": 1,
    }
