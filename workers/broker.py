"""Keep a running task running when the connection to the broker breaks.

Two faults of kombu 5.7 on Redis, both measured 2026-11. (1) When a connection is lost, kombu
pushes the messages of *running* tasks back: a second copy starts seconds later, beside the
first. (2) When the broker is gone while a late acknowledgement is due, the dead channel raises
``AttributeError: 'NoneType' object has no attribute 'hostname'`` and the worker exits. Here a
channel gives its messages back at shutdown only, and acknowledges through a connection of its
own when the worker's has died.
"""

from __future__ import annotations

import logging
import threading
from importlib.metadata import version
from queue import Empty
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from celery.signals import worker_init, worker_shutting_down
from kombu.transport import redis as transport
from kombu.transport import virtual
from kombu.utils.encoding import bytes_to_str

from workers.messages import JunkError, check_envelope, check_task, envelope
from yse_ingest.errors import StateError
from yse_ingest.state import side_connection

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

MEASURED = "5.7."
"""The kombu against which this was measured; another one is left alone."""

_ERRORS = transport.get_redis_error_classes()
_LOST: tuple[type[Exception], ...] = (
    AttributeError,
    *_ERRORS.connection_errors,
    *_ERRORS.channel_errors,
)


def tls_of(broker_url: str) -> dict[str, str] | None:
    """Return how kombu is to speak TLS to a broker, None where it is not to.

    By its source kombu 5.7 would speak plain text to a ``rediss://`` address that has no
    ``ssl_`` option. Flower reads nothing else.
    """
    parts = urlsplit(broker_url)
    if parts.scheme != "rediss":
        return None
    given = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    return {"ssl_cert_reqs": "required", **given}


class Aside:
    """Takes messages off the broker's list of unacknowledged ones, by a connection of its own.

    What it cannot take off now is kept for the next time.
    """

    def __init__(self, broker_url: str, *, key_prefix: str) -> None:
        self._connection = side_connection(broker_url)
        self._prefix = key_prefix
        self._owed: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def acknowledge(self, tag: str, *, key: str, index_key: str) -> None:
        """Acknowledge one message, now or as soon as the broker is back."""
        with self._lock:
            self._owed.add((tag, self._prefix + key, self._prefix + index_key))
        self.catch_up()

    def catch_up(self) -> None:
        """Acknowledge what could not be acknowledged before."""
        with self._lock:
            try:
                for tag, key, index_key in sorted(self._owed):
                    self._connection.batch(
                        [("ZREM", index_key, tag), ("HDEL", key, tag)], atomic=True
                    )
                    self._owed.discard((tag, key, index_key))
            except StateError as error:
                fields = {"messages": len(self._owed), "error": error}
                logger.warning("acknowledged later", extra=fields)


class QoS(transport.QoS):
    """Celery's list of unacknowledged messages, on a channel that may die under it."""

    aside: ClassVar[Aside]

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, by the side connection when the channel is dead."""
        self._finish(delivery_tag, super().ack)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Drop a message; one that is to be run again is left to the visibility timeout."""
        if requeue:
            super().reject(delivery_tag, requeue=True)
        else:
            self._finish(delivery_tag, super().reject)

    def _finish(self, tag: str, finish: Callable[[str], None]) -> None:
        try:
            finish(tag)
        except _LOST:
            self.aside.acknowledge(tag, key=self.unacked_key, index_key=self.unacked_index_key)
            virtual.QoS.ack(self, tag)


def _dropped(queue: str, error: Exception) -> None:
    logger.error("message dropped", extra={"queue": queue, "error": str(error)})


class Channel(transport.Channel):
    """A channel that gives its messages back at shutdown only."""

    QoS = QoS
    do_restore = False
    # What celery-types leaves out.
    connection_errors: tuple[type[Exception], ...]
    _queue_cycle: Any
    _flush_brpop_reauth: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        QoS.aside.catch_up()

    def _brpop_read(self, **options: Any) -> bool:
        """Deliver one message of a queue, as kombu's own does; drop what is none."""
        try:
            try:
                reply = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not reply:
                raise Empty
            queue = bytes_to_str(reply[0]).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            try:
                message = envelope(reply[1])
                if ".reply." not in queue:
                    check_task(message)
            except JunkError as error:
                _dropped(queue, error)
            else:
                self.connection._deliver(message, queue)  # noqa: SLF001  as kombu's own
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _receive_one(self, c: Any) -> bool | None:
        try:
            heard: bool | None = super()._receive_one(c)  # type: ignore[misc]
        except RecursionError as error:
            _dropped("orders", error)
            raise Empty from error
        return heard

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        """Deliver one order to all workers (`celery inspect`); drop what is none."""
        try:
            check_envelope(message)
        except JunkError as error:
            _dropped(exchange, error)
            return True
        delivered: bool = super()._deliver_fanout_message(message, exchange)  # type: ignore[misc]
        return delivered


def connect(broker_url: str, *, key_prefix: str) -> None:
    """Have the workers of this application, and nothing else, use these channels."""

    @worker_init.connect(weak=False)
    def use_channels(**_: Any) -> None:
        install(broker_url, key_prefix=key_prefix)

    @worker_shutting_down.connect(weak=False)
    def give_back(**_: Any) -> None:
        Channel.do_restore = True


def install(broker_url: str, *, key_prefix: str) -> bool:
    """Use these channels from now on in this process; return whether this kombu is the one."""
    if not version("kombu").startswith(MEASURED):
        logger.warning("broker faults not handled", extra={"kombu": version("kombu")})
        return False
    QoS.aside = Aside(broker_url, key_prefix=key_prefix)
    transport.Transport.Channel = Channel
    return True
