"""Ends what ``yse-ingest up`` has started when ``up`` itself is killed.

Run as ``python -m yse_ingest.cli.guardian PID ...``: standard input is a pipe whose other end
only ``up`` holds, so that it closes when ``up`` ends, in whatever way. ``up`` ends its guardian
before it ends in order.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

LOOK_EVERY_S = 0.2
PATIENCE_S = 90.0
"""A supervisor may take as long to end its processes in order [s]."""


def guard(pids: list[int]) -> None:
    """Wait for the end of the pipe, then end the processes, one after the other."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A Ctrl-C is for `up`; only a closed pipe or SIGKILL is for us.
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 1):
        pass
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            _wait_for_the_end_of(pid)


def _wait_for_the_end_of(pid: int) -> None:
    patience = time.monotonic() + PATIENCE_S
    while time.monotonic() < patience:
        os.kill(pid, 0)
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    guard([int(argument) for argument in sys.argv[1:]])
