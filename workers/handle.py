"""What `enqueue_target` returns: the target's name, and a way to see what becomes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from workers.resources import service
from yse_ingest.progress import Progress, progress

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOK_MIN_S, LOOK_MAX_S = 0.02, 0.5
"""How long `TargetHandle.wait` rests between two looks [s]: between these, it is"""
LOOK_SHARE = 0.03
"""this share of what it has waited, so that it ends soon after the fact."""


class TargetHandle(str):
    """The name under which YSE-PZ keeps a target, which can be asked how far it has come.

    It holds no connection and no task id: whoever asks reads the state, so that it can be
    made again in another process from the name alone.
    """

    __slots__ = ("since_ms",)

    since_ms: int
    """Answers of before do not count [Unix ms, of Redis]."""

    def __new__(cls, name: str, *, since_ms: int = 0) -> Self:
        """Return the handle of a target that is followed."""
        handle = super().__new__(cls, name)
        handle.since_ms = since_ms
        return handle

    @property
    def progress(self) -> Progress:
        """Return how far it has come, and why it is not further.

        Raises
        ------
        StateUnavailableError
            When Redis is away.
        UnknownTargetError
            When it is not followed any more.
        """
        return progress(service(), str(self), since_ms=self.since_ms)

    @property
    def state(self) -> str:
        """Return how far it has come, in one word; see `yse_ingest.progress.Stage`."""
        return str(self.progress.stage)

    @property
    def receipt(self) -> Mapping[str, Any] | None:
        """Return what YSE-PZ answered to its last upload; None: there was none yet."""
        return self.progress.receipt

    def wait(self, timeout: float = 60.0) -> str:
        """Wait until it is stored, or nothing more happens by itself; return its state.

        Parameters
        ----------
        timeout
            How long at most [s].

        Raises
        ------
        TimeoutError
            Saying how far it came, and why not further. Nothing is lost by that.
        """
        began = time.monotonic()
        end = began + timeout
        while True:
            now = self.progress
            if now.stage.final:
                return str(now.stage)
            if time.monotonic() >= end:
                why = f": {now.reason}" if now.reason else ""
                raise TimeoutError(f"{self} is {now.stage} after {timeout:g} s{why}")
            now_s = time.monotonic()
            time.sleep(min(rest_s(now_s - began), max(0.0, end - now_s)))


def rest_s(waited_s: float) -> float:
    """Return how long to rest before the next look, after so long a wait [s]."""
    return min(LOOK_MAX_S, max(LOOK_MIN_S, LOOK_SHARE * waited_s))
