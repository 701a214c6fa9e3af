"""Our own processor time: of this process, and of the Valkey that keeps its state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from yse_ingest.state import side_connection

if TYPE_CHECKING:
    from collections.abc import Callable


class OwnCpu:
    """The processor time of this process and of a Valkey."""

    def __init__(self, url: str) -> None:
        self._connection = side_connection(url)

    def now_s(self) -> float:
        """Return what was used so far [s]."""
        used = self._connection.call("INFO", "cpu")
        valkey = float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
        return time.process_time() + valkey

    def seconds_of(self, work: Callable[[], Any]) -> float:
        """Return what a piece of work took [s]."""
        began = self.now_s()
        work()
        return self.now_s() - began
