"""A job that overwrites within 0.01 d moves our rows: nothing is sent again because of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.campaigns.documented_cron import DocumentedCron
from yse_ingest.targets import Target

RA, DEC = 157.3415, 29.5106667
NP = Target("2019np")
FIRST = 740000000315015001
PAIR_D = 8 / 1440
"""Two visits of one night: real ones, which the window of 0.01 d merges [d]."""


@pytest.fixture
def visits(house: Any) -> DocumentedCron:
    """Give 2019np three nights of two visits each, and return the job that collapses them."""
    for night in range(3):
        for visit in range(2):
            house.mars.add_alert(
                "ZTF19aacgslb",
                2458500.7 + night + visit * PAIR_D,
                "g",
                18.0 + 0.1 * night + 0.01 * visit,
                0.05,
                RA,
                DEC,
                candid=FIRST + 2 * night + visit,
            )
    return DocumentedCron(house.mars.url, house.ysepz.url, "othercron", "sandbox-only")


def collapsed(house: Any) -> int:
    rows = house.ysepz.rows("2019np")
    return len(rows) - len({row["obs_date"] for row in rows})


@pytest.mark.parametrize("lost", [False, True], ids=["ledger kept", "ledger lost"])
def test_a_moved_row_stands_for_its_exposure(
    house: Any, visits: DocumentedCron, *, lost: bool
) -> None:
    """Round after round of the other job, read back each time: six rows for six exposures."""
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    assert len(house.ysepz.rows("2019np")) == 6

    for number in range(4):
        visits.run("2019np", RA, DEC)
        assert collapsed(house) == 3
        if lost:
            service.state.ledgers.drop_all()
            service.state.clocks.forget("2019np", "mars")
        # A changed value makes the service read back, whatever it has in its ledger.
        house.mars.update_alert(FIRST, magpsf=17.0 + 0.1 * number)
        house.cycle(service, "2019np")

    assert len(house.ysepz.rows("2019np")) == 6
    assert house.writes().count("/add_transient_phot/") == 1
    receipt = service.state.receipts.last("1")
    assert receipt["counts"].get("moved", 0) == (3 if lost else 0)


def test_rows_that_were_never_seen_are_known_when_they_have_moved(
    house: Any, visits: DocumentedCron
) -> None:
    """A night sent without a read-back and moved at once is not sent again either."""
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    for visit in range(2):
        at = 2458503.7 + visit * PAIR_D
        house.mars.add_alert("ZTF19aacgslb", at, "g", 19.0, 0.05, RA, DEC)
    house.cycle(service, "2019np")
    visits.run("2019np", RA, DEC)
    house.mars.update_alert(FIRST + 2, magpsf=17.0)

    for _ in range(3):
        house.cycle(service, "2019np")

    assert len(house.ysepz.rows("2019np")) == 8
    assert house.writes().count("/add_transient_phot/") == 2


def test_a_push_without_a_state_knows_moved_rows_too(
    house: Any, visits: DocumentedCron
) -> None:
    """The read-back alone tells that a copy of ours stands for the neighbouring visit."""
    house.push(NP)
    for _ in range(3):
        visits.run("2019np", RA, DEC)
        assert house.push(NP).sent == 0

    assert len(house.ysepz.rows("2019np")) == 6


def test_a_row_that_a_person_flagged_hides_no_new_visit(house: Any) -> None:
    """A flag makes a row another's, at its old place: a visit eight minutes later is sent."""
    house.mars.add_alert("ZTF19aacgslb", 2458500.7, "g", 18.0, 0.05, RA, DEC)
    house.push(NP)
    house.ysepz.set_flag(house.ysepz.rows("2019np")[0]["pk"], "Bad", "human")
    house.mars.add_alert("ZTF19aacgslb", 2458500.7 + PAIR_D, "g", 18.1, 0.05, RA, DEC)

    assert house.push(NP).sent == 1
    assert len(house.ysepz.rows("2019np")) == 2


def test_a_second_row_of_ours_does_not_stand_for_a_neighbour_of_another_band(
    house: Any, visits: DocumentedCron
) -> None:
    """Copies of ours in one band leave a new exposure of another band to be sent."""
    house.push(NP)
    visits.run("2019np", RA, DEC)
    house.mars.add_alert("ZTF19aacgslb", 2458500.7 + PAIR_D, "r", 18.1, 0.05, RA, DEC)

    assert house.push(NP).sent == 1


def test_a_flagged_row_hides_no_new_visit_when_something_else_is_corrected(house: Any) -> None:
    """The same in the service, where a correction has all rows read back: the visit is sent."""
    for number in range(4):
        house.mars.add_alert(
            "ZTF19aacgslb",
            2458500.7 + number,
            "g",
            18.0,
            0.05,
            RA,
            DEC,
            candid=FIRST + number,
        )
    service = house.service()
    service.enqueue(NP)
    house.cycle(service, "2019np")
    flagged = next(row["pk"] for row in house.ysepz.rows("2019np") if "-20T" in row["obs_date"])
    house.ysepz.set_flag(flagged, "Bad", "human")
    house.mars.add_alert("ZTF19aacgslb", 2458503.7 + PAIR_D, "g", 18.1, 0.05, RA, DEC)
    house.mars.update_alert(FIRST + 2, magpsf=17.5)

    house.cycle(service, "2019np")
    house.cycle(service, "2019np")

    assert len(house.ysepz.rows("2019np")) == 5
