"""The stand-in YSE-PZ: what is read back, the vocabulary, discovery, and PATCH."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.ysepz import YsePzStandIn

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.conftest import Uploader


def names(response: requests.Response) -> list[str]:
    return [row["name"] for row in response.json()["results"]]


# /download_data/ and /get_transient/ ----------------------------------------------------------


def test_download_data(uploader: Uploader, np2019: int) -> None:
    """Every point is told with its id, its owner, its names and its flags."""
    (pk,) = uploader.server.add_photometry(
        "2019np",
        [
            uploader.point(
                "2019-01-09T06:00:00.123456", data_quality=["Bad"], modified_by="human"
            )
        ],
    )

    reply = uploader.get("/download_data/2019np/").json()

    (header,) = reply["2019np"]["photometry"]
    (point,) = header["data"]
    fields = point["fields"]
    assert (reply["2019np"]["host"], reply["2019np"]["spectra"]) == ({}, {})
    assert header["model"] == "YSE_App.transientphotometry"
    assert header["fields"]["instrument"] == "P48 - ZTF-Cam"
    assert header["fields"]["obs_group"] == "ZTF"
    assert header["fields"]["transient"] == "2019np"
    assert (header["fields"]["created_by"], header["fields"]["groups"]) == (["othercron"], [])
    assert (point["model"], point["pk"]) == ("YSE_App.transientphotdata", pk)
    assert (fields["created_by"], fields["modified_by"]) == (["othercron"], ["human"])
    assert fields["band"] == "ZTF-Cam - g-ZTF"
    assert fields["photometry"] == "ZTF - P48"
    assert fields["obs_date"] == "2019-01-09T06:00:00.123Z"
    assert (fields["mag"], fields["forced"], fields["diffim"]) == (17.5, False, True)
    assert fields["data_quality"] == ["Bad"]
    assert list(fields) == [
        "created_by",
        "created_date",
        "modified_by",
        "modified_date",
        "band",
        "unit",
        "mag_sys",
        "zp_off",
        "obs_date",
        "flux_zero_point",
        "flux",
        "flux_err",
        "mag",
        "mag_err",
        "forced",
        "diffim",
        "photometry",
        "discovery_point",
        "data_quality",
    ]


def test_download_data_of_the_transient(uploader: Uploader, np2019: int) -> None:
    """Foreign keys are names, tags are ids, and photometry is an object while there is none."""
    reply = uploader.get("/download_data/2019np/").json()

    (transient,) = reply["2019np"]["transient"]
    fields = transient["fields"]
    assert transient["pk"] == np2019
    assert (fields["status"], fields["obs_group"], fields["tags"]) == ("Following", "YSE", [29])
    assert (fields["best_spec_class"], fields["created_by"]) == ("SN Ia", ["human"])
    assert len(fields) == 47
    assert reply["2019np"]["photometry"] == {}


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("2019-01-09T06:00:00", "2019-01-09T06:00:00Z"),
        ("2019-01-09T06:00:00.000400", "2019-01-09T06:00:00.000Z"),
        ("2019-01-09T06:00:00.123999", "2019-01-09T06:00:00.123Z"),
        ("2019-01-09T06:00:00.5", "2019-01-09T06:00:00.500Z"),
    ],
)
def test_times_are_cut_to_milliseconds(
    uploader: Uploader, np2019: int, stored: str, shown: str
) -> None:
    """Cut, not rounded; whole seconds lose their fraction; /api/ keeps microseconds."""
    uploader.phot("2019np", uploader.point(stored))

    reply = uploader.get("/download_data/2019np/").json()
    row = uploader.get("/api/transientphotdata/1/").json()

    assert reply["2019np"]["photometry"][0]["data"][0]["fields"]["obs_date"] == shown
    microseconds = f"{stored}000000"[:26] if "." in stored else stored
    assert row["obs_date"] == f"{microseconds}Z"


def test_read_back_goes_by_slug(uploader: Uploader, np2019: int) -> None:
    """An unknown slug, a name and an alias are a 500; the key of the reply is the name."""
    uploader.server.add_transient("SN 2020 x", 1.0, 2.0)
    uploader.server.add_alias("alias", "2019np")

    assert list(uploader.get("/download_data/sn-2020-x/").json()) == ["SN 2020 x"]
    for slug in ("SN 2020 x", "alias", "nope"):
        response = uploader.get(f"/download_data/{slug}/")
        assert uploader.raised(response) == "IndexError"
        assert uploader.message(response) == "list index out of range"


def test_get_transient(uploader: Uploader, np2019: int) -> None:
    """The row as the API shows it, or an empty text."""
    found = uploader.get("/get_transient/2019np/").json()["transient"]

    assert found == uploader.get(f"/api/transients/{np2019}/").json()
    assert uploader.get("/get_transient/nope/").json() == {"transient": ""}


def test_read_back_costs_by_the_point(uploader: Uploader, np2019: int) -> None:
    """200 points cost the real server 0.84 s."""
    points = [uploader.point(f"2019-01-01T{n // 60:02d}:{n % 60:02d}:00") for n in range(200)]
    uploader.server.add_photometry("2019np", points)

    size = len(uploader.get("/download_data/2019np/").content)

    assert uploader.server.log[-1].cost == pytest.approx(0.84, rel=0.2)
    assert 95_000 < size < 115_000


def test_saved_queries(np2019: int, uploader: Uploader) -> None:
    """A saved query answers with the columns of its SQL; another title is a 500."""
    reply = uploader.get("/query_api/YSE_Transients/").json()

    assert reply == {
        "transients": [
            {
                "name": "2019np",
                "transient_RA": 157.3415,
                "transient_Dec": 29.5106667,
                "disc_date": None,
            }
        ]
    }
    assert uploader.raised(uploader.get("/query_api/nope/")) == "DoesNotExist"


# /api/ ----------------------------------------------------------------------------------------

COUNTS = {
    "photometricbands": 218,
    "instruments": 87,
    "telescopes": 67,
    "transientstatuses": 9,
    "observationgroups": 100,
    "transienttags": 89,
    "dataquality": 7,
    "transientclasses": 64,
    "groups": 13,
    "internalsurveys": 3,
}


@pytest.mark.parametrize("path", COUNTS)
def test_the_vocabulary_is_paged(uploader: Uploader, path: str) -> None:
    """100 rows by default, all of them in one page when asked; links are absolute."""
    first = uploader.get(f"/api/{path}/").json()
    whole = uploader.get(f"/api/{path}/?limit=1000").json()

    assert first["count"] == whole["count"] == len(whole["results"]) == COUNTS[path]
    assert len(first["results"]) == min(100, COUNTS[path])
    assert whole["next"] is None
    url = f"{uploader.server.url}/api/{path}/"
    assert first["next"] == (f"{url}?limit=100&offset=100" if COUNTS[path] > 100 else None)
    assert all(row["url"].startswith(url) for row in whole["results"])


@pytest.mark.parametrize(
    ("query", "count", "previous", "following"),
    [
        ("", 100, None, "limit=100&offset=100"),
        ("?limit=0", 100, None, "limit=100&offset=100"),
        ("?limit=-1", 100, None, "limit=100&offset=100"),
        ("?limit=x", 100, None, "limit=100&offset=100"),
        ("?limit=50&offset=50", 50, "limit=50", "limit=50&offset=100"),
        ("?offset=200", 18, "limit=100&offset=100", None),
        ("?offset=900", 0, "limit=100&offset=800", None),
        ("?name=g-ZTF&limit=10", 10, None, "limit=10&name=g-ZTF&offset=10"),
    ],
)
def test_paging(
    uploader: Uploader, query: str, count: int, previous: str | None, following: str | None
) -> None:
    """`next` and `previous` carry the other parameters; a bad limit is the default."""
    page = uploader.get(f"/api/photometricbands/{query}").json()

    url = f"{uploader.server.url}/api/photometricbands/?"
    assert page["count"] == 218
    assert len(page["results"]) == count
    assert page["previous"] == (None if previous is None else url + previous)
    assert page["next"] == (None if following is None else url + following)


def test_bands_repeat_and_are_told_apart_by_instrument(uploader: Uploader) -> None:
    """g-ZTF exists on ZTF-Cam and on Unknown; some names of instruments repeat."""
    bands = uploader.get("/api/photometricbands/?limit=1000").json()["results"]
    instruments = uploader.get("/api/instruments/?limit=1000").json()["results"]
    name_of = {row["url"]: row["name"] for row in instruments}

    pairs = Counter((name_of[band["instrument"]], band["name"]) for band in bands)
    repeated = {name for name, n in Counter(name_of.values()).items() if n > 1}
    assert {pair for pair in pairs if pair[1] == "g-ZTF"} == {
        ("ZTF-Cam", "g-ZTF"),
        ("Unknown", "g-ZTF"),
    }
    assert {("ZTF-Cam", "r-ZTF"), ("ZTF-Cam", "i-ZTF"), ("Unknown", "Unknown")} <= set(pairs)
    assert Counter(band["name"] for band in bands)["g"] == 12
    assert repeated == {"ALFOSC", "CFH12k", "OSIRIS"}


def test_the_name_filter_works_on_few_tables(uploader: Uploader) -> None:
    """Instruments and groups are filtered; bands, tags, statuses and flags are not."""
    assert names(uploader.get("/api/instruments/?name=ztf-cam")) == ["ZTF-Cam"]
    assert names(uploader.get("/api/observationgroups/?name=ZTF")) == ["ZTF"]
    assert uploader.get("/api/instruments/?ra_gte=x&status_in=New").json()["count"] == 87
    for path in ("photometricbands", "transienttags", "transientstatuses", "dataquality"):
        assert uploader.get(f"/api/{path}/?name=YSE").json()["count"] == COUNTS[path]


def test_users_crash(uploader: Uploader) -> None:
    """The list of users is a 500."""
    assert uploader.get("/api/users/").status_code == 500


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("name=2019np", ["2019np"]),
        ("name=2019NP", ["2019np"]),
        ("name=2019", []),
        ("name=ZTF19alias", []),
        ("status_in=Following,Interesting", ["2019np", "a"]),
        ("status_in=Ignore", ["b"]),
        ("tag_in=YSE", ["2019np"]),
        ("tag_in=YSE,Young", ["2019np", "a"]),
        ("ra_gte=10.5&ra_lte=200&dec_gte=-30&dec_lte=60", ["2019np", "b"]),
        ("created_date_gte=2100-01-01T00:00:00", []),
        ("status=Ignore", ["2019np", "a", "b"]),
        ("search=2019np", ["2019np", "a", "b"]),
        ("ordering=-name", ["2019np", "a", "b"]),
        ("status_in=Following&tag_in=Young", []),
    ],
)
def test_filters_of_transients(
    uploader: Uploader, np2019: int, query: str, found: list[str]
) -> None:
    """Those that exist filter; all others are ignored, and the whole table is returned."""
    server = uploader.server
    server.add_transient("a", 10.0, -5.0, status="Interesting", tags=("Young",))
    server.add_transient("b", 11.0, -6.0, status="Ignore")
    server.add_alias("ZTF19alias", "2019np")

    page = uploader.get(f"/api/transients/?{query}")

    assert names(page) == found
    assert page.json()["count"] == len(found)


def test_several_tags_repeat_a_transient(uploader: Uploader) -> None:
    """A transient with two of the tags is listed twice."""
    uploader.server.add_transient("a", 1.0, 2.0, tags=("YSE", "Young"))

    assert names(uploader.get("/api/transients/?tag_in=YSE,Young")) == ["a", "a"]


def test_bad_filters(uploader: Uploader) -> None:
    """A bad number crashes, a bad date is refused."""
    assert uploader.raised(uploader.get("/api/transients/?ra_gte=x")) == "ValueError"
    assert uploader.get("/api/transients/?modified_date_gte=x").status_code == 400


@pytest.mark.parametrize("path", ["transientphotdata", "transientphotometry"])
def test_photometry_cannot_be_filtered(uploader: Uploader, np2019: int, path: str) -> None:
    """Parameters are ignored: only a scan of the whole table is possible."""
    uploader.server.add_transient("b", 1.0, 2.0)
    for name in ("2019np", "b"):
        uploader.phot(name, uploader.point())

    assert uploader.get(f"/api/{path}/?transient=1&photometry=1").json()["count"] == 2


def test_a_transient_in_the_api(uploader: Uploader, np2019: int) -> None:
    """Foreign keys and tags are links; there is no id but in the address."""
    (row,) = uploader.get("/api/transients/?name=2019np").json()["results"]

    api = f"{uploader.server.url}/api"
    assert row["url"] == f"{api}/transients/{np2019}/"
    assert row["status"] == f"{api}/transientstatuses/4/"
    assert row["obs_group"] == f"{api}/observationgroups/65/"
    assert row["tags"] == [f"{api}/transienttags/29/"]
    assert row["host"] is None
    assert (row["ra"], row["slug"], row["disc_date"]) == (157.3415, "2019np", None)
    assert len(row) == 48
    assert uploader.get("/api/transients/999/").json() == {"detail": "Not found."}


def test_links_follow_the_host_header(uploader: Uploader) -> None:
    """Behind a proxy that drops the port, so do the links."""
    page = uploader.get("/api/photometricbands/", headers={"Host": "yse.example"}).json()

    assert page["next"] == "http://yse.example/api/photometricbands/?limit=100&offset=100"


def test_nothing_can_be_deleted(uploader: Uploader, np2019: int) -> None:
    """DELETE is not allowed on any table."""
    response = requests.delete(
        f"{uploader.server.url}/api/transients/{np2019}/", auth=uploader.auth, timeout=5
    )

    assert response.status_code == 405


# PATCH and POST -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"mag": 16.25},
        {"flux": 100.5, "flux_err": 2.5, "flux_zero_point": 27.5},
        {"mag": None},
    ],
)
def test_patch_changes_one_row(uploader: Uploader, np2019: int, fields: dict[str, Any]) -> None:
    """created_by, the flags and every field not sent stay; modified_by becomes the caller."""
    server = uploader.server
    pk, other = server.add_photometry(
        "2019np",
        [
            uploader.point(
                "2019-01-09T06:00:00.123456", data_quality=["Bad"], discovery_point=1
            ),
            uploader.point("2019-01-09T06:00:00.500000"),
        ],
    )
    before = {row["pk"]: row for row in server.rows("2019np")}

    response = uploader.patch(f"/api/transientphotdata/{pk}/", fields)

    after = {row["pk"]: row for row in server.rows("2019np")}
    moved = after[pk].pop("modified_date") > before[pk].pop("modified_date")
    assert response.status_code == 200
    assert response.json()["url"].endswith(f"/api/transientphotdata/{pk}/")
    assert after[pk] == before[pk] | fields | {"modified_by": "ingest"}
    assert moved
    assert after[other] == before[other]


def test_patch_of_the_time(uploader: Uploader, np2019: int) -> None:
    """Offsets and blanks are read here, and converted to UTC."""
    uploader.phot("2019np", uploader.point())

    reply = uploader.patch(
        "/api/transientphotdata/1/", {"obs_date": "2019-01-09 08:00:00.25+02:00"}
    ).json()

    assert reply["obs_date"] == "2019-01-09T06:00:00.250000Z"


@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"mag": "bright"}, {"mag": ["A valid number is required."]}),
        ({"forced": "perhaps"}, {"forced": ["Must be a valid boolean."]}),
        ({"band": None}, {"band": ["This field may not be null."]}),
        ({"band": "zzz"}, {"band": ["Invalid hyperlink - No URL match."]}),
    ],
)
def test_patch_validates(
    uploader: Uploader, np2019: int, fields: dict[str, Any], errors: dict[str, Any]
) -> None:
    """400 names the field, and nothing is changed."""
    uploader.phot("2019np", uploader.point())
    before = uploader.server.rows("2019np")

    response = uploader.patch("/api/transientphotdata/1/", {"mag_err": 9, **fields})

    assert (response.status_code, response.json()) == (400, errors)
    assert uploader.server.rows("2019np") == before


def test_patch_costs_the_same_for_any_light_curve(uploader: Uploader, np2019: int) -> None:
    """There is no match loop."""
    points = [uploader.point(f"2019-01-01T{n // 60:02d}:{n % 60:02d}:00") for n in range(300)]
    uploader.server.add_photometry("2019np", points)

    uploader.patch("/api/transientphotdata/1/", {"mag": 1.0})

    assert uploader.server.log[-1].cost == pytest.approx(0.083, abs=0.02)


def test_patch_of_a_transient(uploader: Uploader, np2019: int) -> None:
    """Status and tags by links; modified_by and modified_date move, created_by stays."""
    before = uploader.server.transient_row("2019np")
    api = f"{uploader.server.url}/api"

    response = uploader.patch(
        f"/api/transients/{np2019}/",
        {
            "status": f"{api}/transientstatuses/7/",
            "tags": [f"{api}/transienttags/29/", f"{api}/transienttags/1/"],
        },
    )

    after = uploader.server.transient_row("2019np")
    assert response.status_code == 200
    assert (after["status"], sorted(after["tags"])) == ("Watch", ["YSE", "Young"])
    assert (after["created_by"], after["modified_by"]) == ("human", "ingest")
    assert after["modified_date"] > before["modified_date"]
    assert after["ra"] == before["ra"]


def test_post_of_a_point_has_no_match_loop(uploader: Uploader, np2019: int) -> None:
    """The same point twice is two rows; a missing field is named."""
    uploader.phot("2019np", uploader.point())
    api = f"{uploader.server.url}/api"
    fields = {
        "photometry": f"{api}/transientphotometry/1/",
        "band": f"{api}/photometricbands/78/",
        "obs_date": "2019-01-09T06:00:00",
        "mag": 17.5,
        "data_quality": [f"{api}/dataquality/1/"],
    }

    answers = [uploader.post("/api/transientphotdata/", json=fields) for _ in "12"]
    del fields["data_quality"]
    refused = uploader.post("/api/transientphotdata/", json=fields)
    listed = uploader.post("/api/transientphotdata/", json=[fields])

    rows = uploader.server.rows("2019np")
    assert [answer.status_code for answer in answers] == [201, 201]
    assert [row["data_quality"] for row in rows] == [[], ["Bad"], ["Bad"]]
    assert refused.json() == {"data_quality": ["This field is required."]}
    assert listed.status_code == 400


def test_a_tag_can_be_made(uploader: Uploader) -> None:
    """Through REST, not through an upload."""
    made = uploader.post("/api/transienttags/", json={"name": "ours", "color": None})

    assert made.status_code == 201
    assert uploader.add(uploader.transient("x", tags=["ours"])).status_code == 200


# The stand-in itself --------------------------------------------------------------------------


def test_a_file_keeps_what_was_stored(tmp_path: Path) -> None:
    """A stand-in on the same file goes on where the last one stopped."""
    path = tmp_path / "ysepz.sqlite"
    with YsePzStandIn(path=path) as server:
        server.add_transient("2019np", 157.3415, 29.5106667)
        server.add_photometry("2019np", [{"obs_date": "2019-01-09T06:00:00", "band": "g-ZTF"}])
    with YsePzStandIn(path=path) as server:
        assert len(server.rows("2019np")) == 1
        assert server.add_transient("2020abc", 1.0, 2.0) == 2


def test_a_flag_set_by_hand(uploader: Uploader, np2019: int) -> None:
    """A person's flag and name show in the read-back."""
    uploader.phot("2019np", uploader.point())

    uploader.server.set_flag(1, "Bad", "human")

    reply = uploader.get("/download_data/2019np/").json()
    fields = reply["2019np"]["photometry"][0]["data"][0]["fields"]
    assert (fields["data_quality"], fields["modified_by"]) == (["Bad"], ["human"])
    assert fields["created_by"] == ["ingest"]
