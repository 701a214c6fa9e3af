"""How the application is configured before, and in spite of, the deployment's choices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kombu import Exchange, Queue

from workers.broker import tls_of
from workers.schedule import schedule
from yse_ingest.errors import SettingsError
from yse_ingest.state import QUEUES, key_prefix

if TYPE_CHECKING:
    from workers.deployment import Deployment
    from yse_ingest.settings import Settings

ROUTES = {
    "yse_ingest.fetch_photometry": "fetch",
    "yse_ingest.fetch_photometry_many": "fetch",
    "yse_ingest.upload_photometry": "upload",
    "yse_ingest.*": "control",
}
RESTORE_EVERY_S = 15.0
"""How often a worker looks for messages of dead workers [s]; Celery's own rhythm is 100 s."""


def configuration(settings: Settings, deployment: Deployment) -> dict[str, Any]:
    """Return Celery's settings: the defaults, the deployment's choices, the invariants.

    Raises
    ------
    SettingsError
        When the deployment names another broker than the environment.
    """
    chosen = dict(deployment.choices)
    _check_broker(settings, chosen, deployment.origin)
    fixed = invariants(settings)
    return {
        **defaults(),
        **chosen,
        **fixed,
        "broker_transport_options": {
            **transport_defaults(),
            **chosen.get("broker_transport_options", {}),
            **transport_invariants(settings),
        },
        "beat_schedule": schedule(chosen.get("beat_schedule", {})),
    }


def overruled(settings: Settings, deployment: Deployment) -> Deployment:
    """Return the deployment, its problems naming the choices that invariants overrule."""
    fixed = invariants(settings)
    told = tuple(
        f"{deployment.origin}: {name} is fixed by yse_ingest; {value!r} is ignored."
        for name, value in deployment.choices.items()
        if name in fixed and fixed[name] != value
    )
    return replace(deployment, problems=deployment.problems + told)


def defaults() -> dict[str, Any]:
    """Return what a deployment may choose otherwise."""
    return {
        "worker_pool": "threads",
        "worker_concurrency": 8,
        # Flower shows nothing without these. They halve what no-op tasks reach (1147/s to
        # 548/s, measured 2026-11), which is far above what sources and YSE-PZ allow.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "beat_max_loop_interval": 5,
        "beat_enable_remote_control": True,
        "broker_connection_retry_on_startup": True,
        # Celery gives up after 100 tries, which is a broker's long night.
        "broker_connection_max_retries": None,
        "task_publish_retry_policy": {
            "max_retries": 3,
            "interval_start": 0.2,
            "interval_step": 0.5,
            "interval_max": 1.0,
        },
    }


def transport_defaults() -> dict[str, Any]:
    """Return the connection's own times; without them a publisher may hang for ever."""
    return {
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "queue_order_strategy": "round_robin",
    }


def transport_invariants(settings: Settings) -> dict[str, Any]:
    """Return when a dead worker's messages are handed on, and under which keys they lie."""
    every_s = min(RESTORE_EVERY_S, max(1.0, settings.visibility_s / 10))
    options: dict[str, Any] = {
        "visibility_timeout": settings.visibility_s,
        "unacked_restore_interval": every_s,
        "unacked_restore_throttle": 1,
    }
    if prefix := key_prefix(settings.namespace):
        options["global_keyprefix"] = prefix
    return options


def invariants(settings: Settings) -> dict[str, Any]:
    """Return what the promises of yse_ingest rest on."""
    return {
        "broker_url": settings.broker_url,
        "broker_use_ssl": tls_of(settings.broker_url),
        "visibility_timeout": settings.visibility_s,
        # A worker's death re-runs its task; the fence refuses a second run that is late.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # The clock of redelivery starts at receipt: nothing is taken before its turn.
        "worker_prefetch_multiplier": 1,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        # What became of a task stands in the state and its receipts.
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_queues": tuple(Queue(name, Exchange(name), routing_key=name) for name in QUEUES),
        "task_default_queue": "control",
        "task_routes": ROUTES,
        # A typo in a queue raises, instead of filling a list that nobody reads.
        "task_create_missing_queues": False,
        "task_always_eager": False,
        "worker_hijack_root_logger": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "beat_scheduler": "workers.schedule:Scheduler",
        "beat_schedule_filename": str(settings.state_dir / "beat-schedule"),
        "enable_utc": True,
    }


def _check_broker(settings: Settings, chosen: dict[str, Any], origin: str) -> None:
    other = chosen.get("broker_url", settings.broker_url)
    if other != settings.broker_url:
        raise SettingsError(
            "broker_url differs from CELERY_BROKER_URL",
            service=origin,
            remedy="Write the address into the environment, as CELERY_BROKER_URL: the terminal "
            "and the state read it there too.",
        )
