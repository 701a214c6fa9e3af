"""A process that forks real ``celery`` processes, so that each start costs no imports.

It reads one JSON request a line and answers one a line::

    {"start": ["celery's", "arguments"], "log": "file", "slot": 3}  ->  {"pid": 4711, ...}
    {}                                                              ->  {"ended": [4711]}

``slot`` is that of its host clock (`tests.campaigns.chaos.clocks`).

What it forks ends with it. Started by `tests.campaigns.chaos.processes`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from celery.__main__ import main as celery

import workers.celery
import workers.dispatch
import workers.fetch
import workers.schedule
import workers.upload  # noqa: F401  every module that a worker would import
import yse_ingest.times  # noqa: F401  astropy is the longest of them

if TYPE_CHECKING:
    from collections.abc import Mapping


def serve() -> None:
    """Answer requests until the input ends; then end every child."""
    children: set[int] = set()
    try:
        for line in sys.stdin:
            request = json.loads(line)
            ended = _reaped(children)
            if "start" in request:
                pid = _forked(request)
                children.add(pid)
                reply: dict[str, object] = {"pid": pid, "ended": ended}
            else:
                reply = {"ended": ended}
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _reaped(children: set[int]) -> list[int]:
    ended = []
    for pid in sorted(children):
        done, _ = os.waitpid(pid, os.WNOHANG)
        if done:
            children.discard(pid)
            ended.append(pid)
    return ended


def _forked(request: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        written = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in ((0, nothing), (1, written), (2, written)):
            os.dup2(source, target)
        if "CHAOS_CLOCK" in os.environ:
            ctypes.CDLL(None).chaos_clock_slot(request["slot"])
        sys.argv = ["celery", *request["start"]]
        celery()
    finally:
        os._exit(1)


if __name__ == "__main__":
    serve()
