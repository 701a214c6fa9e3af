from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.errors import PayloadError
from yse_ingest.schemas.payload import PhotometryUploadSchema, PointSchema, checked
from yse_ingest.times import format_time_ms

MOMENTS = st.integers(-3_000_000_000_000, 4_000_000_000_000).map(
    lambda time_ms: str(format_time_ms(np.array([time_ms]))[0])
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
MAGS = st.floats(-30, 50)
POSITIVE = st.floats(0, 1e300)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)

POINTS = st.fixed_dictionaries(
    {
        "obs_date": MOMENTS,
        "mag": MAGS,
        "mag_err": st.none() | POSITIVE,
        "band": NAMES,
        "data_quality": st.none() | NAMES,
        "diffim": st.sampled_from((0, 1)),
        "flux": st.none() | FINITE,
        "flux_err": st.none() | POSITIVE,
        "flux_zero_point": MAGS,
        "forced": st.sampled_from((0, 1)),
        "discovery_point": st.sampled_from((0, 1)),
    }
)
FIXED = {
    "header": {"clobber": False, "mjdmatchmin": 1e-4},
    "transient": {"name": "2019np", "status": "Following"},
    "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": None},
}
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.text(max_size=8), POINTS, min_size=1, max_size=4))
def test_points_pass_unchanged(points: dict[str, Any]) -> None:
    """Whatever fits leaves exactly as it came, under whatever label, and is JSON."""
    labels = {key: point for key, point in points.items() if key not in FIXED}
    if not labels:
        return
    request = {**FIXED, **labels}
    dumped = checked(PhotometryUploadSchema(), request)
    assert dumped == request
    assert json.loads(json.dumps(dumped, allow_nan=False)) == request


@given(POINTS, st.sampled_from(sorted(["mag", "mag_err", "flux", "flux_err"])), ANYTHING)
def test_no_value_but_a_finite_number_passes(
    point: dict[str, Any], field: str, value: Any
) -> None:
    """A field of a measurement takes a finite number or null, and nothing else of JSON."""
    with contextlib.suppress(PayloadError):
        checked(PointSchema(), {**point, field: value})
        assert value is None or (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
        )


@given(POINTS, st.sampled_from(sorted(FIXED)), ANYTHING)
def test_anything_at_all_is_refused_in_one_way(
    point: dict[str, Any], part: str, value: Any
) -> None:
    """Whatever stands in a request, the answer is the request or a PayloadError."""
    request = {**FIXED, "0": point, part: value}
    with contextlib.suppress(PayloadError):
        assert checked(PhotometryUploadSchema(), request) == request
