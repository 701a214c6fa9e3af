"""Requests to YSE-PZ: mutated ones against the oracle, and those that light curves make."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.campaigns.fuzz import oracle
from tests.campaigns.fuzz.curves import CURVES, Exposures, curve_of
from tests.campaigns.fuzz.mutations import Change, changed, changes, paths_of
from tests.campaigns.fuzz.tally import Family, WrongAcceptanceError, WrongRefusalError
from yse_ingest.errors import PayloadError, YseIngestError
from yse_ingest.schemas.payload import PhotometryUploadSchema, checked
from yse_ingest.targets import Rules, Target, canonical_name
from yse_ingest.ysepz import Transient, photometry_request

BASE: dict[str, Any] = {
    "header": {"clobber": False, "mjdmatchmin": 1e-4},
    "transient": {"name": "2019np", "status": "Following"},
    "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": None},
    "0": {
        "obs_date": "2019-01-09T11:38:37.000", "mag": 17.5, "mag_err": 0.05, "band": "g-ZTF",
        "data_quality": None, "diffim": 1, "flux": 10000.0, "flux_err": 460.5,
        "flux_zero_point": 27.5, "forced": 0, "discovery_point": 0,
    },
    "1": {
        "obs_date": "2019-01-10T11:38:37", "mag": None, "mag_err": None, "band": "r-ZTF",
        "data_quality": "Bad", "diffim": 1, "flux": -12.5, "flux_err": 4.0,
        "flux_zero_point": 27.5, "forced": 0, "discovery_point": 0,
    },
}  # fmt: skip
SCHEMA = PhotometryUploadSchema()
NP2019 = Transient(1, "2019np", "2019np", 157.3, 29.5, None, "Following", "ZTF", ())


def request(made: list[Change]) -> None:
    """Let a request through exactly when YSE-PZ carries it out as it is meant."""
    sent = changed(BASE, made)
    valid = oracle.upload(sent)
    try:
        passed = checked(SCHEMA, sent)
    except PayloadError as error:
        str(error), error.as_dict()
        if valid:
            raise WrongRefusalError(f"refused {made!r}: {error}") from error
        return
    if not valid:
        raise WrongAcceptanceError(f"accepted {made!r}")
    if json.loads(json.dumps(passed, allow_nan=False)) != sent:
        raise WrongAcceptanceError(f"changed what {made!r} says")


def built(one: tuple[Exposures, Any, float]) -> None:
    """Whatever a light curve holds, what is built of it is valid, or refused by name."""
    exposures, rules, width = one
    curve = curve_of(exposures)
    if not len(curve):
        return
    try:
        made = photometry_request(NP2019, curve, rules, window_ms=width)
    except PayloadError:
        # A negative subtraction without a flux says nothing; so do these rules and windows.
        empty = rules.flux_zero_point is None and bool(np.isnan(curve.mag).any())
        doubled = len({(each.time_ms, each.band) for each in exposures}) < len(exposures)
        if (
            width > 2
            and not rules.groups
            and not empty
            and not doubled
            and rules.data_quality != ""
        ):
            raise
        return
    if not oracle.upload(made):
        raise WrongAcceptanceError(f"built {made!r}"[:900])


def named(one: tuple[str, Any, Any]) -> None:
    """A target is one that YSE-PZ can hold, or is refused by name."""
    name, ra, dec = one
    try:
        target = Target(name, ra=ra, dec=dec)
    except YseIngestError as error:
        str(error), error.as_dict()
        return
    wrong = not (
        0 < len(target.name) <= 64
        and target.name.isascii()
        and target.name.strip() == target.name
        and canonical_name(target.name) == target.name
        and (ra is None or (0 <= oracle.number(ra) < 360 and -90 <= oracle.number(dec) <= 90))  # type: ignore[operator]
    )
    if wrong:
        raise WrongAcceptanceError(f"took {one!r} for a target")


RULES = st.builds(
    Rules,
    groups=st.sampled_from([(), (), (), ("YSE",), ("YSE", "UCSC"), ("a,b",), ("",), (" ",)]),
    flux_zero_point=st.sampled_from([27.5, None, 25.0]),
    data_quality=st.sampled_from([None, "Bad", ""]),
    clobber=st.booleans(),
)
_ANY = st.none() | st.floats() | st.integers() | st.text(max_size=5) | st.booleans()

FAMILIES = (
    Family("requests", 0.12, changes(paths_of(BASE)), request),
    Family(
        "requests of light curves",
        0.03,
        st.tuples(CURVES, RULES, st.floats(0, 1e8)),
        built,
    ),
    Family(
        "targets",
        0.03,
        st.tuples(st.text(max_size=70) | st.from_regex(r"(SN|AT) ?2019[a-z]{1,3}"), _ANY, _ANY),
        named,
    ),
)
