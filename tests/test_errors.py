"""Errors: they say who, what and what to do, and cross process boundaries whole."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING

import pytest

from yse_ingest import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def family(cls: type[errors.YseIngestError]) -> Iterator[type[errors.YseIngestError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from family(child)


CLASSES = [cls for cls in family(errors.YseIngestError) if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("clone", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_keeps_its_context(
    cls: type[errors.YseIngestError],
    clone: Callable[[errors.YseIngestError], errors.YseIngestError],
) -> None:
    """Each class survives a pickle and a copy with every part of its context."""
    error = cls(
        "it said no",
        service="MARS",
        target="2019np",
        field="cone",
        value=[1.0, "x"],
        remedy="Ask again.",
        retry_after=3.0,
    )

    twin = clone(error)

    assert type(twin) is cls
    assert vars(twin) == vars(error)
    assert str(twin) == "MARS: 2019np: it said no (cone = [1.0, 'x']). Ask again."


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_needs_no_more_than_a_fact(cls: type[errors.YseIngestError]) -> None:
    """The fact alone makes an error, on one line."""
    assert str(cls("it said no")) == "it said no"
    assert cls("it said no").as_dict() == {"error": cls.__name__, "fact": "it said no"}


def test_an_error_becomes_json_without_what_is_not_set() -> None:
    """JSON output holds what is known and nothing else."""
    error = errors.SourceUnavailableError("answered 503", service="MARS", retry_after=7.0)

    assert json.loads(json.dumps(error.as_dict())) == {
        "error": "SourceUnavailableError",
        "fact": "answered 503",
        "service": "MARS",
        "retry_after": 7.0,
    }


def test_only_what_can_pass_is_retryable() -> None:
    """What gave no answer may pass by itself, nothing else."""
    assert {cls.__name__ for cls in CLASSES if cls.retryable} == {
        "SourceUnavailableError",
        "SourceHeldBackError",
        "YsePzUnavailableError",
        "HeldBackError",
        "StateUnavailableError",
    }


def test_every_error_is_described() -> None:
    """Each class has a docstring, and stands in the tree at the head of the module."""
    for cls in CLASSES:
        assert cls.__doc__
        assert cls.__name__ in errors.__doc__
