"""Beat ends when it is told to, whatever it is doing."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from workers.schedule import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.workers.conftest import Program


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Leave the signals of the test process as they were."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class ToldWhileOpening(Scheduler):
    """SIGTERM arrives while the schedule's file is half open."""

    def _open_schedule(self) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return super()._open_schedule()  # type: ignore[misc]


def scheduler(kind: type[Scheduler], folder: Path) -> Scheduler:
    app = Celery("test", broker="memory://", set_as_current=False)
    return kind(app=app, schedule_filename=str(folder / "deep" / "schedule"))


def test_told_while_it_starts_beat_ends_at_its_first_tick(tmp_path: Path) -> None:
    """With Celery's own handler the exit was lost in the opening of the file."""
    told = scheduler(ToldWhileOpening, tmp_path)
    with pytest.raises(SystemExit):
        told.tick()
    told.close()


def test_told_between_two_ticks_beat_ends_at_once(tmp_path: Path) -> None:
    """A sleeping beat does not sleep on."""
    idle = scheduler(Scheduler, tmp_path)
    assert idle.tick() >= 0
    with pytest.raises(SystemExit):
        os.kill(os.getpid(), signal.SIGTERM)
    idle.close()


def test_a_clock_that_is_set_back_does_not_silence_beat(tmp_path: Path) -> None:
    """What was sent an hour ahead of now is sent again after its period, not after an hour."""
    beat = scheduler(Scheduler, tmp_path)
    beat.add(name="often", task="often", schedule=0.5)
    assert beat.tick() <= 0.5
    entry = beat.schedule["often"]
    entry.last_run_at = entry.default_now() + timedelta(hours=1)
    beat.populate_heap()
    assert beat.tick() <= 0.5
    beat.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_told_while_the_broker_is_away_beat_ends(
    start: Callable[..., Program], tmp_path: Path, how: signal.Signals
) -> None:
    """Beat that waits for a broker is ended by SIGTERM and by Ctrl-C, as one that ticks."""
    nobody = {
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
        "YSE_INGEST_STATE_DIR": str(tmp_path),
    }
    beat = start("-A", "workers", "beat", env=nobody)
    beat.wait_for("beat: Connection error")

    assert beat.stop(how, within=10) == 0
