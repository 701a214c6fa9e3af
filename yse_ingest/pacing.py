"""Pacing: what is known of a target, from which the adaptive rule tells its next time.

The rule itself is `yse_ingest.cadence`; here it is given the facts: clocks, sources, budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.cadence import Facts, Pace, adaptive, trend
from yse_ingest.clients import capabilities_of
from yse_ingest.targets import phase_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.clients import Clients
    from yse_ingest.photometry import LightCurve
    from yse_ingest.targets import Target

HOUR_S = 3600.0
_TOLD = "told_"


def trend_of(curve: LightCurve) -> dict[str, float | None]:
    """Return what a light curve last did, as the clock keeps it; {}: it has no magnitude.

    An incremental answer holds the last days alone, a quiet one nothing: what was known stays.
    """
    if not np.isfinite(curve.mag).any():
        return {}
    mag, slope = trend(curve)
    return {"mag": mag, "slope": slope}


def pace_of(
    clients: Clients,
    target: Target,
    details: Mapping[str, Mapping[str, Any]],
    *,
    discovery_ms: int | None,
    now_ms: int,
) -> Pace:
    """Return how often a target is asked about by the adaptive rule.

    Parameters
    ----------
    clients
        Settings, sources and meters.
    target
        The target.
    details
        Source to what its last answer said: ``detail`` of its clock.
    discovery_ms
        When it was discovered, as YSE-PZ has it; None: its first detection counts.
    now_ms
        The time [Unix ms].
    """
    settings = clients.settings
    sources = clients.sources_of(target)
    seen = [details[name] for name in sources if details.get(name, {}).get("newest_ms")]
    latest = max(seen, key=lambda detail: detail["newest_ms"], default={})
    firsts = [detail["first_ms"] for detail in seen if detail.get("first_ms")]
    facts = Facts(
        now_ms,
        discovery_ms=discovery_ms if discovery_ms is not None else min(firsts, default=None),
        news_ms=max((detail.get("news_ms") or 0 for detail in seen), default=None),
        mag=latest.get("mag"),
        slope=latest.get("slope"),
        quota_used=max(quota_used(clients, name) for name in sources),
        night_utc=_night(sources),
        spread=phase_of(target.name) / 2**32,
    )
    return adaptive(facts, min_s=settings.cadence_min_s, max_s=settings.cadence_max_s)


def told_with(detail: Mapping[str, Any], pace: Pace) -> dict[str, Any]:
    """Return what a clock keeps of an answer, with what the rule said after it.

    A line is a part of its own: Redis packs short ones.
    """
    kept = {name: value for name, value in detail.items() if not name.startswith(_TOLD)}
    kept |= {"every_s": round(pace.every_s, 1), "next_s": round(pace.seconds, 1)}
    return kept | {f"{_TOLD}{number}": line for number, line in enumerate(pace.lines)}


def told_in(detail: Mapping[str, Any]) -> list[str]:
    """Return the lines that `told_with` noted, in order."""
    found = [name for name in detail if name.startswith(_TOLD)]
    return [detail[name] for name in sorted(found, key=lambda name: int(name[len(_TOLD) :]))]


def quota_used(clients: Clients, source: str) -> float:
    """Return which share of a source's quota of an hour, or of a day, is used; 0: it has none.

    All workers and hosts count together. A quota of a second or minute tells nothing of how
    often to ask: it is waited for.
    """
    if capabilities_of(source) is None:
        return 0.0
    meter = clients.meter(source)
    rates = [rate for rate in meter.rates if rate.window_s >= HOUR_S]
    if not rates:
        return 0.0
    used = meter.state()["rates"]
    return max(float(used[str(rate)]) / rate.count for rate in rates)


def _night(sources: tuple[str, ...]) -> tuple[float, float] | None:
    """Return the night of a target's surveys; None where they do not share one."""
    known = [capabilities_of(name) for name in sources]
    nights = {each.survey.night_utc for each in known if each is not None}
    return nights.pop() if len(nights) == 1 else None
