"""The heartbeat goes through beat, broker and workers: what dies is told, by the right name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.watch.smtp import Fault as MailFault
from tests.watch.smtp import SmtpStandIn
from tests.workers.conftest import wait_until
from yse_ingest.cli import main
from yse_ingest.service import Service as Inside
from yse_ingest.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.workers.conftest import Program, Service

PROGRAM = Path(sys.executable).parent / "yse-ingest"
LIMIT_S = 6
CONFIG = """
yse_ingest_config = 1
beat_max_loop_interval = 1
beat_schedule = {
    name: {"schedule": 1.0}
    for name in ("sweep", "watch", "pulse-fetch", "pulse-upload", "pulse-control")
}
"""


@pytest.fixture
def mail() -> Iterator[SmtpStandIn]:
    with SmtpStandIn() as server:
        yield server


@pytest.fixture
def short(service: Service, mail: SmtpStandIn) -> Service:
    """Return a sandbox with short limits, whose beat ticks every second."""
    service.env |= {
        "YSE_INGEST_LIMIT_HEARTBEAT": str(LIMIT_S),
        "YSE_INGEST_NOTIFY_AFTER": "0.5",
        "YSE_INGEST_NOTIFY_TO": "observer@example.org",
        "YSE_INGEST_NOTIFY_TIMEOUT": "3",
        "YSE_INGEST_NOTIFY_RETRY": "1",
        "YSE_INGEST_SMTP_SECURITY": "none",
        "YSE_INGEST_SMTP_PORT": str(mail.port),
    }
    (service.folder / "celeryconfig.py").write_text(CONFIG)
    return service


def health(service: Service) -> dict[str, Any]:
    """Return what the command says, as a monitoring system's own process."""
    done = subprocess.run(
        [PROGRAM, "health", "--json"],
        cwd=service.folder,
        env={**service.env, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if found["healthy"] else 1), done.stderr
    return found


def seen(service: Service) -> list[str]:
    """Return what is wrong by the same command, in this process: cheap enough to ask often."""
    result = CliRunner().invoke(main, ["health", "--json"], env=service.env)
    return [failure["key"] for failure in json.loads(result.stdout)["failures"]]


def comes_to(service: Service, *wrong: str) -> None:
    """Wait until just these are wrong, and see that another process is told so, too."""
    wait_until(lambda: seen(service) == [*wrong], within=40, what=f"wrong: {wrong}")
    told = health(service)
    assert [failure["key"] for failure in told["failures"]] == [*wrong]
    assert told["healthy"] is not bool(wrong)


def test_what_dies_is_named(
    short: Service, until: Callable[..., float], mail: SmtpStandIn
) -> None:
    """Nothing runs; all run; beat is killed; beat is back and the upload worker is killed."""
    comes_to(short, "state")
    control = short.worker("control", "control", "fetch")
    upload = short.worker("upload", "upload")
    beat = short.celery("beat")
    comes_to(short)

    beat.kill()
    comes_to(short, "beat")
    assert control.alive
    assert upload.alive

    beat = short.celery("beat")
    comes_to(short)

    def told_of_the_queue() -> list[str]:
        said = [str(each.mail["Subject"]) for each in mail.taken]
        return [subject for subject in said if "the workers of the queue upload" in subject]

    upload.kill()
    comes_to(short, "queue:upload")
    until(lambda: bool(told_of_the_queue()), within=40, what="a mail")
    assert beat.alive

    short.worker("upload", "upload")
    until(lambda: len(told_of_the_queue()) > 1, within=40, what="a mail that it is back")
    silent, back = told_of_the_queue()
    assert "the workers of the queue upload are silent" in silent
    assert "over: the workers of the queue upload" in back
    assert health(short)["healthy"]


def test_a_hanging_mail_server_fails_no_task(
    short: Service, until: Callable[..., float], mail: SmtpStandIn
) -> None:
    """Fetch, upload and ticks go on while it hangs; the message arrives when it is back."""
    mail.faults = [MailFault("DATA", hang=True)]
    inside = Inside.from_settings(Settings.from_env(short.env))
    inside.state.outbox.hold("the disk is changed")
    worker = short.worker("everything")
    beat: Program = short.celery("beat")
    until(lambda: mail.connections > 0, within=40, what="a mail is tried")

    short.know("2019np")
    inside.state.outbox.unhold()
    short.python("from workers import enqueue_target; enqueue_target('2019np')")
    until(lambda: short.stored("2019np") == 33, within=20)
    before = inside.state.heartbeats.all()
    until(
        lambda: all(
            inside.state.heartbeats.all().get(work, 0) > before.get(work, 0)
            for work in ("dispatch", "drain", "sweep", "queue:control")
        ),
        within=20,
        what="ticks go on",
    )
    mail.faults = []
    until(lambda: bool(mail.taken), within=40, what="the mail")
    inside.state.close()
    assert (
        "the disk is changed" in mail.taken[0].text or "writing goes on" in mail.taken[0].text
    )
    assert "message not sent" in worker.text
    assert "Traceback" not in worker.text
    assert "ERROR" not in worker.text
    assert beat.alive


def test_an_expired_pulse_is_no_heartbeat(short: Service, until: Callable[..., float]) -> None:
    """What waited for a dead worker does not make it look alive afterwards."""
    short.python(
        "from workers.celery import app;"
        "app.send_task('yse_ingest.pulse', args=('fetch',), queue='fetch', expires=0.01);"
        "import time; time.sleep(0.1);"
        "app.send_task('yse_ingest.pulse', args=('upload',), queue='fetch', expires=60)"
    )
    short.worker("fetch", "fetch")
    inside = Inside.from_settings(Settings.from_env(short.env))
    until(lambda: "queue:upload" in inside.state.heartbeats.all(), within=20)
    assert "queue:fetch" not in inside.state.heartbeats.all()
    inside.state.close()
