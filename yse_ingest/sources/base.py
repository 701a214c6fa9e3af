"""What every source has in common: how it is asked, and what it answers."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np

from yse_ingest.photometry import Alerts, Forced, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, Self

    from yse_ingest.errors import YseIngestError
    from yse_ingest.schemas import Refusal
    from yse_ingest.sources.setup import Option, Setup
    from yse_ingest.targets import Rules, Target


class Status(StrEnum):
    """What came of asking for one target."""

    OK = "ok"
    """There is photometry."""
    EMPTY = "empty"
    """It answered, and has nothing (nothing new, for an incremental question)."""
    UNKNOWN = "unknown"
    """It answered, and does not know the object that the target names."""
    AMBIGUOUS = "ambiguous"
    """It is not clear which object the target is; nothing is taken."""
    PENDING = "pending"
    """It works on the question; ask again later."""
    ERROR = "error"
    """No usable answer: nothing is known about this target now."""


class Kind(StrEnum):
    """What a row of photometry is; where several are of one exposure, the first stands."""

    DETECTION = "detection"
    """Found in the difference image, by itself."""
    FORCED = "forced"
    """Measured where something was found at another time; a flux of either sign."""
    LIMIT = "limit"
    """Nothing was found, down to a magnitude."""


@dataclass(frozen=True)
class Survey:
    """Whose photometry a source delivers, and what YSE-PZ calls it.

    These are the rules of every target that is asked for there, under those that the operator
    gives.
    """

    name: str
    """``ZTF``"""
    instrument: str
    obs_group: str
    band_map: Mapping[str, str]
    """The source's band letter to YSE-PZ's band name."""
    night_utc: tuple[float, float] | None = None
    """Hours of UTC between which its alerts come [h]; None: at any hour."""

    @property
    def rules(self) -> dict[str, Any]:
        """Return the fields of `yse_ingest.targets.Rules` that it sets."""
        return {
            "instrument": self.instrument,
            "obs_group": self.obs_group,
            "band_map": dict(self.band_map),
        }


ZTF = Survey(
    "ZTF",
    "ZTF-Cam",
    "ZTF",
    {"g": "g-ZTF", "r": "r-ZTF", "i": "i-ZTF"},
    # Palomar's nights: the 816 alerts of the sandbox's supernovae lie between 2.3 and 13.9 h.
    night_utc=(2.0, 15.0),
)
ATLAS = Survey("ATLAS", "ACAM1", "ATLAS", {"c": "cyan-ATLAS", "o": "orange-ATLAS"})
LSST = Survey(
    "LSST",
    "LSSTCam",
    "LSST",
    {band: f"{band}-LSST" for band in "ugrizy"},
    night_utc=(22.5, 12.0),  # Cerro Pachón's
)


@dataclass(frozen=True)
class Capabilities:
    """What a source can do, and how its rows are to be read."""

    batch_size: int
    """Targets that are asked for in one request, or in one message."""
    by_id: bool
    by_position: bool
    since: Literal["server", "client"]
    """Who leaves out what is old."""
    exposure_tolerance_s: float
    """How far two programs' times of one exposure may lie apart [s]."""
    bands: tuple[str, ...]
    """Band letters of its alerts."""
    survey: Survey = ZTF
    """Whose photometry it is."""
    kinds: frozenset[Kind] = frozenset({Kind.DETECTION})
    """What it can deliver; what is wanted stands in the question."""
    time_scale: Literal["utc", "tai"] = "utc"
    """Scale of the times on the wire; every `Answer` is in UTC."""
    time_of: Literal["start", "middle"] = "start"
    """Which moment of the exposure a time is."""
    asynchronous: bool = False
    """Whether it works on a question for minutes or hours (`Status.PENDING`)."""
    needs_token: bool = False
    requests_per_hour: float | None = None
    """What its operators allow; None: they name no figure."""

    @property
    def limits(self) -> bool:
        """Tell whether it knows upper limits."""
        return Kind.LIMIT in self.kinds

    @property
    def forced(self) -> bool:
        """Tell whether it has forced photometry."""
        return Kind.FORCED in self.kinds


@dataclass(frozen=True)
class Ask:
    """One question: everything a source has of one target, or everything since a time."""

    target: Target
    rules: Rules
    since_ms: int | None = None
    """Only what was observed after this, Unix time [ms]; None: everything."""
    newest_ms: int | None = None
    """The newest detection that was answered before, Unix time [ms]; ``since_ms`` lies earlier,
    as alerts may arrive late."""
    discovery_ms: int | None = None
    """When the target was discovered, Unix time [ms], where that is known."""
    first_ms: int | None = None
    """Its first detection, as far as any of its sources was asked before, Unix time [ms]."""
    known_objects: tuple[str, ...] = ()
    """Object ids that were accepted when everything was read last."""
    kinds: frozenset[Kind] = frozenset({Kind.DETECTION})
    """What is wanted; a source leaves out what it does not have."""


@dataclass(frozen=True)
class FoundObject:
    """An object that the source has near a target, or under its id."""

    object_id: str
    detections: int
    separation_arcsec: float | None
    """Of its median position from the target; None where the target has no position."""
    first_ms: int
    """Its first detection in this answer, Unix time [ms], and"""
    last_ms: int
    """its last."""
    accepted: bool
    """Whether it is (part of) the target."""


@dataclass(frozen=True)
class Twin:
    """A detection that was set aside because a better one of the same exposure stands."""

    native_id: str
    twin_of: str
    object_id: str
    time_ms: int
    band: str
    mag: float
    mag_err: float


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a source said about one target."""

    target_name: str
    status: Status
    alerts: Alerts = field(default_factory=Alerts.empty)
    """The detections that belong: each native id once, without twins, in order of time."""
    forced: Forced = field(default_factory=Forced.empty)
    """Forced photometry of the target, where it was asked for; in order of time."""
    limits: Limits = field(default_factory=Limits.empty)
    """Upper limits of the objects that belong, where they were asked for; in order of time."""
    refused: tuple[Refusal, ...] = ()
    """Rows that could not be read."""
    twins: tuple[Twin, ...] = ()
    objects: tuple[FoundObject, ...] = ()
    """Every object seen, nearest first."""
    set_aside: Mapping[str, int] = field(default_factory=dict)
    """Object id to the number of its rows that were seen and do not belong."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Why rows that belong were left out by the source's own flags, to their number."""
    others: Alerts = field(default_factory=Alerts.empty)
    """The rows that were seen and do not belong."""
    full: bool = False
    """Whether everything was read, not only what is recent."""
    error: YseIngestError | None = None
    reason: str = ""
    """Why it is ambiguous, unknown or, with objects nearby, empty: a sentence."""
    ask_again_s: float | None = None
    """When a pending answer may be there [s]; None: nobody knows."""
    clean_up: Callable[[], None] = field(default=_nothing, repr=False)
    """To be called once the answer is kept: what the source holds for it may go.

    It raises nothing but a `StateError`, and may be called again."""

    @property
    def newest_ms(self) -> int | None:
        """Return the time of the newest measurement that belongs, Unix time [ms]."""
        times = np.concatenate([self.alerts.time_ms, self.forced.time_ms])
        return int(times.max()) if len(times) else None

    @property
    def first_ms(self) -> int | None:
        """Return the time of its first detection that belongs, Unix time [ms]."""
        times = self.alerts.time_ms[~self.alerts.negative]
        return int(times.min()) if len(times) else None

    @property
    def accepted_objects(self) -> tuple[str, ...]:
        """Return the ids that make up the target: the next question's ``known_objects``."""
        return tuple(found.object_id for found in self.objects if found.accepted)

    @classmethod
    def failed(cls, target_name: str, error: YseIngestError, *, full: bool) -> Answer:
        """Return the answer of a source that gave none; the error is told for this target."""
        own = copy.copy(error)
        own.target = target_name
        own.__cause__ = error.__cause__
        return cls(
            target_name=target_name, status=Status.ERROR, error=own, reason=own.fact, full=full
        )


class Source(Protocol):
    """Where photometry comes from; `yse_ingest.sources.SOURCES` knows every one by name."""

    name: ClassVar[str]
    """As in settings: ``mars``."""
    title: ClassVar[str]
    """As people write it: MARS."""
    capabilities: ClassVar[Capabilities]
    options: ClassVar[tuple[Option, ...]]
    """Its settings."""

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When it is not configured, or not usably.
        """
        ...

    @property
    def url(self) -> str:
        """Return where it lives."""
        ...

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order; what is wrong with one stays with it.

        An error of the source is an `Answer` with status ``ERROR``, never raised.
        """
        ...

    def close(self) -> None:
        """Give its connections back."""
        ...
