"""The stand-in MARS answers as the real server was measured to answer, its traps included."""

from __future__ import annotations

import gzip
import http.client
import json
import math
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.mars import MarsStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2020, 3, 1, tzinfo=UTC)
LONG_CONE = "150,20,0.0014"
FIRST_JD = 2458500.7500463
ERROR_500 = (
    '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n'
    "<title>500 Internal Server Error</title>\n"
    "<h1>Internal Server Error</h1>\n"
    "<p>The server encountered an internal error and was unable to complete your request. "
    "Either the server is overloaded or there is an error in the application.</p>\n"
)


@pytest.fixture
def mars() -> Iterator[MarsStandIn]:
    with MarsStandIn(clock=lambda: NOW) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def sky() -> Iterator[MarsStandIn]:
    """250 alerts of one object, and two alerts elsewhere; nobody adds to it."""
    with MarsStandIn(clock=lambda: NOW) as stand_in:
        for number in range(250):
            stand_in.add_alert(
                "ZTF19aalongg",
                round(FIRST_JD + 0.9951389 * number, 7),
                "gri"[number % 3],
                round(15 + 0.02 * number, 4),
                0.05,
                150.0,
                20.0,
                rb=None if number == 7 else 0.5 + 0.001 * number,
                drb=0.99 if number >= 200 else None,
            )
        stand_in.add_alert("ZTF18aaaother", 2458400.8, "r", 19.0, 0.1, 10.0, -5.0)
        stand_in.add_alert("ZTF18aaaother", 2458401.8, "g", 19.1, 0.1, 10.0, -5.0)
        yield stand_in


def get(stand_in: MarsStandIn, **parameters: Any) -> requests.Response:
    return requests.get(stand_in.url, {"format": "json", **parameters}, timeout=10)


def rows(stand_in: MarsStandIn, **parameters: object) -> list[dict[str, Any]]:
    reply = get(stand_in, **parameters)
    assert reply.status_code == 200, reply.text
    results: list[dict[str, Any]] = reply.json()["results"]
    return results


def post(stand_in: MarsStandIn, *queries: dict[str, object]) -> requests.Response:
    return requests.post(stand_in.url, json={"queries": queries}, timeout=30)


def candids(alerts: list[dict[str, Any]]) -> list[int]:
    return [alert["candid"] for alert in alerts]


def sky_candid(stand_in: MarsStandIn, index: int) -> int:
    return candids(rows(stand_in, sort_value="id", sort_order="asc"))[index]


# Negotiation and form (1.1, 1.2) --------------------------------------------------------------


def test_json_form(sky: MarsStandIn) -> None:
    """JSON comes sorted, without spaces, with one newline at the end and a Content-Length."""
    reply = get(sky, candid=sky_candid(sky, 0))
    assert reply.headers["Content-Type"] == "application/json"
    assert int(reply.headers["Content-Length"]) == len(reply.content)
    again = json.dumps(reply.json(), sort_keys=True, separators=(",", ":")) + "\n"
    assert reply.text == again


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/coreapi+json, application/vnd.coreapi+json, */*",
        "text/html,application/json",
        "text/html",
        "",
    ],
)
def test_html_unless_json_is_asked_for(sky: MarsStandIn, accept: str) -> None:
    """Trap 13: without ``format=json`` an ordinary client gets a page of HTML and a 200."""
    reply = requests.get(sky.url, {"cone": LONG_CONE}, headers={"Accept": accept}, timeout=10)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json, text/html;q=0.9", "application/*"]
)
def test_json_by_accept_header(sky: MarsStandIn, accept: str) -> None:
    """An Accept header that ranks JSON strictly above HTML is enough."""
    reply = requests.get(sky.url, headers={"Accept": accept}, timeout=10)
    assert reply.headers["Content-Type"] == "application/json"


def test_format_is_case_sensitive(sky: MarsStandIn) -> None:
    """``format=JSON`` is not ``format=json``."""
    reply = requests.get(sky.url, {"format": "JSON"}, timeout=10)
    assert reply.headers["Content-Type"].startswith("text/html")


def test_no_gzip_and_no_validators(sky: MarsStandIn) -> None:
    """Nothing is compressed, and nothing can be asked for conditionally."""
    reply = get(sky, cone=LONG_CONE)
    assert not {"Content-Encoding", "ETag", "Last-Modified", "Cache-Control"} & set(
        reply.headers
    )


def test_connection_is_kept(sky: MarsStandIn) -> None:
    """One connection serves several requests."""
    connection = http.client.HTTPConnection("127.0.0.1", sky.port, timeout=10)
    addresses = set()
    for _ in range(3):
        connection.request("GET", "/?format=json&cone=1,1,0")
        addresses.add(connection.sock.getsockname())
        assert connection.getresponse().read().startswith(b"{")
    connection.close()
    assert len(addresses) == 1


def test_other_methods_and_paths(sky: MarsStandIn) -> None:
    """PUT is a 405, OPTIONS names the methods, HEAD runs no query, other paths are 404."""
    assert requests.put(sky.url, timeout=10).status_code == 405
    assert requests.options(sky.url, timeout=10).headers["Allow"] == "HEAD, GET, POST, OPTIONS"
    head = requests.head(sky.url, params={"format": "json"}, timeout=10)
    assert (head.status_code, head.headers["Content-Length"]) == (200, "3")
    assert requests.get(f"{sky.url}/abc/", timeout=10).status_code == 404


# Pages (1.3) ----------------------------------------------------------------------------------


def test_page_size_is_fixed(sky: MarsStandIn) -> None:
    """A page has 100 rows whatever is asked for."""
    for name in ("per_page", "limit", "page_size"):
        assert len(rows(sky, **{"cone": LONG_CONE, name: 7})) == 100


def test_has_next_is_always_false(sky: MarsStandIn) -> None:
    """Trap 1: page 1 of 3 says that there is no next page."""
    pages = [get(sky, cone=LONG_CONE, page=page).json() for page in (1, 2, 3)]
    assert [page["has_next"] for page in pages] == [False, False, False]
    assert [page["has_prev"] for page in pages] == [False, True, True]
    assert [len(page["results"]) for page in pages] == [100, 100, 50]
    assert set(pages[0]) == {"has_next", "has_prev", "results"}


def test_a_reader_of_page_1_loses_the_oldest(sky: MarsStandIn) -> None:
    """Trap 1: the default order is newest first, so page 1 lacks the rise of the supernova."""
    jds = [row["candidate"]["jd"] for row in rows(sky, cone=LONG_CONE)]
    assert jds == sorted(jds, reverse=True)
    assert min(jds) > FIRST_JD + 100


def test_past_the_end_is_404(sky: MarsStandIn) -> None:
    """Past the end comes a 404 with the 232-byte page."""
    reply = get(sky, cone=LONG_CONE, page=4)
    assert reply.status_code == 404
    assert reply.headers["Content-Type"].startswith("text/html")
    assert len(reply.content) == 232


@pytest.mark.parametrize("page", ["0", "-1"])
def test_page_below_1_is_404(sky: MarsStandIn, page: str) -> None:
    """Page 0 and negative pages are 404."""
    assert get(sky, cone=LONG_CONE, page=page).status_code == 404


def test_empty_result_is_200(sky: MarsStandIn) -> None:
    """Nothing found is a 200 of 49 bytes on page 1."""
    reply = get(sky, cone="33,33,0.0014")
    assert reply.status_code == 200
    assert reply.content == b'{"has_next":false,"has_prev":false,"results":[]}\n'


def test_exact_multiple_of_the_page(mars: MarsStandIn) -> None:
    """200 rows: page 2 is full and page 3 is a 404."""
    for number in range(200):
        mars.add_alert("ZTF19aa", FIRST_JD + number, "g", 18.0, 0.1, 1.0, 1.0)
    assert len(rows(mars, cone="1,1,0.001", page=2)) == 100
    assert get(mars, cone="1,1,0.001", page=3).status_code == 404


@pytest.mark.parametrize("page", ["abc", "", "1.5", "1e9"])
def test_unreadable_page_is_page_1(sky: MarsStandIn, page: str) -> None:
    """What is no integer is silently page 1."""
    assert rows(sky, cone=LONG_CONE, page=page) != []
    assert candids(rows(sky, cone=LONG_CONE, page=page)) == candids(rows(sky, cone=LONG_CONE))


def test_monstrous_page_is_500(sky: MarsStandIn) -> None:
    """A page whose offset is no 64-bit integer fails."""
    assert get(sky, page="99999999999999999999").status_code == 500


def test_first_of_repeated_keys_counts(sky: MarsStandIn) -> None:
    """Of a repeated key the first one counts."""
    first = get(sky, cone=["10,-5,0.001", LONG_CONE]).json()["results"]
    assert {row["objectId"] for row in first} == {"ZTF18aaaother"}
    assert get(sky, cone=LONG_CONE, page=["2", "1"]).json()["has_prev"] is True


@pytest.mark.parametrize(
    "parameters",
    [
        {"cone": ""},
        {"CONE": "10,-5,0.001"},
        {"cone[]": "10,-5,0.001"},
        {"position": "10,-5"},
        {"objectid": "ZTF18aaaother"},
        {"jd": "2458400.8"},
        {"jd__gte": "2458700"},
        {"fid": "1"},
        {"rb__gt": "0.99"},
        {"magpsf__lt": "1"},
        {"drb__lte": "0"},
    ],
)
def test_what_is_not_understood_is_no_filter(
    sky: MarsStandIn, parameters: dict[str, str]
) -> None:
    """Trap 4: an empty or unknown key gives the newest 100 alerts of the whole sky."""
    assert candids(rows(sky, **parameters)) == candids(rows(sky))


# Filters (1.4) --------------------------------------------------------------------------------


def test_cone_is_a_great_circle_edge_included(mars: MarsStandIn) -> None:
    """A row at 5.01" is inside 0.0014 deg, one at 5.06" is not; RA shrinks with Dec."""
    for arcsec, object_id in ((5.01, "inside"), (5.06, "outside")):
        offset = arcsec / 3600 / math.cos(math.radians(60))
        mars.add_alert(object_id, FIRST_JD + arcsec, "g", 18.0, 0.1, 40.0 + offset, 60.0)
    assert [row["objectId"] for row in rows(mars, cone="40,60,0.0014")] == ["inside"]


@pytest.mark.parametrize("cone", [" 10 , -5 , 1.4e-3 ", "10,-5,1.4e-3", "10.0,-05.0,.0014"])
def test_cone_spellings(sky: MarsStandIn, cone: str) -> None:
    """Spaces and exponents are understood."""
    assert len(rows(sky, cone=cone)) == 2


@pytest.mark.parametrize("ra", [0, 360, 359.9999, -0.0001])
def test_cone_wraps_at_ra_0(mars: MarsStandIn, ra: float) -> None:
    """A cone at RA 0 finds both sides."""
    mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 0.0002, 3.0)
    mars.add_alert("ZTF19aa", FIRST_JD + 1, "g", 18.0, 0.1, 359.9998, 3.0)
    assert len(rows(mars, cone=f"{ra},3,0.0014")) == 2


@pytest.mark.parametrize("ra", [-202.6585, 517.3415])
def test_ra_is_folded(mars: MarsStandIn, ra: float) -> None:
    """An RA beyond a turn means the same place."""
    mars.add_alert("ZTF19aacgslb", FIRST_JD, "g", 18.0, 0.1, 157.3415, 29.5106667)
    assert len(rows(mars, cone=f"{ra},29.5106667,0.0014")) == 1


def test_dec_is_folded_over_the_pole(mars: MarsStandIn) -> None:
    """Dec 91 is Dec 89 on the other side, and at the pole any RA is right."""
    mars.add_alert("ZTF19aapole", FIRST_JD, "g", 18.0, 0.1, 200.0, 89.0)
    mars.add_alert("ZTF19bbpole", FIRST_JD + 1, "g", 18.0, 0.1, 5.0, 90.0)
    assert [row["objectId"] for row in rows(mars, cone="20,91,0.001")] == ["ZTF19aapole"]
    assert [row["objectId"] for row in rows(mars, cone="77,90,0.001")] == ["ZTF19bbpole"]


@pytest.mark.parametrize("cone", ["nan,20,1", "150,nan,1", "150,20,nan", "150,20,-1"])
def test_nan_cone_finds_nothing(sky: MarsStandIn, cone: str) -> None:
    """A NaN or a negative radius is a 200 without rows."""
    assert rows(sky, cone=cone) == []


def test_radius_0_and_radius_180(sky: MarsStandIn) -> None:
    """Radius 0 finds what is exactly there, and half a turn finds everything."""
    assert len(rows(sky, cone="10,-5,0")) == 2
    for radius in ("180", "1000", "inf"):
        assert candids(rows(sky, cone=f"10,-5,{radius}")) == candids(rows(sky))


@pytest.mark.parametrize(
    "cone",
    [
        "abc",
        "150,20",
        "150,20,0.1,1",
        "a,b,c",
        "150,20,",
        "10:00:00,20:00:00,1",
        "150;20;1",
        "150,+20,1",
        "150,20,1'",
    ],
)
def test_unreadable_cone_is_500(sky: MarsStandIn, cone: str) -> None:
    """A cone that cannot be read is a 500, an explicit plus sign included."""
    assert get(sky, cone=cone).status_code == 500


def test_objectcone_needs_the_network(sky: MarsStandIn) -> None:
    """``objectcone`` fails where the name service cannot be reached."""
    assert get(sky, objectcone="m51,0.1").status_code == 500


def test_error_page_says_nothing(sky: MarsStandIn) -> None:
    """Trap 10: the 500 is 290 bytes of HTML, the same for every cause."""
    bodies = {
        get(sky, **bad).text
        for bad in ({"cone": "abc"}, {"filter": "G"}, {"sort_value": "ra"}, {"candid": "x"})
    }
    assert bodies == {ERROR_500}
    assert len(ERROR_500) == 290


def test_jd_bounds_are_strict(sky: MarsStandIn) -> None:
    """``jd__gt=<latest>`` finds nothing, a nanoday less finds one row."""
    latest = rows(sky)[0]["candidate"]["jd"]
    assert rows(sky, jd__gt=repr(latest)) == []
    assert len(rows(sky, jd__gt=repr(latest - 1e-9))) == 1
    assert rows(sky, cone=LONG_CONE, jd__lt=repr(FIRST_JD)) == []
    assert len(rows(sky, cone=LONG_CONE, jd__lt=repr(FIRST_JD + 1e-9))) == 1


def test_late_alerts_hide_behind_jd_gt(mars: MarsStandIn) -> None:
    """Trap 3: ``jd__gt`` is observation time, so an older alert that comes later hides."""
    mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0)
    late = mars.add_alert("ZTF19aa", FIRST_JD - 1, "g", 18.0, 0.1, 1.0, 1.0)
    assert rows(mars, cone="1,1,0.001", jd__gt=repr(FIRST_JD)) == []
    assert rows(mars, sort_value="id", sort_order="desc")[0]["lco_id"] == late


def test_time_bounds(sky: MarsStandIn) -> None:
    """``time__gt`` and ``time__lt`` are strict, in UTC, as a date or a date and time."""
    assert len(rows(sky, objectId="ZTF18aaaother", time__gt="2018-10-10")) == 1
    assert len(rows(sky, objectId="ZTF18aaaother", time__gt="2018-10-09T07:11:59.9Z")) == 2
    assert len(rows(sky, objectId="ZTF18aaaother", time__lt="2018-10-09T07:12:00.1")) == 1


@pytest.mark.parametrize(
    "time", ["2018-10-09 07:12:00", "2458400.8", "2018-13-01", "yesterday", "2018-10"]
)
def test_unreadable_time_is_500(sky: MarsStandIn, time: str) -> None:
    """A blank instead of the T, a JD and a thirteenth month fail."""
    assert get(sky, time__gt=time).status_code == 500


def test_time_since(mars: MarsStandIn) -> None:
    """``time__since`` counts whole seconds back from now; a negative one finds nothing."""
    mars.add_alert("ZTF20old", 2458907.5, "g", 18.0, 0.1, 1.0, 1.0)
    mars.add_alert("ZTF20new", 2458909.0, "g", 18.0, 0.1, 1.0, 1.0)
    assert [row["objectId"] for row in rows(mars, time__since="86400")] == ["ZTF20new"]
    assert rows(mars, time__since="-86400") == []
    for bad in ("86400.5", "abc", "1e14", "100000000000000"):
        assert get(mars, time__since=bad).status_code == 500


def test_filter_is_one_letter(sky: MarsStandIn) -> None:
    """``filter`` is exactly g, r or i; anything else is a 500."""
    for letter in "gri":
        found = rows(sky, filter=letter)
        assert {row["candidate"]["filter"] for row in found} == {letter}
    for bad in ("G", "1", "zg", "g,r", "z"):
        assert get(sky, filter=bad).status_code == 500


def test_magnitude_bounds_are_inclusive(sky: MarsStandIn) -> None:
    """``magpsf__lte`` and ``magpsf__gte`` include their bound."""
    found = rows(sky, objectId="ZTF19aalongg", magpsf__gte="15.02", magpsf__lte="15.06")
    assert sorted(row["candidate"]["magpsf"] for row in found) == [15.02, 15.04, 15.06]
    assert len(rows(sky, sigmapsf__lte="0.04")) == 0
    assert get(sky, magpsf__lte="bright").status_code == 500


def test_drb_filter_drops_nulls(sky: MarsStandIn) -> None:
    """Trap 9: ``drb__gte=0`` keeps only the rows that have a drb; ``rb__gte`` likewise."""
    found = rows(sky, objectId="ZTF19aalongg", drb__gte="0")
    assert len(found) == 50
    early = rows(sky, objectId="ZTF19aalongg", rb__gte="0", jd__lt=repr(FIRST_JD + 10))
    assert len(early) == 10  # eleven rows, one of them without rb


def test_nbad_is_an_integer(sky: MarsStandIn) -> None:
    """``nbad__lte`` takes integers only."""
    assert len(rows(sky, nbad__lte="4")) == 100
    assert get(sky, nbad__lte="0.5").status_code == 500


def test_object_id_is_exact(sky: MarsStandIn) -> None:
    """``objectId`` is one exact, case-sensitive name."""
    assert len(rows(sky, objectId="ZTF18aaaother")) == 2
    assert rows(sky, objectId="ztf18aaaother") == []
    assert rows(sky, objectId="ZTF18aaaother,ZTF19aalongg") == []


def test_candid_is_exact(sky: MarsStandIn) -> None:
    """``candid`` is one 64-bit integer; anything else is a 500."""
    candid = sky_candid(sky, 3)
    assert candids(rows(sky, candid=candid)) == [candid]
    for bad in ("abc", "1.5", str(2**63 + 1)):
        assert get(sky, candid=bad).status_code == 500


def test_objectidps_is_any_of_three(mars: MarsStandIn) -> None:
    """``objectidps`` looks at all three PS1 neighbours."""
    mars.add_alert(
        "ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0, objectidps3=151212016220633526
    )
    assert len(rows(mars, objectidps="151212016220633526")) == 1
    assert rows(mars, objectidps="151212016220633527") == []


def test_ra_box_is_cut_at_180(mars: MarsStandIn) -> None:
    """A box across RA 180 finds nothing, one across RA 0 works."""
    for number, ra in enumerate((179.95, 180.05, 359.95, 0.1)):
        mars.add_alert("ZTF19aa", FIRST_JD + number, "g", 18.0, 0.1, ra, 1.0)
    assert rows(mars, ra__gt="179.9", ra__lt="180.1") == []
    assert len(rows(mars, ra__gt="359.9", ra__lt="0.2")) == 2
    assert len(rows(mars, ra__gt="179.9", ra__lt="180", dec__gt="0.5", dec__lt="1.5")) == 1


def test_galactic_box(mars: MarsStandIn) -> None:
    """``l`` and ``b`` are galactic coordinates in degrees."""
    mars.add_alert("ZTF20aajcdad", FIRST_JD, "r", 17.5, 0.05, 201.6235627, 36.0086524)
    (row,) = rows(mars, l__gt="85.09", l__lt="85.10", b__gt="78.40", b__lt="78.41")
    assert row["candidate"]["l"] == pytest.approx(85.0937876, abs=1e-5)
    assert row["candidate"]["b"] == pytest.approx(78.4089977, abs=1e-5)


def test_filters_are_anded(sky: MarsStandIn) -> None:
    """All filters hold together."""
    found = rows(sky, cone=LONG_CONE, filter="g", magpsf__lte="15.1", jd__gt=repr(FIRST_JD))
    assert [row["candidate"]["magpsf"] for row in found] == [15.06]


# Order (1.4) ----------------------------------------------------------------------------------


def test_sort_by_id_is_the_order_of_insertion(mars: MarsStandIn) -> None:
    """``sort_value=id`` is the order of ingestion, whatever the JD."""
    for jd in (2458900.5, 2458800.5, 2458850.5):
        mars.add_alert("ZTF19aa", jd, "g", 18.0, 0.1, 1.0, 1.0)
    found = rows(mars, sort_value="id", sort_order="asc")
    assert [row["lco_id"] for row in found] == [1, 2, 3]
    assert [row["candidate"]["jd"] for row in found] == [2458900.5, 2458800.5, 2458850.5]


def test_sort_by_any_column(sky: MarsStandIn) -> None:
    """Any column sorts, descending unless asked otherwise."""
    mags = [
        row["candidate"]["magpsf"] for row in rows(sky, cone=LONG_CONE, sort_value="magpsf")
    ]
    assert mags == sorted(mags, reverse=True)


@pytest.mark.parametrize("value", ["ra", "wall_time", "", "nonsense", "lco_id", "filter"])
def test_sort_by_what_is_no_column_is_500(sky: MarsStandIn, value: str) -> None:
    """RA and wall_time are no columns; an empty or unknown name fails too."""
    assert get(sky, sort_value=value).status_code == 500


@pytest.mark.parametrize("order", ["DESC", "ASC", "", "newest"])
def test_unknown_sort_order_is_unsorted(mars: MarsStandIn, order: str) -> None:
    """Trap 11: anything but ``asc`` and ``desc`` means no order at all."""
    for jd in (2458900.5, 2458800.5, 2458950.5):
        mars.add_alert("ZTF19aa", jd, "g", 18.0, 0.1, 1.0, 1.0)
    jds = [row["candidate"]["jd"] for row in rows(mars, sort_order=order)]
    assert jds == [2458900.5, 2458800.5, 2458950.5]


def test_nulls_come_first_on_desc(mars: MarsStandIn) -> None:
    """Nulls lead a descending order and end an ascending one."""
    for number, drb in enumerate((0.2, None, 0.9)):
        mars.add_alert("ZTF19aa", FIRST_JD + number, "g", 18.0, 0.1, 1.0, 1.0, drb=drb)
    descending = [row["candidate"]["drb"] for row in rows(mars, sort_value="drb")]
    ascending = rows(mars, sort_value="drb", sort_order="asc")
    assert descending == [None, 0.9, 0.2]
    assert [row["candidate"]["drb"] for row in ascending] == [0.2, 0.9, None]


def test_offset_paging_drifts(mars: MarsStandIn) -> None:
    """Trap 2: an alert that arrives between two pages repeats a row of the jd order."""
    for number in range(150):
        mars.add_alert("ZTF19aa", FIRST_JD + number, "g", 18.0, 0.1, 1.0, 1.0)
    first = candids(rows(mars, cone="1,1,0.001"))
    mars.add_alert("ZTF19aa", FIRST_JD + 200, "g", 18.0, 0.1, 1.0, 1.0)
    second = candids(rows(mars, cone="1,1,0.001", page=2))
    assert len(set(first) & set(second)) == 1


def test_paging_by_id_does_not_drift(mars: MarsStandIn) -> None:
    """Trap 2: in the order of ingestion new rows come at the end, whatever their JD."""
    for number in range(150):
        mars.add_alert("ZTF19aa", FIRST_JD + number, "g", 18.0, 0.1, 1.0, 1.0)
    order = {"cone": "1,1,0.001", "sort_value": "id", "sort_order": "asc"}
    first = candids(rows(mars, **order))
    mars.add_alert("ZTF19aa", FIRST_JD - 5, "g", 18.0, 0.1, 1.0, 1.0)
    second = candids(rows(mars, **order, page=2))
    assert len(second) == 51
    assert len(set(first) | set(second)) == 151


def test_ties_lose_rows_between_pages(mars: MarsStandIn) -> None:
    """Trap 2: without a tie-breaker equal values change places from page to page."""
    for number in range(250):
        mars.add_alert("ZTF19aa", FIRST_JD + number, "g", 18.0 + number % 2, 0.1, 1.0, 1.0)
    seen = Counter[int]()
    for page in (1, 2, 3):
        seen.update(candids(rows(mars, cone="1,1,0.001", sort_value="magpsf", page=page)))
    assert sum(seen.values()) == 250
    assert len(seen) < 250


# POST (1.5) -----------------------------------------------------------------------------------


def test_post_answers_each_query(sky: MarsStandIn) -> None:
    """Answers come in the order of the queries, with the whole query as an echo."""
    queries = [
        {"cone": "10,-5,0.001", "id": 7, "name": "other", "nested": {"a": [1, None]}},
        {"cone": "33,33,0.001", "id": 8},
    ]
    reply = post(sky, *queries)
    assert reply.headers["Content-Type"] == "application/json"
    content = reply.json()
    assert set(content) == {"results", "total"}
    assert content["total"] == 2
    assert [one["query"] for one in content["results"]] == queries
    assert [one["num_alerts"] for one in content["results"]] == [2, 0]
    assert [len(one["results"]) for one in content["results"]] == [2, 0]


def test_post_is_not_paged(sky: MarsStandIn) -> None:
    """All 250 rows come in one list, newest first, and ``page`` is ignored."""
    (answer,) = post(sky, {"cone": LONG_CONE, "page": "2"}).json()["results"]
    jds = [row["candidate"]["jd"] for row in answer["results"]]
    assert len(jds) == 250
    assert jds == sorted(jds, reverse=True)


def test_post_ignores_the_url(sky: MarsStandIn) -> None:
    """Arguments of the URL do not count, and it is always JSON."""
    reply = requests.post(
        f"{sky.url}/?cone={LONG_CONE}&page=9&format=html",
        json={"queries": [{"cone": "10,-5,0.001"}]},
        headers={"Accept": "text/html"},
        timeout=10,
    )
    assert reply.json()["total"] == 2


def test_post_zero_is_no_filter(sky: MarsStandIn) -> None:
    """Trap 16: the number 0 switches a filter off, the text "0" does not."""
    query = {"cone": "10,-5,0.001"}
    assert post(sky, {**query, "jd__lt": 0}).json()["total"] == 2
    assert post(sky, {**query, "jd__lt": None}).json()["total"] == 2
    assert post(sky, {**query, "jd__lt": "0"}).json()["total"] == 0


def test_post_takes_numbers_except_for_the_cone(sky: MarsStandIn) -> None:
    """Values may be numbers; a cone that is no text fails."""
    assert post(sky, {"objectId": "ZTF18aaaother", "jd__gt": 2458401.5}).json()["total"] == 1
    assert post(sky, {"cone": [10, -5, 0.001]}).status_code == 500


def test_post_is_all_or_nothing(sky: MarsStandIn) -> None:
    """One bad query among good ones is a 500 for all."""
    assert post(sky, {"cone": "10,-5,0.001"}, {"cone": "abc"}).status_code == 500


def test_post_of_no_queries(sky: MarsStandIn) -> None:
    """An empty list is a 200."""
    assert post(sky).text == '{"results":[],"total":0}\n'


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", None]
)
def test_post_without_json_header_is_500(sky: MarsStandIn, content_type: str | None) -> None:
    """Trap 17: any other Content-Type, or none, is a 500."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    reply = requests.post(sky.url, data=b'{"queries":[]}', headers=headers, timeout=10)
    assert reply.status_code == 500


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/vnd.api+json"]
)
def test_post_json_headers(sky: MarsStandIn, content_type: str) -> None:
    """A charset and any ``application/*+json`` will do."""
    headers = {"Content-Type": content_type}
    reply = requests.post(sky.url, data=b'{"queries":[]}', headers=headers, timeout=10)
    assert reply.status_code == 200


@pytest.mark.parametrize("body", [b"{", b"", gzip.compress(b'{"queries":[]}', mtime=0)])
def test_post_of_malformed_json_is_400(sky: MarsStandIn, body: bytes) -> None:
    """Malformed JSON, gzip included, is a 400 in HTML."""
    headers = {"Content-Type": "application/json"}
    reply = requests.post(sky.url, data=body, headers=headers, timeout=10)
    assert reply.status_code == 400
    assert reply.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "body", [{}, {"queries": None}, [], {"queries": {}}, {"queries": ["a"]}]
)
def test_post_of_another_shape_is_500(sky: MarsStandIn, body: object) -> None:
    """JSON of another shape is a 500."""
    assert requests.post(sky.url, json=body, timeout=10).status_code == 500


# The alert (1.6) ------------------------------------------------------------------------------


def golden_types() -> dict[str, set[type]]:
    """Return for every candidate key the JSON types that the real service was seen to print."""
    golden = json.loads(Path(__file__).with_name("mars_alert_types.json").read_text())
    python: dict[str, type] = {"int": int, "float": float, "str": str}
    return {
        key: {python[name]} | (set() if key in golden["never_null"] else {type(None)})
        for name, keys in golden["candidate"].items()
        for key in keys
    }


def test_candidate_has_the_keys_and_types_of_the_real_alert(mars: MarsStandIn) -> None:
    """The 109 candidate keys are the real ones, each with a type that the real one has."""
    mars.add_alert("ZTF19aa", FIRST_JD, "g", 18, 0.1, 1, 1)
    mars.add_alert("ZTF20aa", 2458900.5, "r", 18.5, 0.1, 1.0, 1.0, drb=0.99)
    types = golden_types()
    assert len(types) == 109
    for row in rows(mars):
        assert set(row["candidate"]) == set(types)
        wrong = {k: v for k, v in row["candidate"].items() if type(v) not in types[k]}
        assert wrong == {}


def test_alert_has_six_keys(sky: MarsStandIn) -> None:
    """Around the candidate stand the ids, the publisher and the packet's address."""
    row = rows(sky)[0]
    assert set(row) == {"avro", "candid", "candidate", "lco_id", "objectId", "publisher"}
    assert row["candid"] == row["candidate"]["candid"]
    assert row["publisher"] == "ZTF (www.ztf.caltech.edu)"
    assert f"/{row['candid']}.avro?X-Amz-" in row["avro"]


def test_packet_address_is_signed_anew(sky: MarsStandIn) -> None:
    """Two equal questions have answers that differ in the signature of the packet."""
    first, second = (rows(sky, objectId="ZTF18aaaother")[0] for _ in range(2))
    assert first.pop("avro") != second.pop("avro")
    assert first == second


def test_ids_exceed_doubles(mars: MarsStandIn) -> None:
    """Trap 18: a candid beyond 2**53 is printed to the last digit."""
    candid = 1127561445515015011
    mars.add_alert("ZTF20aa", 2458900.5, "g", 18.0, 0.1, 1.0, 1.0, candid=candid)
    assert rows(mars, candid=candid)[0]["candid"] == candid
    assert rows(mars)[0]["candidate"]["pid"] == 1127561445515


def test_floats_have_15_digits(mars: MarsStandIn) -> None:
    """Floats are printed with 15 digits, yet compared with all they have."""
    jd = 2458903.123456789
    mars.add_alert("ZTF20aa", jd, "g", 17.505842208862305, 0.1, 1.0, 1.0)
    text = get(mars, jd__gt=repr(jd - 1e-9)).text
    assert '"jd":2458903.12345679,' in text
    assert '"magpsf":17.5058422088623,' in text
    assert rows(mars, jd__gt=repr(jd)) == []


def test_seven_decimals_round_trip(sky: MarsStandIn) -> None:
    """A JD of seven decimals comes back as it went in."""
    jds = [row["candidate"]["jd"] for row in rows(sky, cone=LONG_CONE)]
    assert all(jd == round(jd, 7) for jd in jds)


@pytest.mark.parametrize(
    ("jd", "wall_time"),
    [
        (2458882.0363194, "Sun, 02 Feb 2020 12:52:17 GMT"),
        (2458508.7517593, "Fri, 25 Jan 2019 06:02:32 GMT"),
        (2458484.4999999, "Mon, 31 Dec 2018 23:59:59 GMT"),
        (2458484.5, "Tue, 01 Jan 2019 00:00:00 GMT"),
    ],
)
def test_wall_time_is_truncated(mars: MarsStandIn, jd: float, wall_time: str) -> None:
    """Trap 12: wall_time loses the fraction of the second."""
    mars.add_alert("ZTF19aa", jd, "g", 18.0, 0.1, 1.0, 1.0)
    assert rows(mars)[0]["candidate"]["wall_time"] == wall_time


@pytest.mark.parametrize("isdiffpos", ["t", "f", "1", "0"])
def test_isdiffpos_is_text(mars: MarsStandIn, isdiffpos: str) -> None:
    """Trap 5: the sign is one of four texts, passed through unchanged."""
    mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0, isdiffpos=isdiffpos)
    assert rows(mars)[0]["candidate"]["isdiffpos"] == isdiffpos


def test_early_alerts_have_no_drb(mars: MarsStandIn) -> None:
    """An alert without drb has null and an empty version."""
    mars.add_alert("ZTF18aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0)
    candidate = rows(mars)[0]["candidate"]
    assert (candidate["drb"], candidate["drbversion"]) == (None, "")


def test_missing_neighbours_are_minus_999(sky: MarsStandIn) -> None:
    """A catalogue without a neighbour gives -999.0, not null."""
    candidate = rows(sky)[0]["candidate"]
    assert candidate["ssdistnr"] == candidate["sgmag3"] == candidate["distpsnr3"] == -999.0


def test_nan_is_a_bare_token(mars: MarsStandIn) -> None:
    """Trap 14: what is not finite in the database is a token that strict parsers refuse."""
    nan, infinite = float("nan"), float("inf")
    mars.add_alert("ZTF19aa", FIRST_JD, "g", nan, 0.1, 1.0, 1.0, chipsf=infinite, sky=-infinite)
    text = get(mars, cone="1,1,0.001").text
    assert '"magpsf":NaN,' in text
    assert '"chipsf":Infinity,' in text
    assert '"sky":-Infinity,' in text


def test_nullable_values_are_null(mars: MarsStandIn) -> None:
    """Values of the packet that are missing are JSON null."""
    mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0, rb=None, diffmaglim=None)
    candidate = rows(mars)[0]["candidate"]
    assert candidate["rb"] is None
    assert candidate["diffmaglim"] is None


def test_unknown_fid_fails_the_whole_page(mars: MarsStandIn) -> None:
    """A filter number without a letter makes the page a 500; 0 is the last letter."""
    mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0, fid=0)
    assert rows(mars)[0]["candidate"]["filter"] == "i"
    mars.add_alert("ZTF19bb", FIRST_JD + 1, "g", 18.0, 0.1, 1.0, 1.0, fid=4)
    assert get(mars).status_code == 500


def test_twins_of_one_exposure(mars: MarsStandIn) -> None:
    """Trap 6: two detections may share JD and filter; only the candid tells them apart."""
    mars.add_alert("ZTF18abodpsb", 2458426.7518634, "g", 15.492, 0.016, 1.0, 1.0, rb=0.54)
    mars.add_alert("ZTF18abodpsb", 2458426.7518634, "g", 15.606, 0.082, 1.0, 1.0, rb=0.47)
    found = rows(mars, cone="1,1,0.001")
    assert len({row["candid"] for row in found}) == 2
    assert len({row["candidate"]["jd"] for row in found}) == 1


# The stand-in itself --------------------------------------------------------------------------


def test_reprocessed_value(mars: MarsStandIn) -> None:
    """`update_alert` changes a value and keeps the row's number."""
    mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0, candid=5000001)
    mars.update_alert(5000001, magpsf=18.2, ra=2.0)
    assert rows(mars, cone="1,1,0.001") == []
    (row,) = rows(mars, cone="2,1,0.001")
    assert (row["lco_id"], row["candidate"]["magpsf"]) == (1, 18.2)


def test_mistakes_of_a_test_are_refused(mars: MarsStandIn) -> None:
    """A candid that is taken and a value that no alert has are refused."""
    mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0, candid=5000001)
    with pytest.raises(ValueError, match="already"):
        mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0, candid=5000001)
    with pytest.raises(ValueError, match="magspf"):
        mars.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0, magspf=1.0)
    with pytest.raises(ValueError, match="no alert 6"):
        mars.update_alert(6, magpsf=1.0)


def test_fault_has_the_service_s_own_page(mars: MarsStandIn) -> None:
    """A fault of the server's own kind shows the server's own page."""
    mars.faults.add(Fault("error_before", times=1))
    assert get(mars).text == ERROR_500
    assert get(mars).status_code == 200


def test_costs_are_those_of_the_bench() -> None:
    """An empty GET costs 4.2 ms, an alert 0.45 ms more, and a query of a POST 7.4 ms."""
    with MarsStandIn() as stand_in:
        get(stand_in, cone="1,1,0.001")
        stand_in.add_alert("ZTF19aa", FIRST_JD, "g", 18.0, 0.1, 1.0, 1.0)
        get(stand_in, cone="1,1,0.001")
        post(stand_in, {"cone": "33,33,0.001"}, {"cone": "1,1,0.001"})
    costs = sorted(entry.cost for entry in stand_in.log)
    assert costs == pytest.approx([0.0042, 0.00465, 0.01525])


def test_alerts_arrive_while_it_serves(mars: MarsStandIn) -> None:
    """What is read during an ingestion is whole: no row is missing before the last."""

    def ingest() -> None:
        for number in range(90):
            mars.add_alert("ZTF19aa", FIRST_JD + number, "g", 18.0, 0.1, 1.0, 1.0)

    writers = [threading.Thread(target=ingest) for _ in range(5)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found = post(mars, {"sort_value": "id", "sort_order": "asc"}).json()["results"][0]
        assert [row["lco_id"] for row in found["results"]] == list(
            range(1, found["num_alerts"] + 1)
        )
    assert mars.alert_count == 450
    assert post(mars, {"cone": "1,1,0.001"}).json()["total"] == 450


def test_20000_alerts(mars: MarsStandIn) -> None:
    """Twenty thousand alerts are served as they are: the cone finds its 100."""
    mars.add_alerts(
        {
            "object_id": f"ZTF20a{number % 200}",
            "jd": 2458900.5 + 0.001 * number,
            "filter": "g",
            "magpsf": 18.0,
            "sigmapsf": 0.1,
            "ra": 1.5 * (number % 200),
            "dec": 10.0,
        }
        for number in range(20_000)
    )
    assert mars.alert_count == 20_000
    assert len(rows(mars, cone="15,10,0.0014")) == 100
