"""The targets file is followed, whoever reads it first and whatever Redis forgets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import TargetError
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from pathlib import Path


def followed(service: Any) -> list[str]:
    service.dispatch()
    names: list[str] = service.state.targets.names()
    return names


def test_a_file_that_another_task_has_read_is_followed(house: Any, tmp_path: Path) -> None:
    """A fetch reads the file for its defaults; the next dispatch follows what is new in it."""
    file = tmp_path / "targets.toml"
    file.write_text('[[targets]]\nname = "2019np"\n')
    service = house.service(YSE_INGEST_TARGETS=str(file))
    service.targets_file()
    assert followed(service) == ["2019np"]


def test_a_redis_that_forgot_the_file_is_told_again(house: Any, tmp_path: Path) -> None:
    """The file has not changed, and yet its targets are followed after a FLUSHALL."""
    file = tmp_path / "targets.toml"
    file.write_text('[[targets]]\nname = "2019np"\n')
    service = house.service(YSE_INGEST_TARGETS=str(file))
    assert followed(service) == ["2019np"]
    service.state._connection.call("FLUSHDB")
    assert followed(service) == ["2019np"]


def test_a_target_added_by_hand_is_held_against_the_file(house: Any, tmp_path: Path) -> None:
    """Its own rule and the file's contradict each other: it is refused, and not written."""
    path = tmp_path / "targets.toml"
    path.write_text('[defaults]\nflux_zero_point = "none"\n')
    service = house.service(YSE_INGEST_TARGETS=str(path))
    with pytest.raises(TargetError, match="and no flux is sent") as caught:
        service.enqueue(Target("2019np", overrides={"negatives": "flux"}))
    assert (caught.value.field, caught.value.value) == ("negatives", "flux")
    assert service.state.targets.names() == []
    service.enqueue(Target("2019np", overrides={"negatives": "flux", "flux_zero_point": 27.5}))
    assert service.state.targets.names() == ["2019np"]


def test_the_file_is_held_against_the_settings(house: Any, tmp_path: Path) -> None:
    """The same, where one half of it stands in the settings: told as a problem of the file."""
    path = tmp_path / "targets.toml"
    path.write_text('[[targets]]\nname = "2019np"\nflux_zero_point = "none"\n')
    service = house.service(YSE_INGEST_TARGETS=str(path), YSE_INGEST_NEGATIVES="flux")
    assert service.targets_file().targets == ()
    (problem,) = service.targets_file().problems
    assert "negatives" in str(problem)


def test_the_defaults_of_a_changed_file_hold_at_once(house: Any, tmp_path: Path) -> None:
    """For targets that say nothing themselves, and not for those that do."""
    path = tmp_path / "targets.toml"
    path.write_text("[defaults]\nmatch_radius_arcsec = 1.0\n")
    service = house.service(YSE_INGEST_TARGETS=str(path))
    plain, own = Target("a"), Target("b", overrides={"match_radius_arcsec": 1.25})
    before = [service.rules(each).match_radius_arcsec for each in (plain, own, plain)]
    path.write_text("[defaults]\nmatch_radius_arcsec = 1.1\n")
    os.utime(path, (1, 1))
    after = [service.rules(each).match_radius_arcsec for each in (plain, own, plain)]
    assert before == [1.0, 1.25, 1.0]
    assert after == [1.1, 1.25, 1.1]
    assert service.rules(Target("c", source="alerce-lsst")).instrument == "LSSTCam"
    assert service.rules(plain).instrument == "ZTF-Cam"
