"""The rows that a YSE-PZ lacks for the photometry of a survey, as an administrator adds them.

They are written in the Django admin, by a person. The fields are those that YSE-PZ's models
require, and the two with which its plots draw a band (read in its source, 2025-02). Nothing
here asks or changes a YSE-PZ.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from yse_ingest.ysepz.vocabulary import Vocabulary

SYMBOL = "circle"
"""How YSE-PZ's plots mark a band, in its words."""
COLOUR = "#555555"


@dataclass(frozen=True)
class MissingRow:
    """One row to be added: the model's name, and its fields in the order to fill them in."""

    model: str
    fields: Mapping[str, Any]
    unless: str = ""
    """When it need not be added."""

    def __str__(self) -> str:
        """Return it as one line of text."""
        fields = ", ".join(f"{name}={value}" for name, value in self.fields.items())
        return f"{self.model}: {fields}{f' ({self.unless})' if self.unless else ''}"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        unless = {"unless": self.unless} if self.unless else {}
        return {"model": self.model, "fields": dict(self.fields), **unless}


class _Place(NamedTuple):
    """A telescope, and the observatory at which it stands."""

    observatory: Mapping[str, Any]
    telescope: Mapping[str, Any]


PLACES: Mapping[str, _Place] = {
    "LSSTCam": _Place(
        {
            "name": "Vera C. Rubin Observatory",
            "utc_offset": -4,
            "tz_name": "America/Santiago",
        },
        {
            "name": "Simonyi Survey Telescope",
            "latitude": -30.2446,
            "longitude": -70.7494,
            "elevation": 2663.0,
        },
    ),
}
"""Instrument to where it is, of those that a freshly installed YSE-PZ lacks [deg, deg, m]."""


def missing_rows(
    vocabulary: Vocabulary,
    *,
    instrument: str,
    obs_group: str,
    bands: Iterable[str],
    colours: Mapping[str, str] | None = None,
) -> list[MissingRow]:
    """Return the rows that this YSE-PZ lacks, each after those that it refers to.

    Names count in exactly their spelling, and a band only on this very instrument.

    Parameters
    ----------
    vocabulary
        What YSE-PZ knows.
    instrument, obs_group, bands
        What the photometry is stored under.
    colours
        Band to the colour that YSE-PZ's plots give it.
    """
    return list(_rows(vocabulary, instrument, obs_group, bands, colours or {}))


def _rows(
    vocabulary: Vocabulary,
    instrument: str,
    obs_group: str,
    bands: Iterable[str],
    colours: Mapping[str, str],
) -> Iterator[MissingRow]:
    if instrument not in vocabulary.all("instrument"):
        place = PLACES.get(instrument)
        telescope = place.telescope["name"] if place else f"(the telescope of {instrument})"
        if place and telescope not in vocabulary.all("telescope"):
            yield MissingRow("Observatory", place.observatory, "unless it is there already")
            observatory = {"observatory": place.observatory["name"]}
            yield MissingRow("Telescope", {**observatory, **place.telescope})
        yield MissingRow("Instrument", {"telescope": telescope, "name": instrument})
    known = {band.name for band in vocabulary.bands if band.instrument == instrument}
    for band in dict.fromkeys(bands):
        if band not in known:
            drawn = {"disp_color": colours.get(band, COLOUR), "disp_symbol": SYMBOL}
            yield MissingRow(
                "PhotometricBand", {"instrument": instrument, "name": band, **drawn}
            )
    if obs_group not in vocabulary.all("obs_group"):
        yield MissingRow("ObservationGroup", {"name": obs_group})


def in_words(rows: Iterable[MissingRow]) -> str:
    """Return what is missing as a part of a sentence: "instrument LSSTCam, 6 bands"."""
    rows = list(rows)
    words = [f"{_WORDS[row.model]} {row.fields['name']}" for row in rows if row.model in _WORDS]
    count = Counter(row.model for row in rows)["PhotometricBand"]
    if count:
        bands = [row.fields["name"] for row in rows if row.model == "PhotometricBand"]
        words.append(f"{count} band{'s' if count > 1 else ''} ({', '.join(bands)})")
    return ", ".join(words)


_WORDS = {"Instrument": "instrument", "ObservationGroup": "obs_group"}
