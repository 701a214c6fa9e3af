"""Several sources' reports of one target become each exposure once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.photometry import Alerts, Forced, Limits, light_curve
from yse_ingest.union import Sightings, exposure_of_candid

BANDS = {"g": "g-ZTF", "r": "r-ZTF"}
DAY = 86_400_000
T0 = 1_547_683_200_000
CANDID = 740_000_000_315_015_001
NOW = 1_800_000_000_000
ORDER = ("alerce", "fink", "mars")


def alert(number: int = 0, **values: Any) -> dict[str, Any]:
    """Return one detection of a series a day apart, with what differs."""
    return {
        "native_id": str(CANDID + number * 10**9),
        "object_id": "ZTF19aacgslb",
        "time_ms": T0 + number * DAY,
        "band": "g",
        "mag": 18.0,
        "mag_err": 0.05,
        "negative": False,
        "ra": 157.3415,
        "dec": 29.5106667,
        "quality": 0.9,
    } | values


def alerts(*rows: dict[str, Any]) -> Alerts:
    """Return a table of rows."""
    return Alerts.from_rows(list(rows), time_ms=np.array([row["time_ms"] for row in rows]))


def told(source: str, *rows: dict[str, Any], limits: tuple[int, ...] = ()) -> Sightings:
    """Return what a source reports."""
    table = Limits.from_rows(
        [{"object_id": "", "band": "g", "mag_limit": 20.5} for _ in limits],
        time_ms=np.array(limits, dtype=np.int64),
    )
    return Sightings.of(source, alerts(*rows), Forced.empty(), table, band_map=BANDS)


def after(*answers: Sightings, full: bool = True) -> Sightings:
    """Return what is known after these answers, in this order."""
    known = Sightings.empty()
    for answer in answers:
        known = known.with_answer(
            answer,
            source=str(answer.source[0]),
            full=full,
            now_ms=NOW,
            tolerance_ms=16_000.0,
            alerts_of_ztf=True,
        )
    return known


def standing(known: Sightings, order: tuple[str, ...] = ORDER) -> list[tuple[str, int]]:
    """Return source and place of every row that stands, by place."""
    rows = known.take(known.standing(order))
    return sorted(
        zip(rows.source.tolist(), rows.place_ms.tolist(), strict=True), key=lambda row: row[1]
    )


def test_the_first_source_of_the_order_stands_whoever_answered_first() -> None:
    """The same alert from three brokers is one row, of the first in the operator's order."""
    answers = [told(name, alert()) for name in ORDER]
    for known in (after(*answers), after(*reversed(answers))):
        assert standing(known) == [("alerce", T0)]
        assert standing(known, ("mars", "fink")) == [("mars", T0)]


def test_what_the_first_lacks_is_filled_by_the_next() -> None:
    """Each exposure once: the first's where it has it, else the next one's."""
    known = after(
        told("alerce", alert(0), alert(2)), told("fink", alert(0), alert(1), alert(3))
    )
    assert standing(known) == [
        ("alerce", T0),
        ("fink", T0 + DAY),
        ("alerce", T0 + 2 * DAY),
        ("fink", T0 + 3 * DAY),
    ]


@pytest.mark.parametrize(
    "other",
    [
        alert(0, time_ms=T0 + 3_600_000),
        alert(0, native_id=str(CANDID + 7), time_ms=T0 + 100_000),
        alert(0, native_id="a file's own id", time_ms=T0 + 15_900),
    ],
    ids=["same candid", "same exposure and band", "same time window"],
)
def test_one_exposure_is_known_again(other: dict[str, Any]) -> None:
    """By the alert's id, then by ZTF's exposure and band, then by time; its place stays."""
    known = after(told("fink", alert()), told("alerce", other))
    assert standing(known) == [("alerce", T0)]


@pytest.mark.parametrize(
    "other",
    [
        alert(0, native_id=str(CANDID + 7), band="r"),
        alert(0, native_id=str(CANDID + 10**6), time_ms=T0 + 40_000),
    ],
    ids=["another band", "40 s later"],
)
def test_another_exposure_is_kept_apart(other: dict[str, Any]) -> None:
    """Two bands, and two exposures 40 s apart, are two rows."""
    known = after(told("fink", alert()), told("alerce", other))
    assert len(standing(known)) == 2


def test_a_detection_stands_before_a_limit_of_an_earlier_source() -> None:
    """Of one exposure a detection stands, whoever says that nothing was seen."""
    known = after(told("alerce", alert(1), limits=(T0,)), told("fink", alert(0)))
    assert standing(known) == [("fink", T0), ("alerce", T0 + DAY)]


@pytest.mark.parametrize("first_is", ["negative", "positive"])
def test_the_sign_is_that_of_the_first_source(first_is: str) -> None:
    """Another broker's positive copy of a negative alert is no detection: no phantom."""
    sign = {"negative": first_is == "negative"}
    other = {"negative": first_is != "negative"}
    for known in (
        after(told("alerce", alert(**sign)), told("fink", alert(**other))),
        after(told("fink", alert(**other)), told("alerce", alert(**sign))),
    ):
        assert standing(known) == [("alerce", T0)]
        assert [each.what for each in known.disagreements(ORDER)] == ["sign"]


def test_forced_photometry_stands_for_a_negative_alert_of_another() -> None:
    """It has the real flux; a detection stands before it, a limit behind it."""
    table = Forced.from_rows(
        [
            {
                "native_id": str(night),
                "object_id": "",
                "band": "g",
                "flux": 1.0,
                "flux_err": 1.0,
            }
            for night in range(3)
        ],
        time_ms=T0 + DAY * np.arange(3),
    )
    forced = Sightings.of("fink", alerts(), table, Limits.empty(), band_map=BANDS)
    known = after(
        told("alerce", alert(0, negative=True), alert(1), limits=(T0 + 2 * DAY,)), forced
    )
    assert [name for name, _ in standing(known)] == ["fink", "alerce", "fink"]


def test_a_row_withdrawn_by_the_first_makes_room_for_the_next() -> None:
    """A full answer forgets what the source does not report any more."""
    known = after(told("alerce", alert(0), alert(1)), told("fink", alert(0)))
    assert standing(known)[0][0] == "alerce"
    known = known.with_answer(
        told("alerce", alert(1)),
        source="alerce",
        full=True,
        now_ms=NOW,
        tolerance_ms=16_000.0,
        alerts_of_ztf=True,
    )
    assert standing(known) == [("fink", T0), ("alerce", T0 + DAY)]


def test_an_incremental_answer_renews_what_it_tells_and_keeps_the_rest() -> None:
    """A later value of one alert takes the place of the earlier one."""
    known = after(told("alerce", alert(0), alert(1)))
    known = known.with_answer(
        told("alerce", alert(1, mag=17.5)),
        source="alerce",
        full=False,
        now_ms=NOW + 5,
        tolerance_ms=16_000.0,
        alerts_of_ztf=True,
    )
    assert len(known) == 2
    assert sorted(known.mag.tolist()) == [17.5, 18.0]
    assert known.seen_ms.tolist() == [NOW, NOW]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"mag": 18.0011}, "magnitude"),
        ({"negative": True}, "sign"),
        ({"time_ms": T0 + 1001}, "time"),
        ({"dec": 29.5106667 + 0.51 / 3600}, "position"),
    ],
    ids=["magnitude", "sign", "time", "position"],
)
def test_a_disagreement_about_one_alert_is_told(values: dict[str, Any], what: str) -> None:
    """Told with both values and which one stands; nothing is averaged."""
    known = after(told("fink", alert(0, **values)), told("alerce", alert()))
    (found,) = known.disagreements(ORDER)
    assert (found.what, found.stands, found.other) == (what, "alerce", "fink")
    assert str(CANDID) in str(found)
    assert "that of alerce stands" in str(found)
    curve, _ = light_curve(
        alerts(alert()), instrument="ZTF-Cam", obs_group="ZTF", band_map=BANDS
    )
    assert known.part_of(curve, "alerce", ORDER).mag.tolist() == [18.0]


@pytest.mark.parametrize(
    "values",
    [
        {"mag": 18.0009},
        {"mag": 18.01, "mag_err": 0.05},
        {"time_ms": T0 + 999},
        {"dec": 29.5106667 + 0.49 / 3600},
        {"native_id": str(CANDID + 10**9), "mag": 15.0},
    ],
    ids=["1e-3 mag", "1 % of the error", "1 s", "half an arcsecond", "another alert"],
)
def test_what_brokers_round_is_no_disagreement(values: dict[str, Any]) -> None:
    """Below the tolerances, and between two alerts, nothing is told."""
    first = alert(0, mag_err=1.1) if "mag_err" in values else alert()
    known = after(told("alerce", first), told("fink", alert(0, **values)))
    assert known.disagreements(ORDER) == []


def test_a_disagreement_is_told_of_every_source_that_differs() -> None:
    """The first in the order is the measure of all."""
    known = after(told("alerce", alert(mag=17.0)), told("fink", alert()), told("mars", alert()))
    assert [(each.stands, each.other) for each in known.disagreements(ORDER)] == [
        ("alerce", "fink"),
        ("alerce", "mars"),
    ]


def test_a_silent_source_is_one_that_had_its_time() -> None:
    """Exposures later than everything it has, which others had reported before."""
    known = after(told("alerce", alert(0), alert(3)), told("fink", *map(alert, range(6))))
    assert known.lacking("alerce", before_ms=NOW + 1) == 2
    assert known.lacking("alerce", before_ms=NOW) == 0
    assert known.lacking("fink", before_ms=NOW + 1) == 0
    assert known.lacking("mars", before_ms=NOW + 1) == 6


def test_exposures_of_one_light_curve_take_their_places() -> None:
    """The part of a curve that stands is at the times that were stored first."""
    known = after(
        told("fink", alert(0, time_ms=T0 + 1), alert(1)), told("alerce", alert(0), alert(2))
    )
    for source, rows, places in (
        ("alerce", (alert(0), alert(2)), [T0 + 1, T0 + 2 * DAY]),
        ("fink", (alert(0, time_ms=T0 + 1), alert(1)), [T0 + DAY]),
    ):
        curve, _ = light_curve(
            alerts(*rows), instrument="ZTF-Cam", obs_group="ZTF", band_map=BANDS
        )
        assert known.part_of(curve, source, ORDER).time_ms.tolist() == places


@pytest.mark.parametrize(
    ("native_id", "pid"),
    [
        (str(CANDID), 740_000_000_315),
        ("12345", None),
        ("\N{FULLWIDTH DIGIT ONE}" * 18, None),
        ("r1", None),
        ("", None),
    ],
    ids=["candid", "short", "other digits", "text", "empty"],
)
def test_the_exposure_of_a_candid(native_id: str, pid: int | None) -> None:
    """Only what has the form of ZTF's numbers is read as one."""
    assert exposure_of_candid(native_id) == pid


def test_sightings_survive_json() -> None:
    """What is packed is what was known, nan and empty ids included."""
    known = after(told("alerce", alert(), limits=(T0 + DAY,)))
    again = Sightings.from_columns(known.columns())
    for name, column in known.columns().items():
        assert again.columns()[name] == column
    with pytest.raises(ValueError, match="differ in length"):
        Sightings.from_columns(known.columns() | {"mag": []})


@given(
    reported=st.lists(st.sets(st.integers(0, 30), min_size=1), min_size=3, max_size=3),
    turns=st.permutations([0, 1, 2]),
    offset=st.integers(-900, 900),
)
def test_the_union_is_every_exposure_once(
    reported: list[set[int]], turns: list[int], offset: int
) -> None:
    """Whoever answers first, whatever each lacks, and however each rounds its times."""
    answers = [
        told(name, *(alert(n, time_ms=T0 + n * DAY + place * offset) for n in sorted(numbers)))
        for place, (name, numbers) in enumerate(zip(ORDER, reported, strict=True))
    ]
    known = after(*(answers[turn] for turn in turns))
    stands = known.take(known.standing(ORDER))
    assert sorted(stands.native_id.tolist()) == sorted(
        str(CANDID + number * 10**9) for number in set.union(*reported)
    )
    for native_id, source in zip(
        stands.native_id.tolist(), stands.source.tolist(), strict=True
    ):
        number = (int(native_id) - CANDID) // 10**9
        assert source == next(
            name for name, numbers in zip(ORDER, reported, strict=True) if number in numbers
        )
