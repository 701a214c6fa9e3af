"""How often a source may be asked: what is allowed, and who counts.

The HTTP client of a source takes every request from a `Meter` before it sends it. Where Redis
is in use the meter is `yse_ingest.state.meters.SharedMeter`, which all workers and hosts share;
else it is a `LocalMeter`, for one process.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from yse_ingest.errors import SettingsError, SourceHeldBackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MARGIN_S = 0.1
"""A window is counted so much longer: requests do not all take the same time to arrive [s]."""
_LENGTHS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_RATE = re.compile(r"(\d+)\s*(?:/\s*(s|min|h|d))?")


@dataclass(frozen=True)
class Rate:
    """So many requests in any window of this length."""

    count: int
    unit: str
    """``s``, ``min``, ``h`` or ``d``."""

    @property
    def window_s(self) -> float:
        """Return the length of the window [s]."""
        return _LENGTHS[self.unit]

    def __str__(self) -> str:
        """Return it as settings have it: ``100/h``."""
        return f"{self.count}/{self.unit}"


class Meter(Protocol):
    """Counts the requests to one source."""

    def take(self, *, patience_s: float, after_s: float = 0.0) -> float:
        """Reserve one request; return in how many seconds it may be sent.

        Parameters
        ----------
        patience_s
            Longest wait for it [s].
        after_s
            It is not sent before this [s]; that is no waiting.

        Raises
        ------
        SourceHeldBackError
            When it would have to wait longer; nothing is reserved.
        """
        ...

    def pause(self, seconds: float, *, why: str) -> None:
        """Let nobody ask for so long: the source said so [s]."""
        ...

    def closed(self) -> bool:
        """Tell whether nobody may ask now: somebody was told to wait in the meantime."""
        ...


class LocalMeter:
    """Counts the requests of one process.

    Parameters
    ----------
    service
        Name of the source in messages.
    rates
        What is allowed; none: all that is asked for.
    clock
        The monotonic time [s].
    """

    def __init__(
        self,
        service: str,
        rates: Sequence[Rate] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.service = service
        self.rates = tuple(rates)
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: list[float] = []
        self._closed_until, self._why = 0.0, ""

    def take(self, *, patience_s: float, after_s: float = 0.0) -> float:
        """Reserve one request; see `Meter.take`."""
        with self._lock:
            now = self._clock()
            longest = max((rate.window_s + MARGIN_S for rate in self.rates), default=0.0)
            self._taken = [slot for slot in self._taken if slot > now - longest]
            slot, why = now + after_s, ""
            if self._closed_until > slot:
                slot, why = self._closed_until, self._why
            for rate in self.rates:
                # Behind the last one but ``count``: any window holds so many and no more.
                if len(self._taken) >= rate.count:
                    free = self._taken[-rate.count] + rate.window_s + MARGIN_S
                    if free > slot:
                        slot, why = free, spent(rate)
            if slot - now > max(patience_s, after_s):
                raise held_back(self.service, slot - now, why=why)
            self._taken.append(slot)
            self._taken.sort()
            return slot - now

    def pause(self, seconds: float, *, why: str) -> None:
        """Let nobody ask for so long; see `Meter.pause`."""
        with self._lock:
            until = self._clock() + seconds
            if until > self._closed_until:
                self._closed_until, self._why = until, why

    def closed(self) -> bool:
        """Tell whether nobody may ask now; see `Meter.closed`."""
        return self._closed_until > self._clock()


def spent(rate: Rate) -> str:
    """Say that a budget is spent."""
    return f"its budget of {rate} is spent"


def held_back(service: str, wait_s: float, *, why: str) -> SourceHeldBackError:
    """Return the error of a request that was not sent."""
    return SourceHeldBackError(
        f"held back: {why}, it is asked again in {_shown(wait_s)}",
        service=service,
        retry_after=wait_s,
        remedy="Nothing to do: what is due waits, and nothing observed is lost.",
    )


def parse_rates(text: str, *, variable: str) -> Iterator[Rate]:
    """Yield the rates of a text like ``2/s,500/h``.

    Parameters
    ----------
    text
        What the setting says.
    variable
        Its name, for the message.

    Raises
    ------
    SettingsError
        When one of them is no rate.
    """
    for part in text.split(","):
        found = _RATE.fullmatch(part.strip())
        if found is None or not int(found[1]):
            raise SettingsError(
                "the rate is not usable",
                service="settings",
                field=variable,
                value=text,
                remedy="Write it like 100/h, or 2/s,500/h; units are s, min, h and d.",
            )
        yield Rate(int(found[1]), found[2] or "h")


def _shown(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"
