"""Running one family of inputs, counting them, and keeping what was found."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings

from yse_ingest.errors import YseIngestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

settings.register_profile(
    "fuzz-long",
    database=None,
    deadline=None,
    derandomize=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
settings.register_profile(
    "fuzz-short",
    settings.get_profile("fuzz-long"),
    phases=(Phase.generate,),
)
BATCH = 1000
"""Inputs of one hypothesis run: a finding ends its batch, not the campaign."""


class WrongAcceptanceError(AssertionError):
    """What the oracle calls invalid got through, or a value changed on its way."""


class WrongRefusalError(AssertionError):
    """What the oracle calls valid was refused, or lost."""


class BrokenPromiseError(AssertionError):
    """Another promise does not hold: a point doubled, a foreign row changed."""


@dataclass(frozen=True)
class Family:
    """One kind of input, and what must hold for each of them.

    Parameters
    ----------
    name
        As it is printed.
    share
        Of all inputs of the campaign.
    inputs
        Makes them.
    check
        Takes one, and raises where something does not hold.
    weight
        How many inputs one call of ``check`` stands for, at least: a stateful run of ten steps
        counts ten.
    """

    name: str
    share: float
    inputs: SearchStrategy[Any]
    check: Callable[[Any], int | None]
    weight: int = 1


@dataclass
class Score:
    """What became of one family."""

    name: str
    inputs: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """Wrong acceptances."""
    unexpected: list[str] = field(default_factory=list)
    """Unexpected exceptions, wrong refusals and broken promises."""


def run(family: Family, *, inputs: int, seed: int, profile: str) -> Score:
    """Run one family until it has seen so many inputs, each batch with a seed of its own."""
    score = Score(family.name)
    started = time.monotonic()

    def counted(one: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                steps = family.check(one)
            except YseIngestError as error:
                raise AssertionError(f"a named error escaped: {error!r}") from error
        score.inputs += 1 if steps is None else steps

    batch = 0
    while score.inputs < inputs:
        left = -(-(inputs - score.inputs) // family.weight)
        test = settings(settings.get_profile(profile), max_examples=max(1, min(left, BATCH)))(
            hypothesis.given(family.inputs)(counted)
        )
        try:
            hypothesis.seed(seed + batch)(test)()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  whatever comes out is a finding
            _note(score, error)
            score.inputs += 1
        batch += 1
    score.seconds = time.monotonic() - started
    return score


def _note(score: Score, error: BaseException) -> None:
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
    for part in parts:
        told = f"{type(part).__name__}: {part}"
        notes = "\n".join(getattr(part, "__notes__", ()))
        where = _innermost(part)
        found = f"{told} at {where}\n{notes}"
        kind = score.wrong if isinstance(part, WrongAcceptanceError) else score.unexpected
        if not any(found.partition("\n")[0] == old.partition("\n")[0] for old in kind):
            kind.append(found)


def _innermost(error: BaseException) -> str:
    trace, place = error.__traceback__, "?"
    while trace is not None:
        code = trace.tb_frame.f_code
        if "/yse_ingest/" in code.co_filename:
            place = f"{code.co_filename.rpartition('/yse_ingest/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
