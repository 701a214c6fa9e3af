"""An HTTP server with the machinery of the real ones: few workers, one queue, a worker limit.

What makes fault figures mean something is kept: `workers` requests are handled at a time
and the next one waits in the queue, a request goes on to its end although its client has
left, and one that takes longer than the worker limit is aborted wherever it happens to be.

`/_sandbox/...` on the same port controls a running stand-in: POST and DELETE `faults`, GET and
DELETE `requests`, GET `state`. These are answered at once, suffer no fault and are not logged.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Self, TypedDict

from yse_ingest.sandbox.faults import GARBAGE, Fault, FaultPlan
from yse_ingest.sandbox.wire import CONTROL, Conversation, Reply, Request, shut

__all__ = [
    "LoggedRequest",
    "Reply",
    "Request",
    "ServerOptions",
    "StandIn",
    "Work",
    "WorkerAborted",
]

logger = logging.getLogger(__name__)

BACKLOG: Final = 2048
LOG_LENGTH: Final = 2000
SLICE_S: Final = 0.05
SMALLEST_SLEEP_S: Final = 0.002


class WorkerAborted(BaseException):
    """The worker limit struck; not an Exception, so that no handler of errors swallows it.

    Parameters
    ----------
    silent
        The worker was blocked on something that is not ours: the connection is dropped.
        Otherwise the client gets the server's misleading 500.
    """

    def __init__(self, *, silent: bool = False) -> None:
        super().__init__("worker limit exceeded")
        self.silent = silent


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request that was served.

    Attributes
    ----------
    status
        HTTP status; 0 when no answer was sent.
    started, ended
        When a worker took it and let go of it, seconds since 1970 [s].
    cost
        What it would have cost the real server [s].
    fault
        The kind of fault that struck it.
    client_gone
        The client had left before the answer was written.
    """

    method: str
    path: str
    query: list[tuple[str, str]]
    status: int
    body_bytes: int
    started: float
    ended: float
    cost: float
    fault: str | None
    client_gone: bool
    body: bytes = b""

    def to_json(self, *, with_body: bool = False) -> dict[str, Any]:
        """Return the entry as plain JSON values."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name != "body"}
        if with_body:
            fields["body"] = self.body.decode(errors="replace")
        return fields


@dataclass(slots=True)
class Work:
    """What a worker is busy with: its clock, its cost, and the keys it is counted under."""

    since: float
    cost: float = 0.0
    owed_sleep: float = 0.0
    keys: list[str] = field(default_factory=list)


class _Workers:
    """A fixed number of workers; whoever waits gets one in the order of arrival."""

    def __init__(self, count: int) -> None:
        self._change = threading.Condition()
        self._queue: deque[object] = deque()
        self.free = count
        self.closed = False

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def acquire(self) -> bool:
        """Wait for a worker; False means that the server is stopping."""
        ticket = object()
        with self._change:
            self._queue.append(ticket)
            self._change.wait_for(
                lambda: self.closed or (self.free > 0 and self._queue[0] is ticket)
            )
            self._queue.remove(ticket)
            if not self.closed:
                self.free -= 1
            self._change.notify_all()
            return not self.closed

    def release(self) -> None:
        with self._change:
            self.free += 1
            self._change.notify_all()

    def close(self) -> None:
        with self._change:
            self.closed = True
            self._change.notify_all()


class ServerOptions(TypedDict, total=False):
    """How a `StandIn` is started: its parameters, none of which must be given."""

    workers: int
    worker_limit_s: float
    host: str
    port: int
    keep_alive: bool
    real_cost: float


class StandIn:
    """One stand-in server; subclasses say what it answers by overriding `handle`.

    Parameters
    ----------
    workers
        Requests handled at the same time; the next client waits.
    worker_limit_s
        Age at which a request is aborted [s].
    host, port
        Where it listens; port 0 takes a free one.
    keep_alive
        Whether a connection serves several requests. An idle connection occupies no worker.
    real_cost
        Share of the modelled cost that is really slept: 0 answers at once, 1 takes the time
        that the original was measured to take.
    """

    name: ClassVar[str] = "stand-in"

    def __init__(
        self,
        *,
        workers: int = 2,
        worker_limit_s: float = 30.0,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_alive: bool = False,
        real_cost: float = 0.0,
    ) -> None:
        self.workers = workers
        self.worker_limit_s = worker_limit_s
        self.keep_alive = keep_alive
        self.real_cost = real_cost
        self.faults = FaultPlan(on_change=self._listen_or_refuse)
        self.log: deque[LoggedRequest] = deque(maxlen=LOG_LENGTH)
        self.in_flight = 0
        self.max_in_flight = 0
        self.max_in_flight_by_key: Counter[str] = Counter()
        self._in_flight_by_key: Counter[str] = Counter()
        self._address = (host, port)
        self._lock = threading.RLock()
        self._listener: socket.socket | None = None
        self._pool = _Workers(workers)
        self._stopping = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._connections: set[socket.socket] = set()
        self._local = threading.local()

    # What a subclass says -------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer one request; runs on the thread of a worker."""
        return Reply.text(f"nothing here: {request.path}", 404)

    def server_error(self, request: Request) -> Reply:
        """Return the server's own 500: what ``error_before`` and ``error_after`` send."""
        return Reply.html(f"<h1>Server Error (500)</h1><p>{request.path}</p>", 500)

    def aborted(self, request: Request) -> Reply:
        """Return what the client sees of a request that the worker limit ended."""
        return self.server_error(request)

    # What a handler uses --------------------------------------------------------------------

    def current(self) -> Work:
        """Return what the calling worker is busy with."""
        work = getattr(self._local, "work", None)
        return work if isinstance(work, Work) else Work(time.monotonic())

    def hold(self, key: str) -> None:
        """Count the current request among those in flight for `key`, until it ends."""
        work = self.current()
        if key in work.keys:
            return
        with self._lock:
            work.keys.append(key)
            self._in_flight_by_key[key] += 1
            self.max_in_flight_by_key[key] = max(
                self.max_in_flight_by_key[key], self._in_flight_by_key[key]
            )

    def charge(self, seconds: float) -> None:
        """Add to the modelled cost of the current request, and sleep `real_cost` of it.

        Raises
        ------
        WorkerAborted
            The request is older than the worker limit.
        """
        work = self.current()
        work.cost += seconds
        work.owed_sleep += seconds * self.real_cost
        if work.owed_sleep >= SMALLEST_SLEEP_S:
            owed, work.owed_sleep = work.owed_sleep, 0.0
            self.rest(owed)
        elif time.monotonic() - work.since > self.worker_limit_s:
            raise WorkerAborted

    def rest(self, seconds: float, *, silent: bool = False) -> None:
        """Really sleep [s]; the worker limit and the end of the server interrupt it.

        Raises
        ------
        WorkerAborted
            The request is older than the worker limit.
        """
        limit = self.current().since + self.worker_limit_s
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            if now >= limit or self._stopping.is_set():
                raise WorkerAborted(silent=silent)
            self._stopping.wait(min(SLICE_S, end - now, limit - now))
        if end > limit:
            raise WorkerAborted(silent=silent)

    # Life -----------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._address[1]

    @property
    def url(self) -> str:
        """The address without a slash at the end."""
        return f"http://{self._address[0]}:{self._address[1]}"

    def start(self) -> None:
        """Listen and serve until `stop`."""
        with self._lock:
            self._listener = self._bind()
            self._address = self._listener.getsockname()[:2]
        self._spawn(self._accept)

    def stop(self) -> None:
        """Close every connection and wait for the threads; running requests are aborted."""
        self._stopping.set()
        self._pool.close()
        with self._lock:
            if self._listener is not None:
                shut(self._listener)
                self._listener.close()
                self._listener = None
            threads, connections = list(self._threads), list(self._connections)
        for connection in connections:
            shut(connection)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(timeout=10)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def state(self) -> dict[str, Any]:
        """Return the counters."""
        with self._lock:
            return {
                "name": self.name,
                "workers": self.workers,
                "in_flight": self.in_flight,
                "waiting": self._pool.waiting,
                "max_in_flight": self.max_in_flight,
                "max_in_flight_by_key": dict(self.max_in_flight_by_key),
                "requests": len(self.log),
                "faults": len(self.faults),
            }

    # Connections ----------------------------------------------------------------------------

    def _bind(self) -> socket.socket:
        listener = socket.create_server(self._address, backlog=BACKLOG)
        listener.settimeout(0.1)
        return listener

    def _listen_or_refuse(self) -> None:
        """Close or open the listening socket, as the faults say."""
        refused = self.faults.refused_until() > 0
        with self._lock:
            if self._stopping.is_set() or self.port == 0:
                return
            if refused and self._listener is not None:
                # Closing alone does not end a listening socket on which another thread waits.
                shut(self._listener)
                self._listener.close()
                self._listener = None
            elif not refused and self._listener is None:
                self._listener = self._bind()

    def _spawn(self, target: Any, *args: Any) -> None:
        def run() -> None:
            try:
                target(*args)
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name=f"{self.name}-stand-in", daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                listener = self._listener
            if listener is None:
                self._stopping.wait(0.02)
                self._listen_or_refuse()
                continue
            try:
                connection, peer = listener.accept()
            except OSError:  # the 0.1 s have passed, or the socket was closed under us
                continue
            with self._lock:
                if self._listener is not listener:
                    connection.close()
                    continue
                self._connections.add(connection)
            self._spawn(self._converse, connection, peer)

    def _converse(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        try:
            Conversation(connection, peer, self)
        except OSError:  # the client went away: nobody is left to tell
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
            shut(connection)
            connection.close()

    # Requests -------------------------------------------------------------------------------

    def serve(self, request: Request, conversation: Conversation) -> None:
        """Take a worker, let the faults strike, handle the request, answer, write the log."""
        fault = self.faults.take(request.method, request.path)
        if fault is not None and fault.kind == "down":
            self._note(request, fault, Work(time.monotonic()), time.time(), 0, gone=False)
            conversation.close()
            return
        if not self._pool.acquire():
            conversation.close()
            return
        started = time.time()
        work = self._local.work = Work(time.monotonic())
        with self._lock:
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            reply = self._reply(request, fault)
            cut = fault is not None and fault.kind == "cut"
            status = 0 if reply is None or cut else reply.status
            gone = conversation.client_gone()
            self._book(work)
            self._note(request, fault, work, started, status, gone=gone)
            if reply is None:
                conversation.close(reset=True)
            else:
                conversation.answer(reply, cut=cut)
        finally:
            del self._local.work
            self._pool.release()

    def _book(self, work: Work) -> None:
        """Take a request off the counts, before its client can know and send the next one."""
        with self._lock:
            self.in_flight -= 1
            self._in_flight_by_key.subtract(work.keys)

    def _reply(self, request: Request, fault: Fault | None) -> Reply | None:
        """Return the answer, or None where the connection is to be dropped."""
        try:
            early = self._before(request, fault)
            if early is not None:
                return early
            if fault is not None and fault.kind in {"hang", "drop_before"}:
                return None
            reply = self._handle(request)
        except WorkerAborted as aborted:
            return None if aborted.silent else self.aborted(request)
        kind = None if fault is None else fault.kind
        if kind == "error_after":
            return self.server_error(request)
        if kind == "drop_after":
            return None
        if kind == "truncated":
            reply.body = reply.body[: len(reply.body) // 2]
        if fault is not None and kind == "drifted":
            reply.body = fault.edited(reply.body)
        return reply

    def _before(self, request: Request, fault: Fault | None) -> Reply | None:
        if fault is None:
            return None
        match fault.kind:
            case "slow":
                self.rest(fault.seconds)
            case "hang":
                self.rest(fault.seconds or 2 * self.worker_limit_s, silent=True)
            case "status":
                headers = dict(fault.headers)
                kind = headers.pop("Content-Type", "text/html; charset=utf-8")
                return Reply(fault.status, fault.body.encode(), kind, headers)
            case "error_before":
                return self.server_error(request)
            case "garbage":
                return Reply.html(fault.body or GARBAGE)
            case _:
                pass
        return None

    def _handle(self, request: Request) -> Reply:
        try:
            reply = self.handle(request)
        except Exception:  # a fault of the stand-in itself must not look like a dead server
            logger.exception("%s stand-in failed on %s", self.name, request.path)
            return self.server_error(request)
        work = self.current()
        if work.owed_sleep:
            owed, work.owed_sleep = work.owed_sleep, 0.0
            self.rest(owed)
        return reply

    def _note(
        self,
        request: Request,
        fault: Fault | None,
        work: Work,
        started: float,
        status: int,
        *,
        gone: bool,
    ) -> None:
        self.log.append(
            LoggedRequest(
                method=request.method,
                path=request.path,
                query=request.query,
                status=status,
                body_bytes=len(request.body),
                started=started,
                ended=time.time(),
                cost=work.cost,
                fault=None if fault is None else fault.kind,
                client_gone=gone,
                body=request.body,
            )
        )

    # Control --------------------------------------------------------------------------------

    def control(self, request: Request) -> Reply:
        """Answer `/_sandbox/...`."""
        match request.method, request.path.removeprefix(CONTROL).strip("/"):
            case "GET", "faults":
                return Reply.json({"faults": [fault.to_json() for fault in self.faults]})
            case "POST", "faults":
                try:
                    fault = Fault.from_json(json.loads(request.body))
                except (ValueError, TypeError) as error:
                    return Reply.json({"detail": str(error)}, 400)
                self.faults.add(fault)
                return Reply.json(fault.to_json(), 201)
            case "DELETE", "faults":
                self.faults.clear()
                return Reply.json({"faults": []})
            case "GET", "requests":
                bodies = request.param("bodies") is not None
                entries = [entry.to_json(with_body=bodies) for entry in list(self.log)]
                return Reply.json({"requests": entries})
            case "DELETE", "requests":
                self.log.clear()
                return Reply.json({"requests": []})
            case "GET", "state":
                return Reply.json(self.state())
            case _:
                return Reply.json({"detail": "faults, requests or state"}, 404)
