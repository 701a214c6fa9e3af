"""The ATLAS forced-photometry server over HTTP, below `/forcedphot`.

True to the server source as read in 2026-08 and to its guide. Left out are moving objects,
proper motions, images, plots, callbacks, and that a user sees only tasks of their own.
"""

from __future__ import annotations

import base64
import itertools
import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from yse_ingest.sandbox.atlas.form import RefusedError, Wanted, fields_of, wanted
from yse_ingest.sandbox.atlas.result import Exposure, result_text
from yse_ingest.sandbox.broker import BrokerStandIn
from yse_ingest.sandbox.server import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Unpack

    from yse_ingest.sandbox.server import ServerOptions

BASE_PATH: Final = "/forcedphot"
TOKEN: Final = "sandbox" + "0123456789abcdef" * 2
QUEUED_MAX: Final = 500
WRITES_PER_MINUTE: Final = 60
READS_PER_MINUTE: Final = 600
PAGE_SIZE: Final = 6
PAGE_SIZE_MAX: Final = 100
SAME_PLACE_DEG: Final = 1.0 / 3600
NO_DATA: Final = "No data returned"
_UNIX_ZERO_MJD = 40587.0


@dataclass
class Task:
    """One question in the queue."""

    id: int
    ra: float
    dec: float
    wanted: Wanted
    submitted: float
    """Unix time [s]."""
    queued_before: int
    polls: int = 0
    finished: float | None = None
    text: str | None = None
    """The result; None: none yet, or there are no data."""
    error: str | None = None
    downloads: int = 0
    deleted: bool = False


@dataclass
class Throttle:
    """So many requests a minute."""

    per_minute: int
    times: deque[float] = field(default_factory=deque)

    def wait_s(self, now: float) -> float:
        """Count a request, or return how long it must wait [s]."""
        while self.times and self.times[0] <= now - 60:
            self.times.popleft()
        if len(self.times) >= self.per_minute:
            return self.times[0] + 60 - now
        self.times.append(now)
        return 0.0


class AtlasStandIn(BrokerStandIn):
    """A forced-photometry server that knows the places it was told of.

    Parameters
    ----------
    finish_after_polls, finish_after_s
        A task has its result once it was looked at so often, and is so old [s]. Both may be set
        while it runs.
    users
        Name to password and token.
    writes_per_minute, reads_per_minute, queued_max
        Its limits for one user.
    clock
        The time [Unix s].
    server
        As `BrokerStandIn`.

    Attributes
    ----------
    tasks
        Every task that was ever submitted, by number, those deleted included.
    mails
        Numbers of the tasks whose end was told by e-mail.
    """

    name: ClassVar[str] = "atlas"
    base_path: ClassVar[str] = BASE_PATH

    def __init__(
        self,
        *,
        finish_after_polls: int = 0,
        finish_after_s: float = 0.0,
        users: Mapping[str, tuple[str, str]] | None = None,
        writes_per_minute: int = WRITES_PER_MINUTE,
        reads_per_minute: int = READS_PER_MINUTE,
        queued_max: int = QUEUED_MAX,
        clock: Callable[[], float] = time.time,
        **server: Unpack[ServerOptions],
    ) -> None:
        super().__init__(**server)
        self.finish_after_polls = finish_after_polls
        self.finish_after_s = finish_after_s
        self.users = dict(users or {"ingest": ("sandbox-only", TOKEN)})
        self.queued_max = queued_max
        self.writes = Throttle(writes_per_minute)
        self.reads = Throttle(reads_per_minute)
        self.tasks: dict[int, Task] = {}
        self.mails: list[int] = []
        self._clock = clock
        self._numbers = itertools.count(4200001)
        self._places: list[tuple[float, float, list[Exposure]]] = []
        self._queue_lock = threading.RLock()

    # What it holds --------------------------------------------------------------------------

    def add_exposure(self, ra: float, dec: float, exposure: Exposure) -> None:
        """Add what one exposure shows at a place [deg], also while it runs."""
        with self._queue_lock:
            self._at(ra, dec, add=True).append(exposure)

    def add(  # noqa: PLR0917  the order of the file's columns
        self,
        ra: float,
        dec: float,
        mjd: float,
        filter: str,  # noqa: A002  the astronomers' word
        ujy: int,
        dujy: int,
        **columns: Any,
    ) -> str:
        """Add one exposure and return its name; `columns` are further ones of `Exposure`."""
        obs = columns.pop("obs", None) or f"02a{mjd:.3f}{filter}".replace(".", "o")
        self.add_exposure(ra, dec, Exposure(mjd, filter, ujy, dujy, obs, **columns))
        return obs

    def reprocess(self, obs: str, **columns: Any) -> None:
        """Change what an exposure shows, as a new template or pipeline does."""
        with self._queue_lock:
            for _, _, exposures in self._places:
                exposures[:] = [
                    replace(each, **columns) if each.obs == obs else each for each in exposures
                ]

    def _at(self, ra: float, dec: float, *, add: bool = False) -> list[Exposure]:
        for other_ra, other_dec, exposures in self._places:
            east = ((ra - other_ra + 180) % 360 - 180) * math.cos(math.radians(dec))
            if math.hypot(east, dec - other_dec) < SAME_PLACE_DEG:
                return exposures
        nothing: list[Exposure] = []
        if add:
            self._places.append((ra, dec, nothing))
        return nothing

    def known(self) -> Iterator[Task]:
        """Iterate over the tasks that are not deleted, the newest first."""
        for task in reversed(self.tasks.values()):
            if not task.deleted:
                yield task

    def forget(self, number: int) -> None:
        """Delete a task as the server does after a month."""
        with self._queue_lock:
            self.tasks[number].deleted = True

    def fail(self, number: int, error: str) -> None:
        """End a task without a result."""
        with self._queue_lock:
            self.tasks[number].finished = self._clock()
            self.tasks[number].error = error

    # What it answers ------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer one request below `/forcedphot`."""
        if not request.path.startswith(f"{BASE_PATH}/"):
            return Reply.html("<h1>Not Found</h1>", 404)
        path = request.path.removeprefix(BASE_PATH)
        if path == "/api-token-auth/":
            return self._log_in(request)
        # Results lie behind nothing but their names.
        if path.startswith("/static/results/job"):
            return self._result(path.removeprefix("/static/results/job").removesuffix(".txt"))
        with self._queue_lock:
            refusal = self._refused(request) or self._throttled(request)
            return refusal or self._queue(request, path)

    def server_error(self, request: Request) -> Reply:  # noqa: ARG002
        """Return the service's own 500."""
        return Reply.html("<!doctype html><title>Server Error (500)</title>", 500)

    def _log_in(self, request: Request) -> Reply:
        if request.method != "POST":
            return _detail(f'Method "{request.method}" not allowed.', 405)
        kind = request.headers.get("Content-Type") or ""
        if not kind.startswith("application/x-www-form-urlencoded"):
            # The contract names a form, and no other: what else it may take is not relied upon.
            return _detail(f'Unsupported media type "{kind}" in request.', 415)
        fields = fields_of(request)
        known = self.users.get(str(fields.get("username")))
        if known is None or known[0] != fields.get("password"):
            why = "Unable to log in with provided credentials."
            return Reply.json({"non_field_errors": [why]}, 400)
        return Reply.json({"token": known[1]})

    def _refused(self, request: Request) -> Reply | None:
        given = request.headers.get("Authorization") or ""
        if not given.startswith("Token "):
            return _detail("Authentication credentials were not provided.", 401)
        if given.removeprefix("Token ").strip() not in {
            token for _, token in self.users.values()
        }:
            return _detail("Invalid token.", 401)
        return None

    def _throttled(self, request: Request) -> Reply | None:
        throttle = self.reads if request.method == "GET" else self.writes
        wait = throttle.wait_s(self._clock())
        if not wait:
            return None
        seconds = math.ceil(wait)
        return _detail(
            f"Request was throttled. Expected available in {seconds} "
            f"second{'' if seconds == 1 else 's'}.",
            429,
        )

    def _queue(self, request: Request, path: str) -> Reply:
        match request.method, path.strip("/").split("/"):
            case "POST", ["queue"]:
                return self._submit(request)
            case "GET", ["queue"]:
                return self._page(request)
            case "GET", ["queuepositions.json"]:
                waiting = [task for task in self.tasks.values() if self._waits(task)]
                return Reply.json({str(task.id): pos for pos, task in enumerate(waiting)})
            case method, ["queue", number, *rest]:
                task = self._task(number)
                if task is None:
                    return _detail("Not found.", 404)
                if rest == ["data.txt"]:
                    return self._result(number)
                return self._one(method, task)
            case _:
                return _detail("Not found.", 404)

    def _one(self, method: str, task: Task) -> Reply:
        if method == "DELETE":
            task.deleted = True
            return Reply(204)
        if method != "GET":
            return _detail(f'Method "{method}" not allowed.', 405)
        task.polls += 1
        self._work(task)
        return Reply.json(self._shown(task))

    def _task(self, number: str) -> Task | None:
        task = self.tasks.get(int(number)) if number.isdecimal() else None
        return None if task is None or task.deleted else task

    def _submit(self, request: Request) -> Reply:
        now = self._clock()
        try:
            asked = wanted(fields_of(request), mjd_now=now / 86400 + _UNIX_ZERO_MJD)
        except RefusedError as error:
            return Reply.json(error.content, 400)
        queued = sum(self._waits(task) for task in self.known())
        if queued + len(asked.places) > self.queued_max:
            why = f"ERROR: You have too many queued tasks ({queued} > {self.queued_max})."
            return Reply.json({"non_field_errors": why}, 400)
        made = []
        for ra, dec in asked.places:
            task = Task(next(self._numbers), ra, dec, asked, now, queued)
            self.tasks[task.id] = task
            made.append(self._shown(task))
        return Reply.json(made if asked.batch else made[0], 201)

    def _page(self, request: Request) -> Reply:
        """Return one page, the newest task first; what follows lies behind ``next``."""
        size = min(int(request.param("pagesize") or PAGE_SIZE), PAGE_SIZE_MAX)
        tasks = list(self.known())
        for task in tasks:
            self._work(task)
        if (started := request.param("started")) is not None:
            begun = started.lower() in {"true", "1"}
            tasks = [task for task in tasks if (task.finished is not None) is begun]
        if (cursor := request.param("cursor")) is not None:
            after = int(base64.b64decode(cursor).decode().removeprefix("p="))
            tasks = [task for task in tasks if task.id < after]
        more = None
        if len(tasks) > size:
            place = base64.b64encode(f"p={tasks[size - 1].id}".encode()).decode()
            more = f"{self.api_url}/queue/?cursor={place.replace('=', '%3D')}&pagesize={size}"
        shown = [self._shown(task) for task in tasks[:size]]
        return Reply.json({"next": more, "previous": None, "results": shown})

    def _result(self, number: str) -> Reply:
        with self._queue_lock:
            task = self._task(number)
            if task is None or task.text is None:
                return Reply.html("<h1>Not Found</h1>", 404)
            task.downloads += 1
            return Reply.text(task.text)

    # The work -------------------------------------------------------------------------------

    def _waits(self, task: Task) -> bool:
        return not task.deleted and task.finished is None

    def _work(self, task: Task) -> None:
        """End a task whose time has come."""
        now = self._clock()
        early = task.polls <= self.finish_after_polls
        if task.finished is not None or early or now - task.submitted < self.finish_after_s:
            return
        low = -math.inf if task.wanted.mjd_min is None else task.wanted.mjd_min
        high = math.inf if task.wanted.mjd_max is None else task.wanted.mjd_max
        found = [each for each in self._at(task.ra, task.dec) if low <= each.mjd <= high]
        task.finished = now
        if found:
            task.text = result_text(found, ra=task.ra, dec=task.dec)
        else:
            task.error = NO_DATA
        if task.wanted.send_email:
            self.mails.append(task.id)

    def _shown(self, task: Task) -> dict[str, Any]:
        done = task.finished is not None
        url = f"{self.api_url}/queue/{task.id}/"
        waiting = [each.id for each in self.tasks.values() if self._waits(each)]
        result = f"{self.api_url}/static/results/job{task.id}.txt"
        return {
            "url": url,
            "id": task.id,
            "user_id": 77,
            "username": "me",
            "timestamp": _moment(task.submitted),
            "mpc_name": None,
            "ra": task.ra,
            "dec": task.dec,
            "mjd_min": task.wanted.mjd_min,
            "mjd_max": task.wanted.mjd_max,
            "radec_epoch_year": None,
            "propermotion_ra": None,
            "propermotion_dec": None,
            "use_reduced": task.wanted.use_reduced,
            "finished": done,
            "result_url": result if task.text is not None else None,
            "comment": task.wanted.comment or None,
            "send_email": task.wanted.send_email,
            "callback_url": None,
            "starttimestamp": _moment(task.finished),
            "finishtimestamp": _moment(task.finished),
            "error_msg": task.error,
            "previewimage_url": None,
            "parent_task_id": None,
            "parent_task_url": None,
            "request_type": "FP",
            "pdfplot_url": f"{url}plot.pdf" if task.text is not None else None,
            "queuepos": None if done else waiting.index(task.id),
            "imagerequest_task_id": None,
            "imagerequest_url": None,
            "imagerequest_finished": None,
            "result_imagestack_url": None,
            "result_imagezip_url": None,
            "userqueuedtasks_on_submit": task.queued_before,
            "waittime": 60.0 if done and task.error is None else None,
            "runtime": 70.0 if done and task.error is None else None,
            "attempt_count": int(done and task.error is None),
        }


def _detail(text: str, status: int) -> Reply:
    return Reply.json({"detail": text}, status)


def _moment(unix_s: float | None) -> str | None:
    if unix_s is None:
        return None
    return datetime.fromtimestamp(unix_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
