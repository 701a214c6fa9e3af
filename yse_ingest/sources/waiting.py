"""Waiting for a source that answers later: for whoever sits in front of a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from yse_ingest.sources.base import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from yse_ingest.sources.base import Answer, Ask, Source

UNKNOWN_S = 60.0
"""When to ask again where the source does not say [s]."""


class Waiting:
    """A source that has its answer when it is asked, because it waits for another one.

    Parameters
    ----------
    source
        Where to ask.
    patience_s
        How long to wait [s]; then the answer is what it was last, `Status.PENDING`.
    tell
        Is given a line before each wait.
    sleep, clock
        How to wait [s], and the monotonic time [s].
    """

    def __init__(
        self,
        source: Source,
        *,
        patience_s: float,
        tell: Callable[[str], None],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._patience_s = patience_s
        self._tell = tell
        self._sleep = sleep
        self._clock = clock
        self.name, self.title = source.name, source.title
        self.capabilities, self.options = source.capabilities, source.options
        self.url, self.close = source.url, source.close

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order, when none is pending any more.

        An answer to less than was asked, because somebody else had asked for what is new, is
        followed by the whole. What came is cleaned up at the source: it is in the hands of this
        process now, and whoever loses it asks again. A question that is still pending is taken
        back where nothing but this process remembers it.
        """
        got: dict[str, Answer] = {}
        until = self._clock() + self._patience_s
        waiting = list(asks)
        try:
            while waiting:
                for answer in self._source.fetch(waiting):
                    got[answer.target_name] = answer
                waiting = [ask for ask in waiting if _is_owed(ask, got[ask.target.name])]
                left_s = until - self._clock()
                if not waiting or left_s <= 0:
                    break
                self._wait([got[ask.target.name] for ask in waiting], left_s)
        finally:
            for answer in got.values():
                answer.clean_up()
        for ask in asks:
            yield got[ask.target.name]

    def _wait(self, answers: Sequence[Answer], left_s: float) -> None:
        pending = [answer for answer in answers if answer.status is Status.PENDING]
        for answer in answers:
            if answer not in pending:
                answer.clean_up()  # the next question is for the whole
        if not pending:
            return
        wait_s = min([left_s, *(answer.ask_again_s or UNKNOWN_S for answer in pending)])
        first = pending[0]
        others = f" (and {len(pending) - 1} more)" if len(pending) > 1 else ""
        self._tell(f"{first.target_name}{others}: {first.reason}; again in {wait_s:.0f} s")
        self._sleep(wait_s)


def _is_owed(ask: Ask, answer: Answer) -> bool:
    """Tell whether an answer is still to come, or is not for all that was asked."""
    if answer.status is Status.PENDING:
        return True
    partial = ask.since_ms is None and not answer.full
    return partial and answer.status in {Status.OK, Status.EMPTY}
