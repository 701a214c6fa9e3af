"""The stand-in of ALeRCE's forced photometry answers as the API was read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

JD = 2460903.85
KEYS = {
    *("candid", "tid", "sid", "aid", "pid", "oid", "mjd", "fid", "ra", "e_ra", "dec", "e_dec"),
    *("mag", "e_mag", "mag_corr", "e_mag_corr", "e_mag_corr_ext", "isdiffpos", "corrected"),
    *("dubious", "parent_candid", "has_stamp", "extra_fields"),
}
EXTRA_KEYS = {
    *("field", "rcid", "rfid", "sciinpseeing", "scibckgnd", "scisigpix", "magzpsci"),
    *("magzpsciunc", "magzpscirms", "clrcoeff", "clrcounc", "exptime", "adpctdif1"),
    *("adpctdif2", "diffmaglim", "programid", "procstatus", "distnr", "ranr", "decnr"),
    *("magnr", "sigmagnr", "chinr", "sharpnr"),
}


@pytest.fixture
def alerce() -> Iterator[AlerceStandIn]:
    with AlerceStandIn() as stand_in:
        yield stand_in


def get(stand_in: AlerceStandIn, oid: str = "ZTF25aa", **query: str) -> requests.Response:
    url = f"{stand_in.forced_url}/forced-photometry/{oid}"
    return requests.get(url, query, timeout=10)


def only(stand_in: AlerceStandIn) -> dict[str, Any]:
    (record,) = get(stand_in).json()
    assert isinstance(record, dict)
    return record


def test_a_flux_is_served_as_a_magnitude_with_a_sign(alerce: AlerceStandIn) -> None:
    """-57.5 +- 47.7 DN: mag 21.8, e_mag 0.9, isdiffpos -1; the raw flux is not there."""
    alerce.add_forced("ZTF25aa", JD, "r", -57.544, 47.701)
    record = only(alerce)
    assert set(record) == KEYS
    assert set(record["extra_fields"]) == EXTRA_KEYS
    assert record["mag"] == pytest.approx(21.8, abs=1e-4)
    assert record["e_mag"] == pytest.approx(0.9, abs=1e-4)
    assert record["isdiffpos"] == -1
    assert record["fid"] == 2
    assert record["mjd"] == JD - 2400000.5


def test_its_id_is_object_and_exposure(alerce: AlerceStandIn) -> None:
    """The candid is the oid with the pid behind it: text, and no number."""
    alerce.add_forced("ZTF25aa", JD, "g", 100.0, 5.0)
    record = only(alerce)
    assert record["candid"] == f"ZTF25aa{record['pid']}"


def test_an_error_may_exceed_a_magnitude(alerce: AlerceStandIn) -> None:
    """A flux of 1 +- 40 has an e_mag of 43: that is how little was seen."""
    alerce.add_forced("ZTF25aa", JD, "g", 1.0, 40.0)
    assert only(alerce)["e_mag"] == pytest.approx(43.428)


def test_an_invalid_flux_is_100(alerce: AlerceStandIn) -> None:
    """Where there is no flux, magnitude and error are 100."""
    alerce.add_forced("ZTF25aa", JD, "g", math.nan, 5.0)
    assert (only(alerce)["mag"], only(alerce)["e_mag"]) == (100.0, 100.0)


def test_procstatus_is_text(alerce: AlerceStandIn) -> None:
    """Codes of the pipeline are text, "0" where all went well; several have commas."""
    alerce.add_forced("ZTF25aa", JD, "g", 100.0, 5.0)
    alerce.add_forced("ZTF25aa", JD + 1, "g", 100.0, 5.0, procstatus="56,57")
    codes = [each["extra_fields"]["procstatus"] for each in get(alerce).json()]
    assert codes == ["0", "56,57"]


def test_the_sign_may_be_true_or_false(alerce: AlerceStandIn) -> None:
    """The service's own types allow a truth value instead of 1 and -1."""
    alerce.add_forced("ZTF25aa", JD, "g", -100.0, 5.0, isdiffpos=False)
    assert only(alerce)["isdiffpos"] is False


def test_an_unknown_object_is_an_empty_list(alerce: AlerceStandIn) -> None:
    """Errors are swallowed: nobody can tell an unknown oid from one without measurements."""
    reply = get(alerce, "nobody")
    assert (reply.status_code, reply.json()) == (200, [])


def test_who_is_not_logged_in_sees_nothing_of_atlas(alerce: AlerceStandIn) -> None:
    """ATLAS is filtered out."""
    alerce.add_forced("ZTF25aa", JD, "g", 100.0, 5.0)
    assert len(get(alerce, survey_id="ztf").json()) == 1
    assert len(get(alerce, survey_id="all").json()) == 1
    assert get(alerce, survey_id="atlas").json() == []


def test_another_survey_is_400(alerce: AlerceStandIn) -> None:
    """The detail says that the survey is not recognised."""
    reply = get(alerce, survey_id="lsst")
    assert reply.status_code == 400
    assert "survey id not recognized" in reply.json()["detail"]


def test_other_paths_and_errors(alerce: AlerceStandIn) -> None:
    """Unlike version 1 it says detail, not message."""
    assert requests.get(f"{alerce.forced_url}/features/ZTF25aa", timeout=10).status_code == 404
    alerce.faults.add(Fault("error_before"))
    reply = get(alerce)
    assert (reply.status_code, list(reply.json())) == (500, ["detail"])


def test_a_long_list_of_oids_is_502(alerce: AlerceStandIn) -> None:
    """Version 1 was seen to answer long lists with a 502 page."""
    for number in range(3):
        alerce.add_detection(f"ZTF25a{number}", JD, "g", 18.0, 0.1, 150.0, 20.0)
    alerce.list_max = 2
    url = f"{alerce.api_url}/objects/"
    long = requests.get(url, {"oid": ["ZTF25a0", "ZTF25a1", "ZTF25a2"]}, timeout=10)
    short = requests.get(url, {"oid": ["ZTF25a0", "ZTF25a1"]}, timeout=10)
    assert (long.status_code, long.headers["Content-Type"][:9]) == (502, "text/html")
    assert len(short.json()["items"]) == 2
