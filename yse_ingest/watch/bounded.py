"""Waiting no longer than a given time, whatever the other side does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


class _Call(threading.Thread, Generic[Result]):
    def __init__(self, call: Callable[[], Result]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: list[Result] = []
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.result.append(self._call())
        except Exception as error:  # noqa: BLE001  it is raised again by the caller
            self.error = error


def within(seconds: float, call: Callable[[], Result], *, what: str) -> Result:
    """Return what a call returns, or raise what it raises, within a time.

    Time-outs of sockets bound each step: neither a slow look-up of a name nor a server that
    sends a byte now and then. This bounds the whole; what is still running is left behind.

    Raises
    ------
    TimeoutError
        When it has not ended within ``seconds``.
    """
    thread = _Call(call)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"{what} took longer than {seconds:g} s")
    if thread.error is not None:
        raise thread.error
    return thread.result[0]
