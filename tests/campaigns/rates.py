"""``python -m tests.campaigns.rates``: eight workers, two requests a second, one 429.

Eight processes claim targets that are due all the time and ask a stand-in of MARS about each,
under one rate in one Redis. In the middle the stand-in answers 429 with Retry-After. What is
printed is read from the stand-in's own log: no second holds more than the rate, and nobody asks
before the time that it named.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.sandbox.server import LoggedRequest

WORKERS = 8
PER_SECOND = 2
TARGETS = 24
RETRY_AFTER_S = 4
ROOT = Path(__file__).parents[2]


def work(seconds: float) -> None:
    """Claim and ask, as a worker does, for so long [s]."""
    service = Service.from_settings(Settings.from_env())
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for batch in service.dispatch():
            service.refresh(batch.names)
        time.sleep(0.05)


def most_in(times: Sequence[float], window_s: float) -> int:
    """Return how many of these moments lie in one window of this length at most."""
    ordered = sorted(times)
    return max(
        (sum(start <= moment < start + window_s for moment in ordered) for start in ordered),
        default=0,
    )


def closed_s(log: Sequence[LoggedRequest]) -> float:
    """Return how long nobody asked after the 429, from its answer on [s]."""
    told = next(entry for entry in log if entry.status == 429)
    return min(
        (entry.started - told.ended for entry in log if entry.started > told.ended), default=0.0
    )


def run(folder: Path, seconds: float) -> int:
    """Run it and print what the stand-in saw; 1 where the rate was not kept."""
    with (
        MarsStandIn() as mars,
        YsePzStandIn() as ysepz,
        EmbeddedRedis(folder / "redis") as redis,
    ):
        environment = {
            "MARS_URL": mars.url,
            "MARS_RATE": f"{PER_SECOND}/s",
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "YSE_INGEST_STATE_URL": redis.url(1),
            "CELERY_BROKER_URL": redis.url(),
            "YSE_INGEST_STATE_DIR": str(folder / "var"),
            "XDG_STATE_HOME": str(folder / "home"),
            "YSE_INGEST_CADENCE": "8s",
            "YSE_INGEST_BATCH": "1",
            "YSE_INGEST_SHADOW": "true",
        }
        service = Service.from_settings(Settings.from_env(environment))
        for number in range(TARGETS):
            name = f"2021{chr(97 + number)}"
            ysepz.add_transient(name, 50.0 + number, 10.0)
            mars.add_alert(f"ZTF{name}", 2458500.5, "g", 18.0, 0.05, 50.0 + number, 10.0)
            service.enqueue(Target(name))
        mars.faults.add(
            Fault(
                "status",
                status=429,
                headers={"Retry-After": str(RETRY_AFTER_S)},
                times=1,
                after_skip=round(seconds * PER_SECOND / 3),
            )
        )
        command = [sys.executable, "-m", "tests.campaigns.rates", "--worker", str(seconds)]
        workers = [
            subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
            for _ in range(WORKERS)
        ]
        codes = [worker.wait() for worker in workers]
        asked = Counter(
            {
                name: int(clock["mars"].answered_ms is not None)
                for name, clock in service.state.clocks.all(
                    service.state.targets.names()
                ).items()
                if "mars" in clock
            }
        )
        return report(list(mars.log), seconds, failed=sum(map(bool, codes)), asked=+asked)


def report(
    log: Sequence[LoggedRequest], seconds: float, *, failed: int, asked: Counter[str]
) -> int:
    """Print what the stand-in saw; return 1 where it is not as promised."""
    write = sys.stdout.write
    times = [entry.started for entry in log]
    most = most_in(times, 1.0)
    quiet = closed_s(log)
    span = max(times) - min(times)
    write(f"{WORKERS} workers, {TARGETS} targets every 8 s, limit {PER_SECOND}/s\n")
    write(f"{len(log)} requests in {span:.1f} s: {len(log) / span:.2f} a second\n")
    write(f"most in any second: {most}\n")
    write(f"429 with Retry-After {RETRY_AFTER_S} s: nobody asked for {quiet:.2f} s\n")
    write(f"targets answered: {len(asked)} of {TARGETS}\n")
    kept = most <= PER_SECOND and quiet >= RETRY_AFTER_S - 0.05
    # What the rate allows is used, too: the waits are no longer than they must be.
    used = len(log) >= 0.6 * PER_SECOND * (seconds - RETRY_AFTER_S)
    well = kept and used and not failed and len(asked) == TARGETS
    write(f"rates: {'OK' if well else 'FAILED'}\n")
    return int(not well)


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the workers run")
    parser.add_argument("--worker", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker is not None:
        work(given.worker)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), given.seconds)


if __name__ == "__main__":
    sys.exit(main())
