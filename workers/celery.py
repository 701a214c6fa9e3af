"""The Celery application, configured: defaults, then the deployment's knobs, then invariants.

What a deployment may choose stands in its ``celeryconfig.py``; what keeps the promises of
yse_ingest (late acknowledgement, JSON only, the times) cannot be turned off there.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from celery import Celery

from workers import broker, logs
from workers.defaults import configuration, overruled
from workers.deployment import read_deployment
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
_deployment = overruled(settings, read_deployment())
app.conf.update(configuration(settings, _deployment))
for _problem in _deployment.problems:
    logger.error(_problem)

logs.connect(settings)
broker.connect(settings.broker_url, key_prefix=key_prefix(settings.namespace))
