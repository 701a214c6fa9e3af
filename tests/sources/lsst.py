"""Questions about an object of LSST that two brokers know."""

from __future__ import annotations

from typing import Any

from yse_ingest.sources import LSST, Ask, Kind
from yse_ingest.targets import Rules, Target

OID, OTHER = 170587116732400001, 170587116732400002
RA, DEC = 9.31, -42.37
MJD = 61217.41670499
WITH_FORCED = frozenset({Kind.DETECTION, Kind.FORCED})
RULES = Rules().with_overrides(LSST.rules)


def question(*, rules: Rules = RULES, name: str = "2026abc", **fields: Any) -> Ask:
    """Return a question by position; ``since_ms``, ``kinds`` and so on go to the question."""
    target = {
        key: fields.pop(key, default)
        for key, default in (("ra", RA), ("dec", DEC), ("object_id", None))
    }
    return Ask(Target(name, **target), rules, **fields)


def by_id(object_id: int = OID, **fields: Any) -> Ask:
    """Return a question by object id."""
    return question(object_id=str(object_id), ra=None, dec=None, **fields)
