"""The plan of faults: what breaks when, told by the seed before anything begins."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKER_LIMIT_S = 2.0
"""The stand-in's worker limit: 30 s, divided by 15."""

# Uploads are struck twice as often as the rest.
PROCESSES = ("fetch", "upload1", "upload1", "upload2", "upload2", "control", "beat1", "beat2")

_UPLOAD = "^/add_transient"
_SMTP_PAGE = (
    "<title>ConnectionRefusedError at {path}</title>"
    '<pre class="exception_value">[Errno 111] Connection refused</pre>'
)


@dataclass(frozen=True)
class Trouble:
    """One thing that goes wrong."""

    at_s: float
    """When, from the beginning of the faults [s]."""
    kind: str
    """As it is counted."""
    what: str
    """Which method of the campaign does it."""
    about: dict[str, Any] = field(default_factory=dict)


def plan(
    seed: int,
    *,
    seconds: float,
    kills: int,
    broker_kills: int,
    connection_kills: int,
    black_holes: int,
    ysepz_faults: int,
    mars_faults: int,
    clock_jumps: int,
) -> list[Trouble]:
    """Return everything that goes wrong, in order of time."""
    draw = random.Random(f"trouble {seed}")
    found: list[Trouble] = []
    about: dict[str, Any]

    def spread(count: int) -> Iterator[float]:
        """Return times over the whole length, one in each of ``count`` equal parts."""
        for number in range(count):
            yield 2.0 + (number + draw.random()) * (seconds - 4.0) / count

    for at_s in spread(kills):
        name = draw.choice(PROCESSES)
        kind = f"SIGKILL {name.rstrip('12')}"
        found.append(Trouble(at_s, kind, "kill", {"name": name}))
    for number, at_s in enumerate(spread(broker_kills)):
        # Every third is a power cut: what was not yet flushed to the disk is gone, too.
        lost_s = draw.uniform(0.1, 1.0) if number % 3 == 0 else 0.0
        kind = "broker killed, 1 s lost" if lost_s else "broker killed"
        about = {"away_s": draw.uniform(0.0, 2.0), "lost_s": lost_s}
        found.append(Trouble(at_s, kind, "kill_broker", about))
    cut = "CLIENT KILL of every connection"
    found += [Trouble(at_s, cut, "cut_connections") for at_s in spread(connection_kills)]
    for number, at_s in enumerate(spread(black_holes)):
        # Longer than every time-out of the connections, or just a stall.
        about = {"seconds": draw.uniform(5.0, 6.0) if number % 2 else draw.uniform(0.5, 2)}
        found.append(Trouble(at_s, "broker black-holed", "stop_broker", about))
    found += [_ysepz(at_s, draw) for at_s in spread(ysepz_faults)]
    found += [_mars(at_s, draw) for at_s in spread(mars_faults)]
    for at_s in spread(clock_jumps):
        by_s = draw.choice((-3600.0, -60.0, -4.0, 4.0, 60.0, 3600.0))
        about = {"name": draw.choice(PROCESSES), "by_s": by_s, "for_s": draw.uniform(1.0, 9.0)}
        found.append(Trouble(at_s, "host clock jumps there and back", "jump_clock", about))
    return sorted(found, key=lambda trouble: trouble.at_s)


def counts(troubles: list[Trouble]) -> Counter[str]:
    """Return how often each kind is planned."""
    return Counter(trouble.kind for trouble in troubles)


def _ysepz(at_s: float, draw: random.Random) -> Trouble:
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("YSE-PZ refuses connections", "refuse", {"seconds": draw.uniform(1.0, 6.0)}),
        ("YSE-PZ closes connections", "down", {"times": draw.randint(1, 6)}),
        ("YSE-PZ slow", "slow", {"times": draw.randint(1, 6), "seconds": 1.2}),
        ("YSE-PZ worker killed in a wait", "slow", {"times": 2, "seconds": 3.0}),
        ("YSE-PZ silent until killed", "hang", {"times": draw.randint(1, 2)}),
        ("YSE-PZ 503", "status", {"status": 503, "times": draw.randint(1, 6)}),
        ("YSE-PZ 502", "status", {"status": 502, "times": draw.randint(1, 2)}),
        ("YSE-PZ 504", "status", {"status": 504, "times": draw.randint(1, 2)}),
        ("YSE-PZ 429", "status", {"status": 429, "headers": {"Retry-After": "1"}, "times": 2}),
        ("YSE-PZ 500 before", "error_before", {"times": draw.randint(1, 3)}),
        ("YSE-PZ 500 after commit", "error_after", {"times": draw.randint(1, 3)}),
        ("YSE-PZ reset before", "drop_before", {"times": draw.randint(1, 3)}),
        ("YSE-PZ reset after commit", "drop_after", {"times": draw.randint(1, 3)}),
        ("YSE-PZ garbage", "garbage", {"times": draw.randint(1, 2)}),
        ("YSE-PZ truncated answer", "truncated", {"times": draw.randint(1, 2)}),
        ("YSE-PZ answer cut off", "cut", {"times": draw.randint(1, 2)}),
    ]
    special = draw.random()
    about: dict[str, Any]
    if special < 0.12:
        return Trouble(at_s, "YSE-PZ both workers busy, queue full", "jam")
    if special < 0.22:
        about = {"seconds": draw.uniform(2.0, 5.0), "real_cost": draw.choice((4.0, 10.0, 25.0))}
        return Trouble(at_s, "YSE-PZ killed in mid-write", "overload", about)
    if special < 0.26:
        page = _SMTP_PAGE.format(path="/add_transient_phot/")
        fault = {"kind": "status", "status": 500, "body": page, "times": draw.randint(1, 4)}
        about = {"fault": {**fault, "path": _UPLOAD}}
        return Trouble(at_s, "YSE-PZ SMTP-style 500", "break_ysepz", about)
    label, kind, fault = draw.choice(kinds)
    # Two in three strike what writes.
    path = _UPLOAD if draw.random() < 0.67 and kind != "refuse" else None
    about = {"fault": {"kind": kind, "path": path, **fault}}
    return Trouble(at_s, label, "break_ysepz", about)


def _mars(at_s: float, draw: random.Random) -> Trouble:
    about: dict[str, Any]
    if draw.random() < 0.5:
        about = {"seconds": draw.uniform(2.0, 8.0), "share": draw.uniform(0.2, 1.0)}
        return Trouble(at_s, "MARS rows NaN, garbage, repeated, shuffled", "spoil_mars", about)
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("MARS down", "refuse", {"seconds": draw.uniform(1.0, 6.0)}),
        ("MARS 500", "status", {"status": 500, "times": draw.randint(1, 6)}),
        ("MARS garbage", "garbage", {"times": draw.randint(1, 6)}),
        ("MARS truncated", "truncated", {"times": draw.randint(1, 4)}),
        ("MARS answer cut off", "cut", {"times": draw.randint(1, 4)}),
        ("MARS silent", "hang", {"times": 1, "seconds": 4.0}),
    ]
    label, kind, fault = draw.choice(kinds)
    return Trouble(at_s, label, "break_mars", {"fault": {"kind": kind, **fault}})
