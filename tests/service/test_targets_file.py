"""The targets file is followed, whoever reads it first and whatever Redis forgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
