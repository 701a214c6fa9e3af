"""The columns of a transient and of a point, in the order in which replies show them."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["number", "truth", "time", "text"]

TRANSIENT_KEYS: Final[dict[str, str | None]] = {
    "status": "transientstatus",
    "obs_group": "observationgroup",
    "non_detect_band": "photometricband",
    "best_spec_class": "transientclass",
    "photo_class": "transientclass",
    "context_class": "transientclass",
    "best_spectrum": None,
    "host": None,
    "abs_mag_peak_band": "photometricband",
    "antares_classification": "antaresclassification",
    "internal_survey": "internalsurvey",
}
"""Columns that are named by a row of another table; None where that table is not played."""

TRANSIENT_PLAIN: Final[dict[str, tuple[Kind, int]]] = {
    "name": ("text", 64),
    "ra": ("number", 0),
    "dec": ("number", 0),
    "ra_err": ("number", 0),
    "dec_err": ("number", 0),
    "disc_date": ("time", 0),
    "candidate_hosts": ("text", 65535),
    "redshift": ("number", 0),
    "redshift_err": ("number", 0),
    "redshift_source": ("text", 64),
    "non_detect_date": ("time", 0),
    "non_detect_limit": ("number", 0),
    "mw_ebv": ("number", 0),
    "abs_mag_peak": ("number", 0),
    "abs_mag_peak_date": ("time", 0),
    "postage_stamp_file": ("text", 512),
    "postage_stamp_ref": ("text", 512),
    "postage_stamp_diff": ("text", 512),
    "postage_stamp_file_fits": ("text", 512),
    "postage_stamp_ref_fits": ("text", 512),
    "postage_stamp_diff_fits": ("text", 512),
    "k2_validated": ("truth", 0),
    "k2_msg": ("text", 65535),
    "TNS_spec_class": ("text", 64),
    "point_source_probability": ("number", 0),
    "alt_status": ("text", 64),
    "slug": ("text", 50),
    "real_bogus_score": ("number", 0),
    "has_hst": ("truth", 0),
    "has_spitzer": ("truth", 0),
    "has_chandra": ("truth", 0),
}
"""Columns that hold a value, with the longest text."""

STAMPS: Final = tuple(name for name in TRANSIENT_PLAIN if name.startswith("postage_stamp"))

OWNERSHIP: Final = ("created_by", "modified_by", "created_date", "modified_date")

POINT_PLAIN: Final[dict[str, Kind]] = {
    "obs_date": "time",
    "flux_zero_point": "number",
    "flux": "number",
    "flux_err": "number",
    "mag": "number",
    "mag_err": "number",
    "forced": "truth",
    "diffim": "truth",
    "discovery_point": "truth",
}
"""Columns of a point that hold a value, in the order in which replies show them."""
