"""Bulk read-back by the saved query of docs/sql-explorer.md: what agrees is proven."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from yse_ingest.errors import YsePzReplyError
from yse_ingest.targets import Target

PAGE = Path(__file__).parents[2] / "docs" / "sql-explorer.md"
TITLE = "yse_ingest_photometry"
NP = Target("2019np")
FOREIGN = {
    "obs_date": "2019-02-01T00:00:00.123456",
    "band": "r-ZTF",
    "mag": 18.5,
    "mag_err": 0.1,
}


@pytest.fixture
def service(house: Any) -> Any:
    """Return a service whose YSE-PZ has the query as it stands on the page."""
    (sql,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    house.ysepz.saved_queries[TITLE] = sql
    house.alerts("ZTF19aacgslb", 10)
    service = house.service(YSE_INGEST_BULK_QUERY=TITLE)
    service.enqueue(NP)
    house.cycle(service, "2019np")
    return service


def agrees(service: Any) -> bool:
    bulk = service.bulk_read_back("audit")
    found: bool = bulk.agrees(1, service.state.ledgers.get(1))
    return found


def test_what_nobody_touched_agrees(house: Any, service: Any) -> None:
    """One request proves a transient, with foreign rows that are in the ledger as well."""
    assert agrees(service)
    house.ysepz.add_photometry("2019np", [FOREIGN])
    assert not agrees(service)
    assert house.push(NP).state == "verified"
    house.mars.add_alert("ZTF19aacgslb", 2458530.5, "g", 19.0, 0.1, 157.3415, 29.5106667)
    house.cycle(service, "2019np")
    (hint,) = _verify_again(service)
    assert hint == "verified"
    assert agrees(service)
    assert house.ysepz.log[-1].path == f"/query_api/{TITLE}/"
    assert len(service.bulk_read_back("audit")) == 12
    assert service.budget.spending().total("audit") > 0


def test_points_that_nobody_has_seen_yet_are_proven(house: Any, service: Any) -> None:
    """What was accepted without a read-back is found by its place and time."""
    house.mars.add_alert("ZTF19aacgslb", 2458530.5, "g", 19.0, 0.1, 157.3415, 29.5106667)
    house.cycle(service, "2019np")
    assert service.state.ledgers.get(1).pk.tolist().count(0) == 1
    assert agrees(service)

    with house.ysepz.store.connect() as database:
        database.run("DELETE FROM YSE_App_transientphotdata WHERE id = 11")
    assert not agrees(service)


def _verify_again(service: Any) -> list[str]:
    service.state.ledgers.drop_all()
    service.state.clocks.forget("2019np", "mars")
    return [
        service.upload(hint.name, hint.key, hint.fence, attempt=1).state
        for hint in service.refresh(["2019np"])
    ]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE YSE_App_transientphotdata SET mag = mag + 0.01 WHERE id = 3",
        "UPDATE YSE_App_transientphotdata SET modified_by_id = 99 WHERE id = 3",
        "UPDATE YSE_App_transientphotdata SET obs_date = '2019-01-19T00:00:01' WHERE id = 3",
        "DELETE FROM YSE_App_transientphotdata WHERE id = 3",
    ],
)
def test_a_row_that_was_changed_or_deleted_does_not_agree(
    house: Any, service: Any, change: str
) -> None:
    """Another value, another hand, another time or a gap: it is to be read back."""
    with house.ysepz.store.connect() as database:
        database.run(change)

    assert not agrees(service)


def test_private_rows_are_neither_counted_nor_shown(house: Any, service: Any) -> None:
    """Rows of a group we are not in do not disturb, and their values are in no text."""
    secret = {**FOREIGN, "mag": 12.3456789}
    house.ysepz.add_photometry(
        "2019np", [secret], obs_group="YSE", groups=["YSE"], user="human"
    )
    bulk = service.bulk_read_back("audit")

    assert agrees(service)
    assert "12.3456789" not in repr(bulk)


def test_without_the_query_nothing_is_read(house: Any, service: Any) -> None:
    """A YSE-PZ without the query, or a service without the title, reads back one by one."""
    del house.ysepz.saved_queries[TITLE]
    assert service.bulk_read_back("audit") is None
    requests = len(house.ysepz.log)
    assert house.service().bulk_read_back("audit") is None
    assert len(house.ysepz.log) == requests


def test_another_query_is_named(house: Any, service: Any) -> None:
    """A query of other columns is refused with what to paste, without showing a value."""
    house.ysepz.saved_queries[TITLE] = "SELECT t.name AS name FROM YSE_App_transient t"

    with pytest.raises(YsePzReplyError, match="transient is missing") as caught:
        service.bulk_read_back("audit")

    assert "docs/sql-explorer.md" in str(caught.value)
    assert "2019np" not in str(caught.value)
