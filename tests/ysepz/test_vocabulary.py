from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.errors import VocabularyError
from yse_ingest.targets import Rules
from yse_ingest.ysepz import Band, Vocabulary, nearest

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.ysepz import YsePzStandIn
    from yse_ingest.ysepz import YsePz


@pytest.fixture(name="names")
def _names(client: YsePz) -> Vocabulary:
    return client.vocabulary()


def test_bands_are_pairs(names: Vocabulary) -> None:
    """A band is known together with its instrument: g-ZTF stands on two."""
    assert {band.instrument for band in names.bands if band.name == "g-ZTF"} == {
        "ZTF-Cam",
        "Unknown",
    }
    assert Band("i-ZTF", "ZTF-Cam") in names.bands
    assert len(names.all("instrument")) == 84  # 87 rows, three names stand twice


def test_rules_of_the_documented_job_pass(names: Vocabulary) -> None:
    """The default rules name only what YSE-PZ has."""
    names.check_photometry(Rules())
    names.check_photometry(Rules(data_quality="Bad", groups=("YSE",)), ["g-ZTF"])
    names.check_photometry(Rules(obs_group="Unknown"))


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        (Rules(instrument="ZTF-cam"), 'instrument "ZTF-cam".*Nearest: "ZTF-Cam"'),
        (Rules(instrument="P48 - ZTF-Cam"), 'instrument "P48 - ZTF-Cam"'),
        (Rules(obs_group="ztf"), 'obs_group "ztf".*Nearest: "ZTF"'),
        (Rules(obs_group="ZTF "), 'obs_group "ZTF "'),
        (
            Rules(band_map={"g": "g-Sloan"}),
            'band "g-Sloan" on ZTF-Cam.*Nearest.*It is a band of',
        ),
        (Rules(band_map={"g": "g-ZTFF"}), 'band "g-ZTFF" on ZTF-Cam.*"g-ZTF"'),
        (Rules(instrument="Unknown"), "stands for a name that is not known"),
        (Rules(data_quality="bad"), 'data_quality "bad".*"Bad"'),
        (Rules(data_quality="1"), 'data_quality "1"'),
        (Rules(groups=("YSE", "Nobody")), 'groups "Nobody"'),
    ],
)
def test_unknown_names_are_refused(names: Vocabulary, rules: Rules, says: str) -> None:
    """What YSE-PZ would store as Unknown or Bad is refused with the nearest names (trap 1)."""
    with pytest.raises(VocabularyError, match=says) as caught:
        names.check_photometry(rules, target="2019np")
    assert caught.value.target == "2019np"
    assert caught.value.remedy


def test_creation_fields(names: Vocabulary) -> None:
    """Names in creation fields are checked; Unknown is taken, as the documented job says it."""
    names.check_creation({"status": "Ignore", "obs_group": "Unknown", "tags": ["YSE"]})
    names.check_creation(
        {
            "best_spec_class": "SN Ia",
            "internal_survey": "YSE",
            "non_detect_band": "g-ZTF",
            "non_detect_instrument": "ZTF-Cam",
        }
    )


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"status": "Follow"}, 'status "Follow".*"Following"'),
        ({"tags": ["YSE", "Nope"]}, 'tags "Nope"'),
        ({"tags": ["Stripe82"]}, '2 tags have the name "Stripe82"'),
        ({"best_spec_class": "Ia"}, 'best_spec_class "Ia".*"SN Ia"'),
        ({"non_detect_band": "g-ZTF"}, "band of 2 instruments"),
        ({"non_detect_band": "g-ZTF", "non_detect_instrument": "LRIS"}, "on LRIS"),
        ({"internal_survey": "Unknown"}, "internal_survey"),
        ({"antares_classification": "SN"}, "cannot be checked"),
    ],
)
def test_unknown_creation_fields(
    names: Vocabulary, fields: dict[str, object], says: str
) -> None:
    """A creation field that names nothing would leave a row half made."""
    with pytest.raises(VocabularyError, match=says):
        names.check_creation(fields)


def test_instruments_that_the_vocabulary_lacks(names: Vocabulary) -> None:
    """An instrument that was added since is split at the last separator."""
    assert names.instrument_of("ATLAS - HKO - New Camera") == "New Camera"
    assert names.instrument_of("Bare") == "Bare"


def test_every_instrument_is_recognised(names: Vocabulary) -> None:
    """Each shipped instrument is read back under its own name, with separators in either."""
    assert "ANDICAM - CCD" in names.all("instrument")
    assert "ATLAS - HKO" in names.all("telescope")
    for pk, name in names.names["instrument"].items():
        telescope = names.name_of("telescope", names.telescopes[pk])
        assert names.instrument_of(f"{telescope} - {name}") == name


def test_band_of_another_instrument_keeps_its_name(names: Vocabulary) -> None:
    """g-ZTF of the instrument Unknown is not the band g-ZTF of ZTF-Cam."""
    assert names.band_of("ZTF-Cam - g-ZTF", "ZTF-Cam") == "g-ZTF"
    assert names.band_of("Unknown - g-ZTF", "ZTF-Cam") == "Unknown - g-ZTF"


def test_rows_and_names(names: Vocabulary) -> None:
    """Names lead to rows and rows to names."""
    pk = names.pk_of("status", "Following")
    assert pk is not None
    assert names.name_of("status", pk) == "Following"
    assert names.pk_of("status", "following") is None
    assert names.name_of("status", 4711) is None


def test_cached_as_json(names: Vocabulary) -> None:
    """A vocabulary survives being kept as JSON; anything else is not taken for one."""
    assert Vocabulary.from_dict(json.loads(json.dumps(names.to_dict()))) == names
    with pytest.raises((KeyError, TypeError, ValueError)):
        Vocabulary.from_dict({"names": {}})


def test_read_once_and_when_too_old(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """The lists are read once an hour, and when somebody asks."""
    now = [0.0]
    client = make_client(clock=lambda: now[0])

    def readings() -> int:
        return sum(entry.path == "/api/dataquality/" for entry in server.log)

    client.vocabulary()
    now[0] = 3599.0
    client.vocabulary()
    assert readings() == 1
    now[0] = 3601.0
    client.vocabulary()
    assert readings() == 2
    assert client.refresh().read_at == 3601.0
    assert readings() == 3


def test_nearest_names() -> None:
    """What differs in case alone comes first, then what looks alike, then what holds it."""
    known = ["ZTF", "zTFish", "ATLAS", "YSE"]
    assert nearest("ztf", known)[0] == "ZTF"
    assert nearest("ATLSA", known) == ["ATLAS"]
    assert nearest("qqqqqq", known) == ["ATLAS", "YSE", "ZTF", "zTFish"]
    assert nearest("", known)
