"""The tables of names that YSE-PZ ships filled."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final

SEEDED: Final = "2017-12-05T01:00:00.000001"

TABLES: Final = (
    "telescope",
    "instrument",
    "photometricband",
    "observationgroup",
    "transientstatus",
    "transienttag",
    "transientclass",
    "antaresclassification",
    "dataquality",
    "group",
    "internalsurvey",
)

PARENTS: Final = {"instrument": "telescope", "photometricband": "instrument"}


def rows(table: str) -> list[tuple[int, str, int | None]]:
    """Return (id, name, id of the parent or None) of every row that is there from the start."""
    text = files(__package__).joinpath("vocabulary.json").read_text(encoding="utf-8")
    return [
        (row[0], row[1], row[2] if row[2:] else None) for row in json.loads(text).get(table, [])
    ]
