"""The stand-in YSE-PZ: /add_transient_phot/, groups, two headers, races and costs."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.conftest import Uploader
    from yse_ingest.sandbox.ysepz import YsePzStandIn


def days(uploader: Uploader, first: int, count: int, **changes: Any) -> list[dict[str, Any]]:
    """Return points one hour apart."""
    return [
        uploader.point(
            f"2019-{1 + n // 672:02d}-{1 + n // 24 % 28:02d}T{n % 24:02d}:00:00", **changes
        )
        for n in range(first, first + count)
    ]


# One transient --------------------------------------------------------------------------------


def test_an_existing_row_is_left_alone(
    uploader: Uploader, ysepz: YsePzStandIn, np2019: int
) -> None:
    """All 47 columns are identical afterwards, whatever valid status is sent."""
    before = ysepz.transient_row("2019np")

    response = uploader.phot("2019np", uploader.point(), transient={"status": "Watch"})

    assert response.content == b'{"message": "success"}'
    assert ysepz.transient_row("2019np") == before
    assert [row["created_by"] for row in ysepz.rows("2019np")] == ["ingest"]


def test_coordinates_of_an_existing_transient_are_ignored(
    uploader: Uploader, ysepz: YsePzStandIn, np2019: int
) -> None:
    """Only a new transient takes them."""
    before = ysepz.transient_row("2019np")

    uploader.phot("2019np", uploader.point(), transient={"ra": 1.0, "dec": 2.0})

    assert ysepz.transient_row("2019np") == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transient": {"status": "zzz"}}, "status zzz is not in DB"),
        ({"groups": "YSE,zzz"}, "group YSE,zzz is not in DB"),
    ],
)
def test_refusals_are_successes_of_http(
    uploader: Uploader, np2019: int, changes: dict[str, Any], message: str
) -> None:
    """200, with the refusal in `message`; nothing is written."""
    response = uploader.phot("2019np", uploader.point(), **changes)

    assert response.status_code == 200
    assert response.json() == {"message": message}
    assert uploader.get("/api/transientphotometry/").json()["count"] == 0


@pytest.mark.parametrize("missing", ["header", "transient", "photheader"])
def test_the_three_keys_are_required(uploader: Uploader, missing: str) -> None:
    """Without one of them: 200 and a refusal."""
    payload: dict[str, Any] = {"header": {}, "transient": {}, "photheader": {}}
    del payload[missing]

    response = uploader.post("/add_transient_phot/", json=payload)

    assert response.status_code == 200
    assert response.json() == {"message": "header, transient, and photheader keys are required"}


@pytest.mark.parametrize(("part", "key"), [("photheader", "groups"), ("transient", "status")])
def test_groups_and_status_must_be_there(
    uploader: Uploader, np2019: int, part: str, key: str
) -> None:
    """A missing key is a crash, not a refusal."""
    payload: dict[str, Any] = {
        "header": {"clobber": False, "mjdmatchmin": 1e-4},
        "transient": {"name": "2019np", "status": "Following"},
        "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": None},
    }
    del payload[part][key]

    response = uploader.post("/add_transient_phot/", json=payload)

    assert (uploader.raised(response), uploader.message(response)) == ("KeyError", f"'{key}'")


def test_a_name_that_is_gone_fails_safely(uploader: Uploader) -> None:
    """Without coordinates an unknown name is a KeyError, and nothing is written."""
    response = uploader.phot("2019np", uploader.point())

    assert (uploader.raised(response), uploader.message(response)) == ("KeyError", "'ra'")
    assert uploader.server.transients() == []


def test_an_alias_becomes_a_second_transient(uploader: Uploader, np2019: int) -> None:
    """There is no look-up of aliases or positions (trap 17)."""
    uploader.server.add_alias("ZTF19alias", "2019np")

    uploader.phot("ZTF19alias", uploader.point(), transient={"ra": 157.3415, "dec": 29.5106667})

    assert uploader.server.transients() == ["2019np", "ZTF19alias"]
    assert len(uploader.server.rows("ZTF19alias")) == 1


def test_creation_without_the_tess_tool(uploader: Uploader) -> None:
    """Offline it is a 500 after the row was inserted; the same again succeeds."""
    uploader.server.tess_online = False
    place = {"ra": 1.0, "dec": 2.0}

    first = uploader.phot("x", uploader.point(), transient=place)
    rows = uploader.server.rows("x")
    second = uploader.phot("x", uploader.point(), transient=place)

    assert uploader.raised(first) == "ConnectionError"
    assert rows == []
    assert second.json() == {"message": "success"}
    assert len(uploader.server.rows("x")) == 1


def test_a_bad_point_leaves_those_before_it(uploader: Uploader, np2019: int) -> None:
    """Every point is committed by itself."""
    points = days(uploader, 0, 5)
    points[3]["obs_date"] = "noon"

    assert uploader.phot("2019np", *points).status_code == 500
    assert len(uploader.server.rows("2019np")) == 3


# Groups and headers ---------------------------------------------------------------------------


def test_groups_hide_everybodys_points(uploader: Uploader, np2019: int) -> None:
    """The header becomes invisible to the uploader itself; its points still match (trap 12)."""
    uploader.server.add_photometry("2019np", [uploader.point("2019-01-01T00:00:00")])
    seen_before = uploader.get("/download_data/2019np/").json()["2019np"]["photometry"]

    uploader.phot("2019np", uploader.point(), groups="YSE,UCSC")
    uploader.phot("2019np", uploader.point())

    assert len(seen_before[0]["data"]) == 1
    assert uploader.get("/download_data/2019np/").json()["2019np"]["photometry"] == {}
    assert uploader.get("/api/transientphotometry/").json()["count"] == 0
    assert uploader.get("/api/transientphotdata/").json()["count"] == 0
    assert uploader.get("/api/transientphotdata/1/").status_code == 404
    assert uploader.patch("/api/transientphotdata/1/", {"mag": 1}).status_code == 404
    member = uploader.get("/download_data/2019np/", auth=("human", "sandbox-only")).json()
    (header,) = member["2019np"]["photometry"]
    assert len(header["data"]) == 2
    assert header["fields"]["groups"] == [["UCSC"], ["YSE"]]


def test_of_two_headers_the_first_is_used(uploader: Uploader, np2019: int) -> None:
    """A point that stands in the second header of the same pair is stored again."""
    server = uploader.server
    server.add_photometry("2019np", [uploader.point("2019-01-01T00:00:00")])
    server.add_photometry("2019np", [uploader.point()], new_header=True)

    uploader.phot("2019np", uploader.point())
    uploader.phot("2019np", uploader.point(), clobber=True)

    assert [row["header"] for row in server.rows("2019np")] == [1, 2, 1]


def test_a_second_header_through_rest(uploader: Uploader, np2019: int) -> None:
    """POST /api/transientphotometry/ makes one although one exists; uploads use the first."""
    uploader.phot("2019np", uploader.point())
    first = uploader.get("/api/transientphotometry/1/").json()
    fields = {key: first[key] for key in ("transient", "instrument", "obs_group", "groups")}

    made = uploader.post("/api/transientphotometry/", json=fields)
    uploader.phot("2019np", uploader.point("2019-02-01T00:00:00"))

    assert made.status_code == 201
    assert made.json()["url"].endswith("/api/transientphotometry/2/")
    assert {row["header"] for row in uploader.server.rows("2019np")} == {1}


def test_clobber_takes_over_the_header(uploader: Uploader, np2019: int) -> None:
    """modified_by of the header becomes the uploader with clobber, and not without."""
    uploader.server.add_photometry("2019np", [uploader.point()])
    owners = []
    for clobber in (False, True):
        uploader.phot("2019np", uploader.point(), clobber=clobber)
        reply = uploader.get("/download_data/2019np/").json()
        owners.append(reply["2019np"]["photometry"][0]["fields"]["modified_by"])

    assert owners == [["othercron"], ["ingest"]]


def test_clobber_drops_one_of_two_flags(uploader: Uploader, np2019: int) -> None:
    """Whatever flags a row had, it has the posted one afterwards."""
    uploader.server.add_photometry("2019np", [uploader.point(data_quality=["Bad", "Crowding"])])

    uploader.phot("2019np", uploader.point(data_quality="Bad"), clobber=True)

    assert uploader.server.rows("2019np")[0]["data_quality"] == ["Bad"]


def test_a_time_read_back_misses_its_row_in_a_narrow_window(
    uploader: Uploader, np2019: int
) -> None:
    """Stored at .100900 and read back as .100, it gets a second row in a window of 0.1 ms."""
    uploader.server.add_photometry("2019np", [uploader.point("2019-01-09T06:00:00.100900")])
    reply = uploader.get("/download_data/2019np/").json()
    shown = reply["2019np"]["photometry"][0]["data"][0]["fields"]["obs_date"]

    uploader.phot("2019np", uploader.point(shown), mjdmatchmin=1e-9, clobber=True)
    after_narrow = len(uploader.server.rows("2019np"))
    uploader.phot("2019np", uploader.point(shown), mjdmatchmin=2e-3 / 86400)

    assert shown == "2019-01-09T06:00:00.100Z"
    assert after_narrow == 2
    assert len(uploader.server.rows("2019np")) == 2


def test_a_foreign_point_half_a_second_off_answers_for_ours(
    uploader: Uploader, np2019: int
) -> None:
    """Within the window it is 200 for ever, and our time is never seen."""
    uploader.server.add_photometry("2019np", [uploader.point("2019-01-09T06:00:00.500")])

    answers = [uploader.phot("2019np", uploader.point(), mjdmatchmin=16 / 86400) for _ in "123"]

    assert [answer.json() for answer in answers] == [{"message": "success"}] * 3
    assert uploader.times("2019np") == ["2019-01-09T06:00:00.500000"]


# Races ----------------------------------------------------------------------------------------


def together(calls: Sequence[Any]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_retry_while_the_first_still_runs_doubles_points(
    uploader: Uploader, np2019: int
) -> None:
    """A time-out stops nothing; sending again stores every new point twice (trap 3)."""
    server = uploader.server
    server.add_photometry("2019np", days(uploader, 0, 300))
    server.real_cost = 1.0
    points = days(uploader, 300, 8)

    with pytest.raises(requests.ReadTimeout):
        uploader.phot("2019np", *points, timeout=0.05)
    uploader.phot("2019np", *points)

    assert len(server.rows("2019np")) == 300 + 2 * 8
    assert len(set(uploader.times("2019np"))) == 308
    server.real_cost = 0.0
    uploader.phot("2019np", *points)
    assert len(server.rows("2019np")) == 316


def test_with_one_worker_the_retry_waits(np2019_of_one_worker: Uploader) -> None:
    """The shipped image has a single worker: the second request finds the points stored."""
    uploader = np2019_of_one_worker
    points = days(uploader, 0, 5)

    with pytest.raises(requests.ReadTimeout):
        uploader.phot("2019np", *points, timeout=0.05)
    uploader.phot("2019np", *points)

    assert len(uploader.server.rows("2019np")) == 5


def test_an_answered_read_back_is_no_proof(uploader: Uploader, np2019: int) -> None:
    """While one worker stores, another answers a GET: sending the rest doubles it."""
    server = uploader.server
    server.add_photometry("2019np", days(uploader, 0, 60))
    server.real_cost = 1.0
    points = days(uploader, 60, 30)
    with pytest.raises(requests.ReadTimeout):
        uploader.phot("2019np", *points, timeout=0.1)
    server.real_cost = 0.2

    reply = uploader.get("/download_data/2019np/").json()
    shown = {one["fields"]["obs_date"] for one in reply["2019np"]["photometry"][0]["data"]}
    missing = [point for point in points if f"{point['obs_date']}Z" not in shown]
    uploader.phot("2019np", *missing)
    while server.in_flight:
        time.sleep(0.01)

    assert missing
    assert len(server.rows("2019np")) > 90
    assert len(set(uploader.times("2019np"))) == 90


def test_different_points_at_once_are_all_stored(uploader: Uploader, np2019: int) -> None:
    """Eight uploads of one new point each lose none."""
    uploader.phot("2019np", uploader.point())

    together(
        [lambda point=point: uploader.phot("2019np", point) for point in days(uploader, 300, 8)]
    )

    assert len(uploader.server.rows("2019np")) == 9


def test_one_new_transient_twice_at_once(uploader: Uploader) -> None:
    """Points are doubled, or one request crashes on the slug; later uploads mend nothing."""
    server = uploader.server
    server.real_cost = 0.3
    new = uploader.transient("x", *days(uploader, 0, 10))

    together([lambda: uploader.add(new)] * 2)

    server.real_cost = 0.0
    answers = sorted(entry.status for entry in server.log)
    stored = len(server.rows("x"))
    uploader.add(new)
    assert answers in ([200, 200], [200, 500])
    assert 10 <= stored <= 20
    assert len(server.rows("x")) == stored


def test_a_big_light_curve_never_gets_through(uploader: Uploader, np2019: int) -> None:
    """Sent whole it is aborted again and again; the missing points alone go in (trap 4)."""
    server = uploader.server
    server.add_photometry("2019np", days(uploader, 0, 120))
    server.real_cost, server.worker_limit_s = 1.0, 0.7
    new = days(uploader, 120, 4)

    answers = [uploader.phot("2019np", *days(uploader, 0, 120), *new) for _ in "12"]
    livelock = len(server.rows("2019np"))
    alone = uploader.phot("2019np", *new)

    assert [answer.status_code for answer in answers] == [500, 500]
    assert livelock == 120
    assert alone.status_code == 200
    assert len(server.rows("2019np")) == 124


# Costs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("existing", "posted", "new", "bands", "measured"),
    [
        (10, 0, 1, 1, 0.17),
        (100, 0, 1, 1, 0.27),
        (400, 0, 1, 1, 0.61),
        (400, 0, 10, 1, 0.88),
        (100, 100, 0, 1, 1.18),
        (200, 200, 0, 1, 3.9),
        (400, 400, 0, 1, 12.9),
        (200, 200, 0, 2, 2.1),
        (200, 200, 0, 3, 1.6),
    ],
)
def test_the_modelled_cost_is_the_measured_one(
    uploader: Uploader,
    *,
    np2019: int,
    existing: int,
    posted: int,
    new: int,
    bands: int,
    measured: float,
) -> None:
    """Within 25 % of what uploads cost the real server, quadratic in a light curve re-sent."""
    names = ["g-ZTF", "r-ZTF", "i-ZTF"][:bands]
    stored = days(uploader, 0, existing)
    for number, point in enumerate(stored):
        point["band"] = names[number % bands]
    uploader.server.add_photometry("2019np", stored)

    uploader.phot("2019np", *stored[:posted], *days(uploader, existing, new))

    assert uploader.server.log[-1].cost == pytest.approx(measured, rel=0.25)


def test_other_headers_cost_nothing(uploader: Uploader, np2019: int) -> None:
    """Only the points of the header that is posted to are compared."""
    uploader.server.add_photometry("2019np", days(uploader, 0, 200), obs_group="ATLAS")

    uploader.phot("2019np", uploader.point())

    assert uploader.server.log[-1].cost < 0.17


def test_costs_are_slept_when_asked_for(uploader: Uploader, np2019: int) -> None:
    """real_cost is the share of the modelled cost that a request really takes."""
    uploader.server.real_cost = 0.5

    began = time.monotonic()
    uploader.phot("2019np", uploader.point())
    took = time.monotonic() - began

    cost = uploader.server.log[-1].cost
    assert cost == pytest.approx(0.156, abs=0.01)
    assert 0.5 * cost <= took < 0.5 * cost + 0.2
