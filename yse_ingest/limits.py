"""How much of YSE-PZ's time we take, for what, and who goes first: as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Purpose = Literal["push", "doctor", "upload", "lookup", "verify", "audit", "adopt"]
"""What a request to YSE-PZ is for."""

RANK: Final[dict[Purpose, int]] = {
    "push": 0,
    "doctor": 0,
    "upload": 1,
    "lookup": 1,
    "verify": 2,
    "audit": 3,
    "adopt": 3,
}
"""Who waits for a turn is served in this order, and within a rank in that of arrival."""

CEILING: Final[dict[Purpose, float]] = {
    "upload": 1.0,
    "lookup": 1.0,
    "verify": 0.9,
    "audit": 0.75,
    "adopt": 0.75,
}
"""How much of the budget must be spent, by all together, before work of this kind waits: what
lies above is kept for those who go first. What is not listed never waits."""


class Hours(NamedTuple):
    """A share that holds between two times of the day, UTC; it may reach over midnight."""

    begin_min: int
    """Minutes since midnight."""
    end_min: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Shared by all processes and hosts of one namespace."""

    in_flight: int = 2
    """Requests under way at once."""
    patience_s: float = 15.0
    """Longest wait for a turn [s]."""
    turn_s: float = 78.0
    """A turn that nobody renews is free again after this [s]."""
    share: float = 0.1
    """Share of a sliding window that YSE-PZ may work for us."""
    hours: tuple[Hours, ...] = ()
    """Other shares at certain hours; the first that fits holds."""
    audit_share: float = 0.01
    """What audits may take of it."""
    window_s: float = 3600.0
    """Length of the sliding window [s]."""
    failures: int = 5
    """Failures in a row that open a breaker."""
    probe_s: float = 5.0
    """Wait before the first probe [s]; it doubles with each that fails."""
    probe_max_s: float = 300.0
    """Longest wait between probes [s]."""
