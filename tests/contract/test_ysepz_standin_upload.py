"""The stand-in YSE-PZ: /add_transient/, its phases, its match rules and its silent traps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.contract.conftest import Uploader
    from yse_ingest.sandbox.ysepz import YsePzStandIn

ARCSEC = 1 / 3600


# New transients -------------------------------------------------------------------------------


def test_a_new_transient_with_points(uploader: Uploader) -> None:
    """Row, tags, header and points are stored, all made by the uploader."""
    new = uploader.transient(
        "2020abc",
        uploader.point("2020-01-02T03:04:05.678901"),
        tags=["YSE"],
        redshift=0.03,
        disc_date="2020-01-01T00:00:00",
    )

    response = uploader.add(new, noupdatestatus=True)

    row = uploader.server.transient_row("2020abc")
    points = uploader.server.rows("2020abc")
    assert response.json() == {"message": "success"}
    assert (row["status"], row["obs_group"], row["tags"]) == ("Following", "ZTF", ["YSE"])
    assert (row["redshift"], row["slug"], row["created_by"]) == (0.03, "2020abc", "ingest")
    assert len(points) == 1
    assert points[0]["obs_date"] == "2020-01-02T03:04:05.678901"
    assert (points[0]["instrument"], points[0]["obs_group"]) == ("ZTF-Cam", "ZTF")
    assert (points[0]["band"], points[0]["mag"], points[0]["diffim"]) == ("g-ZTF", 17.5, True)
    assert (points[0]["created_by"], points[0]["modified_by"]) == ("ingest", "ingest")


@pytest.mark.parametrize(
    ("name", "slug"),
    [("SN 2019np", "sn-2019-np"), ("a/b c#?", "ab-c"), ("", "transient"), ("x" * 64, "x" * 50)],
)
def test_slugs(uploader: Uploader, name: str, slug: str) -> None:
    """The slug is made of the name, cut to 50 characters."""
    name = name.replace("2019np", "2019 np")

    assert uploader.add(uploader.transient(name)).status_code == 200
    assert uploader.server.transient_row(name)["slug"] == slug


def test_a_taken_slug_gets_a_number(uploader: Uploader) -> None:
    """A second name with the same slug is told apart by -2."""
    uploader.add(uploader.transient("a b"))
    uploader.add(uploader.transient("a-b", ra=10.0))

    assert uploader.server.transient_row("a-b")["slug"] == "a-b-2"


def test_two_new_names_with_one_slug_in_one_request(uploader: Uploader) -> None:
    """Both want the same slug: 500, and no new transient is created."""
    response = uploader.add(uploader.transient("a b"), uploader.transient("a-b", ra=10.0))

    assert uploader.raised(response) == "IntegrityError"
    assert "1062" in uploader.message(response)
    assert uploader.server.transients() == []


@pytest.mark.parametrize(
    ("changes", "raised", "created"),
    [
        ({"ra": ...}, "IndexError", 0),
        ({"dec": "29.5"}, "IndexError", 0),
        ({"ra": None}, "IndexError", 0),
        ({"status": ...}, "IntegrityError", 0),
        ({"obs_group": ...}, "IntegrityError", 0),
        ({"redshift": "abc"}, "ValueError", 0),
        ({"no_such_field": 1}, "IndexError", 0),
        ({"disc_date": "yesterday"}, "IndexError", 0),
        ({"disc_date": None}, "IndexError", 0),
        ({"internal_survey": "nonsense"}, "IndexError", 0),
        ({"tags": ["nonsense"]}, "DoesNotExist", 1),
        ({"tags": None}, "TypeError", 1),
        ({"tags": "YSE"}, "DoesNotExist", 1),
        ({"name": "n" * 65}, "DataError", 0),
        ({"name": "x★"}, "OperationalError", 0),
    ],
)
def test_new_transients_that_fail(
    uploader: Uploader, changes: dict[str, Any], raised: str, created: int
) -> None:
    """Each is a 500; some leave the row of the transient, none a point."""
    new = uploader.transient("x", uploader.point(), **changes)

    response = uploader.add(new)

    assert uploader.raised(response) == raised
    assert len(uploader.server.transients()) == created
    assert [uploader.server.rows(name) for name in uploader.server.transients()] == [
        []
    ] * created


def test_a_missing_status_is_named(uploader: Uploader) -> None:
    """The database's own words come through."""
    response = uploader.add(uploader.transient("x", status=...))

    assert uploader.message(response) == "(1048, \"Column 'status_id' cannot be null\")"


@pytest.mark.parametrize(("ra", "dec"), [(361.0, 95.0), (-5.0, -91.0), (720.0, 0.0)])
def test_positions_are_not_checked(uploader: Uploader, ra: float, dec: float) -> None:
    """Any number is stored as it is."""
    uploader.add(uploader.transient("x", ra=ra, dec=dec))

    row = uploader.server.transient_row("x")
    assert (row["ra"], row["dec"]) == (ra, dec)


def test_the_key_of_a_new_transient_must_be_its_name(uploader: Uploader) -> None:
    """Otherwise it is created and the request fails; the same again succeeds (trap 18)."""
    payload = {"key": uploader.transient("x", uploader.point())}

    first = uploader.post("/add_transient/", json=payload)
    rows_after_first = uploader.server.rows("x")
    second = uploader.post("/add_transient/", json=payload)

    assert uploader.raised(first) == "KeyError"
    assert rows_after_first == []
    assert second.status_code == 200
    assert len(uploader.server.rows("x")) == 1


def test_null_clears_nothing(uploader: Uploader, np2019: int) -> None:
    """A null in a plain field is ignored."""
    uploader.add({"name": "2019np", "redshift": None, "TNS_spec_class": None})

    assert uploader.server.transient_row("2019np")["redshift"] == 0.00452


# Unknown names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "posted"),
    [
        ("status", "nonsense"),
        ("obs_group", "zzz"),
        ("best_spec_class", "SN zzz"),
        ("best_spec_class", None),
    ],
)
def test_unknown_names_become_unknown(uploader: Uploader, field: str, posted: Any) -> None:
    """A foreign key that is not known, or null, is stored as `Unknown`: 200."""
    response = uploader.add(uploader.transient("x", uploader.point(), **{field: posted}))

    assert response.status_code == 200
    assert uploader.server.transient_row("x")[field] == "Unknown"
    assert len(uploader.server.rows("x")) == 1


@pytest.mark.parametrize("field", ["status", "obs_group", "best_spec_class"])
def test_with_the_mail_server_down_an_unknown_name_is_fatal(
    uploader: Uploader, field: str
) -> None:
    """The error mail cannot be sent: 500 at once, nothing stored (trap 7)."""
    uploader.server.smtp = "refused"

    response = uploader.add(uploader.transient("x", uploader.point(), **{field: "nonsense"}))

    assert uploader.raised(response) == "ConnectionRefusedError"
    assert uploader.server.transients() == []


def test_the_mail_server_is_not_asked_for_photometry(uploader: Uploader, np2019: int) -> None:
    """Unknown bands, instruments and groups of photometry are never mailed."""
    uploader.server.smtp = "refused"
    known = uploader.transient("2019np", uploader.point(band="zzz"), status=..., obs_group=...)

    assert uploader.add(known).status_code == 200
    assert uploader.server.rows("2019np")[0]["band"] == "Unknown"


@pytest.mark.parametrize(
    ("instrument", "band", "stored"),
    [
        ("ZTF-Cam", "g-ZTF", "g-ZTF"),
        ("ztf-cam", "G-ztf ", "g-ZTF"),
        ("ZTF-Cam", " g-ZTF", "Unknown"),
        ("ZTF-Cam", "r-Sloan", "Unknown"),
        ("ZTF-Cam", "g", "Unknown"),
        ("ZTF Cam", "g-ZTF", "Unknown"),
        ("Unknown", "g-ZTF", "g-ZTF"),
    ],
)
def test_bands(
    uploader: Uploader, np2019: int, instrument: str, band: str, stored: str
) -> None:
    """A band counts together with the posted instrument, without case and blanks at the end."""
    uploader.add(
        {
            "name": "2019np",
            "transientphotometry": {
                "s": {
                    "instrument": instrument,
                    "obs_group": "ZTF",
                    "photdata": {"0": uploader.point(band=band)},
                }
            },
        }
    )

    assert [row["band"] for row in uploader.server.rows("2019np")] == [stored]


def test_a_second_unknown_band_is_dropped_as_a_duplicate(
    uploader: Uploader, np2019: int
) -> None:
    """Two different unknown bands at one time are one band to the server (trap 1)."""
    first = uploader.phot("2019np", uploader.point(band="up", mag=17))
    second = uploader.phot("2019np", uploader.point(band="zp", mag=18))

    assert (first.json(), second.json()) == ({"message": "success"}, {"message": "success"})
    assert [row["mag"] for row in uploader.server.rows("2019np")] == [17]


@pytest.mark.parametrize(
    ("instrument", "group", "stored"),
    [
        ("ZTF-Cam", "ZTF", ("ZTF-Cam", "ZTF")),
        ("ztf-CAM", "ztf ", ("ZTF-Cam", "ZTF")),
        ("nonsense", "ZTF", ("Unknown", "ZTF")),
        ("ZTF-Cam", "nonsense", ("ZTF-Cam", "Unknown")),
    ],
)
def test_headers_of_unknown_names(
    uploader: Uploader, np2019: int, instrument: str, group: str, stored: tuple[str, str]
) -> None:
    """An unknown instrument or group of photometry is `Unknown`, silently."""
    uploader.phot("2019np", uploader.point(), instrument=instrument, obs_group=group)

    rows = uploader.server.rows("2019np")
    assert [(row["instrument"], row["obs_group"]) for row in rows] == [stored]


# Existing transients --------------------------------------------------------------------------


def test_the_minimal_upload_takes_over_the_row(
    uploader: Uploader, ysepz: YsePzStandIn, np2019: int
) -> None:
    """Name and photometry alone change created_by and modified_by, and nothing else."""
    before = ysepz.transient_row("2019np")

    uploader.add(
        uploader.transient(
            "2019np", uploader.point(), ra=..., dec=..., status=..., obs_group=...
        ),
        noupdatestatus=True,
    )

    after = ysepz.transient_row("2019np")
    assert len(before) == 48
    assert before["created_by"] == "human"
    assert after == before | {"created_by": "ingest", "modified_by": "ingest"}
    assert len(ysepz.rows("2019np")) == 1


def test_a_full_upload_rewrites_what_people_curated(
    uploader: Uploader, ysepz: YsePzStandIn, np2019: int
) -> None:
    """Noupdatestatus or not, every field that is sent is overwritten (trap 6)."""
    uploader.add(
        uploader.transient(
            "2019NP", ra=10.0, obs_group="ZTF", redshift=0.5, best_spec_class="SN II"
        ),
        noupdatestatus=True,
    )

    row = ysepz.transient_row("2019np")
    assert (row["name"], row["slug"], row["id"]) == ("2019NP", "2019np", np2019)
    assert (row["ra"], row["obs_group"], row["redshift"]) == (10.0, "ZTF", 0.5)
    assert row["best_spec_class"] == "SN II"
    assert row["status"] == "Following"
    assert row["tags"] == ["YSE"]


@pytest.mark.parametrize("field", [{"obs_group": "zzz"}, {"best_spec_class": None}])
def test_an_unknown_name_overwrites_too(
    uploader: Uploader, np2019: int, field: dict[str, Any]
) -> None:
    """YSE becomes Unknown, SN Ia becomes Unknown: 200."""
    assert uploader.add({"name": "2019np", **field}).status_code == 200

    row = uploader.server.transient_row("2019np")
    assert [row[name] for name in field] == ["Unknown"]


@pytest.mark.parametrize(
    ("stored", "flags", "posted", "after"),
    [
        ("Following", {}, "Watch", "Following"),
        ("Following", {"noupdatestatus": False}, "Watch", "Following"),
        ("Ignore", {}, "Watch", "Ignore"),
        ("Ignore", {"noupdatestatus": "false"}, "Watch", "Ignore"),
        ("Ignore", {"noupdatestatus": False}, "Watch", "Watch"),
        ("Ignore", {"noupdatestatus": 0}, ..., "Ignore"),
    ],
)
def test_status(
    uploader: Uploader, stored: str, flags: dict[str, Any], posted: Any, after: str
) -> None:
    """The status is kept; only Ignore with a falsy noupdatestatus takes the posted one."""
    uploader.server.add_transient("x", 157.3415, 29.5106667, status=stored)

    uploader.add(uploader.transient("x", status=posted), **flags)

    assert uploader.server.transient_row("x")["status"] == after


def test_tags_are_only_added(uploader: Uploader, np2019: int) -> None:
    """Names match without case; adding a new tag, and nothing else, moves modified_date."""
    before = uploader.server.transient_row("2019np")
    uploader.add({"name": "2019np", "tags": ["yse"]})
    same = uploader.server.transient_row("2019np")
    uploader.add({"name": "2019np", "tags": ["Young"]})
    after = uploader.server.transient_row("2019np")

    assert same["tags"] == ["YSE"]
    assert same["modified_date"] == before["modified_date"]
    assert sorted(after["tags"]) == ["YSE", "Young"]
    assert after["modified_date"] > before["modified_date"]


def test_an_unknown_tag_on_an_existing_transient_is_swallowed(
    uploader: Uploader, np2019: int
) -> None:
    """Tags before it and the photometry are stored: 200."""
    posted = uploader.transient("2019np", uploader.point(), tags=["Young", "nonsense", "HST"])

    assert uploader.add(posted).status_code == 200
    assert sorted(uploader.server.transient_row("2019np")["tags"]) == ["YSE", "Young"]
    assert len(uploader.server.rows("2019np")) == 1


def test_a_bad_field_of_an_existing_transient_is_swallowed(
    uploader: Uploader, ysepz: YsePzStandIn, np2019: int
) -> None:
    """The row stays as it is, its photometry is stored: 200."""
    before = ysepz.transient_row("2019np")

    response = uploader.add(uploader.transient("2019np", uploader.point(), no_such_field=1))

    assert response.status_code == 200
    assert ysepz.transient_row("2019np") == before
    assert len(ysepz.rows("2019np")) == 1


@pytest.mark.parametrize(("ra", "stored"), [("157.5", 157.5), ("10:29:21.9", 157.3415)])
def test_ra_as_text_of_an_existing_transient(
    uploader: Uploader, np2019: int, ra: str, stored: float
) -> None:
    """A number in quotes moves the object, sexagesimal text is swallowed: 200 both times."""
    assert uploader.add({"name": "2019np", "ra": ra}).status_code == 200
    assert uploader.server.transient_row("2019np")["ra"] == stored


@pytest.mark.parametrize("spelling", ["TÉST", "test", "Tést ", "TEST   "])
def test_names_are_compared_as_the_database_does(uploader: Uploader, spelling: str) -> None:
    """Without case, accents and blanks at the end; the posted spelling is then stored."""
    uploader.server.add_transient("Test", 1.0, 2.0)

    uploader.add({"name": spelling})

    assert uploader.server.transients() == [spelling]


# Positions, aliases, and the deletion ---------------------------------------------------------


@pytest.mark.parametrize(
    ("d_ra", "d_dec", "merged"),
    [
        (0.0, 0.75, True),
        (0.0, 0.76, False),
        (0.75, 0.0, True),
        (0.76, 0.0, False),
        (0.75, 0.75, True),
        (0.0, -0.75, True),
    ],
)
def test_the_box_around_a_position(
    uploader: Uploader, np2019: int, d_ra: float, d_dec: float, merged: bool
) -> None:
    """0.756" to each side, a box and no circle: inside it a new name becomes an alias."""
    ra = 157.3415 + d_ra * ARCSEC / 0.8702648
    new = uploader.transient(
        "ZTF19new", uploader.point(), ra=ra, dec=29.5106667 + d_dec * ARCSEC
    )

    assert uploader.add(new).status_code == 200

    assert uploader.server.transients() == (["2019np"] if merged else ["2019np", "ZTF19new"])
    assert len(uploader.server.rows("2019np")) == (1 if merged else 0)


def test_a_merge_moves_the_transient(uploader: Uploader, np2019: int) -> None:
    """The name stays; position, group and owner become those of the upload (trap 8)."""
    uploader.add(uploader.transient("ZTF19new", ra=157.34151))

    row = uploader.server.transient_row("2019np")
    aliases = uploader.get("/api/alternatetransientnames/").json()["results"]
    assert (row["name"], row["status"]) == ("2019np", "Following")
    assert (row["ra"], row["obs_group"], row["created_by"]) == (157.34151, "ZTF", "ingest")
    assert [alias["name"] for alias in aliases] == ["ZTF19new"]


def test_the_tns_flag_renames_instead(uploader: Uploader, np2019: int) -> None:
    """With TNS true the stored name becomes the alias."""
    uploader.add(uploader.transient("2019abc"), TNS=True)

    aliases = uploader.get("/api/alternatetransientnames/").json()["results"]
    assert uploader.server.transients() == ["2019abc"]
    assert uploader.server.transient_row("2019abc")["slug"] == "2019abc"
    assert [alias["name"] for alias in aliases] == ["2019np"]


@pytest.mark.parametrize(
    ("stored", "posted", "merged"),
    [
        ("2019-01-09T00:00:00", "2019-06-01T00:00:00", True),
        ("2019-01-09T00:00:00", "2020-02-01T00:00:00", False),
        (None, "2019-01-09T00:00:00", False),
        ("2019-01-09T00:00:00", ..., True),
    ],
)
def test_disc_date_limits_the_box(
    uploader: Uploader, stored: str | None, posted: Any, merged: bool
) -> None:
    """A posted disc_date matches stored ones within 365 d, and never a null."""
    uploader.server.add_transient("old", 157.3415, 29.5106667, disc_date=stored)

    uploader.add(uploader.transient("new", disc_date=posted))

    assert uploader.server.transients() == (["old"] if merged else ["old", "new"])


@pytest.mark.parametrize(
    ("flags", "year"), [({}, "2019"), ({"TNS": True}, "2018"), ({"TNS": False}, "2018")]
)
def test_a_merge_keeps_the_disc_date(
    uploader: Uploader, flags: dict[str, Any], year: str
) -> None:
    """A stored one stays, unless there is a TNS flag, even a false one."""
    uploader.server.add_transient(
        "x", 157.3415, 29.5106667, disc_date="2019-01-09T00:00:00", postage_stamp_file="a.png"
    )

    uploader.add(
        uploader.transient("x2", disc_date="2018-12-30T00:00:00", postage_stamp_file="b.png"),
        **flags,
    )

    (name,) = uploader.server.transients()
    row = uploader.server.transient_row(name)
    assert row["disc_date"][:4] == year
    assert row["postage_stamp_file"] == "a.png"


def test_nothing_matches_across_ra_zero(uploader: Uploader) -> None:
    """0.36" apart over RA 0, and two transients."""
    uploader.server.add_transient("east", 0.00005, 0.0)

    uploader.add(uploader.transient("west", ra=359.99996, dec=0.0))

    assert uploader.server.transients() == ["east", "west"]


def test_an_alias_with_coordinates_elsewhere_splits_the_light_curve(
    uploader: Uploader, np2019: int
) -> None:
    """2" off, a new transient takes the alias's name, and from then on the data."""
    uploader.server.add_alias("ZTF19alias", "2019np")

    uploader.add(
        uploader.transient("ZTF19alias", uploader.point(), dec=29.5106667 + 2 * ARCSEC)
    )

    assert uploader.server.transients() == ["2019np", "ZTF19alias"]
    assert len(uploader.server.rows("2019np")) == 0
    assert len(uploader.server.rows("ZTF19alias")) == 1


def test_an_alias_without_coordinates_lands_on_its_transient(
    uploader: Uploader, np2019: int
) -> None:
    """Reading the position fails, is swallowed and mailed; the points find the alias."""
    uploader.server.add_alias("ZTF19alias", "2019np")
    posted = uploader.transient("ZTF19alias", uploader.point(), ra=..., dec=...)

    assert uploader.add(posted).status_code == 200
    assert len(uploader.server.rows("2019np")) == 1

    uploader.server.smtp = "refused"
    assert uploader.raised(uploader.add(posted)) == "ConnectionRefusedError"


def test_an_alias_at_the_place_of_another_transient(uploader: Uploader, np2019: int) -> None:
    """The other one's fields are overwritten, the points go to the first."""
    uploader.server.add_alias("ZTF19alias", "2019np")
    uploader.server.add_transient("2020zzz", 10.0, 20.0, obs_group="ATLAS")

    uploader.add(uploader.transient("ZTF19alias", uploader.point(), ra=10.0, dec=20.0))

    assert uploader.server.transient_row("2020zzz")["obs_group"] == "ZTF"
    assert len(uploader.server.rows("2020zzz")) == 0
    assert len(uploader.server.rows("2019np")) == 1


def test_internal_names_become_aliases(uploader: Uploader, np2019: int) -> None:
    """Separated by commas, not stripped; the group is guessed by the first three letters."""
    uploader.add({"name": "2019np", "internal_names": "ATLAS19xyz, PS19abc"})

    aliases = uploader.get("/api/alternatetransientnames/").json()["results"]
    assert [alias["name"] for alias in aliases] == ["ATLAS19xyz", " PS19abc"]
    assert [alias["obs_group"].rsplit("/", 2)[1] for alias in aliases] == ["23", "2"]


def test_a_light_curve_is_deleted_in_three_successes(uploader: Uploader) -> None:
    """A and B at one place; C there renames B to A; an upload of A deletes B (trap 2)."""
    three = [uploader.point(f"2020-01-0{day}T00:00:00") for day in (1, 2, 3)]
    answers = [
        uploader.add(
            uploader.transient("A", uploader.point()), uploader.transient("B", *three)
        ),
        uploader.add(uploader.transient("C")),
    ]
    renamed = uploader.server.transients()
    answers.append(uploader.add({"name": "A"}))

    stored = uploader.get("/api/transientphotdata/").json()["count"]
    assert [answer.json() for answer in answers] == [{"message": "success"}] * 3
    assert renamed == ["A", "A"]
    assert uploader.server.transients() == ["A"]
    assert stored == 1


# Points ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("posted", "stored"),
    [
        ("2019-01-09T06:00:00", "2019-01-09T06:00:00.000000"),
        ("2019-01-09T06:00:00.1", "2019-01-09T06:00:00.100000"),
        ("2019-01-09T06:00:00.123456789", "2019-01-09T06:00:00.123456"),
        ("2019-01-09T06:00:00.9999999", "2019-01-09T06:00:00.999999"),
        ("2019-01-09T06:00:00Z", "2019-01-09T06:00:00.000000"),
        ("2019-01-09T06:00", "2019-01-09T06:00:00.000000"),
        ("2019-01-09", "2019-01-09T00:00:00.000000"),
        ("2019-1-9T06:00:00", "2019-01-09T06:00:00.000000"),
    ],
)
def test_times_that_are_read(uploader: Uploader, np2019: int, posted: str, stored: str) -> None:
    """Stored in UTC with microseconds; digits beyond are cut off."""
    assert uploader.phot("2019np", uploader.point(posted)).status_code == 200
    assert uploader.times("2019np") == [stored]


@pytest.mark.parametrize(
    "posted",
    [
        "2019-01-09T06:00:00+00:00",
        "2019-01-09 06:00:00",
        "2019-01-09t06:00:00",
        " 2019-01-09T06:00:00",
        58492.25,
        "58492.25",
        "2019-01-09T24:00:00",
        "2016-12-31T23:59:60",
        "20190109T060000",
        None,
        "",
    ],
)
def test_times_that_are_refused(uploader: Uploader, np2019: int, posted: Any) -> None:
    """500 at that point; the points before it stay, those behind it are not written."""
    response = uploader.phot(
        "2019np",
        uploader.point("2019-01-01T00:00:00"),
        uploader.point(posted),
        uploader.point("2019-01-03T00:00:00"),
    )

    assert uploader.raised(response) == "ValueError"
    assert uploader.times("2019np") == ["2019-01-01T00:00:00.000000"]


@pytest.mark.parametrize(
    "key",
    [
        "obs_date",
        "mag",
        "mag_err",
        "band",
        "data_quality",
        "diffim",
        "flux",
        "flux_err",
        "flux_zero_point",
        "forced",
        "discovery_point",
    ],
)
def test_every_key_of_a_new_point_is_required(
    uploader: Uploader, np2019: int, key: str
) -> None:
    """A missing one is a KeyError at that point; a repeated point needs time and band only."""
    first = uploader.phot("2019np", uploader.point(**{key: ...}))
    uploader.phot("2019np", uploader.point())
    again = uploader.phot("2019np", uploader.point(**{key: ...}))

    assert uploader.raised(first) == "KeyError"
    assert uploader.message(first) == f"'{key}'"
    assert again.status_code == (500 if key in ("obs_date", "band") else 200)
    assert len(uploader.server.rows("2019np")) == 1


@pytest.mark.parametrize(
    ("changes", "column", "stored"),
    [
        ({"mag": "17.25"}, "mag", 17.25),
        ({"mag": 99}, "mag", 99),
        ({"mag": None, "flux": None}, "mag", None),
        ({"mag_err": -1}, "mag_err", -1),
        ({"flux": -350.5}, "flux", -350.5),
        ({"forced": True}, "forced", True),
        ({"forced": 1}, "forced", True),
        ({"forced": None}, "forced", None),
        ({"data_quality": 0}, "data_quality", []),
        ({"data_quality": ""}, "data_quality", []),
        ({"data_quality": "saturation"}, "data_quality", ["Saturation"]),
        ({"data_quality": 1}, "data_quality", ["Bad"]),
        ({"data_quality": "0"}, "data_quality", ["Bad"]),
        ({"data_quality": "Nope"}, "data_quality", ["Bad"]),
    ],
)
def test_values_of_a_point(
    uploader: Uploader, np2019: int, changes: dict[str, Any], column: str, stored: Any
) -> None:
    """No range is checked; an unknown quality is `Bad`."""
    assert uploader.phot("2019np", uploader.point(**changes)).status_code == 200
    assert uploader.server.rows("2019np")[0][column] == stored


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"mag": "NaN"}, "OperationalError"),
        ({"mag": "bright"}, "ValueError"),
        ({"mag": [17]}, "TypeError"),
        ({"forced": 5}, "ValidationError"),
    ],
)
def test_values_that_are_refused(
    uploader: Uploader, np2019: int, changes: dict[str, Any], raised: str
) -> None:
    """500 at that point."""
    assert uploader.raised(uploader.phot("2019np", uploader.point(**changes))) == raised
    assert uploader.server.rows("2019np") == []


def test_a_number_beyond_double_precision(uploader: Uploader, np2019: int) -> None:
    """1e400 is read as infinity, which the database does not take."""
    body = (
        '{"2019np": {"name": "2019np", "transientphotometry": {"s": {"instrument": "ZTF-Cam",'
        '"obs_group": "ZTF", "photdata": {"0": {"obs_date": "2019-01-09T06:00:00",'
        '"mag": 1e400, "mag_err": 1, "band": "g-ZTF", "data_quality": 0, "diffim": 1,'
        '"flux": null, "flux_err": null, "flux_zero_point": null, "forced": 0,'
        '"discovery_point": 0}}}}}}'
    )

    assert uploader.raised(uploader.post("/add_transient/", data=body)) == "OperationalError"


@pytest.mark.parametrize(
    ("window", "later", "stored"),
    [
        (0.01, "06:14:00", 1),
        (0.01, "06:14:25", 2),
        (1e-6, "06:00:00.080", 1),
        (1e-6, "06:00:00.090", 2),
        (1e-9, "06:00:00", 1),
        (0, "06:00:00", 2),
        (-1, "06:00:00", 2),
    ],
)
def test_the_match_window_is_strict(
    uploader: Uploader, np2019: int, window: float, later: str, stored: int
) -> None:
    """A stored point of the band less than mjdmatchmin away is a match; zero never matches."""
    uploader.phot("2019np", uploader.point("2019-01-09T06:00:00"))
    answer = uploader.phot("2019np", uploader.point(f"2019-01-09T{later}"), mjdmatchmin=window)

    assert answer.json() == {"message": "success"}
    assert len(uploader.server.rows("2019np")) == stored


def test_the_window_holds_within_band_and_header(uploader: Uploader, np2019: int) -> None:
    """Another band, another instrument or another group at the same time is another point."""
    uploader.phot("2019np", uploader.point())
    uploader.phot("2019np", uploader.point(band="r-ZTF"))
    uploader.phot("2019np", uploader.point(), obs_group="YSE")
    uploader.phot("2019np", uploader.point(), instrument="Unknown")

    assert len(uploader.server.rows("2019np")) == 4


@pytest.mark.parametrize(
    ("key", "value", "raised"),
    [
        ("mjdmatchmin", ..., "KeyError"),
        ("mjdmatchmin", "0.01", "TypeError"),
        ("mjdmatchmin", None, "TypeError"),
        ("clobber", ..., "KeyError"),
    ],
)
def test_the_settings_are_read_only_when_needed(
    uploader: Uploader, key: str, value: Any, raised: str
) -> None:
    """Without them the first upload succeeds and the identical second one crashes."""
    posted = uploader.transient("x", uploader.point())
    photometry = posted["transientphotometry"] | {key: value}
    posted["transientphotometry"] = {k: v for k, v in photometry.items() if v is not ...}

    first, second = uploader.add(posted), uploader.add(posted)

    assert first.status_code == 200
    assert uploader.raised(second) == raised
    assert len(uploader.server.rows("x")) == 1


def test_a_match_without_clobber_changes_nothing(uploader: Uploader, np2019: int) -> None:
    """A changed value is ignored, silently."""
    uploader.phot("2019np", uploader.point())
    before = uploader.server.rows("2019np")

    answer = uploader.phot("2019np", uploader.point(mag=12.0, data_quality="Bad"))

    assert answer.json() == {"message": "success"}
    assert uploader.server.rows("2019np") == before


def test_points_of_one_request_are_not_compared(uploader: Uploader, np2019: int) -> None:
    """Twice the same point in one request is two rows; the request again adds none (trap 9)."""
    uploader.phot("2019np", uploader.point(), uploader.point())
    uploader.phot("2019np", uploader.point(), uploader.point())

    assert len(uploader.server.rows("2019np")) == 2


def test_two_blocks_of_one_header(uploader: Uploader) -> None:
    """On a new transient they make two headers; all points go to the first."""
    new = uploader.transient("x", uploader.point())
    block = new["transientphotometry"]["ZTF"]
    second = {**block, "photdata": {"0": uploader.point("2019-02-01T00:00:00")}}
    new["transientphotometry"]["again"] = second

    uploader.add(new)

    headers = uploader.get("/api/transientphotometry/").json()
    assert headers["count"] == 2
    assert {row["header"] for row in uploader.server.rows("x")} == {1}


def test_clobber_overwrites_the_match(uploader: Uploader, np2019: int) -> None:
    """Values, time and flags are replaced; id and created_by stay; the rest is inserted."""
    (pk,) = uploader.server.add_photometry(
        "2019np", [uploader.point(data_quality=["Bad"])], user="othercron"
    )

    uploader.phot(
        "2019np",
        uploader.point("2019-01-09T06:00:01", mag=12.0, discovery_point=1),
        uploader.point("2019-01-10T06:00:00"),
        clobber=True,
    )

    first, second = uploader.server.rows("2019np")
    assert (first["pk"], first["mag"], first["obs_date"][17:19]) == (pk, 12.0, "01")
    assert (first["created_by"], first["modified_by"]) == ("othercron", "ingest")
    assert first["discovery_point"] is True
    assert first["data_quality"] == []
    assert second["obs_date"][:10] == "2019-01-10"


@pytest.mark.parametrize("quality", [0, None, ""])
def test_clobber_without_a_flag_succeeds(uploader: Uploader, np2019: int, quality: Any) -> None:
    """Adding no flag is dropped by the database, without an error and without a junk row."""
    uploader.phot("2019np", uploader.point(data_quality="Bad"))

    answer = uploader.phot("2019np", uploader.point(data_quality=quality), clobber=True)

    assert answer.json() == {"message": "success"}
    assert [row["data_quality"] for row in uploader.server.rows("2019np")] == [[]]


def test_clobber_makes_two_copies_of_two_rows_in_the_window(
    uploader: Uploader, np2019: int
) -> None:
    """Both stored rows within the tolerance become the posted one (trap 10)."""
    uploader.server.add_photometry(
        "2019np",
        [
            uploader.point("2019-01-09T06:00:00", mag=17),
            uploader.point("2019-01-09T06:05:00", mag=18),
        ],
    )

    uploader.phot(
        "2019np", uploader.point("2019-01-09T06:02:00", mag=15), mjdmatchmin=0.01, clobber=True
    )

    rows = uploader.server.rows("2019np")
    assert [row["mag"] for row in rows] == [15, 15]
    assert len({row["obs_date"] for row in rows}) == 1


@pytest.mark.parametrize(
    ("photometry", "raised"),
    [
        (None, "AttributeError"),
        ({"ZTF": 5}, "TypeError"),
        ({"ZTF": {"obs_group": "ZTF", "photdata": {}}}, "KeyError"),
        ({"ZTF": {"instrument": "ZTF-Cam", "photdata": {}}}, "KeyError"),
        ({"ZTF": {"instrument": "ZTF-Cam", "obs_group": "ZTF"}}, "KeyError"),
        ({"ZTF": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "photdata": [{}]}}, "TypeError"),
    ],
)
def test_malformed_blocks(uploader: Uploader, photometry: Any, raised: str) -> None:
    """500 after the transient itself was created."""
    response = uploader.add(uploader.transient("x", transientphotometry=photometry))

    assert uploader.raised(response) == raised
    assert uploader.server.transients() == ["x"]


@pytest.mark.parametrize(
    "photometry", [{}, {"ZTF": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "photdata": {}}}]
)
def test_empty_blocks_succeed(uploader: Uploader, photometry: Any) -> None:
    """No points are no error."""
    assert (
        uploader.add(uploader.transient("x", transientphotometry=photometry)).status_code == 200
    )


# Batches --------------------------------------------------------------------------------------

NEW = {"t1": 2, "t2": 2, "t3": 2, "t4": 2, "t5": 2}
ROWS_ONLY = dict.fromkeys(NEW, 0)
WITHOUT_T3 = {"t1": 0, "t2": 0, "t4": 0, "t5": 0}
HALF = {"t1": 2, "t2": 2, "t3": 1, "t4": 0, "t5": 0}
TWO = {"t1": 2, "t2": 2, "t3": 0, "t4": 0, "t5": 0}
OLD = dict.fromkeys(NEW, 1)
OLD_TWO = {"t1": 2, "t2": 2, "t3": 1, "t4": 1, "t5": 1}

BATCHES: list[Any] = [
    pytest.param({"name": ...}, 500, {}, 500, OLD, id="name missing"),
    pytest.param(5, 500, {}, 500, OLD, id="not a dict"),
    pytest.param({"status": ...}, 500, {}, 200, NEW, id="status missing"),
    pytest.param({"obs_group": ...}, 500, {}, 200, NEW, id="obs_group missing"),
    pytest.param({"ra": ...}, 500, WITHOUT_T3, 200, NEW, id="ra missing"),
    pytest.param({"ra": "10:00:00"}, 500, WITHOUT_T3, 200, NEW, id="ra garbage"),
    pytest.param({"zzz": 1}, 500, WITHOUT_T3, 200, NEW, id="unknown field"),
    pytest.param({"disc_date": "soon"}, 500, WITHOUT_T3, 200, NEW, id="bad disc_date"),
    pytest.param({"redshift": "abc"}, 500, {}, 200, NEW, id="bad redshift"),
    pytest.param({"status": "zzz"}, 200, NEW, 200, NEW, id="unknown status"),
    pytest.param({"obs_group": "zzz"}, 200, NEW, 200, NEW, id="unknown group"),
    pytest.param({"tags": ["zzz"]}, 500, ROWS_ONLY, 200, NEW, id="unknown tag"),
    pytest.param({"name": "n" * 65}, 500, {}, 500, OLD, id="name too long"),
    pytest.param({"name": "t3★"}, 500, WITHOUT_T3, 500, OLD, id="name not latin1"),
    pytest.param({"key": "other"}, 500, ROWS_ONLY, 200, NEW, id="key is not the name"),
    pytest.param({"point": {"obs_date": "x"}}, 500, HALF, 500, OLD_TWO, id="bad date"),
    pytest.param({"point": {"flux": ...}}, 500, HALF, 500, OLD_TWO, id="missing key"),
    pytest.param({"point": {"mag": "x"}}, 500, HALF, 500, OLD_TWO, id="bad mag"),
    pytest.param({"photdata": ...}, 500, TWO, 500, OLD_TWO, id="photdata missing"),
    pytest.param({"point": {"band": "zzz"}}, 200, NEW, 200, NEW, id="unknown band"),
    pytest.param({"instrument": "zzz"}, 200, NEW, 200, None, id="unknown instrument"),
    pytest.param({"dec": 95.0}, 200, NEW, 200, NEW, id="dec 95"),
]


def batch(uploader: Uploader, bad: Any) -> dict[str, Any]:
    """Return five transients with two points each, the third of them bad."""
    payload = {}
    for number in range(1, 6):
        name = f"t{number}"
        changes = dict(bad) if number == 3 and isinstance(bad, dict) else {}
        changes.setdefault("redshift", 0.3)
        key = changes.pop("key", name)
        second = uploader.point("2019-01-10T06:00:00", **changes.pop("point", {}))
        no_photdata = changes.pop("photdata", None) is ...
        posted = uploader.transient(
            name,
            uploader.point("2019-01-09T06:00:00"),
            second,
            **{"ra": 10.0 * number} | changes,
        )
        if no_photdata:
            del posted["transientphotometry"]["ZTF"]["photdata"]
        payload[key] = bad if number == 3 and not isinstance(bad, dict) else posted
    return payload


def points_by_name(server: YsePzStandIn) -> dict[str, int]:
    return {name: len(server.rows(name)) for name in server.transients()}


@pytest.mark.parametrize(("bad", "status", "stored", "old_status", "old_stored"), BATCHES)
def test_one_bad_transient_in_a_new_batch(
    uploader: Uploader,
    *,
    bad: Any,
    status: int,
    stored: dict[str, int],
    old_status: int,
    old_stored: dict[str, int] | None,
) -> None:
    """What of five new transients remains when the third is bad (trap 5)."""
    response = uploader.post("/add_transient/", json=batch(uploader, bad))

    assert response.status_code == status
    assert points_by_name(uploader.server) == stored


@pytest.mark.parametrize(("bad", "status", "stored", "old_status", "old_stored"), BATCHES)
def test_one_bad_transient_in_an_existing_batch(
    uploader: Uploader,
    *,
    bad: Any,
    status: int,
    stored: dict[str, int],
    old_status: int,
    old_stored: dict[str, int] | None,
) -> None:
    """What becomes of five existing ones, of whose two points one is new."""
    server = uploader.server
    for number in range(1, 6):
        server.add_transient(f"t{number}", 10.0 * number, 29.5106667)
        server.add_photometry(f"t{number}", [uploader.point("2019-01-09T06:00:00")])

    response = uploader.post("/add_transient/", json=batch(uploader, bad))

    assert response.status_code == old_status
    # Under another instrument both points are new.
    assert points_by_name(server) == (NEW | {"t3": 3} if old_stored is None else old_stored)


def test_a_bad_batch_has_updated_the_rows_before_it(uploader: Uploader) -> None:
    """Fields of existing transients are written first, before anything can fail."""
    for number in range(1, 6):
        uploader.server.add_transient(f"t{number}", 10.0 * number, 29.5106667)

    uploader.post("/add_transient/", json=batch(uploader, {"name": ...}))

    redshifts = [uploader.server.transient_row(f"t{n}")["redshift"] for n in range(1, 6)]
    assert redshifts == [0.3, 0.3, None, None, None]
