"""A name that YSE-PZ lacks is a mistake in the settings; corrected, it leaves no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.targets import Target

if TYPE_CHECKING:
    from tests.service.conftest import House
    from yse_ingest.service import Service

NP, OBJECT = Target("2019np"), "ZTF19aacgslb"


def upload(service: Service) -> None:
    """Upload what was refused, as `targets resume` has it tried again."""
    (row,) = service.state.outbox.rows(10)
    assert service.state.outbox.release_refused(row.key)
    for hint in service.drain():
        service.upload(hint.name, hint.key, hint.fence, attempt=1)


@pytest.mark.parametrize(
    ("variable", "wrong"),
    [
        ("YSE_INGEST_BAND_MAP", "g=g-NOPE,r=r-ZTF"),
        ("YSE_INGEST_INSTRUMENT", "ZTF-Kam"),
        ("YSE_INGEST_OBS_GROUP", "ZTFF"),
    ],
)
def test_a_corrected_name_brings_everything(house: House, variable: str, wrong: str) -> None:
    """What was owed under the wrong name is read again, and sent under the right one, once."""
    house.alerts(OBJECT, 6)
    mistaken = house.service(state=True, **{variable: wrong})
    mistaken.enqueue(NP)
    house.cycle(mistaken, "2019np")
    assert house.ysepz.rows("2019np") == []
    (row,) = mistaken.state.outbox.rows(10)
    assert (row.place, row.points) == ("refused", 6)
    assert wrong.partition(",")[0].rpartition("=")[2] in str(row.reason)

    corrected = house.service()
    upload(corrected)
    assert corrected.state.outbox.rows(10) == []
    due_ms = corrected.state.targets.due_ms("2019np")
    assert due_ms is not None
    assert due_ms <= corrected.state.now_ms()
    house.cycle(corrected, "2019np")

    stored = house.ysepz.rows("2019np")
    assert len(stored) == 6
    assert {each["band"] for each in stored} == {"g-ZTF", "r-ZTF"}
    assert corrected.state.outbox.rows(10) == []


def test_a_wrong_name_that_still_stands_in_the_settings_is_told(house: House) -> None:
    """While the mistake lasts the row waits, whole, with the reason."""
    house.alerts(OBJECT, 6)
    mistaken = house.service(YSE_INGEST_BAND_MAP="g=g-NOPE,r=r-ZTF")
    mistaken.enqueue(NP)
    house.cycle(mistaken, "2019np")
    upload(mistaken)

    (row,) = mistaken.state.outbox.rows(10)
    assert (row.place, row.points) == ("refused", 6)
    assert 'no band "g-NOPE"' in str(row.reason)
