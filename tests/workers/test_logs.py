"""One line per task, values as fields, no secrets."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery.signals import task_postrun, task_prerun

from workers import logs
from yse_ingest.redaction import redacted
from yse_ingest.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UPLOAD = SimpleNamespace(
    name="yse_ingest.upload_photometry",
    log_fields={"name": "target", "key": "key", "fence": "fence"},
    request=SimpleNamespace(retries=1),
)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., list[str]]]:
    """Return a function that configures logging anew and then returns what was logged."""
    before = logging.getLogger().handlers[:], logging.getLogger().level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}

    def configure(**env: str) -> list[str]:
        if env:
            logs.configure(Settings.from_env(env))
        return capsys.readouterr().err.splitlines()

    yield configure
    root = logging.getLogger()
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def in_task(task: Any, *args: Any, **kwargs: Any) -> Callable[[Callable[[], None]], None]:
    def run(body: Callable[[], None]) -> None:
        logs._begin(task_id="1a2b", task=task, args=args, kwargs=kwargs)
        body()
        logs._end()

    return run


def test_a_line_of_a_task_names_target_task_and_attempt(
    shown: Callable[..., list[str]],
) -> None:
    """Grepping a target's name finds what every task did for it."""
    shown(YSE_INGEST_LOG="text")
    log = logging.getLogger("yse_ingest.service")
    in_task(UPLOAD, "2019np", "17", 5)(
        lambda: log.info("upload", extra={"counts": {"verified": 33, "stored elsewhere": 1}})
    )
    (line,) = shown()
    for word in (
        "INFO", " upload ", "target=2019np", "key=17", "fence=5", "verified=33",
        "stored_elsewhere=1", "task=upload_photometry", "task_id=1a2b", "attempt=2", "seconds=",
    ):  # fmt: skip
        assert word in line


def test_a_target_given_by_keyword_is_named_too(shown: Callable[..., list[str]]) -> None:
    """``celery call --kwargs`` leads to the same line."""
    shown(YSE_INGEST_LOG="text")
    in_task(UPLOAD, name="2019np")(lambda: logging.getLogger("workers").info("upload"))
    assert "target=2019np" in shown()[0]


def test_what_a_line_says_wins(shown: Callable[..., list[str]]) -> None:
    """A line about one of many targets names that one; without a task there are no fields."""
    shown(YSE_INGEST_LOG="text")
    log = logging.getLogger("yse_ingest.service")
    in_task(UPLOAD, "2019np")(lambda: log.info("fetched", extra={"target": "2018cow"}))
    log.info("idle")
    first, second = shown()
    assert "target=2018cow" in first
    assert "2019np" not in first
    assert second.endswith("idle")


def test_json_by_setting(shown: Callable[..., list[str]]) -> None:
    """The same fields as one JSON object a line."""
    shown(YSE_INGEST_LOG="json")
    error = ValueError('no "answer"')
    logging.getLogger("workers.upload").warning(
        "upload", extra={"error": error, "retry_in": 5.2}
    )
    entry = json.loads(shown()[0])
    assert entry["event"] == "upload"
    assert entry["level"] == "WARNING"
    assert entry["error"] == 'no "answer"'
    assert entry["retry_in"] == 5.2
    assert entry["time"].endswith("Z")


def test_secrets_never_reach_the_log(shown: Callable[..., list[str]]) -> None:
    """Passwords of the environment and of addresses are blanked, in tracebacks as well."""
    shown(YSE_INGEST_LOG="text", YSE_PZ_PASSWORD="correct horse")
    log = logging.getLogger("celery.worker")
    error = ConnectionError("redis://:hunter2@broker:6379/0 refused; correct horse")
    log.error("lost redis://user:hunter2@broker/1", exc_info=error)
    text = "\n".join(shown())
    assert "hunter2" not in text
    assert "correct horse" not in text
    assert "redis://user:***@broker/1" in text
    assert "ConnectionError" in text


def test_addresses_without_passwords_are_left_alone() -> None:
    """A port and an at sign in a path are no password."""
    text = "http://127.0.0.1:5555/a@b and redis://host:6379/0"
    assert redacted(text) == text


def test_celerys_own_lines_are_not_doubled(shown: Callable[..., list[str]]) -> None:
    """Celery's line per received and finished task is left out; its errors are not."""
    shown(YSE_INGEST_LOG="text")
    logging.getLogger("celery.app.trace").info("Task succeeded")
    logging.getLogger("celery.worker.strategy").info("Task received")
    logging.getLogger("celery.app.trace").error("Task raised unexpected", extra={"data": {}})
    (line,) = shown()
    assert line.endswith("Task raised unexpected")


def test_a_failure_of_ours_is_one_line(shown: Callable[..., list[str]]) -> None:
    """An error of ours ends a task with its message; a traceback would say no more."""
    from yse_ingest.errors import SettingsError

    shown(YSE_INGEST_LOG="text")
    logs._failed(SettingsError("no YSE-PZ is configured", remedy="Set YSE_PZ_URL."))
    (line,) = shown()
    assert 'error="no YSE-PZ is configured. Set YSE_PZ_URL."' in line
    logs._failed(ValueError("ours"))
    assert shown() == []


def test_the_log_is_bound_to_celerys_signals() -> None:
    """Programs of Celery log this way without a word of configuration."""
    import workers.celery  # noqa: F401

    for signal in (task_prerun, task_postrun):
        assert signal.has_listeners()
