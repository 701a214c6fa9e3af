"""Quality cuts: what is good enough is kept, and every other row is counted by its reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sources import Status
from yse_ingest.sources.cuts import cut
from yse_ingest.targets import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sources import Ask, Source

    Question = Callable[..., Ask]
    Shower = Callable[..., None]

GOOD_ATLAS = {
    "err": 0,
    "duJy": 6.0,
    "x": 5000.0,
    "y": 5000.0,
    "maj": 2.9,
    "min": 2.4,
    "apfit": -0.4,
    "mag5sig": 19.4,
    "Sky": 20.7,
}


def verdict(row: dict[str, Any], **options: Any) -> str:
    """Return why one row falls, "kept" where it does not."""
    score = options.pop("score", "rb")
    kept, dropped = cut([row], Rules(**options), score=score, object_id="ZTF19x")
    if kept:
        assert (kept, dropped) == ([row], {})
        return "kept"
    ((object_id, reason), number) = next(iter(dropped.items()))
    assert (object_id, number) == ("ZTF19x", 1)
    return reason


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        ({"quality": 0.01, "drb": 0.0}, {}, "kept"),
        ({"quality": math.nan, "drb": None}, {"missing_score": "drop"}, "kept"),
        ({"quality": 0.55, "drb": 0.9}, {"min_rb": 0.55, "min_drb": 0.9}, "kept"),
        ({"quality": 0.54}, {"min_rb": 0.55}, "rb is below 0.55"),
        ({"quality": 0.9, "drb": 0.1}, {"min_drb": 0.5}, "drb is below 0.5"),
        ({"quality": 0.9, "drb": None}, {"min_drb": 0.5}, "kept"),
        ({"quality": 0.9, "drb": math.nan}, {"min_drb": 0.5}, "kept"),
        ({"drb": None}, {"min_drb": 0.5, "missing_score": "drop"}, "has no drb"),
        ({"quality": 0.49}, {"score": "reliability"}, "reliability is below 0.5"),
        ({"quality": 0.5}, {"score": "reliability", "min_rb": 0.9}, "kept"),
        ({"quality": 0.2}, {"score": "reliability", "min_reliability": 0.0}, "kept"),
        ({"procstatus": "0"}, {}, "kept"),
        ({"procstatus": "56,57"}, {}, "procstatus is not 0"),
        ({"procstatus": None}, {}, "procstatus is not 0"),
        ({"procstatus": "0,56"}, {"procstatus": ("0", "56")}, "kept"),
        ({"procstatus": "61"}, {"procstatus": ()}, "kept"),
        ({"atlas": GOOD_ATLAS}, {}, "kept"),
        ({"atlas": {**GOOD_ATLAS, "err": 1}}, {}, "ATLAS cleaning: err"),
        ({"atlas": {**GOOD_ATLAS, "duJy": 10_000.0}}, {}, "ATLAS cleaning: duJy"),
        ({"atlas": {**GOOD_ATLAS, "x": 100.0}}, {}, "ATLAS cleaning: x"),
        ({"atlas": {**GOOD_ATLAS, "maj": 5.0}}, {}, "ATLAS cleaning: maj"),
        ({"atlas": {**GOOD_ATLAS, "apfit": -0.05}}, {}, "ATLAS cleaning: apfit"),
        ({"atlas": {**GOOD_ATLAS, "mag5sig": 17.0}}, {}, "ATLAS cleaning: mag5sig"),
        ({"atlas": {**GOOD_ATLAS, "Sky": math.nan}}, {}, "ATLAS cleaning: Sky"),
        ({"atlas": {**GOOD_ATLAS, "err": 1}}, {"atlas_cleaning": False}, "kept"),
    ],
    ids=str,
)
def test_a_row_falls_for_its_own_reason(
    row: dict[str, Any], options: dict[str, Any], expected: str
) -> None:
    """Each cut looks at its own key, at the limit that the rules give, and at nothing else."""
    assert verdict(row, **options) == expected


def test_rows_are_counted_by_object_and_reason() -> None:
    """Each row counts under its own object, and by the first fault that it has."""
    rows = [{"object_id": name, "quality": rb} for name in "ab" for rb in (0.1, 0.2, 0.9)]

    kept, dropped = cut(rows, Rules(min_rb=0.5))

    assert [row["object_id"] for row in kept] == ["a", "b"]
    assert dropped == {("a", "rb is below 0.5"): 2, ("b", "rb is below 0.5"): 2}


@pytest.mark.parametrize("broker", ["mars", "alerce", "fink"])
def test_a_broker_tells_what_the_cuts_left_out(
    broker: str, request: pytest.FixtureRequest, question: Question, shower: Shower
) -> None:
    """With a cut the answer holds the good detections, and the number of the others."""
    stand_in = request.getfixturevalue(broker)
    source: Source = request.getfixturevalue(f"ask_{broker}")
    shower(stand_in, count=3, drb=0.95)
    shower(stand_in, count=2, start=10, rb=0.6, drb=0.2)
    shower(stand_in, count=1, start=20, drb=None)

    (every,) = source.fetch([question()])
    (good,) = source.fetch([question(rules=Rules(min_rb=0.7, min_drb=0.5))])
    (sure,) = source.fetch([question(rules=Rules(min_drb=0.5, missing_score="drop"))])
    (none,) = source.fetch([question(rules=Rules(min_rb=0.99))])

    assert (len(every.alerts), every.dropped) == (6, {})
    assert (len(good.alerts), good.dropped) == (4, {"rb is below 0.7": 2})
    assert len(sure.alerts) == 3
    assert sure.dropped == {"drb is below 0.5": 2, "has no drb": 1}
    assert (none.status, none.dropped) == (Status.EMPTY, {"rb is below 0.99": 6})
