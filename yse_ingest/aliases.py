"""Aliases of transients, as values: read from YSE-PZ, and kept in Redis for all processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Alias(NamedTuple):
    """Another name of a transient."""

    pk: int
    name: str
    transient: int | None
    """Primary key of the transient."""


@dataclass(frozen=True)
class AliasCopy:
    """YSE-PZ's list of aliases as somebody read it, with what was added since."""

    reading: int
    """Which reading of the whole list it rests on."""
    rows: tuple[Alias, ...]
    read_at: float
    """When that was begun, by the clock of its shelf [s]."""
