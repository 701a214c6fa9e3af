"""The names that YSE-PZ knows, and the refusal of every other one before it is sent.

YSE-PZ stores a name that it does not know as ``Unknown``, answers success, and then drops the
next point of another unknown band at that time as a duplicate (measured 2026-11).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from yse_ingest.errors import VocabularyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yse_ingest.targets import Rules

UNKNOWN = "Unknown"

Kind = Literal[
    "instrument",
    "obs_group",
    "status",
    "tag",
    "data_quality",
    "group",
    "class",
    "internal_survey",
    "telescope",
]

LISTS: Mapping[Kind, str] = {
    "instrument": "instruments",
    "obs_group": "observationgroups",
    "status": "transientstatuses",
    "tag": "transienttags",
    "data_quality": "dataquality",
    "group": "groups",
    "class": "transientclasses",
    "internal_survey": "internalsurveys",
    "telescope": "telescopes",
}
"""Each kind of name and its list below ``/api/``."""
BANDS = "photometricbands"

CREATION_KINDS: Mapping[str, Kind] = {
    "status": "status",
    "obs_group": "obs_group",
    "best_spec_class": "class",
    "photo_class": "class",
    "context_class": "class",
    "internal_survey": "internal_survey",
    "non_detect_instrument": "instrument",
}
"""Fields of a transient that name a row of another table."""
UNCHECKED = ("best_spectrum", "antares_classification")
"""Fields of a transient whose names nobody can look up beforehand."""


class Band(NamedTuple):
    """A band of an instrument: its name alone says little, ``g`` stands there twelve times."""

    name: str
    instrument: str

    def __str__(self) -> str:
        return f"{self.name} on {self.instrument}"


@dataclass(frozen=True)
class Vocabulary:
    """One reading of the lists of names."""

    names: Mapping[Kind, Mapping[int, str]]
    """Kind to primary key to name."""
    telescopes: Mapping[int, int]
    """Primary key of an instrument to that of its telescope."""
    band_rows: Mapping[int, tuple[str, int]]
    """Primary key of a band to its name and the primary key of its instrument."""
    read_at: float
    """When it was read, Unix time [s]."""

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """Every band with the name of its instrument, sorted."""
        instruments = self.names["instrument"]
        return tuple(
            sorted(
                {
                    Band(name, instruments[instrument])
                    for name, instrument in self.band_rows.values()
                    if instrument in instruments
                }
            )
        )

    @cached_property
    def _shown_instruments(self) -> Mapping[str, str]:
        """What a read-back shows for an instrument, to the instrument's name."""
        telescopes = self.names["telescope"]
        return {
            f"{telescopes.get(self.telescopes.get(pk, 0), '')} - {name}": name
            for pk, name in self.names["instrument"].items()
        }

    def all(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of a kind, sorted, each once."""
        return tuple(sorted(set(self.names[kind].values())))

    def name_of(self, kind: Kind, pk: int) -> str | None:
        """Return the name of a row."""
        return self.names[kind].get(pk)

    def pk_of(self, kind: Kind, name: str) -> int | None:
        """Return the first row of a name."""
        return min(
            (pk for pk, known in self.names[kind].items() if known == name), default=None
        )

    def instrument_of(self, shown: str) -> str:
        """Return the instrument of "P48 - ZTF-Cam".

        Names of telescopes and of instruments hold " - " themselves; what the vocabulary does
        not know is split at the last one.
        """
        known = self._shown_instruments.get(shown)
        return known if known is not None else shown.rpartition(" - ")[2]

    def band_of(self, shown: str, instrument: str) -> str:
        """Return the band of "ZTF-Cam - g-ZTF"; of another instrument, what is shown."""
        prefix = f"{instrument} - "
        return shown.removeprefix(prefix) if shown.startswith(prefix) else shown

    # Checks -------------------------------------------------------------------------------

    def check(
        self,
        kind: Kind,
        name: str,
        *,
        field: str | None = None,
        target: str | None = None,
        allow_unknown: bool = False,
    ) -> None:
        """Refuse a name that YSE-PZ does not have, in exactly this spelling.

        Parameters
        ----------
        field
            What to call it in the message; None: its kind.
        target
            Whom it concerns.
        allow_unknown
            Take ``Unknown``: only where somebody wrote that literally.

        Raises
        ------
        VocabularyError
            With the nearest names.
        """
        self._check(
            name,
            self.all(kind),
            field=field or kind,
            target=target,
            allow_unknown=allow_unknown,
        )
        rows = sum(known == name for known in self.names[kind].values())
        if kind == "tag" and rows > 1:
            raise VocabularyError(
                f'{rows} tags have the name "{name}"',
                service="YSE-PZ",
                target=target,
                field=field or kind,
                value=name,
                remedy="Use another tag, or have one of them renamed.",
            )

    def check_band(
        self,
        band: str,
        instrument: str | None,
        *,
        field: str = "band",
        target: str | None = None,
        allow_unknown: bool = False,
    ) -> None:
        """Refuse a band that this instrument does not have; without one, a name of several.

        Raises
        ------
        VocabularyError
            With the nearest bands of the instrument, or the instruments that have the band.
        """
        if instrument is not None:
            here = [known.name for known in self.bands if known.instrument == instrument]
            elsewhere = [known.instrument for known in self.bands if known.name == band]
            self._check(
                band,
                here,
                field=field,
                target=target,
                allow_unknown=allow_unknown,
                where=f" on {instrument}",
                hint=f" It is a band of {_listed(elsewhere)}." if elsewhere else "",
            )
            return
        self._check(
            band,
            {known.name for known in self.bands},
            field=field,
            target=target,
            allow_unknown=allow_unknown,
        )
        owners = [known.instrument for known in self.bands if known.name == band]
        if len(owners) > 1:
            raise VocabularyError(
                f'{field} "{band}" is a band of {len(owners)} instruments',
                service="YSE-PZ",
                target=target,
                field=field,
                value=band,
                remedy="Name the instrument, too.",
            )

    def check_photometry(
        self,
        rules: Rules,
        bands: Iterable[str] | None = None,
        *,
        target: str | None = None,
    ) -> None:
        """Refuse rules of photometry that name what YSE-PZ does not have.

        The group ``Unknown`` is taken: who writes it there means it.

        Parameters
        ----------
        rules
            How the photometry is sent.
        bands
            Bands about to be sent; None: all of the rules' band map.
        target
            Whom it concerns.

        Raises
        ------
        VocabularyError
            The first name at fault.
        """
        self.check("instrument", rules.instrument, target=target)
        for band in sorted(set(rules.band_map.values() if bands is None else bands)):
            self.check_band(band, rules.instrument, target=target)
        self.check("obs_group", rules.obs_group, target=target, allow_unknown=True)
        for group in rules.groups:
            self.check("group", group, field="groups", target=target)
        if rules.data_quality is not None:
            self.check("data_quality", rules.data_quality, target=target)

    def check_creation(self, fields: Mapping[str, Any], *, target: str | None = None) -> None:
        """Refuse fields of a transient that name what YSE-PZ does not have.

        ``Unknown`` is taken: who writes it there means it.

        Raises
        ------
        VocabularyError
            The first name at fault.
        """
        for field, kind in CREATION_KINDS.items():
            if field in fields:
                self.check(
                    kind, str(fields[field]), field=field, target=target, allow_unknown=True
                )
        for tag in fields.get("tags", ()):
            self.check("tag", str(tag), field="tags", target=target)
        for field, instrument in (
            ("non_detect_band", fields.get("non_detect_instrument")),
            ("abs_mag_peak_band", None),
        ):
            if field in fields:
                self.check_band(
                    str(fields[field]),
                    instrument,
                    field=field,
                    target=target,
                    allow_unknown=True,
                )
        for field in UNCHECKED:
            if field in fields:
                raise VocabularyError(
                    f"{field} cannot be checked before it is sent",
                    service="YSE-PZ",
                    target=target,
                    field=field,
                    value=fields[field],
                    remedy="Leave it out, and set it in YSE-PZ.",
                )

    def _check(
        self,
        name: str,
        known: Iterable[str],
        *,
        field: str,
        target: str | None,
        allow_unknown: bool,
        where: str = "",
        hint: str = "",
    ) -> None:
        names = set(known)
        if name == UNKNOWN and not allow_unknown:
            fact = f'{field} "{UNKNOWN}" stands for a name that is not known'
            remedy = "Give the real name."
        elif name in names:
            return
        else:
            fact = f'there is no {field} "{name}"{where}'
            remedy = (
                f"Nearest: {_listed(nearest(name, names))}.{hint}" if names else hint.strip()
            )
        raise VocabularyError(
            fact,
            service="YSE-PZ",
            target=target,
            field=field,
            value=name,
            remedy=remedy or None,
        )

    # Caching ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "names": {
                kind: [[pk, name] for pk, name in rows.items()]
                for kind, rows in self.names.items()
            },
            "telescopes": [list(pair) for pair in self.telescopes.items()],
            "bands": [[pk, *row] for pk, row in self.band_rows.items()],
            "read_at": self.read_at,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_dict` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            When it is something else: read it anew.
        """
        return cls(
            names={
                kind: {int(pk): str(name) for pk, name in data["names"][kind]} for kind in LISTS
            },
            telescopes={int(pk): int(telescope) for pk, telescope in data["telescopes"]},
            band_rows={
                int(pk): (str(name), int(instrument)) for pk, name, instrument in data["bands"]
            },
            read_at=float(data["read_at"]),
        )


def nearest(name: str, known: Iterable[str], *, count: int = 4) -> list[str]:
    """Return the known names most like this one, those that differ in case alone first."""
    names = sorted(set(known))
    folded = name.casefold()
    same = [one for one in names if one.casefold().strip() == folded.strip()]
    inside = [one for one in names if folded and folded in one.casefold()]
    alike = difflib.get_close_matches(name, names, n=count, cutoff=0.5)
    found = list(dict.fromkeys([*same, *alike, *inside])) or names
    return found[:count]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
