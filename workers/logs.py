"""Logging: one line per task, values as fields, so that grepping a target tells its story.

Text on a terminal (``key=value``), JSON by ``YSE_INGEST_LOG=json``. Every line written within a
task carries the task's name, id, attempt and seconds so far, and the target it is about.
"""

from __future__ import annotations

import json
import logging
import re
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from typing import TYPE_CHECKING, Any

from celery.signals import setup_logging, task_failure, task_postrun, task_prerun

from yse_ingest.errors import YseIngestError
from yse_ingest.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.settings import Settings

logger = logging.getLogger(__name__)

PREFIX = "yse_ingest."
LONGEST = 2000
"""Longest text of one field [characters]."""
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_QUIET = ("celery.app.trace", "celery.worker.strategy", "celery.beat", "celery.redirected")
"""Celery's own lines per task and tick: ours say more."""
_KNOWN_WARNING = "worker_cancel_long_running_tasks_on_connection_loss"
"""Celery says at each reconnection that Celery 6 will choose otherwise; we have chosen."""
_PLAIN = re.compile(r"[^\s\"'=]+")

_task: ContextVar[dict[str, Any] | None] = ContextVar("task", default=None)


def connect(settings: Settings) -> None:
    """Have Celery's programs log this way."""

    @setup_logging.connect(weak=False)
    def set_up(loglevel: int | None = None, logfile: str | None = None, **_: Any) -> None:
        configure(settings, loglevel=loglevel, logfile=logfile)

    task_prerun.connect(_begin)
    task_postrun.connect(_end)
    task_failure.connect(_failed)


def configure(
    settings: Settings, *, loglevel: int | None = None, logfile: str | None = None
) -> None:
    """Send every log line of this process to one place, in one form.

    Parameters
    ----------
    settings
        Form and least severity.
    loglevel
        From Celery's ``-l``: it can only make the log more talkative.
    logfile
        From Celery's ``-f``; standard error otherwise.
    """
    handler = WatchedFileHandler(logfile) if logfile else logging.StreamHandler()
    form = JsonFormatter if settings.log_format == "json" else TextFormatter
    handler.setFormatter(form(settings.secrets()))
    handler.addFilter(add_task)
    least = logging.getLevelNamesMapping()[settings.log_level]
    least = min(least, loglevel) if loglevel else least
    logging.basicConfig(level=least, handlers=[handler], force=True)
    logging.getLogger("py.warnings").addFilter(_is_news)
    if least > logging.DEBUG:
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)


def _is_news(record: logging.LogRecord) -> bool:
    return _KNOWN_WARNING not in record.getMessage()


def _begin(task_id: str, task: Any, args: Any, kwargs: Any, **_: Any) -> None:
    names: dict[str, str] = getattr(task, "log_fields", {})
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    _task.set(
        {
            **{names[name]: value for name, value in given.items() if name in names},
            "task": task.name.removeprefix(PREFIX),
            "task_id": task_id,
            "attempt": task.request.retries + 1,
            "started": time.monotonic(),
        }
    )


def _end(**_: Any) -> None:
    _task.set(None)


def _failed(exception: BaseException, **_: Any) -> None:
    # Anything else is a fault of ours: Celery logs it, with its traceback.
    if isinstance(exception, YseIngestError):
        logger.error("failed", extra={"error": str(exception)})


def add_task(record: logging.LogRecord) -> bool:
    """Add the fields of the running task to a record; a filter that drops nothing."""
    for name, value in (_task.get() or {}).items():
        if name == "started":
            record.seconds = round(time.monotonic() - value, 3)
        elif not hasattr(record, name):
            setattr(record, name, value)
    return True


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    if record.name.startswith(("celery", "kombu")):
        own = {"task", "task_id", "target"}
        yield from ((name, vars(record)[name]) for name in own & vars(record).keys())
        return
    for name, value in vars(record).items():
        if name not in _STANDARD and value not in (None, "", {}):
            yield name, _shortened(value)


def _shortened(value: Any) -> Any:
    """Return text no longer than anybody reads: names and answers come from outside."""
    if isinstance(value, str | Exception) and len(text := str(value)) > LONGEST:
        return f"{text[:LONGEST]}... ({len(text)} characters)"
    return value


class _Formatter(logging.Formatter):
    """What both forms share: the time, and that no secret gets out."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return redacted(self.line(record), self._secrets)

    def line(self, record: logging.LogRecord) -> str:
        raise NotImplementedError

    @staticmethod
    def moment(record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, tz=UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(_Formatter):
    """``time LEVEL event key=value ...``."""

    def line(self, record: logging.LogRecord) -> str:
        """Return the line; values with blanks are quoted."""
        parts = [self.moment(record), f"{record.levelname:7}", record.getMessage()]
        for name, value in _fields(record):
            pairs = value.items() if isinstance(value, dict) else [(name, value)]
            parts += [f"{str(key).replace(' ', '_')}={_word(each)}" for key, each in pairs]
        if record.exc_info:
            parts.append("\n" + self.formatException(record.exc_info))
        return " ".join(parts)


class JsonFormatter(_Formatter):
    """One JSON object per line."""

    def line(self, record: logging.LogRecord) -> str:
        """Return the object; what JSON does not know is text."""
        entry = {
            "time": self.moment(record),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
            **dict(_fields(record)),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple | set):
        value = ",".join(map(str, value))
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
