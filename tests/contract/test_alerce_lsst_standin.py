"""The stand-in of ALeRCE's multisurvey API answers as it was read and recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.alerce import AlerceLsstStandIn
from yse_ingest.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

MJD = 61217.4167
OID = 170587116732400001
DETECTION_KEYS = {
    *("band_map", "band", "mjd", "survey_id", "ra", "dec", "oid", "measurement_id"),
    *("parentDiaSourceId", "diaObjectId", "psfFlux", "psfFluxErr", "psfFlux_flag"),
    *("psfFlux_flag_edge", "psfFlux_flag_noGoodPixels", "scienceFlux", "scienceFluxErr"),
    *("has_stamp", "visit", "detector", "ssObjectId", "isNegative", "snr", "reliability"),
    *("timeProcessedMjdTai", "timeWithdrawnMjdTai"),
}
FORCED_KEYS = {
    *("oid", "measurement_id", "mjd", "ra", "dec", "band", "visit", "detector", "psfFlux"),
    *("psfFluxErr", "scienceFlux", "scienceFluxErr", "band_map"),
}


@pytest.fixture
def alerce() -> Iterator[AlerceLsstStandIn]:
    """Twelve objects, each 0.01 deg north of the one before and seen a day later."""
    with AlerceLsstStandIn() as stand_in:
        for number in range(12):
            stand_in.add_detection(
                OID + 1000 * number,
                MJD + number,
                "r",
                -2615.2,
                216.2,
                9.3,
                -42.3 + 0.01 * number,
            )
        yield stand_in


def get(stand_in: AlerceLsstStandIn, path: str, **query: Any) -> requests.Response:
    return requests.get(f"{stand_in.url}/{path}", query, timeout=10)


def oids(stand_in: AlerceLsstStandIn, **query: Any) -> list[int]:
    query = {"survey": "lsst", "order_by": "oid", "order_mode": "ASC", "page_size": 50} | query
    reply = get(stand_in, "object_api/list_objects", **query)
    assert reply.status_code == 200, reply.text
    return [item["oid"] for item in reply.json()["items"]]


def test_a_detection(alerce: AlerceLsstStandIn) -> None:
    """Ids are numbers beyond 2^53, the band is a number with a map, the flux has a sign."""
    (row,) = get(alerce, "lightcurve_api/detections", survey_id="lsst", oid=OID).json()
    assert set(row) == DETECTION_KEYS
    assert row["oid"] == OID > 2**53
    assert (row["band"], row["band_map"][str(row["band"])]) == (2, "r")
    assert (row["psfFlux"], row["isNegative"]) == (-2615.2, True)
    assert row["mjd"] == MJD


def test_nulls_are_numbers(alerce: AlerceLsstStandIn) -> None:
    """A null flux is 0.0, a null parent -1; a null reliability or withdrawal stays null."""
    alerce.add_detection(OID + 5, MJD, "g", None, None, reliability=None)
    (row,) = get(alerce, "lightcurve_api/detections", survey_id="lsst", oid=OID + 5).json()
    assert (row["psfFlux"], row["psfFluxErr"], row["parentDiaSourceId"]) == (0.0, 0.0, -1)
    assert row["reliability"] is None
    assert row["timeWithdrawnMjdTai"] is None


def test_light_curves_of_many_objects(alerce: AlerceLsstStandIn) -> None:
    """A repeated oid is a batch; an unknown one has no rows."""
    wanted = [OID, OID + 1000, 5]
    rows = get(alerce, "lightcurve_api/detections", survey_id="lsst", oid=wanted).json()
    assert [row["oid"] for row in rows] == [OID, OID + 1000]
    assert get(alerce, "lightcurve_api/detections", survey_id="lsst", oid=5).json() == []


def test_forced_photometry(alerce: AlerceLsstStandIn) -> None:
    """It has fewer columns, and is a batch too."""
    alerce.add_forced(OID, MJD + 2, "y", 120.5, 200.0)
    alerce.add_forced(OID + 1000, MJD + 2, "u", -20.5, 200.0)
    path = "lightcurve_api/forced-photometry"
    rows = get(alerce, path, survey_id="lsst", oid=[OID, OID + 1000]).json()
    assert [set(row) for row in rows] == [FORCED_KEYS, FORCED_KEYS]
    assert [row["band"] for row in rows] == [5, 6]
    assert rows[0]["scienceFluxErr"] == 0.0


def test_there_are_no_non_detections(alerce: AlerceLsstStandIn) -> None:
    """LSST has none; a light curve is three lists."""
    path = "lightcurve_api/non_detections"
    assert get(alerce, path, survey_id="lsst", oid=OID).json() == []
    content = get(alerce, "lightcurve_api/lightcurve", survey_id="lsst", oid=OID).json()
    assert {key: len(rows) for key, rows in content.items()} == {
        "detections": 1,
        "non_detections": 0,
        "forced_photometry": 0,
    }


def test_has_next_works(alerce: AlerceLsstStandIn) -> None:
    """Unlike version 1 it knows whether there is another page."""
    first, second = (
        get(alerce, "object_api/list_objects", survey="lsst", page=page).json()
        for page in (1, 2)
    )
    assert set(first) == {
        *("total", "next", "has_next", "prev", "has_prev", "current_page", "items"),
        "info_message",
    }
    assert (len(first["items"]), first["has_next"], first["next"]) == (10, True, 2)
    assert (len(second["items"]), second["has_next"], second["next"]) == (2, False, None)
    assert second["current_page"] == 2


def test_cone_is_in_seconds_of_arc(alerce: AlerceLsstStandIn) -> None:
    """As in version 1, around the mean position."""
    assert oids(alerce, ra=9.3, dec=-42.3, radius=35) == [OID]
    assert len(oids(alerce, ra=9.3, dec=-42.3, radius=37)) == 2


def test_cone_at_zero_is_a_cone(alerce: AlerceLsstStandIn) -> None:
    """Unlike version 1 it tests for None."""
    alerce.add_detection(7, MJD, "r", 100.0, 5.0, ra=0.0, dec=0.0)
    assert oids(alerce, ra=0, dec=0, radius=2) == [7]
    assert oids(alerce, ra=9.3, dec=-42.3, radius=0) == [OID]


def test_the_other_cone_search_is_in_degrees(alerce: AlerceLsstStandIn) -> None:
    """The light-curve API hands the radius on as it comes: 5 is five degrees."""
    path = "lightcurve_api/conesearch/objects_by_coordinates"
    wide = get(alerce, path, ra=9.3, dec=-42.3, radius=5, neighbors=50).json()
    narrow = get(alerce, path, ra=9.3, dec=-42.3, radius=5 / 3600, neighbors=50).json()
    assert len(wide) == 12
    assert [each["objectId"] for each in narrow] == [OID]


def test_filters_of_the_list(alerce: AlerceLsstStandIn) -> None:
    """Oids are exact, also a single one; dates have a least and a greatest value."""
    assert oids(alerce, oid=[OID, OID + 2000]) == [OID, OID + 2000]
    assert oids(alerce, oid=OID) == [OID]
    assert oids(alerce, lastmjd=MJD + 9.5) == [OID + 10000, OID + 11000]
    assert oids(alerce, lastmjd=[MJD + 9.5, MJD + 10.5]) == [OID + 10000]
    assert oids(alerce, survey="ztf") == []


def test_one_object(alerce: AlerceLsstStandIn) -> None:
    """An unknown one is a 500."""
    found = get(alerce, "object_api/object", survey_id="lsst", oid=OID).json()
    assert (found["oid"], found["n_det"]) == (OID, 1)
    reply = get(alerce, "object_api/object", survey_id="lsst", oid=5)
    assert (reply.status_code, reply.json()) == (500, {"detail": "An error occurred"})


def test_errors_have_a_detail(alerce: AlerceLsstStandIn) -> None:
    """Text for what the service refuses, a list where a parameter is missing or no number."""
    path = "lightcurve_api/detections"
    other = get(alerce, path, survey_id="panstarrs", oid=OID)
    assert (other.status_code, type(other.json()["detail"])) == (400, str)
    missing = get(alerce, path, survey="lsst", oid=OID)
    assert missing.status_code == 422
    assert missing.json()["detail"][0]["loc"] == ["query", "survey_id"]
    text = get(alerce, "object_api/list_objects", survey="lsst", ra="10h")
    assert text.status_code == 422
    alerce.faults.add(Fault("error_before"))
    broken = get(alerce, path, survey_id="lsst", oid=OID)
    assert (broken.status_code, broken.json()) == (500, {"detail": "An error occurred"})
    alerce.faults.clear()
    assert requests.post(f"{alerce.url}/{path}", timeout=10).status_code == 405
    assert get(alerce, "features").status_code == 404
