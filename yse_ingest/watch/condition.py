"""`Condition`: one thing that is wrong, in words for the person who is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """One thing that is wrong now."""

    key: str
    """"kind" or "kind:subject": the same text as long as it is the same condition."""
    fact: str
    """What is wrong, without a full stop."""
    remedy: str
    """What to do: a sentence."""
    safe: str = ""
    """What is not lost meanwhile: a sentence."""
    over: str = ""
    """What is told when it is over; "": nothing is."""
    since_ms: int | None = None
    """Since when [Unix ms]; None: since it was first seen."""
    limit_s: float = 0.0
    """It may last so long [s]."""
    failure: bool = True
    """Something is stale or stopped (`health` fails), not only something to know."""
    at_once: bool = False
    """It is told without waiting whether it stays."""
    told: bool = True
    """It is something to tell, not only to show."""
    causes: frozenset[str] = frozenset()
    """Kinds or keys of conditions from which it follows."""
    explained: bool = False
    """One of its causes holds: it is not told by itself."""

    @property
    def kind(self) -> str:
        """Return what kind it is."""
        return self.key.partition(":")[0]

    def is_due(self, now_ms: int) -> bool:
        """Tell whether it has lasted longer than it may."""
        return self.since_ms is not None and now_ms - self.since_ms >= 1000 * self.limit_s

    def __str__(self) -> str:
        """Return kind, fact and remedy as one line."""
        return f"{self.key}: {self.fact}. {self.remedy}"
