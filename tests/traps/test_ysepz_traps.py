"""The traps of YSE-PZ, by their numbers in the measured contract, each through the product.

``make guards`` removes each guard from a copy of the source and sees its test fail.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import PayloadError
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.sandbox.ysepz.errors import debug_page
from yse_ingest.sandbox.ysepz.session import NEW_POINT_S
from yse_ingest.schemas.payload import CreationSchema, checked
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from yse_ingest.sandbox.server import Reply, Request

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")
CREATION = {"status": "New", "obs_group": "ZTF"}
UPLOAD = "/add_transient_phot/"


def iso(days: float, seconds: float = 0.0) -> str:
    """Return a moment after the first alert as YSE-PZ takes it."""
    moment = datetime(2019, 1, 17, tzinfo=UTC) + timedelta(days=days, seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


def stored(days: float, seconds: float = 0.0, **values: Any) -> dict[str, Any]:
    """Return another program's row, so many days after the first alert."""
    row = {"obs_date": iso(days, seconds), "band": "g-ZTF", "mag": 18.3, "mag_err": 0.1}
    return row | values


def test_trap_01_an_unknown_band_never_reaches_ysepz(house: Any) -> None:
    """A band that YSE-PZ would store as Unknown, with success, is refused by name instead."""
    house.alert(0)
    target = Target("2019np", overrides={"band_map": {"g": "g-ZTFF", "r": "r-ZTF"}})

    result = house.push(target)

    assert result.error is not None
    assert "g-ZTFF" in str(result.error)
    assert house.writes() == []


def test_trap_02_a_second_name_at_one_place_is_never_created(house: Any) -> None:
    """Two names at one place end in a deleted light curve: the second one is not made."""
    house.alert(0)
    before = house.ysepz.transient_row("2019np")

    result = house.push(Target("2019zzz", ra=RA, dec=DEC + 0.3 / 3600, creation=CREATION))

    assert "another stands there: 2019np" in str(result.error)
    assert house.writes() == []
    assert house.ysepz.transient_row("2019np") == before


def test_trap_02_two_rows_of_one_name_are_never_written_to(house: Any) -> None:
    """An upload by that name would delete all rows but the first, with their photometry."""
    house.alert(0)
    house.ysepz.add_transient("2019np", RA, DEC + 1.0)

    result = house.push(NP)

    assert "2 transients have this name" in str(result.error)
    assert house.writes() == []


class SlowToInsert(YsePzStandIn):
    """A server that goes on with a request for 1.2 s after it has compared the points."""

    def charge(self, seconds: float) -> None:
        super().charge(seconds)
        if seconds == NEW_POINT_S:
            self.rest(0.03)


def test_trap_03_timeout_and_retry_store_no_point_twice(build: Any) -> None:
    """A request outlives its client: it is waited for and read back before anything is sent."""
    house = build(ysepz=SlowToInsert(), YSE_PZ_READ_TIMEOUT="0.5", YSE_PZ_REQUEST_LIMIT="1.5")
    for number in range(40):
        house.alert(number)
    service = house.service()
    service.enqueue(NP)

    states = house.cycle(service, "2019np")

    assert states[0] == "settling"
    dates = [row["obs_date"] for row in house.ysepz.rows("2019np")]
    assert len(dates) == len(set(dates)) == 40


def test_trap_04_a_big_light_curve_gets_only_its_new_points(house: Any) -> None:
    """Re-posting what stands costs the square of it, until a worker limit never lets it end."""
    for number in range(120):
        house.alert(number)
    house.ysepz.add_photometry("2019np", [stored(number) for number in range(120)])
    for number in range(9):
        house.alert(number + 0.5)

    result = house.push(NP)

    assert (result.state, result.sent) == ("verified", 9)
    assert len(house.posted()) == 9
    assert len(house.ysepz.rows("2019np")) == 129


class Poisoned(YsePzStandIn):
    """A server that fails on one point, and tells no more than an exception."""

    def handle(self, request: Request) -> Reply:
        if request.path == UPLOAD and b"2019-01-19T00:00:00" in request.body:
            return debug_page(request, "ValidationError", "value must be a float")
        return super().handle(request)


def test_trap_05_one_bad_point_stops_only_itself(build: Any) -> None:
    """The point at which YSE-PZ fails is found by halving; every other one is stored."""
    house = build(ysepz=Poisoned())
    for number in range(7):
        house.alert(number)
    house.mars.add_alert("ZTF20abc", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    house.ysepz.add_transient("2020abc", 10.0, 5.0)
    service = house.service()
    service.enqueue(NP)
    service.enqueue(Target("2020abc"))

    house.cycle(service, "2019np", "2020abc")

    dates = sorted(str(row["obs_date"])[:10] for row in house.ysepz.rows("2019np"))
    assert dates == [f"2019-01-{day}" for day in (17, 18, 20, 21, 22, 23)]
    assert len(house.ysepz.rows("2020abc")) == 1
    (refused,) = service.state.quarantine.list("2019np")
    assert "ValidationError" in refused["reason"]


def test_trap_06_an_update_leaves_every_column_as_it_is(house: Any) -> None:
    """Position, group, class, redshift and creator of the row stay as people left them."""
    house.alert(0)
    before = house.ysepz.transient_row("2019np")

    result = house.push(Target("2019np", ra=RA + 1e-5, dec=DEC))

    assert result.state == "verified"
    assert house.ysepz.transient_row("2019np") == before


def test_trap_07_an_unknown_name_is_refused_before_the_mail_is_tried(build: Any) -> None:
    """With its mail server down YSE-PZ fails on any unknown name: none is ever sent."""
    house = build(ysepz=YsePzStandIn(smtp="refused"))
    house.mars.add_alert("ZTF20abc", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)
    fields = {**CREATION, "tags": ("No such tag",)}

    result = house.push(Target("2020abc", ra=10.0, dec=5.0, creation=fields))

    assert "No such tag" in str(result.error)
    assert house.writes() == []


def test_trap_08_an_alias_leads_to_the_transient_it_names(house: Any) -> None:
    """A target under another name than YSE-PZ's gets its points where the light curve is."""
    house.alert(0)
    house.ysepz.add_alias("ZTF19aacgslb", "2019np")

    result = house.push(Target("ZTF19aacgslb", creation=CREATION))

    assert (result.transient, result.verified) == ("2019np", 1)
    assert house.ysepz.transients() == ["2019np"]


def test_trap_09_twins_of_one_exposure_are_one_point(house: Any) -> None:
    """YSE-PZ stores both of two equal points of one request: the lesser twin is not sent."""
    house.alert(0, rb=0.5, mag=18.0)
    house.alert(0, rb=0.9, mag=18.1)

    house.push(NP)

    assert [row["mag"] for row in house.ysepz.rows("2019np")] == [18.1]


def test_trap_09_a_visit_of_a_later_upload_is_kept(house: Any) -> None:
    """With the customary window of 0.01 d YSE-PZ would drop what was taken 39 s later."""
    house.alert(0)
    house.alert(0.5)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    house.alert(0.5 + 39 / 86400)

    house.cycle(service, "2019np")

    assert len(house.ysepz.rows("2019np")) == 3


def test_trap_10_two_rows_never_become_copies_and_keep_their_flags(house: Any) -> None:
    """Rows that another program stored behind our back are not overwritten by a new point."""
    house.alert(0)
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    house.ysepz.add_photometry(
        "2019np",
        [stored(2, 0.0, data_quality=["Bad"]), stored(2, 10.0, mag=18.7)],
    )
    before = house.ysepz.rows("2019np")
    house.alert(2 + 5 / 86400)

    house.cycle(service, "2019np")

    assert house.writes().count(UPLOAD) == 2
    assert house.ysepz.rows("2019np") == before


def test_trap_11_a_leap_second_does_not_stop_the_light_curve(house: Any) -> None:
    """A second of 60 ends YSE-PZ's request half-way: it is written as the second before."""
    leap_jd = 2457754.5 - 0.4 / 86401
    house.mars.add_alert("ZTF19aacgslb", leap_jd, "g", 18.0, 0.05, RA, DEC, candid=7)
    house.alert(0)

    result = house.push(NP)

    assert (result.state, result.verified) == ("verified", 2)
    first = min(str(row["obs_date"]) for row in house.ysepz.rows("2019np"))
    assert first.startswith("2016-12-31T23:59:59.6")


def test_trap_12_public_points_are_never_hidden_by_groups(house: Any) -> None:
    """Groups on a header hide everybody's points in it: refused where public ones stand."""
    house.alert(0)
    house.ysepz.add_photometry("2019np", [stored(-1)])

    result = house.push(Target("2019np", overrides={"groups": ("YSE",)}))

    assert "would hide 1 public points" in str(result.error)
    assert house.writes() == []


def test_trap_13_a_truncated_read_back_is_still_recognised(house: Any) -> None:
    """YSE-PZ shows milliseconds cut off: a row 1.5 ms earlier reads back as 2 ms earlier."""
    gap_d = 5 / 86_400_000
    house.alert(0)
    house.alert(gap_d)
    house.ysepz.add_photometry("2019np", [stored(0, -0.0015)])

    result = house.push(NP)

    assert (result.adopted, result.sent) == (1, 1)
    assert len(house.ysepz.rows("2019np")) == 2


class Unfiltered(YsePzStandIn):
    """A server whose lists ignore every filter, as newer versions do, without a word."""

    def handle(self, request: Request) -> Reply:
        paging = [pair for pair in request.query if pair[0] in {"limit", "offset"}]
        return super().handle(dataclasses.replace(request, query=paging))


def test_trap_14_a_filter_that_is_ignored_is_no_hit(build: Any) -> None:
    """The first row of a whole table is not the transient that was asked for."""
    house = build(ysepz=Unfiltered())
    house.mars.add_alert("ZTF20abc", 2458900.5, "g", 18.0, 0.1, RA, DEC)

    result = house.push(Target("2020abc", object_id="ZTF20abc"))

    assert "no transient of this name" in str(result.error)
    assert house.writes() == []


def test_trap_15_a_page_of_settings_is_cut_to_its_exception(house: Any) -> None:
    """Of 200 kB with the server's settings a receipt keeps the exception, shortened."""
    house.alert(0)
    page = (
        "<title>KeyError at /add_transient_phot/</title>"
        f'<pre class="exception_value">{"x" * 5000}</pre>'
        f"<table>DATABASE_PASSWORD = hush {'y' * 200_000}</table>"
    )
    house.ysepz.faults.add(Fault("status", path=UPLOAD, status=500, body=page))

    result = house.push(NP)

    told = str(result.error) + "".join(result.answers)
    assert "KeyError" in told
    assert "hush" not in told
    assert len(told) < 1500


def test_trap_15_a_200_that_refuses_is_a_refusal(house: Any) -> None:
    """Exactly ``success`` accepts: any other message of a 200 says that nothing was written."""
    house.alert(0)
    body = '{"message": "status Following is not in DB"}'
    house.ysepz.faults.add(Fault("status", path=UPLOAD, status=200, body=body))

    result = house.push(NP)

    assert "status Following is not in DB" in str(result.error)


def test_trap_16_addresses_end_in_a_slash(house: Any) -> None:
    """A POST to an address without one is a crash there."""
    house.alert(0)

    result = house.push(NP)

    assert result.state == "verified"
    assert all(path.endswith("/") for path in house.writes())


def test_trap_16_what_is_too_large_is_halved(house: Any) -> None:
    """The web server's 413 wrote nothing: halves of the request arrive."""
    for number in range(4):
        house.alert(number)
    house.ysepz.faults.add(Fault("status", path=UPLOAD, status=413, times=1))

    result = house.push(NP)

    assert (result.state, result.verified) == ("verified", 4)
    assert house.writes().count(UPLOAD) == 3


def test_trap_17_points_go_under_the_primary_name(house: Any) -> None:
    """Under an alias ``/add_transient_phot/`` would make a new transient, or fail."""
    house.alert(0)
    house.ysepz.add_alias("ZTF19aacgslb", "2019np")

    result = house.push(Target("ZTF19aacgslb", ra=RA, dec=DEC))

    assert (result.state, result.verified) == ("verified", 1)
    assert house.ysepz.transients() == ["2019np"]


def test_trap_18_the_key_of_a_new_transient_is_its_name(house: Any) -> None:
    """Another key leaves a new transient without points: what is sent has its name as key."""
    house.mars.add_alert("ZTF20abc", 2458900.5, "g", 18.0, 0.1, 10.0, 5.0)

    result = house.push(Target("SN 2020abc", ra=10.0, dec=5.0, creation=CREATION))

    assert (result.state, result.created, result.verified) == ("verified", True, 1)
    row = {"name": "2020abc", "ra": 10.0, "dec": 5.0, **CREATION}
    with pytest.raises(PayloadError, match="is not its key"):
        checked(CreationSchema(), {"noupdatestatus": True, "SN 2020abc": row})
