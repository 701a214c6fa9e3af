"""Every family of the campaign."""

from __future__ import annotations

from tests.campaigns.fuzz import answers, curves, over_http, payload, planner, sources
from tests.campaigns.fuzz.tally import Family, Score, run

FAMILIES: tuple[Family, ...] = (
    *sources.FAMILIES,
    *answers.FAMILIES,
    *payload.FAMILIES,
    *curves.FAMILIES,
    *planner.FAMILIES,
    *over_http.FAMILIES,
)


def run_chunk(number: int, inputs: int, seed: int, profile: str) -> Score:
    """Run part of a family; called in a process of its own."""
    try:
        return run(FAMILIES[number], inputs=inputs, seed=seed, profile=profile)
    finally:
        over_http.close()
