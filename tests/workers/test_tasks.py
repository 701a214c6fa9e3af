"""Every way to the public unit, on a real worker: Python, terminal, beat."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from typing import TYPE_CHECKING

from yse_ingest.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workers.conftest import Service

TASKS = {
    "yse_ingest.audit",
    "yse_ingest.dispatch",
    "yse_ingest.drain",
    "yse_ingest.fetch_photometry",
    "yse_ingest.fetch_photometry_many",
    "yse_ingest.follow",
    "yse_ingest.sweep",
    "yse_ingest.upload_photometry",
}


def test_tasks_are_known_by_their_names(shared: Service) -> None:
    """A message's name outlives the file that its task is in."""
    inspect = shared.celery("inspect", "registered", "--json")
    assert inspect.end() == 0
    (names,) = json.loads(inspect.text.splitlines()[-1]).values()
    assert {name.split()[0] for name in names} >= TASKS


def test_enqueue_target_leads_to_stored_points_in_two_seconds(
    shared: Service,
    until: Callable[..., float],
    record_property: Callable[[str, object], None],
) -> None:
    """From a Python shell to the stand-in's rows, imports of the shell apart."""
    shared.know("2019np")
    said = shared.python(
        "import time; from workers import enqueue_target; begun = time.time();"
        "name = enqueue_target('SN2019np', ra=157.3415, dec=29.5106667);"
        "print(name, begun, time.time())"
    )
    name, begun, returned = said.split()
    until(lambda: shared.stored("2019np") == 33, within=10)
    took = time.time() - float(begun)
    record_property("stored_after_s", took)
    record_property("call_took_s", float(returned) - float(begun))
    assert name == "2019np"
    # 2 s are promised; two cores may be busy with other tests.
    assert took < 4


def test_grepping_a_target_tells_its_story(
    shared: Service, until: Callable[..., float]
) -> None:
    """One line of its fetch and one of its upload, with the points as fields."""
    worker = shared.everything
    assert worker is not None
    until(lambda: "state=verified" in worker.text)
    story = [line for line in worker.text.splitlines() if "target=2019np" in line]
    fetched, upload = (
        next(line for line in story if f" {event} " in line) for event in ("fetched", "upload")
    )
    assert "points=33" in fetched
    assert "task=fetch_photometry" in fetched
    assert "verified=33" in upload
    assert re.search(r"task=upload_photometry task_id=\S+ attempt=1 seconds=", upload)
    assert "sandbox-only" not in worker.text


def test_a_second_look_sends_nothing(shared: Service, until: Callable[..., float]) -> None:
    """What YSE-PZ holds is not sent again, however often a target is enqueued."""
    worker = shared.everything
    assert worker is not None
    before = len(shared.ysepz.log)
    lines = worker.text.count(" fetched ")
    shared.python("from workers import enqueue_target; enqueue_target('2019np')")
    until(lambda: worker.text.count(" fetched ") == lines + 1)
    assert len(shared.ysepz.log) == before
    assert shared.stored("2019np") == 33


def test_the_terminal_calls_the_same_task(shared: Service, until: Callable[..., float]) -> None:
    """``celery -A workers call`` and ``.delay`` with a name bring a target up to date."""
    called, delayed = list(shared.supernovae)[-2:]
    shared.know(called, delayed)
    register = "from workers.resources import service; from yse_ingest.targets import Target;"
    shared.python(
        register + f"[service().enqueue(Target(name)) for name in ('{called}', '{delayed}')];"
        f"from workers.fetch import fetch_photometry; fetch_photometry.delay('{delayed}')"
    )
    shared.celery("call", "yse_ingest.fetch_photometry", "--args", json.dumps([called]))
    for name in (called, delayed):
        until(lambda name=name: shared.stored(name) == shared.published(name))


def test_an_unknown_target_is_told_and_ends(
    shared: Service, until: Callable[..., float]
) -> None:
    """A task for a name that nobody follows logs an error; the worker goes on."""
    worker = shared.everything
    assert worker is not None
    shared.python(
        "from workers.fetch import fetch_photometry; fetch_photometry.delay('nobody')"
    )
    until(lambda: "target=nobody" in worker.text)
    line = next(line for line in worker.text.splitlines() if "target=nobody" in line)
    assert "ERROR" in line
    assert "Traceback" not in worker.text
    assert worker.alive


def test_flower_shows_a_retry_while_ysepz_says_503(
    shared: Service, until: Callable[..., float]
) -> None:
    """Flower's list: fetch and upload by name, readable arguments, RETRY, then SUCCESS."""
    name = list(shared.supernovae)[-3]
    shared.know(name)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flower = shared.celery(
        "flower", "--address=127.0.0.1", f"--port={port}", FLOWER_UNAUTHENTICATED_API="true"
    )

    def tasks(state: str) -> dict[str, str]:
        """Return what Flower lists in this state: name to arguments, of this target."""
        url = f"http://127.0.0.1:{port}/api/tasks?state={state}"
        with urllib.request.urlopen(url, timeout=5) as reply:
            listed = json.load(reply).values()
        return {task["name"]: task["args"] for task in listed if name in task["args"]}

    flower.wait_for("Connected to redis")
    fault = Fault("status", path="^/add_transient_phot", status=503)
    shared.ysepz.faults.add(fault)
    shared.python(f"from workers import enqueue_target; enqueue_target('{name}')")
    until(lambda: tasks("RETRY"), what="RETRY in Flower")
    assert f"('{name}', '" in tasks("RETRY")["yse_ingest.upload_photometry"]
    shared.ysepz.faults.clear()
    until(lambda: "yse_ingest.upload_photometry" in tasks("SUCCESS"))
    assert f"('{name}',)" in tasks("SUCCESS")["yse_ingest.fetch_photometry"]
    assert shared.stored(name) == shared.published(name)


def test_a_broker_that_is_away_loses_no_target(shared: Service) -> None:
    """The target is written down as due, and the caller hears of no error."""
    state_url = shared.redis.url(1)
    said = shared.python(
        "from workers import enqueue_target; from workers.resources import service;"
        "print(enqueue_target('2018cow'), service().state.targets.due_ms('2018cow') > 0)",
        CELERY_BROKER_URL="redis://127.0.0.1:1/0",
        YSE_INGEST_STATE_URL=state_url,
    )
    assert said.split() == ["2018cow", "True"]


def test_a_state_that_is_away_is_an_error(shared: Service) -> None:
    """Where the target cannot be written down, the caller is told so."""
    said = shared.python(
        "from workers import enqueue_target\n"
        "from yse_ingest.errors import StateUnavailableError\n"
        "try: enqueue_target('2018cow')\n"
        "except StateUnavailableError as error: print(error)",
        YSE_INGEST_STATE_URL="redis://127.0.0.1:1/1",
    )
    assert said.startswith("Redis")


def test_a_hand_written_entry_of_beat_leads_to_the_same_task(
    shared: Service, until: Callable[..., float]
) -> None:
    """A `beat_schedule` entry of the working directory brings its target up to date."""
    name = list(shared.supernovae)[-4]
    shared.know(name)
    folder = shared.folder / "deployment"
    folder.mkdir()
    entry = {"task": "yse_ingest.fetch_photometry", "args": [name], "schedule": 1.0}
    text = f"yse_ingest_config = 1\nbeat_schedule = {{'mine': {entry!r}}}\n"
    (folder / "celeryconfig.py").write_text(text)
    shared.python(
        "from workers.resources import service; from yse_ingest.targets import Target;"
        f"service().enqueue(Target('{name}', cadence_s=86400))"
    )
    beat = shared.celery("beat", "-n", "beat@test", cwd=folder)
    until(lambda: shared.stored(name) == shared.published(name))
    assert list((shared.folder / "var").glob("beat-schedule*"))
    assert [path.name for path in folder.iterdir()] == ["celeryconfig.py"]
    ping = shared.celery("inspect", "ping", "-d", "beat@test")
    assert ping.end() == 0, ping.text
    assert beat.stop() == 0


def test_a_foreign_celeryconfig_does_not_take_over(shared: Service) -> None:
    """Started in another application's folder, the tasks are there and the file is named."""
    folder = shared.folder / "foreign"
    folder.mkdir()
    (folder / "celeryconfig.py").write_text("broker_url = 'amqp://'\nimports = ['theirs']\n")
    report = shared.celery("report", cwd=folder)
    assert report.end() == 0
    assert f"{folder / 'celeryconfig.py'} belongs to another application" in report.text
    assert "amqp" not in report.text
