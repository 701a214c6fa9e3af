"""What a YSE-PZ lacks for a survey, told as the rows that an administrator adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from yse_ingest.errors import VocabularyError
from yse_ingest.plot.styles import STYLES
from yse_ingest.sources import ATLAS, LSST, ZTF, Survey
from yse_ingest.targets import Rules
from yse_ingest.ysepz import MissingRow, Vocabulary, missing_rows
from yse_ingest.ysepz.missing import in_words

if TYPE_CHECKING:
    from yse_ingest.sandbox.ysepz import YsePzStandIn
    from yse_ingest.ysepz import YsePz

TABLES = {
    "Telescope": "telescope",
    "Instrument": "instrument",
    "PhotometricBand": "photometricband",
    "ObservationGroup": "observationgroup",
}
PARENTS = {"Instrument": "telescope", "PhotometricBand": "instrument"}


def lacking(vocabulary: Vocabulary, survey: Survey) -> list[MissingRow]:
    return missing_rows(
        vocabulary,
        instrument=survey.instrument,
        obs_group=survey.obs_group,
        bands=survey.band_map.values(),
    )


@pytest.mark.parametrize("survey", [ZTF, ATLAS], ids=lambda survey: survey.name)
def test_a_new_ysepz_lacks_nothing_for(client: YsePz, survey: Survey) -> None:
    """The database that YSE-PZ ships has the names of ZTF and ATLAS."""
    assert lacking(client.vocabulary(), survey) == []


def test_a_new_ysepz_lacks_all_of_lsst(client: YsePz) -> None:
    """Every row, each after those that it refers to, with the fields that are required."""
    rows = lacking(client.vocabulary(), LSST)
    assert [row.model for row in rows] == [
        "Observatory",
        "Telescope",
        "Instrument",
        *["PhotometricBand"] * 6,
        "ObservationGroup",
    ]
    observatory, telescope, instrument, *bands, group = rows
    assert set(observatory.fields) == {"name", "utc_offset", "tz_name"}
    assert telescope.fields["observatory"] == observatory.fields["name"]
    assert {"latitude", "longitude", "elevation"} < set(telescope.fields)
    assert instrument.fields == {"telescope": telescope.fields["name"], "name": "LSSTCam"}
    assert [band.fields["name"] for band in bands] == [f"{band}-LSST" for band in "ugrizy"]
    assert {band.fields["instrument"] for band in bands} == {"LSSTCam"}
    assert str(group) == "ObservationGroup: name=LSST"
    assert in_words(rows) == (
        "instrument LSSTCam, obs_group LSST, "
        "6 bands (u-LSST, g-LSST, r-LSST, i-LSST, z-LSST, y-LSST)"
    )


def test_the_page_names_the_same_rows(client: YsePz) -> None:
    """The rows of docs/lsst.md are those that `doctor` tells for a YSE-PZ as shipped."""
    told = missing_rows(
        client.vocabulary(),
        instrument=LSST.instrument,
        obs_group=LSST.obs_group,
        bands=LSST.band_map.values(),
        colours={band: STYLES[letter].colour for letter, band in LSST.band_map.items()},
    )
    block = "\n".join(f"    {row}" for row in told)
    page = Path(__file__).parents[2] / "docs" / "lsst.md"
    assert block in page.read_text(encoding="utf-8")


def test_with_these_rows_the_photometry_is_taken(server: YsePzStandIn, client: YsePz) -> None:
    """Once an administrator has added them, nothing is lacking and the names are accepted."""
    rules = Rules().with_overrides(LSST.rules)
    with pytest.raises(VocabularyError):
        client.vocabulary().check_photometry(rules)
    for row in lacking(client.vocabulary(), LSST):
        if row.model in TABLES:
            parent = row.fields.get(PARENTS.get(row.model, ""))
            server.add_name(TABLES[row.model], row.fields["name"], parent=parent)
    vocabulary = client.refresh()
    assert lacking(vocabulary, LSST) == []
    vocabulary.check_photometry(rules)


def test_a_band_counts_on_its_instrument_alone(server: YsePzStandIn, client: YsePz) -> None:
    """What stands already is not asked for again; a band of another instrument is no help."""
    server.add_name("instrument", "LSSTCam", parent="Blanco")
    for band in "ugriz":
        server.add_name("photometricband", f"{band}-LSST", parent="LSSTCam")
    server.add_name("photometricband", "y-LSST", parent="DECam")
    server.add_name("observationgroup", "LSST")
    (row,) = lacking(client.vocabulary(), LSST)
    assert (row.model, row.fields["name"]) == ("PhotometricBand", "y-LSST")
    assert str(row).startswith("PhotometricBand: instrument=LSSTCam, name=y-LSST, ")


def test_the_telescope_of_another_instrument_is_asked_for(client: YsePz) -> None:
    """Where nothing is known of an instrument's place, the row says what to fill in."""
    rows = missing_rows(client.vocabulary(), instrument="WFC9", obs_group="ZTF", bands=["g"])
    assert str(rows[0]) == "Instrument: telescope=(the telescope of WFC9), name=WFC9"
