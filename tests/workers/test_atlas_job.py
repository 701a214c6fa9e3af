"""An ATLAS job outlives the workers that submitted it, and the broker that remembers it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.atlas import AtlasStandIn
from yse_ingest.sandbox.atlas.stand_in import TOKEN
from yse_ingest.sandbox.faults import Fault
from yse_ingest.state import side_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.workers.conftest import Service

NAME = "2025abc"
PLACE = (150.1, 2.2)
EXPOSURES = 8


@pytest.fixture
def atlas(service: Service) -> Iterator[AtlasStandIn]:
    with AtlasStandIn(finish_after_polls=10**6) as server:
        service.ysepz.add_transient(NAME, *PLACE)
        for number in range(EXPOSURES):
            mjd = 60900.5 + number // 4 + 0.0104 * (number % 4)
            server.add(*PLACE, mjd, "co"[number // 4], 99, 6)
        service.env |= {
            "ATLAS_URL": server.api_url,
            "ATLAS_TOKEN": TOKEN,
            "ATLAS_DAYS": "all",
        }
        yield server


def look(service: Service) -> None:
    """Have the target looked at now, as its cadence or a person does."""
    service.python(
        f"from workers import enqueue_target; enqueue_target('{NAME}', source='atlas')"
    )


def looks(atlas: AtlasStandIn) -> int:
    return sum(task.polls for task in atlas.tasks.values())


def deleted(atlas: AtlasStandIn) -> list[bool]:
    return [task.deleted for task in atlas.tasks.values()]


def test_a_job_is_collected_once_though_everything_was_killed(
    service: Service, atlas: AtlasStandIn, until: Callable[..., float]
) -> None:
    """Submitted, workers killed, broker killed and restarted, collected once, deleted."""
    workers = [service.worker("one"), service.worker("two")]
    look(service)
    until(lambda: len(atlas.tasks) == 1, what="the job is submitted")
    look(service)
    until(lambda: looks(atlas) >= 1, what="a worker looks at it, and does not wait for it")

    for worker in workers:
        worker.kill()
    service.redis.kill()
    service.redis.start()
    assert deleted(atlas) == [False]
    atlas.finish_after_polls = 0
    service.worker("three")
    service.worker("four")
    service.celery("beat")

    until(lambda: service.stored(NAME) == EXPOSURES, within=60, what="the points are stored")
    until(lambda: deleted(atlas)[:1] == [True], what="the task is deleted")
    assert atlas.tasks[4200001].downloads == 1
    rows = service.ysepz.rows(NAME)
    assert len({(row["band"], row["obs_date"]) for row in rows}) == len(rows) == EXPOSURES
    assert {row["forced"] for row in rows} == {1}
    assert {row["band"] for row in rows} == {"cyan-ATLAS", "orange-ATLAS"}
    assert len(atlas.tasks) == 1


def test_who_dies_between_collecting_and_owing_loses_nothing(
    service: Service, atlas: AtlasStandIn, until: Callable[..., float]
) -> None:
    """The worker dies with the result in its hands: the task is there still, and read again."""
    worker = service.worker("one")
    look(service)
    until(lambda: len(atlas.tasks) == 1, what="the job is submitted")
    atlas.finish_after_polls = 0
    # The result is on its way when the worker dies.
    atlas.faults.add(Fault("slow", path="results", times=1, seconds=1.5))
    look(service)
    until(lambda: not len(atlas.faults), what="the result is being read")
    worker.kill()
    assert deleted(atlas) == [False]

    service.worker("two")
    service.celery("beat")

    until(lambda: service.stored(NAME) == EXPOSURES, within=60, what="the points are stored")
    until(lambda: deleted(atlas)[:1] == [True], what="the task is deleted")
    rows = service.ysepz.rows(NAME)
    assert len({(row["band"], row["obs_date"]) for row in rows}) == len(rows) == EXPOSURES
    assert len(atlas.tasks) == 1


def test_who_dies_while_submitting_leaves_one_task(
    service: Service, atlas: AtlasStandIn, until: Callable[..., float]
) -> None:
    """The worker dies before ATLAS answers; who comes next finds the task in the queue."""
    worker = service.worker("one")
    atlas.faults.add(Fault("slow", method="POST", times=1, seconds=1.0))
    look(service)
    until(lambda: not len(atlas.faults), what="the submission is under way")
    worker.kill()
    until(lambda: len(atlas.tasks) == 1, what="ATLAS queues it, though nobody listens")
    atlas.finish_after_polls = 0

    service.worker("two")
    service.celery("beat")

    until(lambda: service.stored(NAME) == EXPOSURES, within=60, what="the points are stored")
    until(lambda: deleted(atlas) == [True], what="the task is deleted")


def test_the_token_stands_in_no_message_and_no_note(
    service: Service, atlas: AtlasStandIn, until: Callable[..., float]
) -> None:
    """Neither Redis, with what is remembered of the job, nor the worker's log holds it."""
    worker = service.worker("one")
    look(service)
    until(lambda: len(atlas.tasks) == 1)
    until(lambda: "pending" in worker.text)
    said = [worker.text]
    for database in (0, 1):
        connection = side_connection(service.redis.url(database))
        notes = connection.call("KEYS", "*:pending:atlas:*")
        said += [connection.call("GET", key) for key in notes]
        connection.close()

    assert any('"url":"http' in text for text in said)
    assert TOKEN not in json.dumps(said)
    assert TOKEN not in service.redis.directory.joinpath("redis.log").read_text()
    for path in service.redis.directory.rglob("*.aof"):
        assert TOKEN.encode() not in path.read_bytes()
