"""Which detections are the target's: neighbours, renamed objects, old objects, wrong ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.asking import one
from yse_ingest.photometry import Alerts
from yse_ingest.sources import Ask, Status
from yse_ingest.sources.association import (
    Verdict,
    associate,
    associate_recent,
    row_separations,
)
from yse_ingest.targets import Rules, Target, separation_arcsec
from yse_ingest.times import MS_PER_DAY, time_ms_of_date

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tests.sources.asking import Question, Shower
    from yse_ingest.sandbox.mars import MarsStandIn
    from yse_ingest.sources import Source


RA, DEC = 157.3415, 29.5106667


def test_a_neighbour_beyond_3_arcsec_is_set_aside(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A nucleus 3.1" away gives nothing to the supernova, and is reported with its count."""
    shower(mars, count=20)
    shower(mars, "ZTF18nucleus", count=9, north=3.1)

    answer = one(ask_mars, question())

    assert answer.status is Status.OK
    assert len(answer.alerts) == 20
    assert answer.set_aside == {"ZTF18nucleus": 9}
    assert [(found.object_id, found.accepted) for found in answer.objects] == [
        ("ZTF19aacgslb", True),
        ("ZTF18nucleus", False),
    ]
    assert answer.objects[1].separation_arcsec == pytest.approx(3.1, abs=1e-3)


def test_two_objects_within_3_arcsec_are_ambiguous(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """Two objects within 3" stop the target, and the reason says which, how far, since when."""
    shower(mars, count=20)
    shower(mars, "ZTF18neighbour", count=1, start=-200, east=2.0)

    answer = one(ask_mars, question())

    assert answer.status is Status.AMBIGUOUS
    assert len(answer.alerts) == 0
    assert answer.accepted_objects == ()
    assert answer.reason == (
        '2 objects lie within 3": ZTF19aacgslb at 0.0" (20 detections since 2019-01-11); '
        'ZTF18neighbour at 2.0" (1 detection since 2018-06-25)'
    )


def test_naming_the_object_ends_the_ambiguity(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """With its object id the target takes that object, whatever stands beside it."""
    shower(mars, count=20)
    shower(mars, "ZTF18neighbour", count=5, east=2.0)

    answer = one(ask_mars, question(object_id="ZTF18neighbour"))

    assert answer.status is Status.OK
    assert set(answer.alerts.object_id) == {"ZTF18neighbour"}
    assert answer.set_aside == {"ZTF19aacgslb": 20}


def test_ids_of_one_object_are_joined(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """An object that got a second id within 1.5" is one light curve, named or not."""
    shower(mars, count=6)
    shower(mars, "ZTF19renamed", count=4, start=30, east=1.2)

    by_position = one(ask_mars, question())
    by_id = one(ask_mars, question(object_id="ZTF19renamed"))

    assert len(by_position.alerts) == len(by_id.alerts) == 10
    assert set(by_position.accepted_objects) == {"ZTF19aacgslb", "ZTF19renamed"}
    assert set(by_id.accepted_objects) == {"ZTF19aacgslb", "ZTF19renamed"}


def test_a_row_far_from_the_target_does_not_belong(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A single detection 2.9" off its own object is set aside."""
    shower(mars, count=9)
    shower(mars, count=1, start=20, north=2.9)

    answer = one(ask_mars, question())

    assert len(answer.alerts) == 9
    assert answer.set_aside == {"ZTF19aacgslb": 1}


def test_old_detections_are_ambiguous_where_a_discovery_is_known(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """An object seen 200 d before the discovery is no new supernova."""
    shower(mars, count=5)
    shower(mars, count=2, start=-200)
    discovery = time_ms_of_date("2019-01-09T15:57:00")

    answer = one(ask_mars, question(discovery_ms=discovery))

    assert answer.status is Status.AMBIGUOUS
    assert answer.reason == (
        "ZTF19aacgslb has 2 detections more than 100 d before the discovery on 2019-01-09: "
        "first on 2018-06-25, 198 d before"
    )
    assert one(ask_mars, question()).status is Status.OK


def test_since_ends_the_ambiguity_by_age(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """With a date, what is older does not belong, and the rest is the target."""
    shower(mars, count=5)
    shower(mars, count=2, start=-200)
    discovery = time_ms_of_date("2019-01-09T15:57:00")

    answer = one(ask_mars, question(discovery_ms=discovery, since="2019-01-01"))

    assert answer.status is Status.OK
    assert len(answer.alerts) == 5
    assert answer.set_aside == {"ZTF19aacgslb": 2}


def test_since_may_say_that_the_old_detections_belong(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A date long before the discovery is an answer, too: a precursor is the target's."""
    shower(mars, count=5)
    shower(mars, count=2, start=-200)
    discovery = time_ms_of_date("2019-01-09T15:57:00")

    answer = one(ask_mars, question(discovery_ms=discovery, since="2018-01-01"))

    assert answer.status is Status.OK
    assert len(answer.alerts) == 7


def test_since_ends_the_ambiguity_of_an_object_that_faded(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A neighbour all of whose detections are older than ``since`` is none."""
    shower(mars, count=5)
    shower(mars, "ZTF18old", count=2, start=-200, east=2.0)

    assert one(ask_mars, question()).status is Status.AMBIGUOUS
    assert one(ask_mars, question(since="2019-01-01")).status is Status.OK


def test_an_object_id_elsewhere_is_doubted(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """A named object more than 3" from the target's coordinates stops the target."""
    shower(mars, count=5, north=4.0)

    answer = one(ask_mars, question(object_id="ZTF19aacgslb"))

    assert answer.status is Status.AMBIGUOUS
    assert answer.reason == (
        "ZTF19aacgslb lies 4.0\" from the target's coordinates: one of the two is wrong"
    )


def test_an_object_near_but_not_at_the_target_is_told(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
) -> None:
    """Nothing is taken from an object 2" off, and the empty answer names it."""
    shower(mars, count=5, north=2.0)

    answer = one(ask_mars, question())

    assert answer.status is Status.EMPTY
    assert answer.reason == (
        'no detection lies within 1.5"; near is ZTF19aacgslb at 2.0" '
        "(5 detections since 2019-01-11)"
    )


def test_a_since_that_is_no_date_is_named(ask_mars: Source, question: Question) -> None:
    """A date that cannot be read is the target's error, with what to write."""
    answer = one(ask_mars, question(since="last week"))

    assert answer.status is Status.ERROR
    assert str(answer.error) == (
        "targets: 2019np: the date of its first detection cannot be read "
        "(since = 'last week'). Write it like 2019-01-01."
    )


# Pure functions -------------------------------------------------------------------------------


def alerts_at(
    positions: list[tuple[float, float]],
    object_ids: list[str],
    *,
    times: NDArray[np.int64] | None = None,
) -> Alerts:
    """Return alerts at offsets (east, north) [arcsec] from a position at the pole's edge."""
    rows: list[Mapping[str, Any]] = [
        {
            "native_id": str(number + 1),
            "object_id": object_id,
            "band": "g",
            "mag": 19.0,
            "mag_err": 0.1,
            "negative": False,
            "ra": ra,
            "dec": dec,
            "quality": 0.9,
        }
        for number, ((ra, dec), object_id) in enumerate(zip(positions, object_ids, strict=True))
    ]
    if times is None:
        times = np.arange(len(rows)) * MS_PER_DAY
    return Alerts.from_rows(rows, time_ms=np.asarray(times, dtype=np.int64))


angles = st.floats(0, 359.9999), st.floats(-90, 90)


@given(*angles, *angles)
def test_vectorised_separations_are_great_circles(
    ra: float, dec: float, other_ra: float, other_dec: float
) -> None:
    """The separation of columns equals the scalar haversine formula everywhere on the sky."""
    alerts = alerts_at([(ra, dec)], ["a"])

    expected = separation_arcsec(ra, dec, other_ra, other_dec)

    assert row_separations(alerts, ra=other_ra, dec=other_dec)[0] == pytest.approx(
        expected, rel=1e-6, abs=1e-5
    )


@pytest.mark.parametrize(
    ("ra", "dec", "positions"),
    [
        (0.0, 10.0, [(359.9999, 10.0), (0.0001, 10.0)]),
        (123.0, 90.0, [(10.0, 89.9999), (190.0, 89.9999), (100.0, 89.9999)]),
        (45.0, -90.0, [(0.0, -89.9998), (180.0, -89.9998)]),
    ],
)
def test_medians_hold_at_ra_0_and_at_the_poles(
    ra: float, dec: float, positions: list[tuple[float, float]]
) -> None:
    """Rows around RA 0 or a pole have their median in their middle, not half a sky away."""
    alerts = alerts_at(positions, ["a"] * len(positions))

    association = associate(alerts, Ask(Target("x", ra, dec), Rules(match_radius_arcsec=1.5)))

    assert (association.objects[0].separation_arcsec or 0.0) < 0.3
    assert association.verdict is Verdict.ACCEPTED


@given(st.permutations(range(6)))
def test_the_order_of_rows_decides_nothing(order: list[int]) -> None:
    """The same rows in any order are accepted, and listed, alike."""
    step = 1 / 3600
    alerts = alerts_at(
        [(RA, DEC + north * step) for north in (0.0, 0.1, 1.2, 1.3, 4.0, 4.1)],
        ["a", "a", "b", "b", "c", "c"],
    )
    ask = Ask(Target("x", RA, DEC), Rules())

    shuffled = alerts.take(np.array(order))
    association = associate(shuffled, ask)

    assert set(shuffled.native_id[association.belongs]) == {"1", "2", "3", "4"}
    assert [found.object_id for found in association.objects] == ["a", "b", "c"]


def test_a_chain_of_ids_is_one_object() -> None:
    """Ids that lie 1.4" from one to the next are joined to one."""
    step = 1.4 / 3600
    alerts = alerts_at([(RA, DEC + n * step) for n in range(3)], ["a", "b", "c"])

    association = associate(alerts, Ask(Target("x", RA, DEC + step), Rules()))

    assert association.verdict is Verdict.ACCEPTED
    assert all(association.belongs)


def test_recent_rows_of_what_was_rejected_go_aside_without_a_full_read() -> None:
    """A neighbour beyond 3" is set aside from recent rows alone."""
    alerts = alerts_at([(RA, DEC), (RA, DEC + 3.2 / 3600)], ["a", "b"])
    ask = Ask(Target("x", RA, DEC), Rules(), since_ms=-1, known_objects=("a",))

    association = associate_recent(alerts, ask)

    assert association is not None
    assert association.belongs.tolist() == [True, False]


@pytest.mark.parametrize("known", [(), ("b",)])
def test_recent_rows_of_something_else_are_not_decided(known: tuple[str, ...]) -> None:
    """An object near the target that was not accepted before takes a full read."""
    alerts = alerts_at([(RA, DEC)], ["a"])

    ask = Ask(Target("x", RA, DEC), Rules(), since_ms=-1, known_objects=known)

    assert associate_recent(alerts, ask) is None
