"""Whose object id a target has: one target may be followed by ZTF and by LSST."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from yse_ingest.sources.base import Ask, Survey

PATTERNS: Final = {"ZTF": re.compile(r"ZTF\w+"), "LSST": re.compile(r"[0-9]+")}
"""How the ids of a survey's objects look, by the survey's name."""


def of_survey(ask: Ask, survey: Survey) -> Ask:
    """Return the question without the ids that another survey gave, where there is a position.

    A target that is known by nothing else keeps its id: that nobody knows it is the answer.
    """
    others = [pattern for name, pattern in PATTERNS.items() if name != survey.name]

    def foreign(object_id: str | None) -> bool:
        return object_id is not None and any(each.fullmatch(object_id) for each in others)

    known = tuple(one for one in ask.known_objects if not foreign(one))
    target = ask.target
    if foreign(target.object_id) and target.ra is not None and target.dec is not None:
        target = replace(target, object_id=None)
    return replace(ask, target=target, known_objects=known)
