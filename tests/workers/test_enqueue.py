"""What `enqueue_target` refuses, before anything is written or sent."""

from __future__ import annotations

from typing import Any

import pytest

from workers import enqueue_target
from yse_ingest.errors import TargetError


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "2019np", "ra": 157.3415}, "dec is missing"),
        ({"name": "2019np", "ra": "10:29:21.96", "dec": 29.5}, "ra"),
        ({"name": "2019np", "ra": 400.0, "dec": 29.5}, "ra is 400"),
        ({"name": ""}, "name"),
        ({"name": "2019np", "since": "soon"}, "since"),
        ({"name": "2019np", "cadence": "often"}, "cadence"),
        ({"name": "2019np", "source": "lasair"}, "source is none of"),
        ({"name": "2019np", "status": "New"}, "status is for create=True"),
        ({"name": "2019np", "create": True}, "status is missing"),
        ({"name": "2019np", "radius": 3}, "radius is no setting"),
        ({"name": "2019np", "clobber": "yes"}, "clobber"),
    ],
)
def test_a_target_that_cannot_be_one_is_refused_with_the_reason(
    arguments: dict[str, Any], said: str
) -> None:
    """The error names field, value and what to write; no Redis is needed to say so."""
    with pytest.raises(TargetError) as caught:
        enqueue_target(**arguments)
    assert said in str(caught.value)
