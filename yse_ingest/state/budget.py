"""The budget: how long YSE-PZ may work for us within a sliding hour, and who waits.

Every request counts, by the time its answer took; the gate writes it down. Work is asked for
here before it begins. What people ask for themselves (`push`, targets added by hand) is counted
and never held.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

from yse_ingest.limits import CEILING, Purpose

if TYPE_CHECKING:
    from yse_ingest.limits import Limits
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys

BUCKETS: Final = 60
"""Parts of the window: a minute each, where the window is an hour."""
MINUTES: Final = 24 * 60
DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class Spending:
    """What YSE-PZ has worked for us, bucket by bucket, as of one moment."""

    limits: Limits
    now_ms: int
    spent: dict[int, Counter[Purpose]]
    """Number of a bucket to the time per purpose [ms]."""

    @property
    def bucket_ms(self) -> int:
        """Return the length of a bucket [ms]."""
        return bucket_ms(self.limits)

    def total(self, *purposes: Purpose, at_ms: int | None = None) -> float:
        """Return the time spent in the window that ends at ``at_ms`` [s].

        Without purposes: by all of them. Without ``at_ms``: now.
        """
        last = (self.now_ms if at_ms is None else at_ms) // self.bucket_ms
        return (
            sum(
                sum(spent.values()) if not purposes else sum(spent[each] for each in purposes)
                for bucket, spent in self.spent.items()
                if last - BUCKETS < bucket <= last
            )
            / 1000
        )

    def share(self, at_ms: int | None = None) -> float:
        """Return the share that holds at a time of the day, UTC."""
        minute = (self.now_ms if at_ms is None else at_ms) // 60_000 % MINUTES
        for hours in self.limits.hours:
            length = (hours.end_min - hours.begin_min) % MINUTES or MINUTES
            if (minute - hours.begin_min) % MINUTES < length:
                return hours.share
        return self.limits.share

    def limit(self, at_ms: int | None = None) -> float:
        """Return how much may be spent in a window [s]."""
        return self.share(at_ms) * self.limits.window_s

    def allows(self, purpose: Purpose, at_ms: int | None = None) -> bool:
        """Tell whether work of this kind may begin."""
        ceiling = CEILING.get(purpose, math.inf)
        if ceiling is math.inf:
            return True
        if self.total(at_ms=at_ms) >= ceiling * self.limit(at_ms):
            return False
        own = self.limits.audit_share * self.limits.window_s
        return purpose != "audit" or self.total("audit", at_ms=at_ms) < own

    def until_ms(self, purpose: Purpose) -> int | None:
        """Return when work of this kind may begin [Unix ms]; None: not within a day.

        About: what others spend in the meantime is not known.
        """
        step = self.bucket_ms
        bucket = self.now_ms // step
        day = self.now_ms // DAY_MS * DAY_MS
        turns = {minute * 60_000 for hours in self.limits.hours for minute in hours[:2]}
        moments = [
            self.now_ms,
            *((bucket + number) * step for number in range(1, BUCKETS + 1)),
            *(at + day + (DAY_MS if at + day <= self.now_ms else 0) for at in turns),
        ]
        return next((at for at in sorted(moments) if self.allows(purpose, at)), None)


class Budget:
    """One per YSE-PZ, shared by all processes and hosts."""

    def __init__(self, connection: Connection, keys: Keys, limits: Limits) -> None:
        self._connection = connection
        self.limits = limits
        self.key = keys("budget")
        self.bucket_ms = bucket_ms(limits)
        self.buckets = BUCKETS

    def allows(self, purpose: Purpose) -> bool:
        """Tell whether work of this kind may begin now.

        Uploads and look-ups wait when the budget is spent, verification when nine tenths of it
        are, audit and adoption when three quarters are; an audit also when audits alone have
        had their share.
        """
        return purpose not in CEILING or self.spending().allows(purpose)

    def spending(self) -> Spending:
        """Return what has been spent in the window until now."""
        spent: dict[int, Counter[Purpose]] = {}
        for field, value in self._connection.call("HGETALL", self.key).items():
            bucket, _, purpose = field.partition(":")
            if purpose in get_args(Purpose):
                spent.setdefault(int(bucket), Counter())[purpose] += int(value)
        return Spending(self.limits, self._connection.now_ms(), spent)

    def state(self) -> dict[str, Any]:
        """Return the budget for people and for JSON.

        ``share``, ``limit_s`` and ``spent_s`` of a window of ``window_s``; ``by`` purpose [s];
        and ``held``: purpose to until when it waits [Unix ms], None where that is not known.
        """
        spending = self.spending()
        purposes: tuple[Purpose, ...] = get_args(Purpose)
        by = {purpose: round(spending.total(purpose), 1) for purpose in purposes}
        return {
            "share": spending.share(),
            "window_s": self.limits.window_s,
            "limit_s": round(spending.limit(), 1),
            "spent_s": round(spending.total(), 1),
            "by": {purpose: spent for purpose, spent in by.items() if spent},
            "held": {
                purpose: spending.until_ms(purpose)
                for purpose in CEILING
                if not spending.allows(purpose)
            },
        }


def bucket_ms(limits: Limits) -> int:
    """Return the length of a bucket [ms]."""
    return max(1, round(limits.window_s * 1000 / BUCKETS))
