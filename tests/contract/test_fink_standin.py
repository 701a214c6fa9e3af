"""The stand-in Fink answers as the API was read and recorded, its traps included."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.fink import FinkStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

JD = 2460900.81
CANDID = 3100310000015010001
OID = "ZTF25aaaaaaa"


@pytest.fixture
def fink() -> Iterator[FinkStandIn]:
    with FinkStandIn() as stand_in:
        yield stand_in


def post(stand_in: FinkStandIn, route: str, **payload: Any) -> requests.Response:
    return requests.post(f"{stand_in.api_url}/{route}", json=payload, timeout=10)


def rows(stand_in: FinkStandIn, route: str, **payload: Any) -> list[dict[str, Any]]:
    reply = post(stand_in, route, **payload)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert isinstance(found, list)
    return found


def add(stand_in: FinkStandIn, object_id: str = OID, *, night: int = 0, **values: Any) -> None:
    fields = {"candid": CANDID + night, "ra": 150.10001, "dec": 2.20003} | values
    stand_in.add_alert(object_id, JD + night, "g", 19.42, 0.12, **fields)


# Light curves ---------------------------------------------------------------------------------


def test_a_row_is_flat_and_typed(fink: FinkStandIn) -> None:
    """A candid is a whole number beyond 2^53, isdiffpos is text, no match is -999, drb null."""
    add(fink, isdiffpos="f", drb=None)
    (row,) = rows(fink, "objects", objectId=OID)
    assert row["i:candid"] == CANDID
    assert row["i:pid"] == CANDID // 1_000_000
    assert row["i:isdiffpos"] == "f"
    assert row["i:ssdistnr"] == -999.0
    assert row["i:drb"] is None
    assert row["i:fid"] == 1
    assert "d:tag" not in row


def test_many_objects_at_once_newest_first(fink: FinkStandIn) -> None:
    """A list of ids is one answer; what is not known is left out without a word."""
    add(fink, night=0)
    add(fink, night=1)
    add(fink, "ZTF25bbbbbbb", night=2)
    found = rows(fink, "objects", objectId=f"{OID},ZTF25nowhere,ZTF25bbbbbbb")
    assert [row["i:objectId"] for row in found] == ["ZTF25bbbbbbb", OID, OID]
    assert [row["i:jd"] for row in found] == [JD + 2, JD + 1, JD]


def test_an_unknown_object_is_an_empty_list(fink: FinkStandIn) -> None:
    """200 and nothing in it: no 404."""
    reply = post(fink, "objects", objectId="ZTF25nowhere")
    assert (reply.status_code, reply.text) == (200, "[]")


def test_columns_and_get(fink: FinkStandIn) -> None:
    """Columns can be chosen; a query of the URL wins over the body."""
    add(fink)
    reply = requests.post(
        f"{fink.api_url}/objects?objectId={OID}&columns=i:jd,i:fid",
        json={"objectId": "ZTF25nowhere"},
        timeout=10,
    )
    assert reply.json() == [{"i:jd": JD, "i:fid": 1}]


@pytest.mark.parametrize(
    ("value", "heard"),
    [(True, True), ("True", True), ("true", False), (1, False), (False, False)],
)
def test_upper_limits_come_for_one_spelling(
    fink: FinkStandIn, value: object, *, heard: bool
) -> None:
    """A JSON true and the text "True" are heard, the text "true" is ignored."""
    add(fink)
    fink.add_limit(OID, JD - 3, 1, 20.37)
    found = rows(fink, "objects", objectId=OID, withupperlim=value)
    assert [row.get("d:tag") for row in found] == (["valid", "upperlim"] if heard else [None])


def test_side_tables_are_text(fink: FinkStandIn) -> None:
    """Limits and bad detections have text for numbers, candid -1, and all their columns."""
    add(fink)
    fink.add_limit(OID, JD - 3, 1, 20.37)
    fink.add_bad_quality(OID, JD - 2, 2, 19.88)
    found = rows(fink, "objects", objectId=OID, columns="i:jd,i:ra", withupperlim=True)
    valid, limit, bad = found
    assert (valid["d:tag"], valid["i:ra"], valid["i:diffmaglim"]) == ("valid", 150.10001, None)
    assert limit == {
        **dict.fromkeys(limit),
        "i:objectId": OID,
        "i:jd": JD - 3,
        "i:fid": "1",
        "i:diffmaglim": "20.37",
        "i:candid": -1,
        "d:tag": "upperlim",
    }
    assert (bad["i:magpsf"], bad["i:fid"], bad["i:isdiffpos"]) == ("19.88", "2", "t")
    assert bad["i:ra"] is None


def test_a_refusal_is_no_json(fink: FinkStandIn) -> None:
    """A 400 holds the text of a Python dictionary and calls itself HTML."""
    reply = post(fink, "objects", columns="i:jd")
    assert reply.status_code == 400
    assert reply.headers["Content-Type"].startswith("text/html")
    told = ast.literal_eval(reply.text)
    assert told["status"] == "error"
    assert told["text"].startswith("A value for `objectId` is required.")
    with pytest.raises(ValueError, match="Expecting"):
        reply.json()


# Cones ----------------------------------------------------------------------------------------


def test_a_cone_gives_the_latest_alert_of_each_object_by_distance(fink: FinkStandIn) -> None:
    """With id and jd among the columns; the radius is in arcsec, the separation in deg."""
    add(fink, night=0, dec=2.2)
    add(fink, night=1, dec=2.2 + 2 / 3600)
    add(fink, "ZTF25near", night=0, dec=2.2 + 1 / 3600)
    add(fink, "ZTF25far", night=0, dec=2.2 + 9 / 3600)
    place = {"ra": 150.10001, "dec": 2.2, "radius": 5}
    found = rows(fink, "conesearch", **place, columns="i:objectId,i:jd")
    assert [row["i:objectId"] for row in found] == ["ZTF25near", OID]
    assert found[1]["i:jd"] == JD + 1
    assert found[1]["v:separation_degree"] == pytest.approx(2 / 3600, rel=1e-6)
    assert set(found[0]) == {"i:objectId", "i:jd", "i:ra", "i:dec", "v:separation_degree"}
    alone = rows(fink, "conesearch", **place, columns="i:objectId")
    assert [row["i:objectId"] for row in alone] == [OID, "ZTF25near", OID]


def test_a_cone_leaves_out_what_is_beyond_n(fink: FinkStandIn) -> None:
    """Alerts are cut at n, before each object's latest is taken, and nothing says so."""
    for night in range(5):
        add(fink, night=night)
    add(fink, "ZTF25hidden", night=5)
    place = {"ra": 150.10001, "dec": 2.20003, "radius": 5, "columns": "i:objectId,i:jd"}
    assert len(rows(fink, "conesearch", **place)) == 2
    (only,) = rows(fink, "conesearch", **place, n=3)
    assert only["i:jd"] == JD + 2


def test_a_start_date_is_no_since(fink: FinkStandIn) -> None:
    """It chooses objects by their first alert, not alerts by their time."""
    add(fink, night=0)
    add(fink, night=9)
    place = {"ra": 150.10001, "dec": 2.20003, "radius": 5}
    assert rows(fink, "conesearch", **place, startdate=JD + 5) == []
    assert len(rows(fink, "conesearch", **place, startdate=JD - 5)) == 1


@pytest.mark.parametrize(
    "change", [{"radius": 18001}, {"ra": None}, {"dec": "north"}, {"output-format": "tsv"}]
)
def test_a_cone_that_cannot_be_asked(fink: FinkStandIn, change: dict[str, Any]) -> None:
    """A radius beyond five degrees, and what is no number, is a 400."""
    payload = {"ra": 150.0, "dec": 2.0, "radius": 5} | change
    assert post(fink, "conesearch", **payload).status_code == 400


def test_an_empty_cone_is_an_empty_list(fink: FinkStandIn) -> None:
    """200 and nothing in it."""
    assert rows(fink, "conesearch", ra=0.0, dec=0.0, radius=5) == []


# The service ----------------------------------------------------------------------------------


def test_tables_are_filled_once_a_day(fink: FinkStandIn) -> None:
    """What was observed since the last load is not shown yet."""
    add(fink, night=0)
    add(fink, night=1)
    fink.loaded_until_jd = JD + 0.5
    assert len(rows(fink, "objects", objectId=OID)) == 1
    fink.loaded_until_jd = JD + 1.5
    assert len(rows(fink, "objects", objectId=OID)) == 2


def test_its_own_errors_are_pages(fink: FinkStandIn) -> None:
    """An unknown route is a 404 and an accident a 500, both HTML."""
    fink.faults.add(Fault("error_before", path="objects", times=1))
    for route, status in (("nowhere", 404), ("objects", 500)):
        reply = post(fink, route, objectId=OID)
        assert reply.status_code == status
        assert reply.headers["Content-Type"].startswith("text/html")
    assert requests.delete(f"{fink.api_url}/objects", timeout=10).status_code == 405


def test_a_body_that_is_no_payload(fink: FinkStandIn) -> None:
    """What is no JSON object is a 400."""
    for body in (b"objectId", b"[]"):
        reply = requests.post(f"{fink.api_url}/objects", data=body, timeout=10)
        assert reply.status_code == 400
