"""A fetch that ends between its steps loses nothing of what it was told."""

from __future__ import annotations

from typing import Any

import pytest

from yse_ingest.errors import StateError
from yse_ingest.targets import Target

RA, DEC = 157.3415, 29.5106667


def test_a_point_is_owed_before_its_answer_is_noted(house: Any) -> None:
    """A fetch that dies before it could owe is repeated from where the last whole one ended."""
    house.alerts("ZTF19aacgslb", 10)
    service = house.service()
    service.enqueue(Target("2019np"))
    house.cycle(service, "2019np")
    assert len(house.ysepz.rows("2019np")) == 10
    # The later one alone would move the next question beyond the earlier one.
    for days in (20.0, 40.0):
        house.mars.add_alert("ZTF19aacgslb", 2458500.5 + days, "g", 19.0, 0.1, RA, DEC)
    points = service.state.outbox._of("1")[1]
    service.state._connection.call("SET", points, "in the way")
    with pytest.raises(StateError):
        service.refresh(["2019np"])
    service.state._connection.call("DEL", points)

    house.cycle(service, "2019np")

    assert len(house.ysepz.rows("2019np")) == 12
