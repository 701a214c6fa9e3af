"""What is remembered of questions to ATLAS: a `Job` per target, in the hands of one worker."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from yse_ingest.targets import separation_arcsec

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sources.atlas_queue import Task
    from yse_ingest.sources.memory import Memory

SAME_PLACE_ARCSEC = 0.5
"""A target that was moved further is another question [arcsec]."""
TASK_PLACE_ARCSEC = 0.1
"""A task so close to a place that was asked for is that of it [arcsec]."""
LOST_S = 3 * 86_400.0
"""A task that is not done after so long is submitted anew [s]."""
FIRST_LOOK_S = 10.0
"""When a task is looked at first [s]; later on after"""
LOOK_SHARE = 0.25
"""this share of its age, but"""
LOOK_MAX_S = 1800.0
"""never later [s]."""
HOLD_SHARE = 1.5
"""A job is held for so many times the longest fetch; then who held it is dead."""


@dataclass(frozen=True)
class Job:
    """One question."""

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

    def is_at(self, ra: float, dec: float) -> bool:
        """Tell whether it is about this place [deg]."""
        return separation_arcsec(self.ra, self.dec, ra, dec) <= SAME_PLACE_ARCSEC

    def is_since(self, mjd_min: float | None) -> bool:
        """Tell whether it holds all that begins there, MJD [d]; None: at the first exposure."""
        return self.mjd_min is None or (mjd_min is not None and self.mjd_min <= mjd_min)

    def is_of(self, task: Task) -> bool:
        """Tell whether a task of its request is its own."""
        return separation_arcsec(self.ra, self.dec, task.ra, task.dec) < TASK_PLACE_ARCSEC

    def is_lost(self, now_ms: int) -> bool:
        """Tell whether nobody believes any more that it will be done."""
        return now_ms - self.asked_ms > 1000 * LOST_S

    def wait_s(self, now_ms: int) -> float:
        """Return when to look at it again [s]: the older it is, the later."""
        age_s = (now_ms - self.asked_ms) / 1000
        wait_s = min(LOOK_MAX_S, max(FIRST_LOOK_S, LOOK_SHARE * age_s))
        if self.held_ms > now_ms:
            wait_s = min(wait_s, max(1.0, (self.held_ms - now_ms) / 1000))
        return wait_s


class Jobs:
    """The jobs of a source by target. Each method is one step for all workers.

    Parameters
    ----------
    source
        Name of the source.
    memory
        Returns where they are kept.
    fetch_s
        How long one fetch may take [s].
    """

    def __init__(self, source: str, memory: Callable[[], Memory], *, fetch_s: float) -> None:
        self._source = source
        self._memory = memory
        self._hold_ms = round(1000 * HOLD_SHARE * fetch_s)

    @property
    def lasting(self) -> bool:
        """Tell whether another process can go on with a job."""
        return self._memory().lasting

    def now_ms(self) -> int:
        """Return the time by which jobs are dated [Unix ms]."""
        return self._memory().now_ms()

    def get(self, name: str) -> Job | None:
        """Return the job of a target, None where there is none."""
        note = self._memory().get(self._source, name)
        if note is None:
            return None
        try:
            return Job(**note)
        except TypeError:  # of another version
            self._memory().forget(self._source, name, note)
            return None

    def begin(
        self, name: str, tag: str, place: tuple[float, float], **asked: Any
    ) -> tuple[Job, bool]:
        """Return a new job that we hold, and whether it is: False where there is one already.

        Parameters
        ----------
        name, tag, place
            Target, tag of the request, ra and dec [deg].
        asked
            ``mjd_min`` and ``full``.
        """
        now_ms = self.now_ms()
        held_ms = now_ms + self._hold_ms
        job = Job(tag, *place, **asked, asked_ms=now_ms, held_ms=held_ms)
        return job, self._memory().put(self._source, name, job.note(), instead_of=None)

    def hold(self, name: str, job: Job, now_ms: int) -> Job | None:
        """Take a job into our hands; None: somebody else has it."""
        if job.held_ms > now_ms:
            return None
        held = replace(job, held_ms=now_ms + self._hold_ms, polls=job.polls + 1)
        return held if self.change(name, job, held) else None

    def free(self, name: str, job: Job, **changes: Any) -> Job:
        """Let go of a job, changed in these fields."""
        free = replace(job, held_ms=0, **changes)
        self.change(name, job, free)
        return free

    def change(self, name: str, job: Job, changed: Job) -> bool:
        """Write a job anew; False: it is not what it was."""
        return self._memory().put(self._source, name, changed.note(), instead_of=job.note())

    def forget(self, name: str, job: Job) -> None:
        """Forget a job, unless somebody changed it."""
        self._memory().forget(self._source, name, job.note())
