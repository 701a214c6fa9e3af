"""How much of YSE-PZ and of the sources is asked for, and what waits, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WORK = {
    "upload": "uploads",
    "lookup": "look-ups",
    "verify": "verification",
    "audit": "audits",
    "adopt": "adoption",
}
"""What may wait for the budget, as people say it."""


def spent(budget: Mapping[str, Any]) -> str:
    """Say how much of the budget is spent; see `yse_ingest.state.budget.Budget.state`."""
    if not budget["limit_s"]:
        return f"YSE-PZ has worked for us {budget['spent_s']:.0f} s, the budget is 0 now"
    share = 100 * budget["spent_s"] / budget["limit_s"]
    return f"{share:.0f} % of the budget of {budget['limit_s']:.0f} s is spent"


def held(budget: Mapping[str, Any]) -> str | None:
    """Say what waits for the budget, and until when about; None: nothing does."""
    until: dict[str, list[str]] = {}
    for purpose, until_ms in budget["held"].items():
        # A day ahead means: not by itself.
        when = "further notice" if until_ms is None else f"about {_minute(until_ms)}"
        until.setdefault(when, []).append(WORK[purpose])
    if not until:
        return None
    waits = "; ".join(f"{', '.join(work)} wait until {when}" for when, work in until.items())
    return f"held by the budget: {waits}"


def down(breakers: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the services that are only probed, with the state of their breakers."""
    yield from ((name, state) for name, state in breakers.items() if state["open"])


def held_back(meter: Mapping[str, Any], now_ms: int) -> str:
    """Say why a source is not asked; see `yse_ingest.state.meters.SharedMeter.state`."""
    if meter["closed_until_ms"] and meter["closed_until_ms"] > now_ms:
        return f"{meter['why']}, until {_minute(meter['closed_until_ms'])}"
    used = ", ".join(f"{count} of {rate}" for rate, count in meter["rates"].items())
    targets = "1 target waits" if meter["waiting"] == 1 else f"{meter['waiting']} targets wait"
    return f"{targets} for its budget, {used} used"


def _minute(time_ms: float) -> str:
    return iso_of_unix(time_ms / 1000)[:16].replace("T", " ") + " UTC"
