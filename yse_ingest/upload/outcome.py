"""Outcome: how one upload ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yse_ingest.clients import Hint
    from yse_ingest.errors import YseIngestError
    from yse_ingest.pipeline import Receipt


@dataclass(frozen=True)
class UploadOutcome:
    """How one upload task ended."""

    state: str
    retry_in: float | None = None
    """Nothing was written and the lease still holds: try again after this [s]."""
    hints: tuple[Hint, ...] = ()
    error: YseIngestError | None = None
    counts: dict[str, int] = field(default_factory=dict)
    receipts: tuple[Receipt, ...] = ()
