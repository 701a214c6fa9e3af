"""The main job on the stand-ins: complete, once each, and nothing else touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from yse_ingest import times
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")


def test_2019np_arrives_whole_and_once(house: Any) -> None:
    """33 published detections are stored, each once, as the source has them."""
    np2019 = supernovae.load()[0]
    supernovae.fill_mars(house.mars, [np2019])

    result = house.push(Target("SN2019np"))

    assert (result.state, result.sent, result.verified) == ("verified", 33, 33)
    rows = house.ysepz.rows("2019np")
    assert len(rows) == 33
    published = sorted(
        (round((alert.jd - 2440587.5) * 86400, 3), alert.filter + "-ZTF", alert.magpsf)
        for alert in np2019.alerts
    )
    stored = sorted(
        (times.parse_obs_dates([str(row["obs_date"])])[0] / 1000, row["band"], row["mag"])
        for row in rows
    )
    for (time, band, mag), (stored_time, stored_band, stored_mag) in zip(
        published, stored, strict=True
    ):
        assert stored_time == pytest.approx(time, abs=0.0011)
        assert stored_band == band
        assert stored_mag == pytest.approx(mag, abs=1e-6)


def test_a_second_cycle_writes_nothing(house: Any) -> None:
    """A quiet target costs YSE-PZ nothing at all: not even a GET."""
    house.alerts("ZTF19aacgslb", 10)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert len(house.ysepz.rows("2019np")) == 10
    requests = len(house.ysepz.log)

    house.cycle(service, "2019np")

    assert len(house.ysepz.log) == requests


def test_three_pages_arrive_whole(house: Any) -> None:
    """250 alerts are three pages of a server whose has_next is always false."""
    house.alerts("ZTF19aacgslb", 250, gap_d=0.3)

    result = house.push(NP)

    assert (result.fetched, result.verified) == (250, 250)
    assert len(house.ysepz.rows("2019np")) == 250


@pytest.mark.parametrize("seconds", [0.4, 0.9, 14.0])
def test_another_programs_copy_stands_for_its_exposure(house: Any, seconds: float) -> None:
    """A copy with another program's rounding leads to no second row, and is not touched."""
    house.alerts("ZTF19aacgslb", 1)
    at = datetime(2019, 1, 17, tzinfo=UTC) + timedelta(seconds=seconds)
    house.ysepz.add_photometry(
        "2019np",
        [
            {
                "obs_date": at.strftime("%Y-%m-%dT%H:%M:%S.%f"),
                "band": "g-ZTF",
                "mag": 18.3,
                "mag_err": 0.1,
            }
        ],
    )
    before = house.ysepz.rows("2019np")

    result = house.push(NP)

    assert (result.adopted, result.sent, result.differs) == (1, 0, 1)
    assert house.ysepz.rows("2019np") == before


def test_a_real_visit_39_s_away_is_kept(house: Any) -> None:
    """Two exposures 39 s apart are two rows, after repeats and a correction too."""
    house.alerts("ZTF19aacgslb", 2, gap_d=39 / 86400, band="g")
    for _ in range(3):
        assert house.push(NP).state == "verified"
    assert len(house.ysepz.rows("2019np")) == 2


@pytest.mark.parametrize("clobber", [False, True])
def test_a_wide_window_turns_no_row_into_another_exposure(house: Any, clobber: bool) -> None:
    """With the old job's 0.01 d one row stands for two visits, and keeps the values it has."""
    wide = Target("2019np", overrides={"mjdmatchmin": 0.01, "clobber": clobber})
    house.mars.add_alert("ZTF19aacgslb", 2458500.5, "g", 18.0, 0.05, RA, DEC)
    assert house.push(wide).state == "verified"
    before = house.ysepz.rows("2019np")
    house.mars.add_alert("ZTF19aacgslb", 2458500.5 + 8 / 1440, "g", 17.0, 0.05, RA, DEC)

    results = [house.push(wide) for _ in range(2)]

    told = [(one.state, one.same, one.adopted, one.differs, one.changed) for one in results]
    assert told == [("verified", 1, 1, 1, 0)] * 2
    service = house.service()
    service.enqueue(wide)
    for _ in range(3):
        house.cycle(service, "2019np")
    assert house.ysepz.rows("2019np") == before
    assert len(house.writes()) == 1
    requests = len(house.ysepz.log)
    house.cycle(service, "2019np")
    assert len(house.ysepz.log) == requests


def test_a_wide_window_still_corrects_an_exposures_own_row(house: Any) -> None:
    """What the source changes is changed in the row of that very exposure."""
    wide = Target("2019np", overrides={"mjdmatchmin": 0.01})
    candid = 740000000315015001
    house.mars.add_alert("ZTF19aacgslb", 2458500.5, "g", 18.0, 0.05, RA, DEC, candid=candid)
    house.mars.add_alert("ZTF19aacgslb", 2458500.5 + 8 / 1440, "g", 17.0, 0.05, RA, DEC)
    assert house.push(wide).sent == 2
    house.mars.update_alert(candid, magpsf=18.5)

    result = house.push(wide)

    assert (result.changed, result.corrected, result.state) == (1, 1, "verified")
    assert [row["mag"] for row in house.ysepz.rows("2019np")] == [18.5, 17.0]


@pytest.mark.parametrize("sign", ["f", "0"])
def test_an_exposure_reported_with_both_signs_is_sent_once(house: Any, sign: str) -> None:
    """Where negative subtractions are kept as flux, the detection of their exposure stands."""
    house.mars.add_alert("ZTF19aacgslb", 2458500.5, "g", 18.4, 0.05, RA, DEC, isdiffpos=sign)
    house.mars.add_alert("ZTF19aacgslb", 2458500.5, "g", 18.0, 0.05, RA, DEC, isdiffpos="1")
    house.mars.add_alert("ZTF19aacgslb", 2458501.5, "g", 18.4, 0.05, RA, DEC, isdiffpos=sign)
    both = Target("2019np", overrides={"negatives": "flux"})

    first, second = house.push(both), house.push(both)

    assert (first.state, first.sent, first.negative) == ("verified", 2, 2)
    assert first.dropped == {"negative beside the detection of its exposure": 1}
    assert (second.state, second.sent) == ("verified", 0)
    assert [row["mag"] for row in house.ysepz.rows("2019np")] == [18.0, None]


def test_a_changed_value_is_corrected_in_its_own_row(house: Any) -> None:
    """A reprocessed magnitude becomes one PATCH: flag, creator and the other rows stay."""
    candid = 740000000315015001
    house.alerts("ZTF19aacgslb", 3)
    house.mars.add_alert("ZTF19aacgslb", 2458530.5, "g", 19.0, 0.1, RA, DEC, candid=candid)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    pk = next(row["pk"] for row in house.ysepz.rows("2019np") if row["mag"] == 19.0)
    others = [row for row in house.ysepz.rows("2019np") if row["pk"] != pk]
    house.mars.update_alert(candid, magpsf=18.7)

    house.cycle(service, "2019np")

    (row,) = [row for row in house.ysepz.rows("2019np") if row["pk"] == pk]
    assert row["mag"] == 18.7
    assert [row for row in house.ysepz.rows("2019np") if row["pk"] != pk] == others
    receipt = service.state.receipts.last("1")
    assert receipt is not None
    assert receipt["corrections"][0]["old"]["mag"] == 19.0


def test_curated_fields_and_foreign_rows_stay(house: Any) -> None:
    """The transient's row, a Bad flag and other accounts' rows are byte for byte the same."""
    house.alerts("ZTF19aacgslb", 6, band="g")
    day = "2019-01-{:02d}T00:00:00.000"
    house.ysepz.add_photometry(
        "2019np",
        [
            {
                "obs_date": day.format(17),
                "band": "g-ZTF",
                "mag": None,
                "mag_err": None,
                "flux": 812.0,
                "flux_err": 3.0,
                "flux_zero_point": 27.5,
                "forced": 1,
            },
            {
                "obs_date": day.format(18),
                "band": "g-ZTF",
                "mag": 18.001,
                "mag_err": 0.05,
                "flux": None,
            },
            {
                "obs_date": day.format(19),
                "band": "g-ZTF",
                "mag": 18.002,
                "mag_err": 0.05,
                "discovery_point": 1,
            },
            {"obs_date": day.format(20), "band": "g-ZTF", "mag": 18.3, "mag_err": 0.05},
        ],
    )
    house.push(NP)
    flagged = house.ysepz.rows("2019np")[-1]["pk"]
    house.ysepz.set_flag(flagged, "Bad", "human")
    row, points = house.ysepz.transient_row("2019np"), house.ysepz.rows("2019np")
    house.mars.add_alert("ZTF19aacgslb", 2458540.5, "r", 19.0, 0.1, RA, DEC)

    for _ in range(3):
        assert house.push(NP).state == "verified"

    assert house.ysepz.transient_row("2019np") == row
    assert house.ysepz.rows("2019np")[: len(points)] == points
    assert len(house.ysepz.rows("2019np")) == len(points) + 1 == 7


def test_a_new_transient_is_created_only_when_allowed(house: Any) -> None:
    """Without creation fields an unknown name is told; with them it is made as declared."""
    house.mars.add_alert("ZTF20abc", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    refused = house.push(Target("2020abc", ra=10.0, dec=5.0))
    assert refused.error is not None
    assert "no transient of this name" in str(refused.error)
    assert house.writes() == []

    target = Target(
        "2020abc",
        ra=10.0,
        dec=5.0,
        creation={"status": "New", "obs_group": "ZTF", "tags": ["YSE"]},
    )
    created = house.push(target)

    assert (created.created, created.verified) == (True, 1)
    assert house.ysepz.transient_row("2020abc")["tags"] == ["YSE"]


def test_a_neighbour_within_the_cone_stops_the_target(house: Any) -> None:
    """Two objects 2" apart: nothing is sent until the operator names one."""
    house.alerts("ZTF19aacgslb", 3)
    house.mars.add_alert("ZTF19other", 2458400.5, "g", 17.0, 0.1, RA, DEC + 2.0 / 3600)

    result = house.push(NP)
    named = house.push(Target("2019np", object_id="ZTF19aacgslb"))

    assert result.state == "ambiguous"
    assert "ZTF19other" in result.reason
    assert (named.state, named.verified) == ("verified", 3)


def test_a_lost_reply_leads_to_no_second_row(house: Any) -> None:
    """The request was carried out and its reply lost: settle, then find that all stands."""
    house.alerts("ZTF19aacgslb", 5)
    house.ysepz.faults.add(Fault("drop_after", path="add_transient_phot", times=1))

    result = house.push(NP)

    assert (result.state, result.verified) == ("verified", 5)
    assert len(house.ysepz.rows("2019np")) == 5


def test_the_service_settles_an_unclear_outcome(house: Any) -> None:
    """The same under leases: the row waits as settling, and occupies no worker."""
    house.alerts("ZTF19aacgslb", 5)
    service = house.service()
    service.enqueue(NP)
    house.ysepz.faults.add(Fault("drop_after", path="add_transient_phot", times=1))
    (hint,) = service.refresh(["2019np"])

    outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert outcome.state == "settling"
    states = []
    while service.state.outbox.owed(hint.key) is not None:
        states += [
            service.upload(each.name, each.key, each.fence, attempt=1).state
            for each in service.drain()
        ]
    assert states == ["settling", "settling", "verified"]
    assert len(house.ysepz.rows("2019np")) == 5


def test_a_doubled_message_is_refused(house: Any) -> None:
    """START takes each attempt of a fence once: the second copy ends without a request."""
    house.alerts("ZTF19aacgslb", 2)
    service = house.service()
    service.enqueue(NP)
    (hint,) = service.refresh(["2019np"])
    assert service.upload(hint.name, hint.key, hint.fence, attempt=1).state == "verified"
    requests = len(house.ysepz.log)

    assert service.upload(hint.name, hint.key, hint.fence, attempt=1).state == "stale"
    assert len(house.ysepz.log) == requests


def test_a_server_that_is_away_asks_for_a_retry(house: Any) -> None:
    """503 proves that nothing was written: the same claim tries again, and succeeds."""
    house.alerts("ZTF19aacgslb", 2)
    service = house.service()
    service.enqueue(NP)
    (hint,) = service.refresh(["2019np"])
    house.ysepz.faults.add(Fault("status", path="add_transient_phot", status=503, times=1))

    first = service.upload(hint.name, hint.key, hint.fence, attempt=1)
    second = service.upload(hint.name, hint.key, hint.fence, attempt=2)

    assert first.retry_in is not None
    assert second.state == "verified"


def test_a_wrong_password_is_named_and_loses_nothing(house: Any) -> None:
    """The message names the service and the remedy, and no secret; nothing is sent."""
    house.alerts("ZTF19aacgslb", 2)

    with pytest.raises(Exception, match="YSE-PZ") as caught:
        house.push(NP, YSE_PZ_PASSWORD="wrong-one")

    assert "wrong-one" not in str(caught.value)
    assert house.writes() == []


@pytest.mark.parametrize(
    ("ra", "dec", "field"), [(361.0, 10.0, "ra"), (-5.0, 10.0, "ra"), (20.0, 95.0, "dec")]
)
def test_a_transient_without_a_place_stops_its_own_target(
    house: Any, ra: float, dec: float, field: str
) -> None:
    """YSE-PZ stores any coordinates; the others of the same message are followed on."""
    house.alerts("ZTF19aacgslb", 3)
    house.ysepz.add_transient("2019ab", ra, dec)
    service = house.service()
    for name in ("2019ab", "2019np"):
        service.enqueue(Target(name))

    house.cycle(service, "2019ab", "2019np")

    assert len(house.ysepz.rows("2019np")) == 3
    told = service.state.clocks.get("2019ab")["mars"].error
    assert told.startswith(f"YSE-PZ: 2019ab: its transient 2019ab stands at ra {ra:g}")
    assert f"{field} is outside" in told

    with house.ysepz.store.connect() as database:
        database.update("transient", [2], {"ra": 20.0, "dec": 10.0})
    house.cycle(service, "2019ab", "2019np")
    assert service.state.clocks.get("2019ab")["mars"].answered_ms is not None


def test_a_place_that_was_spoilt_since_its_look_up_stops_its_own_target(house: Any) -> None:
    """A list of YSE-PZ may have told the place; it is looked up anew once it is mended."""
    house.alerts("ZTF19aacgslb", 3)
    house.ysepz.add_transient("2019ab", 20.0, 10.0)
    service = house.service()
    for name in ("2019ab", "2019np"):
        service.enqueue(Target(name))
    found = service.ysepz.transient_by_name("2019ab")
    service.remember("2019ab", replace(found, ra=361.0))

    house.cycle(service, "2019ab", "2019np")

    assert len(house.ysepz.rows("2019np")) == 3
    assert service.state.resolutions.get("2019ab") is None


def test_what_is_owed_for_a_removed_target_is_not_sent(house: Any) -> None:
    """Its rules are gone with it: by the default ones a private target would become public."""
    service = house.service()
    service.enqueue(Target("2019np", overrides={"groups": ("YSE",), "obs_group": "YSE"}))
    house.alerts("ZTF19aacgslb", 3)
    (hint,) = service.refresh(["2019np"])
    service.state.targets.remove("2019np")

    service.upload(hint.name, hint.key, hint.fence, attempt=1)

    assert house.ysepz.rows("2019np") == []
    assert service.state.outbox.owed(hint.key) is None
