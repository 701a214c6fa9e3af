"""How each source stands: configured or not, its health and budget, who asks it."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import SettingsError, StateError
from yse_ingest.sources import SOURCES, rates_of
from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yse_ingest.service import Service
    from yse_ingest.sources import Source
    from yse_ingest.state import SourceRecord, State

_SECRET = re.compile(r"(TOKEN|PASSWORD|SECRET|_KEY)$")


@dataclass(frozen=True)
class SourceLine:
    """One source. Times are Unix times [ms]; None: never, or not known."""

    name: str
    title: str
    missing: str | None
    """Why it cannot be asked: what is not configured; None: it can."""
    url: str | None
    survey: str
    instrument: str
    kinds: Sequence[str]
    token: str
    """set, not set, or not needed; never the token."""
    targets: int | None
    """Targets that ask it; None: Redis gave no answer, or the targets file is unusable."""
    record: SourceRecord | None
    breaker: Mapping[str, Any] | None
    budget: Mapping[str, Any] | None
    """See `yse_ingest.state.meters.SharedMeter.state`."""
    allowed: Sequence[str]
    """How often it may be asked."""

    @property
    def health(self) -> str:
        """Return in one word or two whether it can be relied upon now."""
        if self.missing is not None:
            return "not configured"
        if self.record is None or self.breaker is None:
            return "not known"
        if self.breaker["open"] and self.record.condition in {"ok", "never asked"}:
            return "no answer"
        return self.record.condition

    @property
    def reason(self) -> str:
        """Return why it is in this state; "": nothing is wrong."""
        if self.missing is not None:
            return self.missing
        if self.breaker is not None and self.breaker["open"] and self.breaker["reason"]:
            return str(self.breaker["reason"])
        return self.record.reason if self.record is not None else ""

    @property
    def since_ms(self) -> int | None:
        """Return since when it is in this state."""
        if self.breaker is not None and self.breaker["open"] and self.breaker["since_ms"]:
            return int(self.breaker["since_ms"])
        return self.record.changed_ms if self.record is not None else None

    @property
    def next_ms(self) -> int | None:
        """Return when it is tried again; None: it is asked as usual."""
        if self.breaker is not None and self.breaker["open"]:
            return int(self.breaker["next_ms"])
        return self.budget["closed_until_ms"] if self.budget is not None else None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        record = self.record
        return {
            "title": self.title,
            "configured": self.missing is None,
            "url": self.url,
            "survey": self.survey,
            "instrument": self.instrument,
            "kinds": list(self.kinds),
            "token": self.token,
            "targets": self.targets,
            "health": self.health,
            "reason": self.reason,
            "since": _iso(self.since_ms),
            "next_try": _iso(self.next_ms),
            "breaker": None if self.breaker is None else dict(self.breaker),
            "budget": {"allowed": list(self.allowed), **(self.budget or {})},
            "last_answer": None
            if record is None or record.answered_ms is None
            else {"at": _iso(record.answered_ms), "answer": record.answer},
            "last_change": None
            if record is None or record.changed_ms is None
            else {
                "at": _iso(record.changed_ms),
                "from": record.before or None,
                "to": record.condition,
            },
        }


def source_lines(service: Service, state: State | None) -> list[SourceLine]:
    """Return how every source stands that is installed, by name.

    Parameters
    ----------
    service
        Settings and sources; no source is asked.
    state
        The state; None: what only Redis knows stays open.
    """
    asked: Counter[str] | None = None
    if state is not None:
        # A targets file that cannot be read is told by `status` and `doctor`.
        with contextlib.suppress(SettingsError):
            asked = Counter(service.source_of(target) for target, _ in state.targets.all())
    return [_line(service, state, name, asked) for name in SOURCES]


def reachable(service: Service) -> State | None:
    """Return the state, or None where Redis gives no answer."""
    try:
        return service.state
    except StateError:
        return None


def _line(
    service: Service, state: State | None, name: str, asked: Counter[str] | None
) -> SourceLine:
    url = missing = None
    try:
        kind: type[Source] = SOURCES[name]
    except SettingsError as error:
        return _broken(name, error)
    try:
        url = service.source(name).url
    except SettingsError as error:
        missing = error.fact
    environment = service.settings.environment
    capabilities = kind.capabilities
    has_token = any(
        _SECRET.search(option.variable) and environment.get(option.variable, "").strip()
        for option in kind.options
    )
    needed = "not set" if capabilities.needs_token else "not needed"
    return SourceLine(
        name=name,
        title=kind.title,
        missing=missing,
        url=url,
        survey=capabilities.survey.name,
        instrument=capabilities.survey.instrument,
        kinds=sorted(map(str, capabilities.kinds)),
        token="set" if has_token else needed,
        targets=None if asked is None else asked[name],
        record=None if state is None else state.source_records.get(name),
        breaker=None if state is None else state.source_breaker(name).state(),
        budget=None if state is None else service.meter(name).state(),
        allowed=[str(rate) for rate in rates_of(kind, environment)],
    )


def _broken(name: str, error: SettingsError) -> SourceLine:
    return SourceLine(
        name=name,
        title=name,
        missing=error.fact,
        url=None,
        survey="",
        instrument="",
        kinds=(),
        token="",
        targets=None,
        record=None,
        breaker=None,
        budget=None,
        allowed=(),
    )


def _iso(time_ms: int | None) -> str | None:
    return iso_of_unix(time_ms / 1000) if time_ms else None
