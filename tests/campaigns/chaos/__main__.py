"""``python -m tests.campaigns.chaos``: the campaign, its figures, and an exit code."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.chaos.campaign import Campaign, Report, Size
from tests.campaigns.chaos.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

SEEDS = (1, 2, 3)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what was asked for."""
    size = Size()
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, action="append", help="replays a plan; repeatable")
    parser.add_argument("--targets", type=int, default=size.targets)
    parser.add_argument("--points", type=int, default=size.points)
    parser.add_argument("--seconds", type=float, default=size.seconds, help="of faults")
    parser.add_argument("--kills", type=int, default=size.kills, help="SIGKILLs")
    parser.add_argument("--broker-kills", type=int, default=size.broker_kills)
    parser.add_argument("--cadence", type=float, default=size.cadence_s, help="of targets [s]")
    parser.add_argument("--quiet-seconds", type=float, default=size.quiet_s)
    parser.add_argument("--keep", type=Path, help="folder for logs and the stand-in's file")
    return parser.parse_args(given)


def sized(given: argparse.Namespace) -> Size:
    """Return the size: the faults that are not named go with the length."""
    whole = Size()
    share = given.seconds / whole.seconds
    return Size(
        targets=given.targets,
        points=given.points,
        seconds=given.seconds,
        kills=given.kills,
        broker_kills=given.broker_kills,
        connection_kills=max(1, round(whole.connection_kills * share)),
        black_holes=max(1, round(whole.black_holes * share)),
        ysepz_faults=max(1, round(whole.ysepz_faults * share)),
        mars_faults=max(1, round(whole.mars_faults * share)),
        clock_jumps=max(1, round(whole.clock_jumps * share)),
        cadence_s=given.cadence,
        quiet_s=given.quiet_seconds,
    )


def main() -> int:
    """Run one campaign for each seed."""
    # Whoever is told to end ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    given = arguments()
    size = sized(given)
    reports = []
    for seed in given.seed or SEEDS:
        with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
            folder = Path(scratch) if given.keep is None else given.keep / str(seed)
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                say(f"{folder} is not empty: what is left of another run would be judged, too")
                return 2
            say(f"seed {seed}: {size.targets} targets, faults for {size.seconds:g} s")
            started = time.monotonic()
            report = Campaign(folder, seed, size, say).run()
            reports.append(report)
            for line in lines(report, took_s=time.monotonic() - started):
                say(line)
    for report in reports:
        say(summary(report))
    return 0 if all(report.good for report in reports) else 1


def lines(report: Report, *, took_s: float) -> list[str]:
    """Return the figures of one campaign."""
    kills = sum(count for kind, count in report.injected.items() if kind.startswith("SIGKILL"))
    verdict = report.verdict
    quiet = report.quiet_after_s
    return [
        f"faults injected: {report.injected.total()}, of them SIGKILL {kills}",
        *(f"  {count:4d}  {kind}" for kind, count in sorted(report.injected.items())),
        f"  processes that ended by themselves: {dict(report.ended_by_themselves) or 0}",
        f"points owed: {verdict.owed}",
        f"points stored: {verdict.stored}, of them {verdict.by_others} by somebody else before",
        *(f"{kind}: {verdict.count(kind)}" for kind in Verdict.KINDS),
        f"most uploads open at once for one transient: {report.most_open} {report.where}",
        f"uploads that ran on though we had given them up: {report.given_up}",
        f"uploads that came while such a one still ran: {report.given_up_beside}",
        f"requests that write: {dict(report.writes)}",
        *report.other_lines,
        f"outbox at the end: {report.outbox}",
        f"quiet after: {'never' if quiet is None else f'{quiet:.0f} s'}",
        f"took: {took_s:.0f} s",
        *verdict.lines(),
    ]


def summary(report: Report) -> str:
    """Return the one line."""
    verdict = report.verdict
    kills = sum(count for kind, count in report.injected.items() if kind.startswith("SIGKILL"))
    brokers = sum(
        count for kind, count in report.injected.items() if kind.startswith("broker killed")
    )
    quiet = report.quiet_after_s
    return (
        f"chaos seed {report.seed}: {'OK' if report.good else 'VIOLATED'}: "
        f"{report.size.targets} targets, {kills} SIGKILL, {brokers} broker kills, "
        f"owed {verdict.owed}, stored {verdict.stored}, "
        + ", ".join(f"{kind} {verdict.count(kind)}" for kind in Verdict.KINDS)
        + f", in flight per transient {report.most_open}, "
        + ("never quiet" if quiet is None else f"quiet after {quiet:.0f} s")
    )


if __name__ == "__main__":
    sys.exit(main())
