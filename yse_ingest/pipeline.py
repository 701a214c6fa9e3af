"""The story in three functions: `fetch_light_curve`, `plan_upload`, `deliver`.

They need no queue and no Redis; a notebook can call them::

    fetched = fetch_light_curve(Target("2019np", ra=157.3415, dec=29.5106667), mars)
    transient = resolve(ysepz, fetched.target).transient
    plan = plan_upload(fetched, transient, stored=ysepz.read_back(transient.slug), ...)
    receipt = deliver(plan, ysepz)

`plan_upload` decides, `deliver` does; nothing that YSE-PZ already holds is sent.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from yse_ingest.delivery import Outcome, Receipt, State, deliver
from yse_ingest.delta import beside_detections, one_per_exposure, smallest_gaps, windows
from yse_ingest.ledger import merge_gaps
from yse_ingest.photometry import (
    LightCurve,
    PointKind,
    forced_curve,
    light_curve,
    limit_curve,
)
from yse_ingest.planning import Correction, Plan, plan_upload
from yse_ingest.sources import Ask, Kind
from yse_ingest.targets import Rules, Target
from yse_ingest.times import MS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from yse_ingest.sources import Answer, Capabilities, Source, Survey

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
    "wanted_kinds",
]


class _Names(TypedDict):
    instrument: str
    obs_group: str
    band_map: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Fetched:
    """What one source says about one target, as a light curve."""

    target: Target
    rules: Rules
    source: str
    answer: Answer
    curve: LightCurve
    """One row for each exposure: of a detection, forced photometry or an upper limit."""
    negative: int
    """Negative subtractions among the exposures."""
    gaps: Mapping[str, int]
    """Smallest gap between exposures per instrument and band, as `Ledger.gaps` [ms]."""
    tolerance_ms: float
    """How far two programs' times of one exposure may lie apart [ms]."""
    kinds: frozenset[Kind] = frozenset({Kind.DETECTION})
    """What the source was asked for."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Why rows of the target are not in the light curve, to their number."""

    @property
    def counts(self) -> dict[Kind, int]:
        """Return how many rows of each kind that was asked for the source has sent."""
        answer = self.answer
        tables = {
            Kind.DETECTION: answer.alerts,
            Kind.FORCED: answer.forced,
            Kind.LIMIT: answer.limits,
        }
        return {kind: len(table) for kind, table in tables.items() if kind in self.kinds}


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

    What keeps one target from being answered stands in its ``answer.error``. Beside what a
    question asks for, it asks for what the rules want.
    """
    asks = [
        replace(ask, kinds=ask.kinds | wanted_kinds(ask.rules, source.capabilities))
        for ask in asks
    ]
    by_name = {ask.target.name: ask for ask in asks}
    for answer in source.fetch(asks):
        yield _fetched(answer, by_name[answer.target_name], source)


def wanted_kinds(rules: Rules, capabilities: Capabilities) -> frozenset[Kind]:
    """Return what a source is asked for; one that has forced photometry alone, for that."""
    wanted = {Kind.DETECTION}
    if rules.forced or Kind.DETECTION not in capabilities.kinds:
        wanted.add(Kind.FORCED)
    if rules.upper_limits == "before":
        wanted.add(Kind.LIMIT)
    return frozenset(wanted)


def _fetched(answer: Answer, ask: Ask, source: Source) -> Fetched:
    """Return an answer as a light curve of one row for each exposure."""
    rules = ask.rules
    tolerance_ms = 1000 * source.capabilities.exposure_tolerance_s
    names: _Names = {
        "instrument": rules.instrument,
        "obs_group": rules.obs_group,
        "band_map": rules.band_map,
    }
    every, negative = light_curve(answer.alerts, **names, keep_negatives=True)
    # By the exposures that were seen, whatever is kept of them.
    gaps = smallest_gaps(every.time_ms, every.band, instrument=rules.instrument)
    dropped = Counter(answer.dropped)
    if rules.negatives == "flux":
        twins = beside_detections(every)
        dropped["negative beside the detection of its exposure"] += int(np.count_nonzero(twins))
        detections = every.take(~twins)
    else:
        detections = every.take(np.isfinite(every.mag))
    parts = [detections]
    if Kind.FORCED in ask.kinds:
        forced = forced_curve(answer.forced, **names)
        gaps = merge_gaps(
            gaps, smallest_gaps(forced.time_ms, forced.band, instrument=rules.instrument)
        )
        parts.append(_that_can_be_sent(forced, rules, dropped))
    if Kind.LIMIT in ask.kinds:
        limits = limit_curve(answer.limits, **names)
        limits = _before_the_first(limits, answer, ask, dropped)
        gaps = merge_gaps(
            gaps, smallest_gaps(limits.time_ms, limits.band, instrument=rules.instrument)
        )
        parts.append(_that_can_be_sent(limits, rules, dropped))
    curve = LightCurve.concatenate(parts).by_time()
    if len(parts) > 1:
        curve = _one_per_exposure(curve, gaps, rules, tolerance_ms, dropped)
        # Two kinds of row, each of another exposure, may lie closer than those of one kind.
        gaps = merge_gaps(
            gaps, smallest_gaps(curve.time_ms, curve.band, instrument=rules.instrument)
        )
    return Fetched(
        target=ask.target,
        rules=rules,
        source=source.name,
        answer=answer,
        curve=replace(curve, source=source.name),
        negative=negative,
        gaps=gaps,
        tolerance_ms=tolerance_ms,
        kinds=ask.kinds,
        dropped=dict(+dropped),
    )


def _before_the_first(
    limits: LightCurve, answer: Answer, ask: Ask, dropped: Counter[str]
) -> LightCurve:
    """Return the upper limits shortly before the first detection known.

    That is the earliest one of this answer and of those before; where none has ever been seen,
    the discovery that YSE-PZ knows of.
    """
    seen = [each for each in (answer.first_ms, ask.first_ms) if each is not None]
    first_ms = min(seen, default=ask.discovery_ms)
    if first_ms is None:
        dropped["limit without any detection"] += len(limits)
        return limits.take(slice(0, 0))
    days = ask.rules.limits_before_days
    late = limits.time_ms >= first_ms
    early = limits.time_ms < first_ms - days * MS_PER_DAY
    dropped["limit after the first detection"] += int(np.count_nonzero(late))
    dropped[f"limit more than {days:g} d before the first detection"] += int(
        np.count_nonzero(early)
    )
    return limits.take(~late & ~early)


def _that_can_be_sent(curve: LightCurve, rules: Rules, dropped: Counter[str]) -> LightCurve:
    """Leave out rows without a magnitude where no fluxes are sent: they would show nothing."""
    if rules.flux_zero_point is not None:
        return curve
    shown = np.isfinite(curve.mag)
    dropped["no magnitude while no fluxes are sent"] += int(np.count_nonzero(~shown))
    return curve.take(shown)


def _one_per_exposure(
    curve: LightCurve,
    gaps: Mapping[str, int],
    rules: Rules,
    tolerance_ms: float,
    dropped: Counter[str],
) -> LightCurve:
    window = windows(
        curve.band,
        instrument=rules.instrument,
        gaps=gaps,
        tolerance_ms=tolerance_ms,
        mjdmatchmin=rules.mjdmatchmin,
    )
    stands = one_per_exposure(curve, window)
    for kind in PointKind:
        lesser = np.count_nonzero(~stands & (curve.kind == kind))
        dropped[f"{kind.name.lower()} beside a better row of its exposure"] += int(lesser)
    return curve.take(stands)


def rules_for(
    target: Target,
    default: Rules,
    *,
    survey: Survey,
    home: Survey,
    own: Survey,
    file: Mapping[str, Any],
    source: Mapping[str, Any],
) -> Rules:
    """Return by which rules one source of a target is followed.

    Each is laid over the one before: the environment's, the names of the survey, the targets
    file's defaults, what it says of the source, what it says of the target. Instrument,
    observing group and bands are of one survey: in the environment and the defaults those of
    the default source's survey are meant, and with a target those of its own source's; they are
    passed over for a source of another survey.

    Parameters
    ----------
    default
        The environment's.
    survey, home, own
        Of the source that is asked, of the default source, of the target's own source.
    file, source
        The targets file's defaults, and what it says of the source.
    """
    unset = Rules()
    names = survey.rules
    if survey.name == home.name:
        given = {name: getattr(default, name) for name in names}
        names |= {name: value for name, value in given.items() if value != getattr(unset, name)}
    return default.with_overrides(
        names,
        file if survey.name == home.name else _without(file, names),
        source,
        target.overrides if survey.name == own.name else _without(target.overrides, names),
    )


def _without(rules: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in rules.items() if name not in names}
