"""ATLAS forced photometry: a question takes minutes or hours, and nobody waits for it.

`AtlasSource.fetch` takes one step for each target and returns. Where a target has no job, it is
submitted: `Status.PENDING`. Where it has one, its task is looked at: pending still, or its
result is taken. What is under way stands in a `yse_ingest.sources.Memory`, one note per target,
so that any process goes on with it, after a crash too:

*Submitted once.* The note is written before the request, in one step for all workers, with a
tag that is part of the task's comment. Who finds a note of a request that nobody saw answered
looks for that tag in the queue, and submits only what is not there.

*Collected once.* Who looks at a task holds its note for as long as a fetch may take. The task
stays at ATLAS until `Answer.clean_up` says that the points are kept; then it is deleted, once.
Who dies in between leaves a note whose hold ends by itself: the same result is read again, with
the same ids, and the ledger knows its points.

A lost memory costs one orphaned task per target, which ATLAS deletes after 31 days; a lost task
is submitted anew.
"""

from __future__ import annotations

import logging
import math
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from yse_ingest.errors import (
    SettingsError,
    SourceError,
    SourceHeldBackError,
    SourceRefusedError,
    SourceUnavailableError,
    TargetError,
    YseIngestError,
)
from yse_ingest.sources.atlas_jobs import FIRST_LOOK_S, Job, Jobs
from yse_ingest.sources.atlas_queue import (
    NO_DATA,
    TITLE,
    AtlasQueue,
    Login,
    QueueFullError,
    Task,
)
from yse_ingest.sources.atlas_result import read_result
from yse_ingest.sources.base import ATLAS, Answer, Ask, Capabilities, Kind, Status
from yse_ingest.sources.setup import Option
from yse_ingest.times import (
    MJD_ZERO_JD,
    MS_PER_DAY,
    iso_of_unix,
    jd_of_time_ms,
    time_ms_of_date,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from yse_ingest.sources.setup import Setup

logger = logging.getLogger(__name__)

PUBLIC_URL = "https://fallingstar-data.com/forcedphot"
URL = Option("ATLAS_URL", "Address of the ATLAS forced-photometry server.", default=PUBLIC_URL)
TOKEN = Option("ATLAS_TOKEN", "Token of your account there.")
USERNAME = Option("ATLAS_USERNAME", "User name there, where no token is given.")
PASSWORD = Option("ATLAS_PASSWORD", "Its password; a token is got for it.")
DAYS = Option(
    "ATLAS_DAYS",
    "Days before its discovery (unknown: before today) from which a target is asked for; "
    "all: everything.",
    default="30",
)

BATCH_SIZE = 100
"""Places of one request."""
MJD_STEP = 5.0
"""Questions begin at multiples of this [d], so that many targets fit into one request."""
FULL_S = 600.0
"""When a full queue is tried again [s]."""


class AtlasSource:
    """Asks the ATLAS forced-photometry server about places.

    It has nothing but forced photometry, which whoever asks it therefore wants.

    Parameters
    ----------
    queue
        Asks its server.
    jobs
        What is remembered.
    days
        How long before discovery a light curve begins [d]; None: with the first exposure.
    """

    name: ClassVar[str] = "atlas"
    title: ClassVar[str] = TITLE
    capabilities: ClassVar[Capabilities] = Capabilities(
        batch_size=BATCH_SIZE,
        by_id=False,
        by_position=True,
        since="server",
        # Exposures of 30 s: a time in their middle is 15 s later. The four of a night are
        # about 15 min apart.
        exposure_tolerance_s=16.0,
        bands=("c", "o"),
        survey=ATLAS,
        kinds=frozenset({Kind.FORCED}),
        time_of="start",
        asynchronous=True,
        needs_token=True,
        requests_per_hour=3600,
    )
    options: ClassVar[tuple[Option, ...]] = (URL, TOKEN, USERNAME, PASSWORD, DAYS)

    def __init__(self, queue: AtlasQueue, jobs: Jobs, *, days: float | None) -> None:
        self._queue = queue
        self._jobs = jobs
        self._days = days

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When there is neither a token nor a user, or a value cannot be read.
        """
        token = setup.value(TOKEN)
        username, password = setup.value(USERNAME), setup.value(PASSWORD)
        login = Login(username, password) if username and password else None
        if token is None and login is None:
            raise SettingsError(
                f"{TITLE} is not configured: it takes no question without an account",
                service="settings",
                field=TOKEN.variable,
                remedy=f"Set {TOKEN.variable}, or {USERNAME.variable} and {PASSWORD.variable}.",
            )
        http = setup.http(setup.value(URL) or PUBLIC_URL, service=TITLE, retries=0)
        return cls(
            AtlasQueue(http, token=token, login=login),
            Jobs(cls.name, setup.memory, fetch_s=setup.timeouts.fetch_s),
            days=_days(setup.value(DAYS)),
        )

    @property
    def url(self) -> str:
        """Return where it lives."""
        return self._queue.http.base_url

    def close(self) -> None:
        """Give its connections back."""
        self._queue.http.close()

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order; nothing is waited for."""
        deadline = self._queue.http.deadline()
        jobs = {ask.target.name: self._jobs.get(ask.target.name) for ask in asks}
        fresh = [ask for ask in asks if jobs[ask.target.name] is None]
        submitted = self._submitted(fresh, deadline)
        for ask in asks:
            job = jobs[ask.target.name]
            if job is None:
                yield submitted[ask.target.name]
                continue
            try:
                answer = self._step(ask, job, deadline)
            except (SourceError, TargetError) as error:
                answer = self._later_or_failed(ask, error, since_ms=job.asked_ms)
            yield answer or self._submitted([ask], deadline)[ask.target.name]

    # One step -------------------------------------------------------------------------------

    def _step(self, ask: Ask, job: Job, deadline: float) -> Answer | None:
        """Go on with a job; None: there is none any more, and the question is to be submitted.

        Raises
        ------
        SourceError, TargetError
            What kept it from going on; the job stays.
        """
        name, place = ask.target.name, _place(ask)
        now_ms = self._jobs.now_ms()
        held = self._jobs.hold(name, job, now_ms)
        if held is None:
            return self._pending(ask, job, "another worker is busy with it")
        try:
            if held.url is None:
                return self._recovered(ask, held, deadline)
            # Another place, an earlier beginning, or another ATLAS_URL is another question.
            same = held.is_at(*place) and held.is_since(self._mjd_min(ask))
            if held.kept or not same or not self._queue.owns(held.url):
                self._drop(ask, held, deadline)
                return None
            task = self._queue.look(held.url, deadline=deadline)
            if task is not None and task.finished is not None:
                return self._collected(ask, held, task, deadline)
            if task is None or held.is_lost(now_ms):
                self._drop(ask, held, deadline)
                return None
        except SourceError:
            self._jobs.free(name, held)
            raise
        return self._pending(ask, self._jobs.free(name, held))

    def _recovered(self, ask: Ask, job: Job, deadline: float) -> Answer | None:
        """Find the task of a request that nobody saw answered."""
        for task in self._queue.find(job.tag, deadline=deadline):
            if job.is_of(task):
                return self._pending(ask, self._jobs.free(ask.target.name, job, url=task.url))
        self._jobs.forget(ask.target.name, job)
        return None

    def _collected(self, ask: Ask, job: Job, task: Task, deadline: float) -> Answer | None:
        """Return what a finished task found; None: its result is gone."""
        name, clean_up = ask.target.name, self._cleaner(ask, job)
        # What is wanted since may be all of it: then the task began early enough for that.
        full = job.full or ask.since_ms is None
        if task.result_url is None and task.error == NO_DATA:
            return Answer(name, Status.EMPTY, full=full, clean_up=clean_up)
        if task.result_url is None:
            self._drop(ask, job, deadline)
            raise SourceRefusedError(
                f"ended without a result: {task.error or 'no reason given'}",
                service=TITLE,
                remedy="It is submitted anew when the target is due again.",
            )
        text = self._queue.result(task.result_url, deadline=deadline)
        if text is None:
            self._drop(ask, job, deadline)
            return None
        forced, refused, dropped = read_result(text, ask)
        return Answer(
            target_name=name,
            status=Status.OK if len(forced) else Status.EMPTY,
            forced=forced,
            refused=refused,
            dropped=dropped,
            full=full,
            clean_up=clean_up,
        )

    def _drop(self, ask: Ask, job: Job, deadline: float) -> None:
        """Delete the task of a job that is over, or that nobody wants any more."""
        try:
            if job.url is not None:
                self._queue.delete(job.url, deadline=deadline)
        except SourceError as error:
            if error.retryable:
                raise
            # It stays there for its 31 days; the target must not wait for that.
            fields = {"target": ask.target.name, "error": str(error)}
            logger.warning("task not deleted", extra=fields)
        self._jobs.forget(ask.target.name, job)

    def _cleaner(self, ask: Ask, job: Job) -> Callable[[], None]:
        """Return what deletes the task of a job, once its points are kept."""

        def clean_up() -> None:
            kept = replace(job, kept=True)
            if not self._jobs.change(ask.target.name, job, kept):
                return  # it was called before, or somebody took the job over
            try:
                self._drop(ask, kept, self._queue.http.deadline())
            except SourceError:
                # The next fetch deletes it before it submits anything.
                self._jobs.free(ask.target.name, kept)

        return clean_up

    # Submitting -----------------------------------------------------------------------------

    def _submitted(self, asks: Sequence[Ask], deadline: float) -> dict[str, Answer]:
        """Submit questions, in as few requests as their beginnings allow."""
        answers: dict[str, Answer] = {}
        alike: dict[float | None, list[Ask]] = {}
        for ask in asks:
            try:
                alike.setdefault(self._mjd_min(ask), []).append(ask)
            except TargetError as error:
                answers[ask.target.name] = self._failed(ask, error)
        for mjd_min, those in alike.items():
            for start in range(0, len(those), BATCH_SIZE):
                batch = those[start : start + BATCH_SIZE]
                answers |= self._batch(batch, mjd_min, deadline)
        return answers

    def _batch(
        self, asks: Sequence[Ask], mjd_min: float | None, deadline: float
    ) -> dict[str, Answer]:
        tag = f"yse_ingest {uuid.uuid4().hex[:16]}"
        answers: dict[str, Answer] = {}
        ours: list[tuple[Ask, Job]] = []
        for ask in asks:
            name, full = ask.target.name, ask.since_ms is None
            job, begun = self._jobs.begin(name, tag, _place(ask), mjd_min=mjd_min, full=full)
            if begun:
                ours.append((ask, job))
            else:
                answers[name] = self._pending(ask, job, "another worker submits it")
        if not ours:
            return answers
        # Private targets go without their names.
        names = ", ".join(ask.target.name for ask, _ in ours if not ask.rules.groups)
        try:
            tasks = self._queue.submit(
                [(job.ra, job.dec) for _, job in ours],
                mjd_min=mjd_min,
                comment=f"{tag}: {names}",
                deadline=deadline,
            )
        except SourceError as error:
            return answers | {
                ask.target.name: self._not_submitted(ask, job, error) for ask, job in ours
            }
        for ask, job in ours:
            task = next((each for each in tasks if job.is_of(each)), None)
            if task is not None:
                tasks.remove(task)
            # Where there is none it is looked for by its tag, as after a crash.
            free = self._jobs.free(ask.target.name, job, url=task.url if task else None)
            answers[ask.target.name] = self._pending(ask, free)
        return answers

    def _not_submitted(self, ask: Ask, job: Job, error: SourceError) -> Answer:
        if isinstance(error, SourceRefusedError | SourceHeldBackError):
            self._jobs.forget(ask.target.name, job)
        else:
            # It may stand in the queue: whoever comes next looks for it.
            self._jobs.free(ask.target.name, job)
        return self._later_or_failed(ask, error, since_ms=job.asked_ms)

    def _mjd_min(self, ask: Ask) -> float | None:
        """Return where a question begins, MJD [d]; None: with the first exposure.

        Raises
        ------
        TargetError
            When it cannot be asked.
        """
        _place(ask)
        begins = [] if ask.target.since is None else [time_ms_of_date(ask.target.since)]
        if ask.since_ms is not None:
            begins.append(ask.since_ms)
        elif self._days is not None and not begins:
            known_ms = ask.discovery_ms or self._jobs.now_ms()
            begins.append(known_ms - round(self._days * MS_PER_DAY))
        if not begins:
            return None
        mjd = jd_of_time_ms(max(begins)) - MJD_ZERO_JD
        return math.floor(mjd / MJD_STEP) * MJD_STEP

    # Answers --------------------------------------------------------------------------------

    def _pending(self, ask: Ask, job: Job, why: str = "") -> Answer:
        since = iso_of_unix(job.asked_ms / 1000)
        # A memory that ends with this process: who gives up takes the question back.
        clean_up = Answer.clean_up if self._jobs.lasting else self._cleaner(ask, job)
        return Answer(
            target_name=ask.target.name,
            status=Status.PENDING,
            full=job.full,
            reason=why or f"{TITLE} works on it since {since}",
            ask_again_s=job.wait_s(self._jobs.now_ms()),
            clean_up=clean_up,
        )

    def _later_or_failed(self, ask: Ask, error: YseIngestError, *, since_ms: int) -> Answer:
        """Return the answer for a request that failed: a service that says "later" works."""
        wait_s = FULL_S if isinstance(error, QueueFullError) else error.retry_after
        if wait_s is None or not isinstance(error, SourceUnavailableError | QueueFullError):
            return self._failed(ask, error)
        return Answer(
            target_name=ask.target.name,
            status=Status.PENDING,
            full=ask.since_ms is None,
            reason=f"{TITLE} {error.fact}; asked since {iso_of_unix(since_ms / 1000)}",
            ask_again_s=max(FIRST_LOOK_S, wait_s),
        )

    @staticmethod
    def _failed(ask: Ask, error: YseIngestError) -> Answer:
        return Answer.failed(ask.target.name, error, full=ask.since_ms is None)


def _place(ask: Ask) -> tuple[float, float]:
    target = ask.target
    if target.ra is None or target.dec is None:
        raise TargetError(
            "it has no coordinates, and this source knows places only",
            service=TITLE,
            target=target.name,
            field="ra",
            remedy="Give its coordinates, or let YSE-PZ know it.",
        )
    return target.ra, target.dec


def _days(text: str | None) -> float | None:
    if text is None or text.lower() == "all":
        return None
    try:
        days = float(text)
    except ValueError:
        days = math.nan
    if not (math.isfinite(days) and days >= 0):
        raise SettingsError(
            f"{DAYS.variable} is no number of days",
            service="settings",
            field=DAYS.variable,
            value=text,
            remedy="Write a number, or all.",
        )
    return days
