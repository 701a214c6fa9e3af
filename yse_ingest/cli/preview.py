"""What a fetch found, and what an upload of it would do: nothing here sends anything."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from yse_ingest.choice import check_readers, shares_of, union_of
from yse_ingest.delta import Verdict, windows
from yse_ingest.errors import AmbiguousTargetError, UnknownTargetError, YseIngestError
from yse_ingest.photometry import Forced, Limits, PointKind
from yse_ingest.pipeline import Plan, fetch_light_curve, plan_upload
from yse_ingest.sources import SOURCES, Kind, Status
from yse_ingest.targets import source_names
from yse_ingest.times import MS_PER_DAY, format_time_ms
from yse_ingest.ysepz import Transient, creation_request, documented_request, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from yse_ingest.choice import Group
    from yse_ingest.pipeline import Fetched
    from yse_ingest.service import Service
    from yse_ingest.sources import Answer, Ask, Source
    from yse_ingest.targets import Target
    from yse_ingest.ysepz import ReadBack, Resolution

logger = logging.getLogger(__name__)

KIND_WORDS = {
    Kind.DETECTION: "detection",
    Kind.FORCED: "forced measurement",
    Kind.LIMIT: "upper limit",
}
WORDS = {
    Verdict.NEW: "new",
    Verdict.SAME: "same",
    Verdict.CHANGED: "changed",
    Verdict.ADOPTED: "adopted",
    Verdict.ELSEWHERE: "stored elsewhere",
}
"""What an exposure is to YSE-PZ, in the words of `push`."""


@dataclass(frozen=True, eq=False)
class Part:
    """What one of several sources has of a target."""

    source: str
    fetched: Fetched | None
    """None: it gave no answer."""
    stands: int = 0
    """Exposures of the union that stand as this source has them."""
    error: YseIngestError | None = None
    """Why there is none."""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        if self.fetched is None:
            return {
                "source": self.source,
                "error": self.error.as_dict() if self.error else None,
            }
        return {
            "source": self.source,
            "status": str(self.fetched.answer.status),
            "reason": self.fetched.answer.reason,
            "fetched": sum(self.fetched.counts.values()),
            "quarantined": len(quarantined(self.fetched)),
            "stands": self.stands,
        }


@dataclass(frozen=True, eq=False)
class Preview:
    """One target as its sources of one survey and YSE-PZ see it now."""

    fetched: Fetched
    resolution: Resolution | None
    """None: YSE-PZ was not asked, or did not answer."""
    plan: Plan | None
    """None: there is nothing to compare with."""
    error: YseIngestError | None = None
    """What kept the light curve from being compared."""
    read_back: ReadBack | None = None
    """What YSE-PZ holds; None: it was not asked, or does not have the transient."""
    everything: Answer | None = None
    """The answer with every kind of photometry that was asked for, sent or only drawn."""
    parts: tuple[Part, ...] = ()
    """What each source has of it, in their order."""
    disagreements: tuple[str, ...] = ()
    """What two sources say differently, each as a sentence."""

    @property
    def transient(self) -> Transient | None:
        """Return what YSE-PZ has, as far as it was asked."""
        return self.resolution.transient if self.resolution else None

    @property
    def states(self) -> list[str]:
        """Return what each exposure is to YSE-PZ; empty texts where that is not known."""
        if self.plan is None:
            return [""] * len(self.fetched.curve)
        states = [WORDS[Verdict(code)] for code in self.plan.comparison.verdict.tolist()]
        for row in self.plan.differing.tolist():
            states[row] += ", differs"
        return states

    def counts(self) -> dict[str, int]:
        """Return how many exposures are new, changed, same, adopted, stored elsewhere."""
        if self.plan is None:
            return {}
        return {
            word: self.plan.comparison.count(verdict)
            for verdict, word in WORDS.items()
            if self.plan.comparison.count(verdict) or verdict is not Verdict.ELSEWHERE
        }

    def requests(self) -> list[dict[str, Any]]:
        """Return every request that `push` would send now, in order: method, path, content."""
        if self.plan is None:
            return []
        found = []
        if self.transient is None:
            content = creation_request(self.fetched.target)
            found.append({"method": "POST", "path": "/add_transient/", "json": content})
        found += [
            {
                "method": "POST",
                "path": "/add_transient_phot/",
                "json": self.plan.request(rows),
            }
            for rows in self.plan.chunks
        ]
        found += [
            {
                "method": "PATCH",
                "path": f"/api/transientphotdata/{each.pk}/",
                "json": dict(each.changes),
            }
            for each in self.plan.corrections
        ]
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON, with every point."""
        answer, curve = self.fetched.answer, self.fetched.curve
        transient = self.transient
        several = len(self.parts) > 1
        return {
            "target": self.fetched.target.name,
            "source": ", ".join(part.source for part in self.parts),
            "status": str(answer.status),
            "reason": answer.reason,
            "transient": transient.as_dict() if transient else None,
            "resolved_by": self.resolution.by if self.resolution else None,
            "fetched": sum(self.fetched.counts.values()),
            "negative": self.fetched.negative,
            "dropped": dict(self.fetched.dropped),
            "objects": [
                {
                    "object_id": found.object_id,
                    "detections": found.detections,
                    "separation_arcsec": found.separation_arcsec,
                    "accepted": found.accepted,
                }
                for found in answer.objects
            ],
            "set_aside": dict(answer.set_aside),
            "quarantined": quarantined(self.fetched),
            **self.counts(),
            "requests": len(self.requests()) if self.plan else None,
            "points": [
                {
                    "obs_date": str(date),
                    "band": str(curve.band[row]),
                    "kind": PointKind(curve.kind[row]).name.lower(),
                    "mag": _number(curve.mag[row]),
                    "mag_err": _number(curve.mag_err[row]),
                    "flux": _number(curve.flux[row]),
                    "flux_err": _number(curve.flux_err[row]),
                    "native_id": str(curve.native_id[row]),
                    "state": state or None,
                }
                for row, (date, state) in enumerate(
                    zip(format_time_ms(curve.time_ms), self.states, strict=True)
                )
            ],
            **({"sources": [part.as_dict() for part in self.parts]} if several else {}),
            **({"disagreements": list(self.disagreements)} if several else {}),
            **({"error": self.error.as_dict()} if self.error else {}),
        }


def previews(
    service: Service,
    target: Target,
    *,
    draw: bool = False,
    tell: Callable[[str], None] = logger.info,
) -> list[Preview]:
    """Fetch a target and compare it with what YSE-PZ holds, where one is configured.

    There is one for each survey, of the union of its sources, as `push` would send it. Without
    an answer of YSE-PZ the light curve is still fetched, when the target says itself where it
    is. A source that answers later is waited for.

    Parameters
    ----------
    draw
        Ask for every kind of photometry, and read YSE-PZ back whatever the source says.
    tell
        Is given a line before each wait.

    Raises
    ------
    YseIngestError
        What kept all sources of a survey from being asked, or from answering.
    """
    resolution, error = None, None
    if service.settings.ysepz_url is not None:
        try:
            resolution = resolve(service.ysepz, target)
        except YseIngestError as caught:
            if not _says_where(target):
                raise
            error = caught
    where, discovery_ms = target, None
    if resolution is not None and resolution.transient is not None:
        transient = resolution.transient
        where, discovery_ms = target.at(transient.ra, transient.dec), transient.discovery_ms
    elif not _says_where(target):
        raise unknown_to_ysepz(service, target)
    look = _Look(service, target, where, discovery_ms, tell, draw=draw)
    return [look.at(group, resolution, error) for group in service.groups_of(target)]


@dataclass(frozen=True)
class _Look:
    """One target, and how it is looked at."""

    service: Service
    target: Target
    where: Target
    discovery_ms: int | None
    tell: Callable[[str], None]
    draw: bool

    def at(
        self, group: Group, resolution: Resolution | None, error: YseIngestError | None
    ) -> Preview:
        """Return the union of a survey's sources, compared with YSE-PZ."""
        answers: dict[str, Fetched] = {}
        everything: dict[str, Answer] = {}
        errors: dict[str, YseIngestError] = {}
        for name in group.sources:
            try:
                answers[name], everything[name] = self._ask(name)
            except YseIngestError as caught:
                errors[name] = caught
        if not answers:
            raise errors[group.sources[0]]
        check_readers([*answers.values()])
        fetched, disagreements = union_of([*answers.values()], group)
        stands = shares_of([*answers.values()], group)
        plan, stored = None, None
        compared = fetched.answer.status is Status.OK
        if resolution is not None and (compared or self.draw):
            try:
                if resolution.transient is not None:
                    stored = self.service.ysepz.read_back(resolution.transient.slug)
                if compared:
                    plan = _plan(self.service, self.target, fetched, resolution, stored)
            except YseIngestError as caught:
                error = caught
        return Preview(
            fetched,
            resolution,
            plan,
            error,
            stored,
            everything[fetched.source],
            parts=tuple(
                Part(name, answers.get(name), stands.get(name, 0), errors.get(name))
                for name in group.sources
            ),
            disagreements=tuple(map(str, disagreements)),
        )

    def _ask(self, name: str) -> tuple[Fetched, Answer]:
        """Return what a source has to be sent, and everything that it said."""
        source = self.service.patient_source(name, self.tell)
        everything = _Everything(source)
        fetched = fetch_light_curve(
            self.where,
            cast("Source", everything) if self.draw else source,
            rules=self.service.rules(self.target, name),
            discovery_ms=self.discovery_ms,
        )
        return fetched, everything.answers.get(self.where.name, fetched.answer)


class _Everything:
    """A source that is asked for every kind of photometry, and hands on what is wanted.

    So that what is only drawn is never taken for what is to be sent.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.answers: dict[str, Answer] = {}
        """Target name to everything that was said."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, of the kinds that it names."""
        every = [replace(ask, kinds=frozenset(Kind)) for ask in asks]
        for ask, answer in zip(asks, self._source.fetch(every), strict=True):
            self.answers[ask.target.name] = answer
            if Kind.FORCED not in ask.kinds:
                answer = replace(answer, forced=Forced.empty())
            if Kind.LIMIT not in ask.kinds:
                answer = replace(answer, limits=Limits.empty())
            yield answer


def documented(service: Service, target: Target) -> dict[str, Any]:
    """Return the dictionary that YSE-PZ documents for this target's light curve.

    Raises
    ------
    YseIngestError
        As `preview`, and where a field cannot be in that dictionary.
    """
    if not target.has_position and service.settings.ysepz_url is not None:
        transient = resolve(service.ysepz, target).transient
        if transient is not None:
            target = target.at(transient.ra, transient.dec)
    if not _says_where(target):
        raise unknown_to_ysepz(service, target)
    rules = service.rules(target)
    source = service.patient_source(service.source_of(target), logger.info)
    fetched = fetch_light_curve(target, source, rules=rules)
    if (problem := problem_of(fetched)) is not None:
        raise problem
    return documented_request(target, fetched.curve, rules, window_ms=_one_window_ms(fetched))


def problem_of(fetched: Fetched) -> YseIngestError | None:
    """Return why a light curve cannot be used: its object is unclear or unknown."""
    return unclear(
        fetched.target.name, fetched.source, fetched.answer.status, fetched.answer.reason
    )


def unclear(target: str, source: str, status: str, reason: str) -> YseIngestError | None:
    """Return an unclear answer of a source as the error that it is; None for any other.

    Parameters
    ----------
    target, source
        Names; of several sources, with commas.
    status, reason
        Of the answer.
    """
    title = ", ".join(
        SOURCES[name].title if name in SOURCES else name for name in source_names(source)
    )
    if status == Status.AMBIGUOUS:
        return AmbiguousTargetError(
            f"it is not clear which object this is: {reason}",
            service=title,
            target=target,
            remedy="Nothing is sent. Name the object (--object-id ID), or the date before "
            "which nothing belongs to it (--since DATE); object_id and since in the targets "
            "file.",
        )
    if status == Status.UNKNOWN:
        return UnknownTargetError(
            reason or "it does not know this object",
            service=title,
            target=target,
            remedy="Correct the object id.",
        )
    return None


def unknown_to_ysepz(service: Service, target: Target) -> UnknownTargetError:
    """Return the error of a target of which nobody says where it is."""
    if service.settings.ysepz_url is None:
        return UnknownTargetError(
            "nothing says where it is, and no YSE-PZ is configured that could",
            service="settings",
            target=target.name,
            remedy="Give --ra and --dec, or --object-id, or set YSE_PZ_URL.",
        )
    return UnknownTargetError(
        "YSE-PZ has no transient of this name or place",
        service="YSE-PZ",
        target=target.name,
        remedy="Check the name, or give --ra and --dec, or --object-id.",
    )


def quarantined(fetched: Fetched) -> list[dict[str, Any]]:
    """Return the rows that were refused, with id and reason, twins included."""
    rows: list[dict[str, Any]] = [
        {
            "native_id": refusal.native_id,
            "reason": "; ".join(map(str, refusal.faults)),
        }
        for refusal in fetched.answer.refused
    ]
    rows += [
        {
            "native_id": twin.native_id,
            "reason": f"twin of {twin.twin_of}: one exposure reported twice",
        }
        for twin in fetched.answer.twins
    ]
    return rows


def _says_where(target: Target) -> bool:
    return target.has_position or target.object_id is not None


def _plan(
    service: Service,
    target: Target,
    fetched: Fetched,
    resolution: Resolution,
    stored: ReadBack | None,
) -> Plan | None:
    client = service.ysepz
    transient = resolution.transient
    if transient is None:
        if target.creation is None:
            return None
        transient = _as_created(target)
    return plan_upload(
        fetched.curve,
        transient,
        rules=fetched.rules,
        gaps=fetched.gaps,
        tolerance_ms=fetched.tolerance_ms,
        account=client.account.username,
        vocabulary=client.vocabulary(),
        stored=stored,
        speed=service.speed,
        seconds_max=service.settings.request_seconds_max,
        bytes_max=service.settings.request_bytes_max,
    )


def _as_created(target: Target) -> Transient:
    """Return the transient that YSE-PZ will have once the target was created."""
    fields = target.creation or {}
    return Transient(
        pk=0,
        name=target.name,
        slug="",
        ra=target.ra or 0.0,
        dec=target.dec or 0.0,
        disc_date=None,
        status=fields.get("status"),
        obs_group=fields.get("obs_group"),
        tags=tuple(fields.get("tags", ())),
    )


def _one_window_ms(fetched: Fetched) -> float | None:
    """Return the smallest window of all bands: the documented dictionary has room for one."""
    if fetched.rules.mjdmatchmin is not None:
        return fetched.rules.mjdmatchmin * MS_PER_DAY
    found = windows(
        fetched.curve.band,
        instrument=fetched.rules.instrument,
        gaps=fetched.gaps,
        tolerance_ms=fetched.tolerance_ms,
    )
    return min(found.values(), default=fetched.tolerance_ms)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
