"""A transient as YSE-PZ lists it, and when two names are one to its database."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from yse_ingest.targets import canonical_name
from yse_ingest.times import time_ms_of_date

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_SLUG = "the transient has no slug, and YSE-PZ shows photometry by that alone"
SAVE_IT = "Save it once in YSE-PZ (its admin page): that gives it one."


@dataclass(frozen=True)
class Transient:
    """A row of YSE-PZ's table of transients."""

    pk: int
    name: str
    slug: str
    """Its name in addresses; not derivable from the name. Empty: it has none."""
    ra: float
    """ICRS [deg]."""
    dec: float
    disc_date: str | None
    status: str | None
    obs_group: str | None
    tags: tuple[str, ...]

    @property
    def discovery_ms(self) -> int | None:
        """Return when it was discovered, Unix time [ms]; None: YSE-PZ does not say."""
        return None if self.disc_date is None else time_ms_of_date(self.disc_date)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {**asdict(self), "tags": list(self.tags)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what `as_dict` wrote."""
        return cls(**{**data, "tags": tuple(data["tags"])})

    def __str__(self) -> str:
        return f"{self.name} ({self.ra:.5f}, {self.dec:+.5f})"


def name_key(name: str) -> str:
    """Return a key that is equal for names that YSE-PZ's database takes for the same.

    It compares without case, accents and trailing blanks (measured 2026-11).
    """
    plain = unicodedata.normalize("NFD", name.rstrip(" "))
    return "".join(char for char in plain if not unicodedata.combining(char)).casefold()


def alias_key(name: str) -> str:
    """Return a key that is equal for a name and the aliases that say it.

    TNS tells other names as "ZTF25aaaaaaa, ATLAS25xyz", and YSE-PZ splits that at the commas:
    the alias that it keeps is " ATLAS25xyz" (measured 2026-11).
    """
    return name_key(canonical_name(name.strip()))
