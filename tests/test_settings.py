"""Settings: what is taken, what is refused and how it is said, and that the page lists all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from yse_ingest.errors import SettingsError
from yse_ingest.schemas.target_fields import DefaultsSchema, RulesSchema, TargetSchema
from yse_ingest.settings import Settings, describe

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def test_the_page_lists_exactly_the_settings() -> None:
    """docs/settings.md has every variable once, with its default, unit and meaning."""
    cells = [[row[0], *row[2:]] for row in _rows()]

    assert cells == [list(row.values()) for row in describe()]


def _rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").split("<!-- table -->")[1].strip().splitlines()
    return [[cell.strip().strip("`") for cell in line[1:-1].split("|")] for line in lines[2:]]


def test_the_page_names_each_key_of_the_targets_file() -> None:
    """Who reads of a setting finds how it is written for one source or one target."""
    page = PAGE.read_text(encoding="utf-8")
    keys = {row[1] for row in _rows() if row[1]}

    assert keys <= DefaultsSchema().fields.keys() | TargetSchema().fields.keys()
    missing = {key for key in RulesSchema().fields if f"`{key}`" not in page}
    assert not missing


def test_each_default_of_the_page_can_be_written_as_it_stands_there() -> None:
    """Copied from the page into the environment, a default changes nothing."""
    given = {row[0]: row[2] for row in _rows() if row[2]}

    assert replace(Settings.from_env(given), environment={}) == Settings.from_env({})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("YSE_PZ_READ_TIMEOUT", "ten"),
        ("YSE_INGEST_CADENCE", "-5"),
        ("YSE_INGEST_CADENCE", ""),
        ("YSE_INGEST_LEASE", "nan"),
        ("YSE_INGEST_BATCH", "many"),
        ("YSE_INGEST_LOG", "xml"),
        ("YSE_INGEST_CLOBBER", "maybe"),
        ("YSE_INGEST_BAND_MAP", "g"),
        ("YSE_INGEST_SOURCE", "elsewhere"),
        ("YSE_INGEST_NEGATIVES", "keep"),
        ("YSE_INGEST_FLUX", "bright"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_remedy(
    variable: str, value: str
) -> None:
    """A mistake in one variable says which, what stood there and what it takes."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({variable: value})

    assert caught.value.field == variable
    assert caught.value.value == value
    assert caught.value.remedy
    assert variable in str(caught.value)


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({"YSE_INGEST_LEASE": "70"}, "YSE_INGEST_LEASE"),
        ({"YSE_PZ_READ_TIMEOUT": "2m"}, "YSE_INGEST_LEASE"),
        ({"YSE_INGEST_VISIBILITY": "240"}, "YSE_INGEST_VISIBILITY"),
        ({"YSE_INGEST_MESSAGE_LIMIT": "5m"}, "YSE_INGEST_VISIBILITY"),
        ({"YSE_INGEST_RETRY_WAIT_MAX": "76"}, "YSE_INGEST_VISIBILITY"),
        ({"YSE_INGEST_BATCH": "0"}, "YSE_INGEST_BATCH"),
        ({"YSE_INGEST_NEGATIVES": "flux", "YSE_INGEST_FLUX": "null"}, "YSE_INGEST_NEGATIVES"),
        ({"YSE_INGEST_BATCH": "51"}, "YSE_INGEST_BATCH"),
    ],
)
def test_times_that_do_not_fit_together_are_refused(env: dict[str, str], variable: str) -> None:
    """A lease or a message that could end while it is worked on never starts."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(env)

    assert caught.value.field == variable
    assert caught.value.remedy


def test_an_empty_environment_gives_the_defaults() -> None:
    """Nothing has to be set to begin; only a YSE-PZ has no default."""
    settings = Settings.from_env({})

    assert settings == Settings()
    assert settings.ysepz_url is None
    assert settings.default_source == "alerce"
    assert settings.cadence_s == 1800


def test_mars_is_the_default_source_where_it_is_named() -> None:
    """A MARS_URL makes MARS the default; an explicit source wins."""
    named = {"MARS_URL": "https://mars.example.org/"}

    assert Settings.from_env(named).default_source == "mars"
    assert (
        Settings.from_env({**named, "YSE_INGEST_SOURCE": "alerce"}).default_source == "alerce"
    )


def test_values_are_read_with_their_units() -> None:
    """Durations, flags, lists and maps are written as people write them."""
    settings = Settings.from_env(
        {
            "YSE_INGEST_CADENCE": " 2h ",
            "YSE_INGEST_FLUX": "null",
            "YSE_INGEST_CLOBBER": "yes",
            "YSE_INGEST_GROUPS": "YSE, Team A",
            "YSE_INGEST_BAND_MAP": "g=g-ZTF, r = r-ZTF",
        }
    )

    assert settings.cadence_s == 7200
    assert settings.rules.flux_zero_point is None
    assert settings.rules.clobber
    assert settings.rules.groups == ("YSE", "Team A")
    assert settings.rules.band_map == {"g": "g-ZTF", "r": "r-ZTF"}


def test_the_state_stands_beside_the_queues_unless_it_is_named() -> None:
    """The state's Redis is the next database of the broker's, or the one configured."""
    broker = {"CELERY_BROKER_URL": "redis://127.0.0.1:6379/3"}
    own = {"YSE_INGEST_STATE_URL": "redis://127.0.0.1:6380/0"}

    assert Settings.from_env(broker).service_state_url == "redis://127.0.0.1:6379/4"
    assert Settings.from_env({**broker, **own}).service_state_url == own["YSE_INGEST_STATE_URL"]


def test_the_password_is_found_and_never_shown() -> None:
    """The account has the password; no text of it or of the settings does."""
    settings = Settings.from_env(
        {
            "YSE_PZ_URL": "https://ziggy.example.org/yse",
            "YSE_PZ_USERNAME": "photbot",
            "YSE_PZ_PASSWORD": "hunter22",
        }
    )

    assert settings.account().password == "hunter22"
    assert "hunter22" not in repr(settings) + repr(settings.account())


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({}, "YSE_PZ_URL"),
        ({"YSE_PZ_URL": "https://ziggy.example.org/yse"}, "YSE_PZ_USERNAME"),
    ],
)
def test_what_is_missing_for_an_upload_is_named(
    env: dict[str, str], variable: str, tmp_path: Path
) -> None:
    """Without a YSE-PZ or an account, the variable to set is named."""
    settings = Settings.from_env({**env, "NETRC": str(tmp_path / "none")})

    with pytest.raises(SettingsError) as caught:
        settings.account()

    assert caught.value.field == variable
    assert caught.value.remedy
