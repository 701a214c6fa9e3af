"""How far a target has come, read while a fetch is at work beside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.service.conftest import DEC, RA
from yse_ingest.cli.progress import look
from yse_ingest.progress import Stage, progress
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service.conftest import House
    from yse_ingest.service import Service


def just_before(
    work: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, store: object, name: str
) -> None:
    """Let something happen between the first reading of `name` and what is read next."""
    read = getattr(store, name)
    done: list[bool] = []

    def then(*args: Any) -> Any:
        found = read(*args)
        if not done:
            done.append(True)
            work()
        return found

    monkeypatch.setattr(store, name, then)


@pytest.mark.parametrize(
    ("store", "reading"), [("outbox", "owed"), ("resolutions", "get"), ("clocks", "get")]
)
def test_points_that_are_owed_just_now_are_not_called_stored(
    house: House, monkeypatch: pytest.MonkeyPatch, store: str, reading: str
) -> None:
    """Wherever a fetch falls between two readings, its points are not taken for stored."""
    house.alerts("ZTF19aacgslb", 3)
    reader, worker = house.service(), house.service()
    since_ms = reader.state.now_ms()
    reader.enqueue(Target("2019np", ra=RA, dec=DEC))
    just_before(
        lambda: worker.refresh(["2019np"]), monkeypatch, getattr(reader.state, store), reading
    )
    seen = progress(reader, "2019np", since_ms=since_ms).stage
    assert seen in {Stage.WAITING, Stage.OWED}
    assert progress(reader, "2019np", since_ms=since_ms).stage is Stage.OWED


def test_a_new_point_that_is_owed_just_now_is_not_called_verified(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up --once` does not end between a fetch and the upload that it asks for."""
    house.alerts("ZTF19aacgslb", 3)
    reader, worker = house.service(), house.service()
    reader.enqueue(Target("2019np", ra=RA, dec=DEC))
    house.cycle(worker, "2019np")
    assert states(reader) == ["verified"]
    house.mars.add_alert("ZTF19aacgslb", 2458510.5, "g", 18.0, 0.05, RA, DEC)
    since_ms = reader.state.now_ms()
    just_before(lambda: worker.refresh(["2019np"]), monkeypatch, reader.state.outbox, "rows")
    assert states(reader, since_ms=since_ms) == ["waiting"]
    assert states(reader, since_ms=since_ms) == ["owed"]


def states(service: Service, *, since_ms: int = 0) -> list[str]:
    return [each.state for each in look(service, since_ms=since_ms)]
