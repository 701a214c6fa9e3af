"""Alerts as they come in: every fault of a row at once, and nothing invented or lost."""

from __future__ import annotations

import copy
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yse_ingest.photometry import Alerts
from yse_ingest.schemas._load import load_rows
from yse_ingest.schemas.alerce import DetectionSchema, ObjectSchema
from yse_ingest.schemas.mars import AlertSchema

if TYPE_CHECKING:
    from marshmallow import Schema

    from yse_ingest.schemas import Refusal

# A real alert's shape: values of the columns that matter, and neighbours of theirs.
ALERT: dict[str, Any] = {
    "avro": "https://s3.example.org/1.avro?X-Amz-Signature=00ff",
    "candid": 1127536316315015004,
    "lco_id": 17,
    "objectId": "ZTF20aajcdad",
    "publisher": "ZTF (www.ztf.caltech.edu)",
    "candidate": {
        "candid": 1127536316315015004,
        "dec": 36.0086524,
        "diffmaglim": 20.4827156066895,
        "drb": None,
        "fid": 2,
        "filter": "r",
        "isdiffpos": "t",
        "jd": 2458882.0363194,
        "magpsf": 17.5058422088623,
        "programid": 1,
        "ra": 201.6235627,
        "rb": 0.945714294910431,
        "sigmapsf": 0.0547835752367973,
        "ssdistnr": -999.0,
        "wall_time": "Sun, 02 Feb 2020 12:52:17 GMT",
    },
}
DETECTION: dict[str, Any] = {
    "candid": "1127536316315015004",
    "dec": 36.0086524,
    "fid": 2,
    "isdiffpos": 1,
    "magpsf": 17.5058422088623,
    "mjd": 58881.5363194,
    "parent_candid": 0,
    "ra": 201.6235627,
    "rb": 0.945714294910431,
    "sigmapsf": 0.0547835752367973,
}


def alert(**candidate: Any) -> dict[str, Any]:
    row = copy.deepcopy(ALERT)
    row["candidate"] |= candidate
    return row


def read(*rows: Any) -> tuple[list[dict[str, Any]], list[Refusal]]:
    return load_rows(AlertSchema(), rows, id_key="candid")


def reasons(row: Any) -> list[str]:
    _, (refusal,) = read(row)
    return [str(fault) for fault in refusal.faults]


def test_a_good_alert_becomes_a_row() -> None:
    """The columns that photometry needs are taken as they are, the others left alone."""
    rows, refused = read(ALERT)

    assert refused == []
    assert rows == [
        {
            "native_id": "1127536316315015004",
            "object_id": "ZTF20aajcdad",
            "time": 2458882.0363194,
            "band": "r",
            "mag": 17.5058422088623,
            "mag_err": 0.0547835752367973,
            "negative": False,
            "ra": 201.6235627,
            "dec": 36.0086524,
            "quality": 0.945714294910431,
            "drb": None,
        }
    ]


def test_a_good_detection_becomes_the_same_row() -> None:
    """ALeRCE's keys lead to the same columns, with MJD for JD, no object and no nulls."""
    (row,), refused = load_rows(DetectionSchema(), [DETECTION])

    (expected,), _ = read(ALERT)
    del expected["object_id"]
    assert refused == []
    assert np.isnan(row.pop("drb"))
    assert row | {"drb": None} == {**expected, "time": 58881.5363194}


def test_ids_stay_exact_beyond_2_to_the_53() -> None:
    """A candid of 19 digits keeps each of them, as number or as text."""
    for candid in (1127561445515015011, "1127561445515015011"):
        (row,), _ = read({**ALERT, "candid": candid})
        assert row["native_id"] == "1127561445515015011"


@pytest.mark.parametrize(
    "candid",
    [1.127561445515015e18, True, None, "", "12x", "-5", 0, -1, 2**63, "9" * 30, [], {}],
)
def test_an_id_that_is_none_is_refused(candid: object) -> None:
    """An id that lost digits, or never was one, does not become a key."""
    _, (refusal,) = read({**ALERT, "candid": candid})

    assert [fault.field for fault in refusal.faults] == ["candid"]


@pytest.mark.parametrize("text", ["t", "T", "true", "True", "1", 1, True])
def test_positive_in_every_spelling(text: object) -> None:
    """All spellings of a positive difference are one."""
    (row,), _ = read(alert(isdiffpos=text))

    assert row["negative"] is False


@pytest.mark.parametrize("text", ["f", "F", "false", "False", "0", "-1", 0, -1, False])
def test_negative_in_every_spelling(text: object) -> None:
    """All spellings of a negative difference are one; '0' is not taken for positive."""
    (row,), _ = read(alert(isdiffpos=text))

    assert row["negative"] is True


@pytest.mark.parametrize("value", ["", "y", "tf", 2, 0.5, [], {}, math.nan])
def test_a_sign_that_nobody_knows_is_refused(value: Any) -> None:
    """An unknown sign is neither positive nor negative."""
    (reason,) = reasons(alert(isdiffpos=value))

    assert reason.startswith("candidate.isdiffpos is ")


@pytest.mark.parametrize("value", [-999.0, -999, -99999.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["magpsf", "sigmapsf", "jd", "ra", "dec"])
def test_every_spelling_of_missing_is_missing(field: str, value: Any) -> None:
    """-999, NaN and infinity mean that there is no value."""
    assert reasons(alert(**{field: value})) == [f"candidate.{field} is missing ({value})"]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("magpsf", None, "is missing (null)"),
        ("magpsf", "19.4", "is '19.4', which is not a number"),
        ("magpsf", True, "is True, which is not a number"),
        ("magpsf", 99.0, "is 99.0, outside -5 to 40"),
        ("sigmapsf", 0, "is 0, which is not positive"),
        ("sigmapsf", -0.1, "is -0.1, which is not positive"),
        ("sigmapsf", 100.0, "is missing (100.0)"),
        ("sigmapsf", 11, "is 11, outside 0 to 10"),
        ("jd", 58881.5, "is 58881.5, outside 2447892.5 to 2488069.5"),
        ("ra", 360.0, "is 360.0, outside 0 to 360"),
        ("ra", -1e-9, "is -1e-09, outside 0 to 360"),
        ("dec", 91, "is 91, outside -90 to 90"),
        ("filter", "G", "is 'G', none of g, r, i"),
        ("filter", 1, "is 1, none of g, r, i"),
        ("rb", "0.9", "is '0.9', which is not a number"),
    ],
)
def test_a_value_that_cannot_be_is_told_with_what_it_was(
    field: str, value: Any, reason: str
) -> None:
    """The reason says what the field held and what was expected."""
    assert reasons(alert(**{field: value})) == [f"candidate.{field} {reason}"]


def test_a_number_beyond_all_numbers_is_missing() -> None:
    """An integer that no float can hold is refused, and shown shortened."""
    (reason,) = reasons(alert(magpsf=10**400))

    assert reason.startswith("candidate.magpsf is missing (1000000")
    assert len(reason) < 80


@pytest.mark.parametrize("value", [None, math.nan, -999.0, math.inf])
def test_no_score_is_no_fault(value: Any) -> None:
    """A missing real-bogus score costs nothing but the score."""
    rows, refused = read(alert(rb=value))
    without = copy.deepcopy(ALERT)
    del without["candidate"]["rb"]
    more, refused_more = read(without)

    assert refused == refused_more == []
    column = Alerts.from_rows([*rows, *more], time_ms=np.zeros(2, np.int64)).quality
    assert np.all(np.isnan(column))


def test_every_fault_of_a_row_is_told_at_once() -> None:
    """Nobody has to mend a row fault by fault."""
    row = alert(magpsf=-999.0, sigmapsf=None, ra=400.0, isdiffpos="maybe")
    row["objectId"] = ""
    del row["candidate"]["jd"]

    assert sorted(reasons(row)) == [
        "candidate.isdiffpos is 'maybe', none of t, f, 1, 0, -1",
        "candidate.jd is missing",
        "candidate.magpsf is missing (-999.0)",
        "candidate.ra is 400.0, outside 0 to 360",
        "candidate.sigmapsf is missing (null)",
        "objectId is '', which is no id",
    ]


def test_a_refusal_shows_the_row_without_what_is_signed_in_it() -> None:
    """The excerpt holds what was read, not the address that carries a signature."""
    _, (refusal,) = read(alert(magpsf=None))

    assert refusal.native_id == "1127536316315015004"
    assert "X-Amz-Signature" not in refusal.excerpt
    assert "17.5" not in refusal.excerpt
    assert "2458882.0363194" in refusal.excerpt
    assert len(refusal.excerpt) <= 500


@pytest.mark.parametrize("row", [None, 3, "x", [], [ALERT], True])
def test_what_is_no_object_is_refused_whole(row: Any) -> None:
    """A row that is no JSON object is refused as one."""
    assert reasons(row) == ["the row is no JSON object"]


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        ([], "candidate is no JSON object"),
        (None, "candidate is missing (null)"),
        ("x", "candidate is no JSON object"),
    ],
)
def test_a_candidate_that_is_no_object_is_refused(candidate: Any, reason: str) -> None:
    """So is the part of it that holds the measurement."""
    assert reasons({**ALERT, "candidate": candidate}) == [reason]


def test_objects_of_a_cone_may_lack_a_last_date() -> None:
    """Where an object is must be known; when it was seen last need not be."""
    rows, refused = load_rows(
        ObjectSchema(),
        [
            {"oid": "a", "meanra": 1.0, "meandec": 2.0},
            {"oid": "b", "meanra": 1.0, "meandec": 2.0, "lastmjd": None},
            {"oid": "c", "meanra": 1.0, "meandec": 2.0, "lastmjd": 60000.5, "ndet": 3},
            {"oid": "d", "meanra": None, "meandec": 2.0},
        ],
        id_key="oid",
    )

    assert [row["object_id"] for row in rows] == ["a", "b", "c"]
    assert str(refused[0]) == "d: meanra is missing (null)"


# Whatever comes -------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["t", "f", "g", "r", "-999", -999.0, 100.0, 2458882.03])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def spoiled(good: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return good rows in which any value may be anything, or missing."""
    return st.fixed_dictionaries(
        {}, optional={key: st.just(value) | anything for key, value in good.items()}
    )


alert_rows = anything | spoiled(
    {key: value for key, value in ALERT.items() if key != "candidate"}
).flatmap(
    lambda row: (spoiled(ALERT["candidate"]) | anything).map(
        lambda candidate: {**row, "candidate": candidate}
    )
)


@settings(max_examples=300, deadline=None)
@given(st.lists(alert_rows, max_size=4))
def test_whatever_an_alert_holds_it_is_a_row_or_a_refusal(rows: Any) -> None:
    """No JSON value raises: each row is read, or refused with at least one reason."""
    check(AlertSchema(), rows)


@settings(max_examples=200, deadline=None)
@given(st.lists(anything | spoiled(DETECTION), max_size=4))
def test_whatever_a_detection_holds_it_is_a_row_or_a_refusal(rows: Any) -> None:
    """The same holds for ALeRCE's detections."""
    check(DetectionSchema(), rows)


def check(schema: Schema, rows: Any) -> None:
    loaded, refused = load_rows(schema, rows, id_key="candid")

    assert len(loaded) + len(refused) == len(rows)
    for row in loaded:
        assert math.isfinite(row["time"])
        assert -5 <= row["mag"] <= 40
        assert 0 < row["mag_err"] <= 10
        assert row["band"] in {"g", "r", "i"}
        assert isinstance(row["negative"], bool)
        assert row["native_id"].isdecimal()
    Alerts.from_rows(
        [{"object_id": "x", **row} for row in loaded],
        time_ms=np.zeros(len(loaded), dtype=np.int64),
    )
    for refusal in refused:
        assert refusal.faults
        assert str(refusal)
        assert len(refusal.excerpt) <= 500
        json.dumps([fault.value for fault in refusal.faults])


@pytest.mark.parametrize("drb", [True, "", "null", [], None])
def test_no_row_is_lost_for_its_second_score(drb: object) -> None:
    """A ``drb`` that is no number counts as none; the detection stands."""
    (loaded,), refused = read(alert(drb=drb))
    assert not refused
    assert loaded["drb"] is None or math.isnan(loaded["drb"])
