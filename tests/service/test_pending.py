"""A source that works on a question: nobody waits, nobody calls it silent."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sandbox.atlas import AtlasStandIn
from yse_ingest.sandbox.atlas.stand_in import TOKEN
from yse_ingest.sandbox.faults import Fault
from yse_ingest.state import Backfill
from yse_ingest.targets import ADAPTIVE, Target
from yse_ingest.watch.freshness import PENDING_S, freshness
from yse_ingest.why import schedule_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.service.conftest import House
    from yse_ingest.service import Service
    from yse_ingest.watch.freshness import Freshness

NAME = "2019np"
PLACE = (157.3415, 29.5106667)
HOUR_MS = 3_600_000


@pytest.fixture
def atlas() -> Iterator[AtlasStandIn]:
    with AtlasStandIn(finish_after_polls=1) as stand_in:
        stand_in.add(*PLACE, 58500.5, "o", 99, 6)
        stand_in.add(*PLACE, 58501.5, "c", -33, 9)
        yield stand_in


@pytest.fixture
def service(house: House, atlas: AtlasStandIn) -> Iterator[Service]:
    found = house.service(
        ATLAS_URL=atlas.api_url, ATLAS_TOKEN=TOKEN, ATLAS_DAYS="all", YSE_INGEST_SOURCE="atlas"
    )
    found.enqueue(Target(NAME))
    yield found
    found.state.close()


def beside_mars(house: House, atlas: AtlasStandIn, **more: str) -> Service:
    """Return a service that asks MARS and ATLAS about each target."""
    account: dict[str, Any] = {"ATLAS_TOKEN": TOKEN, "ATLAS_DAYS": "all", **more}
    return house.service(ATLAS_URL=atlas.api_url, YSE_INGEST_SOURCE="mars,atlas", **account)


def fresh(service: Service, *, later_ms: int = 0) -> Freshness:
    target = service.state.targets.get(NAME)
    assert target is not None
    clock = service.state.clocks.get(NAME).get("atlas")
    now_ms = service.state.now_ms() + later_ms
    return freshness(service, target, clock, added_ms=1, now_ms=now_ms)


def due_in_s(service: Service) -> float:
    due_ms = service.state.targets.due_ms(NAME)
    assert due_ms is not None
    return (due_ms - service.state.now_ms()) / 1000


def test_a_pending_target_is_due_again_when_the_source_says(
    house: House, service: Service, atlas: AtlasStandIn
) -> None:
    """The first fetch asks, the next ones look; what is there is owed, then cleaned up."""
    house.cycle(service, NAME)
    assert due_in_s(service) == pytest.approx(10, abs=2)
    house.cycle(service, NAME)
    assert house.writes() == []

    house.cycle(service, NAME)

    assert len(house.ysepz.rows(NAME)) == 2
    assert [task.deleted for task in atlas.tasks.values()] == [True]
    assert len(atlas.tasks) == 1


def test_pending_is_no_silence(house: House, service: Service) -> None:
    """Since when it works is known; it is not stale, until that lasts for days."""
    house.cycle(service, NAME)
    first = fresh(service)
    house.cycle(service, NAME)

    assert first.silence == "pending"
    assert not first.stale
    assert fresh(service).since_ms == first.since_ms
    clock = service.state.clocks.get(NAME)["atlas"]
    assert (clock.silence, clock.status, clock.answered_ms) == ("pending", None, None)
    house.cycle(service, NAME)
    assert fresh(service).silence is None
    assert service.state.clocks.get(NAME)["atlas"].pending_ms is None


def test_pending_for_too_long_is_stale(house: House, service: Service) -> None:
    """Asked all the time, and no answer for days: that is told."""
    house.cycle(service, NAME)
    now_ms = service.state.now_ms()
    begun_ms = now_ms - round(1000 * PENDING_S) - HOUR_MS
    service.state.clocks.record_answers(
        [NAME], "atlas", lambda _, clocks: replace(clocks["atlas"], pending_ms=begun_ms)
    )

    found = fresh(service)

    assert (found.silence, found.stale) == ("pending", True)


def test_pending_with_nobody_asking_is_not_asked(house: House, service: Service) -> None:
    """Workers that are gone are the news, not the source that worked when they left."""
    house.cycle(service, NAME)
    limit_ms = round(1000 * fresh(service).limit_s)

    found = fresh(service, later_ms=limit_ms + HOUR_MS)

    assert (found.silence, found.stale) == ("not asked", True)


def test_pending_is_an_answer_to_the_breaker(
    house: House, service: Service, atlas: AtlasStandIn
) -> None:
    """However often it says "later", the source is not taken for one that is down."""
    atlas.finish_after_polls = 99
    for _ in range(service.settings.limits.failures + 1):
        house.cycle(service, NAME)

    breaker = service.state.source_breaker("atlas").state()
    assert (breaker["open"], breaker["failures"]) == (False, 0)
    assert service.state.clocks.get(NAME)["atlas"].silence == "pending"


def test_an_error_in_between_keeps_the_job(
    house: House, service: Service, atlas: AtlasStandIn
) -> None:
    """ATLAS is away for a moment: no answer then, and afterwards the same job goes on."""
    house.cycle(service, NAME)
    atlas.faults.add(Fault("status", status=503, times=1))
    house.cycle(service, NAME)
    assert service.state.clocks.get(NAME)["atlas"].silence == "no answer"

    house.cycle(service, NAME)
    assert service.state.clocks.get(NAME)["atlas"].silence == "pending"
    house.cycle(service, NAME)

    assert len(house.ysepz.rows(NAME)) == 2
    assert len(atlas.tasks) == 1


def test_what_is_new_is_asked_for_next(
    house: House, service: Service, atlas: AtlasStandIn
) -> None:
    """The question after the first answer begins shortly before its newest exposure."""
    for _ in range(3):
        house.cycle(service, NAME)
    assert len(house.ysepz.rows(NAME)) == 2
    atlas.add(*PLACE, 58503.5, "o", 120, 6)
    for _ in range(3):
        house.cycle(service, NAME)

    begins = [task.wanted.mjd_min for task in atlas.tasks.values()]
    assert begins[0] is None
    assert begins[1] is not None
    assert begins[1] < 58501.5
    assert len(house.ysepz.rows(NAME)) == 3
    assert [task.deleted for task in atlas.tasks.values()] == [True, True]


def test_a_reprocessed_value_is_a_correction(
    house: House, service: Service, atlas: AtlasStandIn
) -> None:
    """ATLAS changes with its templates: the row of that exposure is corrected, none added."""
    obs = atlas.add(*PLACE, 58502.5, "o", 100, 6)
    for _ in range(3):
        house.cycle(service, NAME)
    (before,) = [row for row in house.ysepz.rows(NAME) if "2019-01-19" in row["obs_date"]]
    atlas.reprocess(obs, ujy=140)
    for _ in range(3):
        house.cycle(service, NAME)

    rows = house.ysepz.rows(NAME)
    (after,) = [row for row in rows if row["obs_date"] == before["obs_date"]]
    assert len(rows) == 3
    assert after["flux"] == pytest.approx(140 * 27.5423, abs=0.05)
    assert (before["flux"], after["forced"]) == (pytest.approx(100 * 27.5423, abs=0.05), 1)


def test_a_lost_memory_costs_one_task(
    house: House, service: Service, atlas: AtlasStandIn
) -> None:
    """Redis forgets the job: it is submitted anew, and its points are stored once."""
    house.cycle(service, NAME)
    for key in service.state._connection.call("KEYS", service.state._keys("pending", "*")):
        service.state._connection.call("DEL", key)
    for _ in range(3):
        house.cycle(service, NAME)

    assert len(house.ysepz.rows(NAME)) == 2
    assert [task.deleted for task in atlas.tasks.values()] == [False, True]


def test_beside_a_broker_of_ztf_it_is_looked_at_alone(
    house: House, atlas: AtlasStandIn
) -> None:
    """Both are stored under their names; who answered at once is not asked meanwhile."""
    house.alerts("ZTF19aacgslb", 4)
    atlas.finish_after_polls = 2
    service = beside_mars(house, atlas)
    service.enqueue(Target(NAME))
    house.cycle(service, NAME)
    assert len(house.ysepz.rows(NAME)) == 4
    house.mars.log.clear()
    assert due_in_s(service) == pytest.approx(10, abs=3)

    for _ in range(3):
        house.cycle(service, NAME)

    assert not house.mars.log
    stored = {(row["instrument"], row["band"]) for row in house.ysepz.rows(NAME)}
    assert stored == {
        ("ZTF-Cam", "g-ZTF"),
        ("ZTF-Cam", "r-ZTF"),
        ("ACAM1", "orange-ATLAS"),
        ("ACAM1", "cyan-ATLAS"),
    }
    assert len(house.ysepz.rows(NAME)) == 6

    house.cycle(service, NAME)
    assert house.mars.log


def test_an_adaptive_target_comes_back_for_a_pending_answer(
    house: House, atlas: AtlasStandIn
) -> None:
    """Beside a broker that answered: first for the pending one, then when the rule says."""
    house.alerts("ZTF19aacgslb", 4)
    service = beside_mars(house, atlas, YSE_INGEST_CADENCE=ADAPTIVE)
    service.enqueue(Target(NAME))
    house.cycle(service, NAME)
    assert due_in_s(service) == pytest.approx(10, abs=2)
    assert [
        each.clock.silence for each in schedule_of(service, NAME).sources if each.clock
    ] == [
        "answered",
        "pending",
    ]
    asked = len(house.mars.log)
    house.cycle(service, NAME)
    house.cycle(service, NAME)

    assert len(house.mars.log) == asked
    told = schedule_of(service, NAME)
    assert told.every_s == 86400.0
    assert 43_000 < due_in_s(service) < 130_000
    # ATLAS has no day, so the target has none.
    assert not [line for line in told.told if line.startswith("not by day")]
    service.state.close()


def add_old_nights(atlas: AtlasStandIn) -> None:
    """Two more nights, ten days before what is known, that ATLAS publishes late."""
    atlas.add(*PLACE, 58490.5, "o", 120, 6)
    atlas.add(*PLACE, 58491.5, "c", 130, 6)


def test_a_question_for_everything_is_no_smaller_one_that_is_under_way(
    house: House, service: Service, atlas: AtlasStandIn
) -> None:
    """The task of an incremental question is given up, and its answer fulfils no wish."""
    for _ in range(3):
        house.cycle(service, NAME)
    assert len(house.ysepz.rows(NAME)) == 2
    add_old_nights(atlas)
    house.cycle(service, NAME)  # asks for what is new
    service.enqueue_many([Target(NAME)], bare=[NAME], again={NAME: Backfill()})

    for _ in range(3):
        house.cycle(service, NAME)

    assert len(house.ysepz.rows(NAME)) == 4
    assert service.state.backfills.get(NAME) is None
    assert all(task.deleted for task in atlas.tasks.values())


def test_each_survey_is_read_again_once(house: House, atlas: AtlasStandIn) -> None:
    """One that is down keeps the wish; the other is not read in full meanwhile, and after."""
    house.alerts("ZTF19aacgslb", 4)
    service = beside_mars(
        house, atlas, YSE_INGEST_PROBE_WAIT="0.1", YSE_INGEST_BREAKER_FAILURES="1"
    )
    service.enqueue(Target(NAME))
    for _ in range(3):
        house.cycle(service, NAME)
    add_old_nights(atlas)
    house.mars.faults.add(Fault("status", status=503))
    service.enqueue_many([Target(NAME)], bare=[NAME], again={NAME: Backfill()})
    for _ in range(3):
        house.cycle(service, NAME)
    assert len(house.ysepz.rows(NAME)) == 4 + 4
    assert service.state.backfills.get(NAME) == Backfill(done=("ATLAS",))

    house.mars.faults.clear()
    house.mars.add_alert("ZTF19aacgslb", 2458490.5, "r", 19.0, 0.05, *PLACE)
    service.state.targets.set_due(NAME, 0)
    for _ in range(40):
        house.cycle(service, NAME)
        if service.state.backfills.get(NAME) is None:
            break
        time.sleep(0.05)

    assert service.state.backfills.get(NAME) is None
    assert len(house.ysepz.rows(NAME)) == 4 + 1 + 4


def test_a_source_that_is_not_set_up_stops_nothing_else(house: House) -> None:
    """Without its token ATLAS cannot be asked, and says why; MARS is, and nothing waits."""
    for night, sources in enumerate(("mars,atlas", "atlas,mars")):
        house.mars.add_alert("ZTF19aacgslb", 2458500.5 + night, "r", 19.0, 0.05, *PLACE)
        service = house.service(YSE_INGEST_SOURCE=sources)
        service.enqueue_many([Target(NAME)], hinted=True)
        house.cycle(service, NAME)
        assert len(house.ysepz.rows(NAME)) == night + 1
        clock = service.state.clocks.get(NAME)["atlas"]
        assert clock.silence == "never asked"
        assert "ATLAS_TOKEN" in str(clock.error)
        assert service.dispatch() == []
        service.state.close()


def test_a_pending_answer_does_not_put_the_others_off(
    house: House, atlas: AtlasStandIn
) -> None:
    """ATLAS works for hours; MARS is asked at its own cadence all the time."""
    house.alerts("ZTF19aacgslb", 4)
    atlas.finish_after_polls = 99
    service = beside_mars(house, atlas, YSE_INGEST_CADENCE="8")
    service.enqueue_many([Target(NAME)], hinted=True)
    house.cycle(service, NAME)
    # ATLAS wants to be looked at 10 s later.
    assert 1 < due_in_s(service) <= 10


def test_a_person_asks_all_sources_though_one_is_waited_for(
    house: House, atlas: AtlasStandIn
) -> None:
    """A second wish while the first message is at work: nobody is left out by the third."""
    house.alerts("ZTF19aacgslb", 4)
    atlas.finish_after_polls = 99
    service = beside_mars(house, atlas)
    service.enqueue_many([Target(NAME)], hinted=True)
    house.cycle(service, NAME)
    house.mars.log.clear()
    service.enqueue_many([Target(NAME, since="2018-01-01")], hinted=True)
    service.state.choices.wait_for(NAME, {"atlas"})  # as the first message does at its end
    house.cycle(service, NAME)
    assert house.mars.log
