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
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from yse_ingest.errors import (
    SettingsError,
    SourceError,
    SourceRefusedError,
    SourceUnavailableError,
    TargetError,
    YseIngestError,
)
from yse_ingest.sources.atlas_queue import (
    COMMENT_MAX,
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
from yse_ingest.targets import separation_arcsec
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

    from yse_ingest.sources.memory import Memory
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
SAME_PLACE_ARCSEC = 0.5
"""A target that was moved further is another question [arcsec]."""
TASK_PLACE_ARCSEC = 0.1
"""A task so close to a place that was asked for is that of it [arcsec]."""
LOST_S = 3 * 86_400.0
"""A task that is not done after so long is submitted anew [s]."""
FIRST_LOOK_S = 10.0
LOOK_SHARE = 0.25
"""A task is looked at again after this share of its age."""
LOOK_MAX_S = 1800.0
FULL_S = 600.0
"""When a full queue is tried again [s]."""
HOLD_SHARE = 1.5
"""A note is held for so many times the longest fetch; then who held it is dead."""


@dataclass(frozen=True)
class Job:
    """What is remembered of one question."""

    tag: str
    """What its task's comment holds."""
    ra: float
    dec: float
    mjd_min: float | None
    full: bool
    """Whether everything was asked for, not only what is recent."""
    asked_ms: int
    held_ms: int
    """Until when somebody is busy with it [Unix ms]."""
    url: str | None = None
    """Its task; None: nobody saw the request answered."""
    polls: int = 0
    kept: bool = False
    """Its points are kept: the task is to be deleted."""

    def note(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class AtlasSource:
    """Asks the ATLAS forced-photometry server about places.

    It has nothing but forced photometry, which whoever asks it therefore wants.

    Parameters
    ----------
    queue
        Asks its server.
    memory
        Returns where jobs are remembered.
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

    def __init__(
        self, queue: AtlasQueue, memory: Callable[[], Memory], *, days: float | None
    ) -> None:
        self._queue = queue
        self._memory = memory
        self._days = days
        self._hold_ms = round(1000 * HOLD_SHARE * queue.http.timeouts.fetch_s)

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
            setup.memory,
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
        jobs = {ask.target.name: self._job(ask) for ask in asks}
        submitted = self._submitted(
            [ask for ask in asks if jobs[ask.target.name] is None], deadline
        )
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

    # Jobs -----------------------------------------------------------------------------------

    def _job(self, ask: Ask) -> Job | None:
        note = self._memory().get(self.name, ask.target.name)
        return None if note is None else Job(**note)

    def _put(self, ask: Ask, job: Job, *, instead_of: Job | None) -> bool:
        old = None if instead_of is None else instead_of.note()
        return self._memory().put(self.name, ask.target.name, job.note(), instead_of=old)

    def _forget(self, ask: Ask, job: Job) -> bool:
        return self._memory().forget(self.name, ask.target.name, job.note())

    def _step(self, ask: Ask, job: Job, deadline: float) -> Answer | None:
        """Go on with a job; None: there is none any more, and the question is to be submitted.

        Raises
        ------
        SourceError
            What kept it from going on; the job stays.
        """
        moved = _away_arcsec(job, ask) > SAME_PLACE_ARCSEC
        now_ms = self._memory().now_ms()
        held = replace(job, held_ms=now_ms + self._hold_ms, polls=job.polls + 1)
        if job.held_ms > now_ms or not self._put(ask, held, instead_of=job):
            return self._pending(ask, job, now_ms, "another worker is busy with it")
        try:
            if job.url is None:
                return self._recovered(ask, held, deadline)
            lost = now_ms - job.asked_ms > 1000 * LOST_S
            task = None
            if not job.kept and not moved:
                task = self._queue.look(job.url, deadline=deadline)
                if task is not None and task.finished is not None:
                    return self._collected(ask, held, task, deadline)
            if task is None or lost:
                self._drop(ask, held, deadline)
                return None
        except SourceError:
            self._put(ask, replace(held, held_ms=0), instead_of=held)
            raise
        free = replace(held, held_ms=0)
        self._put(ask, free, instead_of=held)
        return self._pending(ask, free, now_ms)

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
        self._forget(ask, job)

    def _recovered(self, ask: Ask, job: Job, deadline: float) -> Answer | None:
        """Find the task of a request that nobody saw answered."""
        for task in self._queue.find(job.tag, deadline=deadline):
            if _apart_arcsec(job, task) < TASK_PLACE_ARCSEC:
                found = replace(job, url=task.url, held_ms=0)
                self._put(ask, found, instead_of=job)
                return self._pending(ask, found, self._memory().now_ms())
        self._forget(ask, job)
        return None

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
        now_ms = self._memory().now_ms()
        answers: dict[str, Answer] = {}
        jobs: dict[str, Job] = {}
        ours: list[Ask] = []
        for ask in asks:
            ra, dec = _place(ask)
            job = Job(
                tag=tag,
                ra=ra,
                dec=dec,
                mjd_min=mjd_min,
                full=ask.since_ms is None,
                asked_ms=now_ms,
                held_ms=now_ms + self._hold_ms,
            )
            if self._put(ask, job, instead_of=None):
                ours.append(ask)
                jobs[ask.target.name] = job
            else:
                answers[ask.target.name] = self._pending(
                    ask, job, now_ms, "another worker submits it"
                )
        if not ours:
            return answers
        names = ", ".join(ask.target.name for ask in ours)
        try:
            tasks = self._queue.submit(
                [(job.ra, job.dec) for job in jobs.values()],
                mjd_min=mjd_min,
                comment=f"{tag}: {names}"[:COMMENT_MAX],
                deadline=deadline,
            )
        except SourceError as error:
            for ask in ours:
                job = jobs[ask.target.name]
                if isinstance(error, SourceRefusedError):
                    self._forget(ask, job)
                else:
                    # It may stand in the queue: whoever comes next looks for it.
                    self._put(ask, replace(job, held_ms=0), instead_of=job)
                answers[ask.target.name] = self._later_or_failed(ask, error, since_ms=now_ms)
            return answers
        for ask in ours:
            job = jobs[ask.target.name]
            near = [task for task in tasks if _apart_arcsec(job, task) < TASK_PLACE_ARCSEC]
            # Without a task it is looked for by its tag, as after a crash.
            task = near[0] if near else None
            if task is not None:
                tasks.remove(task)
            known = replace(job, url=task.url if task else None, held_ms=0)
            self._put(ask, known, instead_of=job)
            answers[ask.target.name] = self._pending(ask, known, now_ms)
        return answers

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
            known_ms = ask.discovery_ms or self._memory().now_ms()
            begins.append(known_ms - round(self._days * MS_PER_DAY))
        if not begins:
            return None
        mjd = jd_of_time_ms(max(begins)) - MJD_ZERO_JD
        return math.floor(mjd / MJD_STEP) * MJD_STEP

    # Results --------------------------------------------------------------------------------

    def _collected(self, ask: Ask, job: Job, task: Task, deadline: float) -> Answer | None:
        """Return what a finished task found; None: its result is gone."""
        clean_up = self._cleaner(ask, job)
        if task.result_url is None:
            if task.error == NO_DATA:
                return Answer(ask.target.name, Status.EMPTY, full=job.full, clean_up=clean_up)
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
            target_name=ask.target.name,
            status=Status.OK if len(forced) else Status.EMPTY,
            forced=forced,
            refused=refused,
            dropped=dropped,
            full=job.full,
            clean_up=clean_up,
        )

    def _cleaner(self, ask: Ask, job: Job) -> Callable[[], None]:
        """Return what deletes the task of a job, once its points are kept."""

        def clean_up() -> None:
            kept = replace(job, kept=True)
            if not self._put(ask, kept, instead_of=job):
                return  # it was called before, or somebody took the job over
            try:
                self._drop(ask, kept, self._queue.http.deadline())
            except SourceError:
                # The next fetch deletes it before it submits anything.
                self._put(ask, replace(kept, held_ms=0), instead_of=kept)

        return clean_up

    # Answers --------------------------------------------------------------------------------

    def _pending(self, ask: Ask, job: Job, now_ms: int, why: str = "") -> Answer:
        age_s = (now_ms - job.asked_ms) / 1000
        again_s = min(LOOK_MAX_S, max(FIRST_LOOK_S, LOOK_SHARE * age_s))
        if job.held_ms > now_ms:
            again_s = min(again_s, max(1.0, (job.held_ms - now_ms) / 1000))
        since = iso_of_unix(job.asked_ms / 1000)
        lasting = self._memory().lasting
        return Answer(
            target_name=ask.target.name,
            status=Status.PENDING,
            full=job.full,
            reason=why or f"{TITLE} works on it since {since}",
            ask_again_s=again_s,
            # A memory that ends with this process: who gives up takes the question back.
            clean_up=Answer.clean_up if lasting else self._cleaner(ask, job),
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


def _away_arcsec(job: Job, ask: Ask) -> float:
    return separation_arcsec(job.ra, job.dec, *_place(ask))


def _apart_arcsec(job: Job, task: Task) -> float:
    return separation_arcsec(job.ra, job.dec, task.ra, task.dec)


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
