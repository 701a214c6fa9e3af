"""Rows of ALeRCE's forced photometry and LSST with odd values: read or refused, never half."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.schemas import alerce, alerce_lsst
from yse_ingest.schemas._load import load_rows

if TYPE_CHECKING:
    from marshmallow import Schema

GOLDEN = Path(__file__).parents[1] / "sources" / "golden"
FORCED: list[dict[str, Any]] = json.loads((GOLDEN / "alerce_forced.json").read_text())
DETECTIONS: list[dict[str, Any]] = json.loads(
    (GOLDEN / "alerce_lsst_detections.json").read_text()
)
LSST_FORCED: list[dict[str, Any]] = json.loads((GOLDEN / "alerce_lsst_forced.json").read_text())
CASES = [
    pytest.param(alerce.ForcedSchema(), FORCED[:3], id="forced"),
    pytest.param(alerce_lsst.DetectionSchema(), DETECTIONS[:2], id="lsst"),
    pytest.param(alerce_lsst.ForcedSchema(), LSST_FORCED[:2], id="lsst forced"),
]
ODD: st.SearchStrategy[Any] = (
    st.sampled_from(
        [
            None,
            True,
            False,
            "",
            "0",
            "t",
            "nan",
            [],
            {},
            [1],
            -999.0,
            -99999,
            100.0,
            0,
            -1,
            2**70,
        ]
    )
    | st.floats()
    | st.integers()
    | st.text(max_size=5)
)


def numbers(row: dict[str, Any]) -> list[float]:
    """Return the values that must be finite."""
    scores = {"quality", "drb"}
    return [
        value for key, value in row.items() if isinstance(value, float) and key not in scores
    ]


@pytest.mark.parametrize(("schema", "rows"), CASES)
@given(data=st.data())
def test_an_odd_value_is_read_or_refused(
    schema: Schema, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    """No value of any key ends in an exception, an infinity or an error of zero."""
    row = dict(data.draw(st.sampled_from(rows)))
    for key in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=2)):
        row[key] = data.draw(ODD)

    loaded, refused = load_rows(schema, [row])

    assert len(loaded) + len(refused) == 1
    for each in loaded:
        # A detection of flux 0 has an infinite magnitude: its significance leaves it out.
        empty = each.get("mag") == math.inf
        assert empty or all(math.isfinite(value) for value in numbers(each))
        assert each.get("flux_err", 1.0) > 0
