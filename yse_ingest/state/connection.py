"""The connection to Redis: time-outs, and every redis error translated once, here."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.client import NEVER_DECODE
from redis.retry import Retry

from yse_ingest.errors import SettingsError, StateError, StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from redis.commands.core import Script

OLDEST_SERVER = (6, 2)
"""Oldest Redis that works: kombu and this package need ``ZRANGE ... BYSCORE``."""
CONNECT_PAUSES_S = (0.1, 0.4, 1.0)
"""Pauses between tries to connect: a restart of Redis takes about that long [s]."""
UNREACHED_S = 5.0
"""So long after them a command that asks again, as `doctor` does, is told at once [s]."""


@dataclass(frozen=True)
class Finding:
    """One line of a health check."""

    subject: str
    """What was looked at: "server", "appendonly", "maxmemory-policy", "ping"."""
    level: Literal["ok", "warning", "failure"]
    """Whether it is as it should be."""
    fact: str
    """What was found."""
    remedy: str | None = None
    """What to do about it: a sentence."""


class Read(NamedTuple):
    """A command that only reads, to be sent with others: see `Connection.reading_ahead`."""

    command: tuple[Any, ...]
    binary: bool = False


_JOINT = {"GET": "MGET", "HGET": "HMGET"}
"""Commands of which one asks for many: of the same hash, where it is one."""


class _Pool(redis.ConnectionPool):
    """A pool that tries again to connect, and never to repeat a command.

    Before a connection stands nothing has been sent, so trying again is safe. A command whose
    reply was lost may have been carried out; whether it may be repeated is the caller's
    knowledge. Where this process has just found nobody, and never anybody, it tries once.
    """

    _unreached: ClassVar[dict[str, float]] = {}
    """Address to when nobody was there, by the monotonic clock [s]."""
    _stood = False

    def get_connection(self, *args: Any, **options: Any) -> Any:
        """Return a connection that stands."""
        address = _address(self.connection_kwargs)
        since_s = time.monotonic() - self._unreached.get(address, -math.inf)
        pauses = CONNECT_PAUSES_S if self._stood or since_s > UNREACHED_S else ()
        for pause in pauses:
            try:
                return self._standing(*args, **options)
            except exceptions.AuthenticationError:
                raise
            except exceptions.ConnectionError:
                time.sleep(pause)
        try:
            return self._standing(*args, **options)
        except exceptions.ConnectionError:
            self._unreached[address] = time.monotonic()
            raise

    def _standing(self, *args: Any, **options: Any) -> Any:
        connection = super().get_connection(*args, **options)
        self._stood = True
        return connection


class Connection:
    """One pool of connections, shared by all threads; replies are text.

    Every method raises `StateUnavailableError` when Redis gives no answer, and `StateError`
    when it refuses; neither shows the password.
    """

    def __init__(self, client: redis.Redis, *, address: str) -> None:
        # redis-py declares too little of the two calls used here to type them.
        self._client: Any = client
        self._scripts: dict[str, Script] = {}
        self._ahead = threading.local()
        self.address = address

    @classmethod
    def open(cls, url: str, *, socket_timeout: float, connect_timeout: float) -> Self:
        """Return the connection for a URL; nothing is sent yet.

        Raises
        ------
        SettingsError
            When it is no Redis URL. The text does not repeat it: it may hold a password.
        """
        options: dict[str, Any] = {
            "socket_timeout": socket_timeout,
            "decode_responses": True,
            "retry": Retry(NoBackoff(), 0),
            # RESP2: its replies have the same shapes in redis-py 6.4 to 8.
            "protocol": 2,
        }
        if not url.startswith("unix:"):
            options |= {"socket_connect_timeout": connect_timeout, "socket_keepalive": True}
        pool = None
        # TypeError: an option in the URL that redis-py does not know.
        with contextlib.suppress(ValueError, TypeError, exceptions.RedisError):
            made = _Pool.from_url(url, **options)
            made.connection_class(**made.connection_kwargs)
            pool = made
        if pool is None:
            # Not from the original error: its text may repeat the password.
            raise SettingsError(
                "the state URL is no Redis URL",
                service="Redis",
                remedy="Write redis://HOST:PORT/DB, rediss://... or unix:///PATH?db=DB.",
            )
        return cls(redis.Redis(connection_pool=pool), address=_address(pool.connection_kwargs))

    def call(self, *command: Any, binary: bool = False) -> Any:
        """Send one command and return its reply; ``binary``: as bytes."""
        ahead = self._read_ahead()
        if ahead and (command, binary) in ahead:
            return ahead.pop((command, binary))
        options = {NEVER_DECODE: True} if binary else {}
        with translated(self.address):
            return self._client.execute_command(*command, **options)

    def batch(self, commands: Sequence[Sequence[Any]], *, atomic: bool = False) -> list[Any]:
        """Send commands in one go and return their replies; ``atomic``: as a transaction."""
        ahead = self._read_ahead()
        if (
            ahead
            and not atomic
            and all((tuple(command), False) in ahead for command in commands)
        ):
            return [ahead.pop((tuple(command), False)) for command in commands]
        with translated(self.address), self._client.pipeline(transaction=atomic) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = pipeline.execute()
            return replies

    @contextlib.contextmanager
    def reading_ahead(self, reads: Iterable[Read]) -> Iterator[None]:
        """Send reads in one go; within the block each that is asked for has its reply.

        It is for reads that follow each other at once: what one of them returns is as old as
        the block. A reply is given once, to this thread, and none outlives the block.

        Parameters
        ----------
        reads
            Each a command that only reads.
        """
        sent = _joined(reads)
        with translated(self.address), self._client.pipeline(transaction=False) as pipeline:
            for command, together in sent:
                options = {NEVER_DECODE: True} if together[0].binary else {}
                pipeline.execute_command(*command, **options)
            replies = pipeline.execute() if sent else []
        found: dict[tuple[tuple[Any, ...], bool], Any] = {}
        for (command, together), reply in zip(sent, replies, strict=True):
            parts = [reply] if command is together[0].command else reply
            keys = [(read.command, read.binary) for read in together]
            found.update(zip(keys, parts, strict=True))
        self._ahead.replies = found
        try:
            yield
        finally:
            self._ahead.replies = {}

    def _read_ahead(self) -> dict[tuple[tuple[Any, ...], bool], Any]:
        replies: dict[tuple[tuple[Any, ...], bool], Any] | None
        replies = getattr(self._ahead, "replies", None)
        return {} if replies is None else replies

    def run(self, lua: str, *, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        """Run a script and return its reply."""
        script = self._scripts.get(lua)
        if script is None:
            script = self._scripts[lua] = self._client.register_script(lua)
        with translated(self.address):
            return script(keys=keys, args=args)

    def now_ms(self) -> int:
        """Return the time of Redis, the one clock of all processes [Unix ms]."""
        seconds, micros = self.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def run_id(self) -> str:
        """Return the name that the server gave itself when it was started."""
        return str(self.call("INFO", "server")["run_id"])

    def close(self) -> None:
        """Close every connection of the pool."""
        self._client.connection_pool.disconnect()

    def check(self) -> list[Finding]:
        """Return what a health check finds: version, persistence, eviction, round trip."""
        start = time.perf_counter()
        self.call("PING")
        ping_ms = (time.perf_counter() - start) * 1000
        findings = judge_server(self.call("INFO"))
        return [*findings, Finding("ping", "ok", f"{ping_ms:.1f} ms to {self.address}")]


def side_connection(url: str, *, socket_timeout: float = 5.0) -> Connection:
    """Return a connection of its own to the broker, for what must not go through kombu's."""
    return Connection.open(url, socket_timeout=socket_timeout, connect_timeout=socket_timeout)


def judge_server(info: Mapping[str, Any]) -> list[Finding]:
    """Return the findings that follow from the reply to ``INFO``."""
    return [_judge_version(info), _judge_persistence(info), _judge_eviction(info)]


def refuse_old_server(info: Mapping[str, Any], *, address: str) -> None:
    """Raise `StateError` when the server is too old to work with."""
    finding = _judge_version(info)
    if finding.level == "failure":
        raise StateError(f"{finding.fact} at {address}", service="Redis", remedy=finding.remedy)


def _judge_version(info: Mapping[str, Any]) -> Finding:
    # Valkey 8 and 9 report redis_version 7.2.4 for compatibility, and their own beside it.
    reported = str(info.get("redis_version", "0"))
    name = str(info.get("server_name", "redis"))
    version = str(info.get(f"{name}_version", reported))
    label = f"{name.capitalize()} {version}"
    if version != reported:
        label += f" (reports redis_version {reported})"
    digits = (part for part in reported.split(".")[:2] if part.isdigit())
    if tuple(int(part) for part in digits) < OLDEST_SERVER:
        return Finding(
            "server",
            "failure",
            f"{label} is too old: Celery's transport needs ZRANGE BYSCORE, new in 6.2",
            "Use Redis 7 or newer, or any Valkey.",
        )
    return Finding("server", "ok", label)


def _judge_persistence(info: Mapping[str, Any]) -> Finding:
    if int(info.get("aof_enabled", 0)):
        return Finding("appendonly", "ok", "the append-only file is on")
    return Finding(
        "appendonly",
        "warning",
        "the append-only file is off: a restart of Redis loses what is owed",
        "Set 'appendonly yes' and 'appendfsync everysec' in the configuration of Redis.",
    )


def _judge_eviction(info: Mapping[str, Any]) -> Finding:
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        return Finding("maxmemory-policy", "ok", policy)
    return Finding(
        "maxmemory-policy",
        "failure",
        f"{policy}: Redis may throw away what is owed when its memory is full",
        "Set 'maxmemory-policy noeviction' in the configuration of Redis.",
    )


def _joined(reads: Iterable[Read]) -> list[tuple[tuple[Any, ...], list[Read]]]:
    """Return commands that read all this, each with what it reads."""
    alike: dict[Any, list[Read]] = {}
    for read in dict.fromkeys(reads):
        name, *middle = read.command[:-1]
        same = (name, *middle, read.binary) if name in _JOINT else read
        alike.setdefault(same, []).append(read)
    sent = []
    for together in alike.values():
        name, *middle = together[0].command[:-1]
        command = together[0].command
        if len(together) > 1:
            command = (_JOINT[name], *middle, *(read.command[-1] for read in together))
        sent.append((command, together))
    return sent


@contextlib.contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn every error of redis into one of ours."""
    try:
        yield
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise StateError(
            f"it does not accept this user at {address}: {error}",
            service="Redis",
            remedy="Check user and password in the state URL, and the user's rights (ACL).",
        ) from error
    except exceptions.OutOfMemoryError as error:
        raise StateUnavailableError(
            f"its memory is full at {address}",
            service="Redis",
            remedy="Raise 'maxmemory' in the configuration of Redis.",
        ) from error
    except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
        raise StateUnavailableError(
            f"no answer at {address}: {str(error).rstrip('.')}",
            service="Redis",
            remedy="Start Redis, or correct its address.",
        ) from error
    except exceptions.RedisError as error:
        raise StateError(
            f"{error} (at {address})", service="Redis", remedy="Run 'yse-ingest doctor'."
        ) from error


def _address(parts: Mapping[str, Any]) -> str:
    """Return where the server is: the URL without user, password and options."""
    if path := parts.get("path"):
        return f"unix://{path}?db={parts.get('db', 0)}"
    host, port = parts.get("host", "localhost"), parts.get("port", 6379)
    return f"redis://{host}:{port}/{parts.get('db', 0)}"
