"""Backfill: what was missed is read again, in full or in part, and nothing is stored twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.faults import Fault
from yse_ingest.state import Backfill
from yse_ingest.targets import Target
from yse_ingest.times import MS_PER_DAY, UNIX_ZERO_JD, jd_of_time_ms, parse_obs_dates

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service

NP = "2019np"
FIRST_JD = 2458500.5
PLACE = (157.3415, 29.5106667)
LATE = (3.25, 7.25)
"""Days after the first alert of what the source published long after [d]."""


def ms(days: float) -> int:
    """Return the time so many days after the first alert [Unix ms]."""
    return round((FIRST_JD + days - UNIX_ZERO_JD) * MS_PER_DAY)


def publish_late(house: House) -> None:
    for days in LATE:
        house.mars.add_alert("ZTF19aacgslb", FIRST_JD + days, "r", 19.0, 0.05, *PLACE)


def days_stored(house: House) -> list[float]:
    """Return when what YSE-PZ holds was observed, in days after the first alert."""
    rows = house.ysepz.rows(NP)
    days = [(day_of(str(row["obs_date"])) - FIRST_JD) for row in rows]
    return sorted(round(each, 3) for each in days)


def day_of(obs_date: str) -> float:
    return jd_of_time_ms(parse_obs_dates([obs_date])[0])


def read_again(service: Service, backfill: Backfill) -> None:
    service.enqueue_many([Target("SN2019np")], bare=[NP], again={NP: backfill})


@pytest.fixture
def stored(house: House) -> House:
    """Return a house that holds twenty nights; two more exposures came too late to be seen."""
    house.alerts("ZTF19aacgslb", 20)
    service = house.service()
    service.enqueue(Target(NP))
    house.cycle(service, NP)
    publish_late(house)
    house.cycle(service, NP)
    assert len(house.ysepz.rows(NP)) == 20
    return house


def test_a_full_read_brings_what_came_late_once(stored: House) -> None:
    """Everything is read; the two that are missing are sent, and it is done once."""
    service = stored.service()
    read_again(service, Backfill())
    stored.cycle(service, NP)
    assert days_stored(stored) == sorted([*map(float, range(20)), *LATE])
    assert service.state.backfills.get(NP) is None
    writes = stored.writes()
    read_again(service, Backfill())
    stored.cycle(service, NP)
    assert stored.writes() == writes


def test_a_range_brings_what_lies_in_it_alone(stored: House) -> None:
    """One of the two is sent; the clock keeps what it knows of the rest, which can follow."""
    service = stored.service()
    before = service.state.clocks.get(NP)["mars"].detail
    read_again(service, Backfill(ms(6.0), ms(8.0)))
    stored.cycle(service, NP)
    assert days_stored(stored) == sorted([*map(float, range(20)), 7.25])
    after = service.state.clocks.get(NP)["mars"].detail
    assert {key: after[key] for key in ("newest_ms", "news_ms", "full_read_ms")} == {
        key: before[key] for key in ("newest_ms", "news_ms", "full_read_ms")
    }
    read_again(service, Backfill(None, ms(4.0)))
    stored.cycle(service, NP)
    assert days_stored(stored) == sorted([*map(float, range(20)), *LATE])


def test_a_range_of_a_new_target_leaves_the_rest_to_the_next_time(house: House) -> None:
    """Nothing is known of it yet: the range is sent first, then all, each exposure once."""
    house.alerts("ZTF19aacgslb", 20)
    publish_late(house)
    service = house.service()
    service.enqueue(Target(NP))
    read_again(service, Backfill(ms(3.0), ms(4.0)))
    house.cycle(service, NP)
    assert days_stored(house) == [3.0, 3.25, 4.0]
    house.cycle(service, NP)
    assert days_stored(house) == sorted([*map(float, range(20)), *LATE])


def test_what_was_not_read_stays_wanted(stored: House) -> None:
    """The source is away: the request is kept, and done when it is back."""
    service = stored.service()
    stored.mars.faults.add(Fault("status", status=500))
    read_again(service, Backfill(ms(6.0), ms(8.0)))
    stored.cycle(service, NP)
    assert service.state.backfills.get(NP) == Backfill(ms(6.0), ms(8.0))
    stored.mars.faults.clear()
    stored.cycle(service, NP)
    assert 7.25 in days_stored(stored)
    assert service.state.backfills.get(NP) is None
