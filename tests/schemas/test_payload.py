from __future__ import annotations

import copy
from typing import Any

import pytest

from yse_ingest.errors import PayloadError
from yse_ingest.schemas.payload import (
    CreationSchema,
    DocumentedUploadSchema,
    PhotometryUploadSchema,
    PointChangeSchema,
    PointSchema,
    checked,
)

POINT: dict[str, Any] = {
    "obs_date": "2019-01-09T11:38:37.123",
    "mag": 17.0,
    "mag_err": 0.05,
    "band": "g-ZTF",
    "data_quality": None,
    "diffim": 1,
    "flux": 15848.9,
    "flux_err": 729.9,
    "flux_zero_point": 27.5,
    "forced": 0,
    "discovery_point": 0,
}
UPLOAD: dict[str, Any] = {
    "header": {"clobber": False, "mjdmatchmin": 1e-4},
    "transient": {"name": "2019np", "status": "Following"},
    "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": "YSE,UCSC"},
    "0": POINT,
    "any label": {**POINT, "band": "r-ZTF"},
}
SURVEY = {"instrument": "ZTF-Cam", "obs_group": "ZTF", "photdata": {"0": POINT, "1": POINT}}
ROW: dict[str, Any] = {
    "name": "2019np",
    "ra": 157.3415,
    "dec": 29.5106667,
    "obs_group": "ZTF",
    "status": "Following",
    "ra_err": 0.1,
    "dec_err": 0.1,
    "disc_date": "2019-01-09T00:00:00",
    "candidate_hosts": "NGC 3254",
    "redshift": 0.00452,
    "redshift_err": 1e-5,
    "redshift_source": "NED",
    "non_detect_date": "2019-01-08",
    "non_detect_limit": 20.5,
    "non_detect_band": "g-ZTF",
    "non_detect_instrument": "ZTF-Cam",
    "mw_ebv": 0.02,
    "abs_mag_peak": -19.1,
    "abs_mag_peak_date": "2019-01-27T00:00:00.5",
    "abs_mag_peak_band": "i-ZTF",
    "best_spec_class": "SN Ia",
    "photo_class": "SN Ia",
    "context_class": "SN Ia",
    "best_spectrum": "a",
    "antares_classification": "SN",
    "internal_survey": "YSE",
    "postage_stamp_file": "https://x/a.png",
    "postage_stamp_ref": "https://x/b.png",
    "postage_stamp_diff": "https://x/c.png",
    "postage_stamp_file_fits": "https://x/a.fits",
    "postage_stamp_ref_fits": "https://x/b.fits",
    "postage_stamp_diff_fits": "https://x/c.fits",
    "k2_validated": False,
    "k2_msg": "none",
    "TNS_spec_class": "SN Ia",
    "point_source_probability": 0.5,
    "alt_status": "x",
    "slug": "2019np",
    "real_bogus_score": 0.9,
    "has_hst": True,
    "has_spitzer": False,
    "has_chandra": False,
    "internal_names": "ZTF19aacgslb,ATLAS19afc",
    "tags": ["YSE"],
}
DOCUMENTED: dict[str, Any] = {
    "noupdatestatus": True,
    "TNS": False,
    "2019np": {
        **ROW,
        "transientphotometry": {
            "mjdmatchmin": 0.01,
            "clobber": True,
            "ZTF": SURVEY,
            "YSE": {**SURVEY, "obs_group": "YSE"},
        },
    },
    "2020oi": {"name": "2020oi"},
}


def changed(request: dict[str, Any], path: str, value: object = None) -> dict[str, Any]:
    """Return a copy with the value at a path; ``-path`` removes it."""
    broken = copy.deepcopy(request)
    *above, last = path.lstrip("-").split("/")
    place = broken
    for key in above:
        place = place[key]
    if path.startswith("-"):
        del place[last]
    else:
        place[last] = value
    return broken


def test_a_whole_upload_passes() -> None:
    """What fits is dumped as it came, key by key in order."""
    dumped = checked(PhotometryUploadSchema(), UPLOAD)
    assert dumped == UPLOAD
    assert list(dumped) == list(UPLOAD)
    assert list(dumped["0"]) == list(POINT)


def test_the_whole_documented_dictionary_passes() -> None:
    """Every field of a transient, tags, several survey blocks and several transients fit."""
    dumped = checked(DocumentedUploadSchema(), DOCUMENTED)
    assert dumped == DOCUMENTED
    assert list(dumped["2019np"]) == list(DOCUMENTED["2019np"])


def test_a_creation_passes() -> None:
    """A transient without photometry fits."""
    request = {"noupdatestatus": True, "2019np": ROW}
    assert checked(CreationSchema(), request) == request


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("0/obs_date", "2019-01-09T11:38:37+00:00", "no offset"),
        ("0/obs_date", "2019-01-09T11:38:37Z", "no offset"),
        ("0/obs_date", "2019-01-09 11:38:37", "is not written"),
        ("0/obs_date", "2019-01-09t11:38:37", "is not written"),
        ("0/obs_date", " 2019-01-09T11:38:37", "is not written"),
        ("0/obs_date", "2019-01-09T11:38:37\n", "is not written"),
        ("0/obs_date", "2019-1-9T11:38:37", "is not written"),
        ("0/obs_date", "2019-01-09", "no time of day"),
        ("0/obs_date", "2019-01-09T11:38:37.1234567", "six decimals"),
        ("0/obs_date", "2016-12-31T23:59:60", "second of 60"),
        ("0/obs_date", "2019-01-09T24:00:00", "calendar"),
        ("0/obs_date", "2019-02-30T11:38:37", "calendar"),
        ("0/obs_date", 58492.485, "is not written"),
        ("0/obs_date", None, "may not be null"),
        ("0/mag", "17.0", "is not a number"),
        ("0/mag", True, "is not a number"),
        ("0/mag", float("nan"), "is not finite"),
        ("0/mag", float("inf"), "is not finite"),
        ("0/mag", 10**400, "is not finite"),
        ("0/mag", -999, "outside"),
        ("0/mag", 99.0, "outside"),
        ("0/mag_err", -1.0, "outside"),
        ("0/flux_err", -1.0, "outside"),
        ("0/flux_zero_point", None, "null beside a flux"),
        ("0/forced", 5, "neither 0 nor 1"),
        ("0/forced", True, "neither 0 nor 1"),
        ("0/diffim", None, "may not be null"),
        ("0/discovery_point", "0", "neither 0 nor 1"),
        ("0/data_quality", 1, "neither null nor 0"),
        ("0/data_quality", True, "neither null nor 0"),
        ("0/data_quality", "", "neither null nor 0"),
        ("0/band", "", "is empty"),
        ("0/band", None, "may not be null"),
        ("0/diffimg", {}, "Unknown field"),
        ("-0/flux", None, "Missing data"),
        ("-0/discovery_point", None, "Missing data"),
        ("header/mjdmatchmin", 0, "nothing would ever match"),
        ("header/mjdmatchmin", -0.01, "nothing would ever match"),
        ("header/mjdmatchmin", 1e-8, "nothing would ever match"),
        ("header/mjdmatchmin", None, "may not be null"),
        ("header/mjdmatchmin", "0.01", "is not a number"),
        ("header/mjdmatchmin", float("inf"), "is not finite"),
        ("header/clobber", 0, "neither true nor false"),
        ("-header/mjdmatchmin", None, "Missing data"),
        ("-header/clobber", None, "Missing data"),
        ("header/extra", 1, "Unknown field"),
        ("transient/ra", 157.3, "Unknown field"),
        ("transient/name", "", "is empty"),
        ("transient/name", " ", "is blank"),
        ("transient/name", "x" * 65, "longer than 64"),
        ("transient/name", "SN\u2605", "outside latin-1"),
        ("transient/name", 123, "is not text"),
        ("-transient/status", None, "Missing data"),
        ("photheader/groups", "YSE,", "joined by commas"),
        ("photheader/groups", "", "is empty"),
        ("photheader/groups", ["YSE"], "is not text"),
        ("-photheader/groups", None, "Missing data"),
        ("photheader/instrument", "\u2605", "outside latin-1"),
        ("photheader/obs_group", "x" * 65, "longer than 64"),
        ("header", None, "may not be null"),
        ("transient", [], "Invalid"),
        ("1", None, "Invalid"),
    ],
)
def test_what_an_upload_must_not_hold(path: str, value: object, says: str) -> None:
    """A field that YSE-PZ would misread or stop at is named by its path (trap 11)."""
    with pytest.raises(PayloadError, match=says) as caught:
        checked(PhotometryUploadSchema(), changed(UPLOAD, path, value), target="2019np")
    error = caught.value
    assert error.field == path.lstrip("-").replace("/", ".")
    assert error.target == "2019np"
    assert error.remedy


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("2019np/name", "2019NP", "is not its key"),
        ("2019np/name", "SN t\u00e9", "outside printable ASCII"),
        ("2019np/name", " 2019np", "blank"),
        ("-2019np/name", None, "Missing data"),
        ("2019np/id", 7, "Unknown field"),
        ("2019np/host", {}, "Unknown field"),
        ("2019np/redshift", None, "may not be null"),
        ("2019np/best_spec_class", None, "may not be null"),
        ("2019np/ra", "157.5", "is not a number"),
        ("2019np/ra", 360.0, "outside 0 to 360"),
        ("2019np/ra", -0.1, "outside"),
        ("2019np/dec", 95, "outside -90 to 90"),
        ("2019np/disc_date", "2019", "is not written"),
        ("2019np/tags", "YSE", "Not a valid list"),
        ("2019np/tags", None, "may not be null"),
        ("2019np/internal_names", "ZTF19a, ATLAS19b", "joined by commas without blanks"),
        ("2019np/internal_names", f"ZTF19a,{'A' * 65}", "longer than 64"),
        ("2019np/slug", "a b", "letters, digits"),
        ("2019np/slug", "a" * 51, "longer than 50"),
        ("2019np/postage_stamp_ref", "x" * 513, "longer than 512"),
        ("2019np/has_hst", 1, "neither true nor false"),
        ("2019np/transientphotometry", None, "may not be null"),
        ("2019np/transientphotometry/mjdmatchmin", 0.0, "nothing would ever match"),
        ("-2019np/transientphotometry/clobber", None, "Missing data"),
        ("2019np/transientphotometry/ATLAS", 3, "Invalid"),
        ("2019np/transientphotometry/ZTF/groups", "YSE", "Unknown field"),
        ("-2019np/transientphotometry/ZTF/photdata", None, "Missing data"),
        ("2019np/transientphotometry/ZTF/photdata", [POINT], "is not an object"),
        ("2019np/transientphotometry/ZTF/photdata/0/forced", 5, "neither 0 nor 1"),
        ("noupdatestatus", 1, "neither true nor false"),
        ("-noupdatestatus", None, "Missing data"),
        ("2020oi", "x", "Invalid"),
    ],
)
def test_what_the_documented_dictionary_must_not_hold(
    path: str, value: object, says: str
) -> None:
    """Unknown keys, nulls that mean Unknown, and keys that differ from names are refused."""
    with pytest.raises(PayloadError, match=says) as caught:
        checked(DocumentedUploadSchema(), changed(DOCUMENTED, path, value))
    assert caught.value.field == path.lstrip("-").replace("/", ".")


@pytest.mark.parametrize("field", ["ra", "dec", "status", "obs_group"])
def test_what_a_creation_needs(field: str) -> None:
    """A new transient without these fails the whole request at the server."""
    request = {"noupdatestatus": True, "2019np": {**ROW}}
    del request["2019np"][field]  # type: ignore[attr-defined]
    with pytest.raises(PayloadError, match=f"2019np.{field}: Missing data"):
        checked(CreationSchema(), request)


def test_every_fault_is_counted() -> None:
    """The first fault is named, and how many more there are."""
    broken = changed(changed(UPLOAD, "0/mag", "x"), "any label/flux", "x")
    with pytest.raises(PayloadError, match=r"0\.mag: is not a number \(and 1 more\)") as caught:
        checked(PhotometryUploadSchema(), broken)
    assert caught.value.value == "x"


def test_a_point_that_shows_nothing() -> None:
    """A point with neither magnitude nor flux would be stored and never shown."""
    with pytest.raises(PayloadError, match="mag: is null, and so is flux"):
        checked(PointSchema(), {**POINT, "mag": None, "flux": None, "flux_err": None})
    limit = {**POINT, "mag": None, "mag_err": None, "forced": 1}
    assert checked(PointSchema(), limit) == limit


def test_a_request_that_is_no_object() -> None:
    """A list is refused as a whole."""
    with pytest.raises(PayloadError):
        checked(PhotometryUploadSchema(), [])  # type: ignore[arg-type]


def test_corrections() -> None:
    """A correction holds values of the measurement and nothing else."""
    assert checked(PointChangeSchema(), {"mag": None, "flux": 1.0}) == {
        "mag": None,
        "flux": 1.0,
    }
    faulty: list[dict[str, Any]] = [{"obs_date": "x"}, {"mag": "17"}, {"flux": None}]
    for broken in faulty:
        with pytest.raises(PayloadError):
            checked(PointChangeSchema(), broken)


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00", "1849-12-31T00:00:00"])
def test_dates_of_another_age_are_refused(date: str) -> None:
    """A date that is a wrong unit is refused, for a point and for a transient."""
    request = {**UPLOAD, "0": {**POINT, "obs_date": date}}
    with pytest.raises(PayloadError, match="outside the years 1850 to 2150"):
        checked(PhotometryUploadSchema(), request)


def test_one_exposure_stands_once_in_a_request() -> None:
    """YSE-PZ does not compare the points of one request: both would be stored."""
    assert checked(PhotometryUploadSchema(), UPLOAD)
    with pytest.raises(PayloadError, match="is that of point 0"):
        checked(PhotometryUploadSchema(), {**UPLOAD, "c": {**POINT, "mag": 19.0}})


def test_one_transient_is_created_at_a_time() -> None:
    """Two names with one slug in one request would leave neither."""
    rows = {
        name: {"name": name, "ra": 1.0, "dec": 2.0, "status": "New", "obs_group": "ZTF"}
        for name in ("SN 1", "SN-1")
    }
    with pytest.raises(PayloadError, match="one transient at a time"):
        checked(CreationSchema(), {"noupdatestatus": True, **rows})
