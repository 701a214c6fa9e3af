"""Photometry for some groups alone: nobody loses sight of anything by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.push import push
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RA, DEC = 157.3415, 29.5106667
USERS = {
    "ingest": ("sandbox-only", "UCSC"),
    "human": ("human", "YSE"),
}
COUNT = 6


class House:
    """A YSE-PZ in which our account is in UCSC and not in YSE, and a source with six points."""

    def __init__(self, mars: MarsStandIn, ysepz: YsePzStandIn, folder: Path) -> None:
        self.mars, self.ysepz = mars, ysepz
        self.environment = {
            "MARS_URL": mars.url,
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "YSE_INGEST_STATE_DIR": str(folder),
            "XDG_STATE_HOME": str(folder / "home"),
        }
        ysepz.add_transient("2019np", RA, DEC)
        for night in range(COUNT):
            mars.add_alert("ZTF19aacgslb", 2458500.5 + night, "g", 18.0, 0.05, RA, DEC)

    def service(self, **env: str) -> Service:
        return Service.from_settings(Settings.from_env({**self.environment, **env}))

    def push(self, **overrides: Any) -> Any:
        (result,) = push(self.service(), [Target("2019np", overrides=overrides)])
        return result

    def uploads(self) -> int:
        return sum(each.method == "POST" for each in self.ysepz.log)

    def public_point(self, *, groups: tuple[str, ...] = ()) -> None:
        point = {"obs_date": "2018-01-01T00:00:00", "band": "g-ZTF", "mag": 19.0}
        self.ysepz.add_photometry("2019np", [point], user="human", groups=groups)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with MarsStandIn() as mars, YsePzStandIn(users=USERS) as ysepz:
        yield House(mars, ysepz, tmp_path)


def test_a_member_sends_and_sees_everything(house: House) -> None:
    """Our groups are attached, every point is read back, and a second push sends nothing."""
    result = house.push(groups=["UCSC"], obs_group="YSE")
    assert (result.state, result.verified) == ("verified", COUNT)
    uploads = house.uploads()

    again = house.push(groups=["UCSC"], obs_group="YSE")

    assert again.state == "verified"
    assert house.uploads() == uploads


def test_one_point_tells_that_we_are_no_member(house: House) -> None:
    """A group that hides our own points is noticed after one of them, by its name."""
    result = house.push(groups=["YSE"], obs_group="YSE")

    assert result.state == "refused"
    assert "accepted, but invisible to this user" in str(result.reason or result.error)
    assert house.uploads() == 1
    assert len(house.ysepz.rows("2019np")) == 1


def test_public_points_are_not_hidden_from_everybody(house: House) -> None:
    """Attaching a group to a header with public points is refused, and says how many."""
    house.public_point()

    result = house.push(groups=["UCSC"])

    assert "would hide 1 public points" in str(result.reason or result.error)
    assert house.uploads() == 0


def test_a_person_can_say_that_public_points_become_private(house: House) -> None:
    """The one rule for exactly this lets the group be attached."""
    house.public_point()
    result = house.push(groups=["UCSC"], hide_public_points=True)
    assert result.state == "verified"


def test_private_points_of_others_are_not_opened(house: House) -> None:
    """Adding a group to a header of another group would show its points: refused always."""
    house.public_point(groups=("UCSC",))
    result = house.push(groups=["UCSC", "YSE"], hide_public_points=True)
    assert "would open 1 points of UCSC" in str(result.reason or result.error)
    assert house.uploads() == 0


def test_a_ledger_does_not_stand_in_for_the_look_at_the_header(
    house: House, tmp_path: Path
) -> None:
    """Groups given to a target whose points are stored publicly hide none of them."""
    with EmbeddedRedis(tmp_path / "redis") as redis:
        state = {"YSE_INGEST_STATE_URL": redis.url(1)}
        service = house.service(**state)
        service.enqueue(Target("2019np"))
        _cycle(service)
        assert len(house.ysepz.rows("2019np")) == COUNT
        uploads = house.uploads()
        house.mars.add_alert("ZTF19aacgslb", 2458520.5, "g", 18.0, 0.05, RA, DEC)

        private = house.service(**state, YSE_INGEST_GROUPS="UCSC")
        _cycle(private)

        assert house.uploads() == uploads
        assert not any(header["groups"] for header in _headers(house))


def _cycle(service: Service) -> None:
    hints = service.refresh(["2019np"])
    while hints:
        for hint in hints:
            service.upload(hint.name, hint.key, hint.fence, attempt=1)
        hints = service.drain()


def _headers(house: House) -> list[Any]:
    from yse_ingest.ysepz import Account, YsePz

    with YsePz(house.ysepz.url, Account("ingest", "sandbox-only")) as client:
        stored = client.read_back("2019np")
    assert stored.headers
    return [{"groups": header.groups} for header in stored.headers]
