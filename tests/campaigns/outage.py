"""``python -m tests.campaigns.outage``: YSE-PZ is away for a day, 720 times as fast.

10,000 points become owed while it is down: half of the time it refuses connections, half of it
something in front of it answers 503. Printed is what the wait costs and who asks meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import json
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.campaigns.chaos.processes import Processes
from tests.campaigns.chaos.sky import sky
from tests.campaigns.chaos.stand_ins import CountingYsePz
from tests.campaigns.chaos.verdict import Archive
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.state import State, side_connection
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.server import Request
    from yse_ingest.sandbox.wire import Conversation

SCALE = 720
"""A day in 120 s."""
DIVIDED = {
    "YSE_INGEST_RETRY_WAIT": 5.0,
    "YSE_INGEST_RETRY_WAIT_MAX": 60.0,
    "YSE_INGEST_OWED_WAIT": 30.0,
    "YSE_INGEST_OWED_WAIT_MAX": 1800.0,
    "YSE_INGEST_PROBE_WAIT": 5.0,
    "YSE_INGEST_PROBE_WAIT_MAX": 300.0,
    "YSE_INGEST_SETTLE_GAP": 2.0,
}
"""Defaults [s], divided by `SCALE`; the request limit and the time-outs are those below."""
TIMES = {
    "YSE_PZ_CONNECT_TIMEOUT": "1",
    "YSE_PZ_READ_TIMEOUT": "4",
    "YSE_PZ_REQUEST_LIMIT": "2",
    "YSE_INGEST_SOURCE_GET_TIMEOUT": "3",
    "YSE_INGEST_LEASE": "6",
    "YSE_INGEST_MESSAGE_LIMIT": "16",
    "YSE_INGEST_VISIBILITY": "20",
    "YSE_INGEST_CADENCE": "5",
    "YSE_INGEST_ASK_AGAIN": "2",
    "YSE_INGEST_FETCH_LOST": "20",
    # A campaign does in minutes what the budget spreads over hours.
    "YSE_INGEST_BUDGET": "1",
}
HINTS = ("upload", "unacked")
SLOW_REFUSAL_S = 0.3
"""How long a request is open before its 503 [s]."""
WARM_POINTS = 2
"""Alerts of each target that are stored before YSE-PZ goes away."""


class WatchedYsePz(CountingYsePz):
    """Counts every request that is open at once while it is told to."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.watching = False
        self.asked = 0
        self.most_at_once = 0
        self._now_open = 0
        self._count_lock = threading.Lock()

    def serve(self, request: Request, conversation: Conversation) -> None:
        """Serve a request, counted."""
        with self._count_lock:
            self._now_open += 1
            if self.watching:
                self.asked += 1
                self.most_at_once = max(self.most_at_once, self._now_open)
        try:
            if self.watching:
                # Long enough for a second one to be seen beside it.
                time.sleep(SLOW_REFUSAL_S)
            super().serve(request, conversation)
        finally:
            with self._count_lock:
                self._now_open -= 1


class Outage:
    """One outage from its beginning to the last delivery."""

    def __init__(self, folder: Path, *, targets: int, points: int, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds
        self.transients = sky(0, targets=targets, points=points + WARM_POINTS * targets)
        self.most_hints = 0
        self.most_hints_of_one = 0
        self.tries: Counter[str] = Counter()

    def run(self) -> bool:
        """Run it and print the figures; return whether everything is as promised."""
        with (
            EmbeddedRedis(self.folder / "redis") as self.redis,
            MarsStandIn() as self.mars,
            WatchedYsePz(path=self.folder / "ysepz.sqlite", worker_limit_s=2) as self.ysepz,
        ):
            for each in self.transients:
                self.ysepz.add_transient(each.name, each.ra, each.dec)
            self.archive = Archive(self.ysepz.store.path, our_id=189)
            self.archive.note_curated()
            names = [f'[[targets]]\nname = "{each.name}"\n' for each in self.transients]
            (self.folder / "targets.toml").write_text("".join(names))
            self.publish(0, WARM_POINTS)
            self.state = State.connect(
                self.redis.url(1),
                namespace="yse_ingest",
                decisions=self.folder / "var" / "decisions.jsonl",
            )
            processes = Processes(self.folder, self.environment())
            try:
                processes.keep()
                return self.story()
            finally:
                processes.close()
                self.state.close()

    def environment(self) -> dict[str, str]:
        """Return the settings of the service."""
        return {
            **TIMES,
            **{name: f"{value / SCALE:.4f}" for name, value in DIVIDED.items()},
            "CELERY_BROKER_URL": self.redis.url(0),
            "YSE_PZ_URL": self.ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "MARS_URL": self.mars.url,
            "YSE_INGEST_TARGETS": str(self.folder / "targets.toml"),
            "YSE_INGEST_STATE_DIR": str(self.folder / "var"),
        }

    def publish(self, first: int, last: int | None) -> None:
        """Publish a slice of the alerts of every target."""
        for number, transient in enumerate(self.transients):
            for point in transient.points[first:last]:
                self.mars.add_alert(
                    f"ZTF31{number:07d}",
                    point.jd,
                    point.band,
                    point.mag,
                    point.mag_err,
                    transient.ra,
                    transient.dec,
                    candid=point.candid,
                    isdiffpos="f" if point.negative else "t",
                )
                point.reprocessed = None

    def story(self) -> bool:
        """Let YSE-PZ go away and come back."""
        first = sum(
            not point.negative
            for each in self.transients
            for point in each.points[:WARM_POINTS]
        )
        wait_until(lambda: self.archive.count() >= first and not self.owed(), within=120)
        before = self.memory()
        self.ysepz.faults.add(Fault("refuse"))
        down = time.monotonic()
        self.publish(WARM_POINTS, None)
        self.watch(down + self.seconds / 2)
        say(f"owed after {time.monotonic() - down:.0f} s without YSE-PZ: {self.owed()} points")
        self.ysepz.faults.add(Fault("status", status=503))
        self.ysepz.watching = True
        self.drop_refusal()
        self.watch(down + self.seconds)
        owed, after = self.owed(), self.memory()
        self.ysepz.watching = False
        breaker = self.state.outbox.breaker()
        bytes_of_outbox = self.bytes_of_outbox()
        self.ysepz.faults.clear()
        back = time.monotonic()
        wait_until(lambda: not self.owed(), within=300)
        delivered_s = time.monotonic() - back
        verdict = self.archive.judge(self.transients)
        for line in (
            f"YSE-PZ away: {self.seconds:g} s = {self.seconds * SCALE / 3600:.1f} h / {SCALE}",
            f"points owed: {owed}, of {len(self.transients)} transients",
            f"outbox: {bytes_of_outbox} bytes, {bytes_of_outbox / max(1, owed):.0f} a point",
            f"Redis grew by {(after - before) / 2**20:.1f} MiB",
            f"hints at once: {self.most_hints}, of one transient {self.most_hints_of_one}",
            f"breaker while away: {breaker}",
            (
                f"requests in {self.seconds / 2:g} s of 503: {self.ysepz.asked}, "
                f"at once {self.ysepz.most_at_once}"
            ),
            f"all delivered {delivered_s:.0f} s after its return",
            *verdict.lines(),
        ):
            say(line)
        good = (
            verdict.clean
            and owed >= 1
            and self.most_hints_of_one <= 1
            and self.ysepz.most_at_once <= 1
            and self.ysepz.most_open <= 1
            and bool(breaker["open"])
        )
        say(
            f"outage: {'OK' if good else 'VIOLATED'}: owed {owed}, delivered {verdict.stored}, "
            f"lost {verdict.count('lost')}, duplicated {verdict.count('duplicated')}, "
            f"{bytes_of_outbox / max(1, owed):.0f} bytes a point, hints per transient "
            f"{self.most_hints_of_one}, probes at once {self.ysepz.most_at_once}"
        )
        return good

    def drop_refusal(self) -> None:
        """Let something answer in YSE-PZ's place."""
        answers = [fault for fault in self.ysepz.faults if fault.kind != "refuse"]
        self.ysepz.faults.clear()
        self.ysepz.faults.add(*answers)

    def watch(self, until: float) -> None:
        """Look at the queue until a time."""
        while time.monotonic() < until:
            hints = self.hints()
            self.most_hints = max(self.most_hints, hints.total())
            self.most_hints_of_one = max(self.most_hints_of_one, max(hints.values(), default=0))
            time.sleep(0.2)

    def hints(self) -> Counter[str]:
        """Return the upload messages in queue and hands of workers, by outbox row."""
        connection = side_connection(self.redis.url(0))
        try:
            texts = connection.call("LRANGE", "upload", 0, -1)
            held = [json.loads(text)[0] for text in connection.call("HVALS", "unacked")]
        finally:
            connection.close()
        messages = [*(json.loads(text) for text in texts), *held]
        found: dict[str, str] = {}
        for message in messages:
            if message["headers"]["task"] == "yse_ingest.upload_photometry":
                # A retry is published before its message is acknowledged: one id, one hint.
                args = json.loads(base64.b64decode(message["body"]))[0]
                found[message["headers"]["id"]] = args[1]
        return Counter(found.values())

    def owed(self) -> int:
        """Return how many points are owed; rows without points count as one."""
        counts = self.state.outbox.counts()
        return counts["points"] or counts["due"] + counts["inflight"] + counts["refused"]

    def memory(self) -> int:
        """Return what Redis uses [byte]."""
        connection = side_connection(self.redis.url(1))
        try:
            return int(connection.call("INFO", "memory")["used_memory"])
        finally:
            connection.close()

    def bytes_of_outbox(self) -> int:
        """Return what the outbox's keys use [byte]."""
        connection = side_connection(self.redis.url(1))
        try:
            keys = list(connection.call("KEYS", "*outbox*"))
            sizes = connection.batch([("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys])
            return sum(int(size or 0) for size in sizes)
        finally:
            connection.close()


def wait_until(true: Callable[[], object], *, within: float) -> None:
    """Wait for a condition.

    Raises
    ------
    TimeoutError
        When it does not become true.
    """
    end = time.monotonic() + within
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within:g} s")
        time.sleep(0.2)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Run one outage."""
    # Whoever is told to end ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="outage", description=__doc__)
    parser.add_argument("--targets", type=int, default=100)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--keep", type=Path, help="folder for logs and the stand-in's file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outage-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        outage = Outage(
            folder, targets=given.targets, points=given.points, seconds=given.seconds
        )
        return 0 if outage.run() else 1


if __name__ == "__main__":
    sys.exit(main())
