"""The story in three functions: `fetch_light_curve`, `plan_upload`, `deliver`.

They need no queue and no Redis; a notebook can call them::

    fetched = fetch_light_curve(Target("2019np", ra=157.3415, dec=29.5106667), mars)
    transient = resolve(ysepz, fetched.target).transient
    plan = plan_upload(fetched, transient, stored=ysepz.read_back(transient.slug), ...)
    receipt = deliver(plan, ysepz)

`plan_upload` decides, `deliver` does; nothing that YSE-PZ already holds is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.delivery import Outcome, Receipt, State, deliver
from yse_ingest.delta import smallest_gaps
from yse_ingest.photometry import LightCurve, light_curve
from yse_ingest.planning import Correction, Plan, plan_upload
from yse_ingest.sources import Ask
from yse_ingest.targets import Rules, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from yse_ingest.sources import Answer, Source

__all__ = [
    "Correction",
    "Fetched",
    "Outcome",
    "Plan",
    "Receipt",
    "State",
    "deliver",
    "fetch_light_curve",
    "fetch_light_curves",
    "plan_upload",
    "rules_for",
]


@dataclass(frozen=True, eq=False)
class Fetched:
    """What one source says about one target, as a light curve."""

    target: Target
    rules: Rules
    source: str
    answer: Answer
    curve: LightCurve
    negative: int
    """Negative subtractions among the exposures."""
    gaps: Mapping[str, int]
    """Smallest gap between exposures per instrument and band, as `Ledger.gaps` [ms]."""
    tolerance_ms: float
    """How far two programs' times of one exposure may lie apart [ms]."""


def fetch_light_curve(
    target: Target, source: Source, *, rules: Rules | None = None, **ask: Any
) -> Fetched:
    """Ask a source for the whole light curve of one target.

    Parameters
    ----------
    target
        With coordinates or an object id.
    source
        Where to ask.
    rules
        How rows are chosen; the defaults where none are given.
    ask
        Further fields of `yse_ingest.sources.Ask`.

    Raises
    ------
    YseIngestError
        What kept the source from answering.
    """
    question = Ask(target=target, rules=rules or Rules(), **ask)
    fetched = next(fetch_light_curves([question], source))
    if fetched.answer.error is not None:
        raise fetched.answer.error
    return fetched


def fetch_light_curves(asks: Sequence[Ask], source: Source) -> Iterator[Fetched]:
    """Ask a source about many targets at once; one `Fetched` each, in order.

    What keeps one target from being answered stands in its ``answer.error``.
    """
    by_name = {ask.target.name: ask for ask in asks}
    for answer in source.fetch(asks):
        ask = by_name[answer.target_name]
        rules = ask.rules
        every, negative = light_curve(
            answer.alerts,
            instrument=rules.instrument,
            obs_group=rules.obs_group,
            band_map=rules.band_map,
            keep_negatives=True,
        )
        positive = np.isfinite(every.mag)
        yield Fetched(
            target=ask.target,
            rules=rules,
            source=source.name,
            answer=answer,
            curve=every if rules.negatives == "flux" else every.take(positive),
            negative=negative,
            gaps=smallest_gaps(every.time_ms, every.band, instrument=rules.instrument),
            tolerance_ms=1000 * source.capabilities.exposure_tolerance_s,
        )


def rules_for(
    target: Target, default: Rules, *, file: Mapping[str, Any], source: Mapping[str, Any]
) -> Rules:
    """Return a target's rules: the default, the targets file's, its source's, its own."""
    return default.with_overrides(file, source, target.overrides)
