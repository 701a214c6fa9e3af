"""The Celery application, configured: defaults, then the deployment's knobs, then invariants.

What a deployment may choose stands in its ``celeryconfig.py``; what keeps the promises of
yse_ingest (late acknowledgement, JSON only, the times) cannot be turned off there.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from celery import Celery

from workers import broker, logs, memory
from workers.defaults import configuration, overruled
from workers.deployment import read_deployment
from workers.schedule import faults_of
from yse_ingest.envfile import ENV_FILE, load_env_file
from yse_ingest.settings import Settings
from yse_ingest.state import key_prefix

logger = logging.getLogger(__name__)

# A Python shell or `celery -A workers` in a deployment's folder means that deployment.
load_env_file(Path(ENV_FILE), os.environ)
settings = Settings.from_env()

# Not the current app: in somebody's Django shell that would take over their shared tasks.
app = Celery(
    "workers",
    include=[
        "workers.fetch",
        "workers.upload",
        "workers.dispatch",
        "workers.enqueue",
        "workers.pulse",
    ],
    set_as_current=False,
)
deployment = overruled(settings, read_deployment())
app.conf.update(configuration(settings, deployment))
for _problem in deployment.problems:
    logger.error(_problem)
for _name, _fault in faults_of(deployment.choices.get("beat_schedule", {})).items():
    logger.error("%s: entry %r of beat_schedule %s", deployment.origin, _name, _fault)

logs.connect(settings)
broker.connect(settings.broker_url, key_prefix=key_prefix(settings.namespace))
memory.connect()
