"""A Celery application with one slow task, on the channels of `workers.broker`."""

from __future__ import annotations

import os
import time
from pathlib import Path

from celery import Celery

from workers import broker

URL = os.environ["CELERY_BROKER_URL"]
PREFIX = os.environ.get("SLEEPY_PREFIX", "")

app = Celery("sleepy", broker=URL)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": 60,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "global_keyprefix": PREFIX,
    },
)
if not os.environ.get("SLEEPY_STOCK"):
    broker.connect(URL, key_prefix=PREFIX)


@app.task(name="sleepy.nap")
def nap(path: str, seconds: float) -> None:
    """Note the beginning and the end of a nap in a file."""
    with Path(path).open("a") as notes:
        notes.write(f"begin {os.getpid()}\n")
        notes.flush()
        time.sleep(seconds)
        notes.write(f"end {os.getpid()}\n")
