"""The campaign's judges see what they are there to see."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import requests

from tests.campaigns.chaos.sky import sky
from tests.campaigns.chaos.stand_ins import CountingYsePz
from tests.campaigns.chaos.verdict import Archive
from yse_ingest.sandbox.faults import Fault
from yse_ingest.times import format_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.campaigns.chaos.sky import Point, Transient

OUR_ID = 189


@pytest.fixture
def ysepz() -> Iterator[CountingYsePz]:
    with CountingYsePz() as server:
        yield server


@pytest.fixture
def transient() -> Transient:
    """Return one with eight points, all of its points positive and unchanged."""
    (one,) = sky(1, targets=1, points=8)
    one.points = [point for point in one.points if not point.negative]
    for point in one.points:
        point.reprocessed = None
    return one


@pytest.fixture
def archive(ysepz: CountingYsePz, transient: Transient) -> Archive:
    """Return the file of a YSE-PZ in which everything is right."""
    ysepz.add_transient(transient.name, transient.ra, transient.dec)
    archive = Archive(ysepz.store.path, our_id=OUR_ID)
    archive.note_curated()
    for point in transient.points:
        ysepz.add_photometry(transient.name, [row(point)], user="ingest")
    foreign = {**row(transient.points[0]), "obs_date": "2023-01-01T00:00:00"}
    ysepz.add_photometry(transient.name, [foreign])
    archive.note_foreign()
    return archive


def row(point: Point, **changes: Any) -> dict[str, Any]:
    flux = point.flux_at_last
    date = str(format_time_ms(np.array([point.time_ms]))[0])
    values = {
        "obs_date": date,
        "band": f"{point.band}-ZTF",
        "mag": point.mag,
        "mag_err": point.mag_err,
        "flux": flux,
        "flux_err": 1.0,
        "flux_zero_point": 27.5,
    }
    return {**values, **changes}


def test_what_is_right_is_clean(archive: Archive, transient: Transient) -> None:
    """Every point stands once, with its values."""
    verdict = archive.judge([transient])
    assert verdict.clean, verdict.lines()
    assert verdict.stored == verdict.owed == len(transient.points)


def test_each_violation_is_seen(
    archive: Archive, transient: Transient, ysepz: CountingYsePz
) -> None:
    """A lost, a doubled, an altered and an unwanted point; foreign and curated changes."""
    lost, doubled, altered = transient.points[:3]
    ysepz.add_photometry(transient.name, [row(doubled)], user="ingest")
    stray = {**row(lost), "obs_date": "2024-01-01T00:00:00"}
    ysepz.add_photometry(transient.name, [stray], user="ingest")
    points = "YSE_App_transientphotdata"
    with ysepz.store.connect() as database:
        database.run(f"DELETE FROM {points} WHERE id = 1")
        database.run(f"UPDATE {points} SET mag = 99 WHERE mag = ?", [altered.mag])
        database.run(f"UPDATE {points} SET mag_err = 9 WHERE created_by_id != ?", [OUR_ID])
        database.run("UPDATE YSE_App_transient SET redshift = 0.5")
    verdict = archive.judge([transient])
    kinds = ("lost", "duplicated", "altered", "unwanted", "foreign changed", "curated changed")
    assert {kind: verdict.count(kind) for kind in kinds} == dict.fromkeys(kinds, 1)


def test_a_copy_of_somebody_elses_row_is_a_duplicate(
    archive: Archive, transient: Transient, ysepz: CountingYsePz
) -> None:
    """A row of ours beside an older one of others doubles the exposure."""
    point = transient.points[0]
    with ysepz.store.connect() as database:
        database.run(
            "UPDATE YSE_App_transientphotdata SET created_by_id = 190 WHERE mag = ?",
            [point.mag],
        )
    ysepz.add_photometry(transient.name, [row(point)], user="ingest")
    assert archive.judge([transient]).count("duplicated") == 1


def test_two_open_uploads_of_one_transient_are_counted(
    ysepz: CountingYsePz, transient: Transient
) -> None:
    """One that waits for a server worker counts; somebody else's does not."""
    ysepz.add_transient(transient.name, transient.ra, transient.dec)
    ysepz.faults.add(Fault("slow", path="^/add_transient_phot", times=4, seconds=0.4))

    def post(account: str) -> None:
        request = {
            "header": {"clobber": False, "mjdmatchmin": 1e-4},
            "transient": {"name": transient.name, "status": "Following"},
            "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": None},
        }
        url = f"{ysepz.url}/add_transient_phot/"
        requests.post(url, json=request, auth=(account, "sandbox-only"), timeout=20)

    accounts = ("ingest", "ingest", "ingest", "othercron")
    posts = [threading.Thread(target=post, args=[account]) for account in accounts]
    for each in posts:
        each.start()
    for each in posts:
        each.join()
    assert ysepz.most_open == 3
    assert ysepz.given_up == 0
