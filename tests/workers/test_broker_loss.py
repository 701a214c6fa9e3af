"""A running task survives the loss of its broker, and runs once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from yse_ingest.state import side_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workers.conftest import Program
    from yse_ingest.state.embedded import EmbeddedRedis

HERE = Path(__file__).parent
PREFIXES = ("", "yse_ingest:other:")


class Sleepy:
    """A worker of the application in ``sleepy.py``, and what it noted."""

    def __init__(
        self, redis: EmbeddedRedis, start: Callable[..., Program], folder: Path, prefix: str
    ) -> None:
        self.url = redis.url()
        self.prefix = prefix
        self.notes = folder / "notes"
        self.notes.touch()
        env = {"CELERY_BROKER_URL": self.url, "SLEEPY_PREFIX": prefix}
        arguments = ["-A", "sleepy", "worker", "-P", "threads", "-c", "2", "-l", "INFO"]
        quick = ["--without-gossip", "--without-mingle"]
        self.worker = start(
            *arguments, *quick, env={**env, "PYTHONPATH": str(HERE.parents[1])}, cwd=HERE
        )
        self.worker.wait_for("ready.")
        self._app = Celery("sender", broker=self.url, set_as_current=False)
        self._app.conf.broker_transport_options = {"global_keyprefix": prefix}

    def nap(self, seconds: float, **options: Any) -> None:
        self._app.send_task("sleepy.nap", args=[str(self.notes), seconds], **options)

    def noted(self, what: str) -> int:
        return self.notes.read_text().count(what)

    def call(self, *command: Any) -> Any:
        connection = side_connection(self.url)
        try:
            return connection.call(*command)
        finally:
            connection.close()

    @property
    def unacked(self) -> int:
        return int(self.call("HLEN", f"{self.prefix}unacked"))


@pytest.fixture(params=PREFIXES, ids=["plain", "prefixed"])
def sleepy(
    request: pytest.FixtureRequest,
    redis: EmbeddedRedis,
    start: Callable[..., Program],
    tmp_path: Path,
) -> Sleepy:
    return Sleepy(redis, start, tmp_path, request.param)


def test_a_task_whose_connection_is_cut_runs_once(
    sleepy: Sleepy, until: Callable[..., float]
) -> None:
    """A running task is not handed out a second time when Redis drops every connection."""
    sleepy.nap(1.5)
    until(lambda: sleepy.noted("begin") == 1)
    for kind in ("normal", "pubsub"):
        sleepy.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    until(lambda: sleepy.noted("end") == 1)
    until(lambda: sleepy.unacked == 0, what="the message is acknowledged")
    sleepy.nap(0)
    until(lambda: sleepy.noted("end") == 2, what="the worker goes on")
    assert sleepy.noted("begin") == 2
    assert sleepy.worker.alive


def test_a_worker_survives_a_broker_that_is_killed_under_a_task(
    sleepy: Sleepy, redis: EmbeddedRedis, until: Callable[..., float]
) -> None:
    """The task ends while Redis is away; the worker lives, and the task is run once."""
    sleepy.nap(1.0)
    until(lambda: sleepy.noted("begin") == 1)
    redis.kill()
    until(lambda: sleepy.noted("end") == 1)
    redis.start()
    sleepy.nap(0)
    until(lambda: sleepy.noted("end") == 2, what="the worker consumes again")
    until(lambda: sleepy.unacked == 0, what="the first task is acknowledged at last")
    assert sleepy.noted("begin") == 2
    assert sleepy.worker.alive


def test_a_worker_that_is_stopped_gives_back_what_it_holds(
    sleepy: Sleepy, until: Callable[..., float]
) -> None:
    """A task waiting for its time in a worker goes back to the queue when the worker ends."""
    sleepy.nap(0, countdown=60)
    until(lambda: sleepy.unacked == 1)
    assert sleepy.worker.stop() == 0
    assert sleepy.unacked == 0
    waiting = sleepy.call("LRANGE", f"{sleepy.prefix}celery", 0, -1)
    assert [json.loads(message)["headers"]["task"] for message in waiting] == ["sleepy.nap"]
