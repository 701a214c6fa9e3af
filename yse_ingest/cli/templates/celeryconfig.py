"""The knobs of this deployment: Celery's own settings, by their own names.

Read from the folder in which the processes are started. What keeps the promises of yse_ingest
(late acknowledgement, JSON only, routes, time-outs) is fixed in `workers.defaults` and cannot
be changed here; a name that Celery does not know is reported at start. The broker's address is
``CELERY_BROKER_URL``, in the environment: Flower and the terminal read it there too.

One target on a schedule of its own, beside the cadence that all have (``YSE_INGEST_CADENCE``,
or ``cadence`` in the targets file), is one more entry of ``beat_schedule``::

    "2019np": {
        "task": "yse_ingest.fetch_photometry",
        "args": ["2019np"],
        "schedule": 30 * 60,
        "options": {"expires": 30 * 60},
    }
"""

from __future__ import annotations

from typing import Any

yse_ingest_config = 1  # this file is meant for yse_ingest: others of this name are ignored

# Threads of a worker that is started without --concurrency (the Procfile gives its own). One
# fetch waits for its source most of the time: threads = fetches per second x seconds per fetch.
worker_concurrency = 8

# Beat: an entry named as one of ours changes only what it says; the others are added.
# Periods in seconds, or celery.schedules.crontab(...).
beat_schedule: dict[str, dict[str, Any]] = {
    # Looks for targets that are due: the grain of all cadences.
    "dispatch": {"schedule": 5.0},
    # Sends what waited for its retry: the grain of all retries.
    "drain": {"schedule": 2.0},
    # Reads back what was proved longest ago (YSE_INGEST_AUDIT_AGE, YSE_INGEST_AUDIT_SHARE).
    "audit": {"schedule": 10.0},
    # Makes anew what a crash has lost.
    "sweep": {"schedule": 30.0},
}
