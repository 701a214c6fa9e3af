"""Whoever sits in front of a terminal waits for a source that answers later, up to a point."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.atlas import AtlasStandIn
from yse_ingest.sandbox.atlas.stand_in import TOKEN
from yse_ingest.sources import Ask, ProcessMemory, Status, Timeouts, Waiting, build_source
from yse_ingest.targets import Rules, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.sources import Memory, Source

RULES = Rules(band_map={"c": "cyan-ATLAS", "o": "orange-ATLAS"})


class Shared(ProcessMemory):
    """Outlives who asks, as that in Redis does."""

    lasting = True


class Person:
    """Sits and waits; the time passes at once."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def waits(self, source: Source, patience_s: float = 1000.0) -> Waiting:
        return Waiting(
            source,
            patience_s=patience_s,
            tell=self.told.append,
            sleep=self.sleep,
            clock=lambda: self.now,
        )


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def atlas() -> Iterator[AtlasStandIn]:
    with AtlasStandIn(finish_after_polls=2) as stand_in:
        for number in range(3):
            stand_in.add(10.0 + number, 20.0, 60900.5, "o", 99 + number, 6)
        yield stand_in


def source_of(atlas: AtlasStandIn, memory: Memory) -> Source:
    env = {"ATLAS_URL": atlas.api_url, "ATLAS_TOKEN": TOKEN, "ATLAS_DAYS": "all"}
    timeouts = Timeouts(connect_s=2, get_s=2, post_s=2, fetch_s=20)
    return build_source("atlas", env, timeouts=timeouts, memory=lambda: memory)


def ask(number: int = 0, *, since_ms: int | None = None) -> Ask:
    target = Target(f"2025ab{'cde'[number]}", ra=10.0 + number, dec=20.0)
    return Ask(target, RULES, since_ms=since_ms)


def test_the_answers_are_there_when_it_returns(atlas: AtlasStandIn, person: Person) -> None:
    """Asked again when the source says; a line before each wait; nothing is left there."""
    answers = list(person.waits(source_of(atlas, ProcessMemory())).fetch([ask(0), ask(1)]))

    assert [answer.status for answer in answers] == [Status.OK, Status.OK]
    assert [round(float(a.forced.flux[0]) / 27.5423) for a in answers] == [99, 100]
    assert person.now == pytest.approx(30.0)
    assert len(person.told) == 3
    assert "2025abc (and 1 more): ATLAS works on it since" in person.told[0]
    assert [task.deleted for task in atlas.tasks.values()] == [True, True]


def test_patience_ends(atlas: AtlasStandIn, person: Person) -> None:
    """What is still pending is told as such, and taken back: nobody would come for it."""
    atlas.finish_after_polls = 99

    (answer,) = person.waits(source_of(atlas, ProcessMemory()), 25.0).fetch([ask()])

    assert answer.status is Status.PENDING
    assert person.now == pytest.approx(25.0)
    assert [task.deleted for task in atlas.tasks.values()] == [True]


def test_what_others_remember_stays(atlas: AtlasStandIn, person: Person) -> None:
    """Where the service shares the memory, it goes on with a question given up here."""
    atlas.finish_after_polls = 99
    memory = Shared()

    (answer,) = person.waits(source_of(atlas, memory), 25.0).fetch([ask()])

    assert answer.status is Status.PENDING
    assert [task.deleted for task in atlas.tasks.values()] == [False]
    assert memory.get("atlas", "2025abc") is not None


def test_who_wants_everything_does_not_get_what_is_new(
    atlas: AtlasStandIn, person: Person
) -> None:
    """A job of the service about the last days is finished first; then all is asked for."""
    atlas.add(10.0, 20.0, 60800.5, "c", 50, 6)
    memory = Shared()
    source = source_of(atlas, memory)
    list(source.fetch([ask(since_ms=1_754_870_400_000)]))

    (answer,) = person.waits(source).fetch([ask()])

    assert answer.full
    assert len(answer.forced) == 2
    assert [task.wanted.mjd_min for task in atlas.tasks.values()] == [60895.0, None]
    assert [task.deleted for task in atlas.tasks.values()] == [True, True]


def test_an_interrupted_wait_takes_its_question_back(
    atlas: AtlasStandIn, person: Person
) -> None:
    """Ctrl-C leaves no task behind."""
    atlas.finish_after_polls = 99

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    waiting = Waiting(
        source_of(atlas, ProcessMemory()),
        patience_s=100.0,
        tell=person.told.append,
        sleep=interrupted,
    )
    with pytest.raises(KeyboardInterrupt):
        list(waiting.fetch([ask()]))

    assert [task.deleted for task in atlas.tasks.values()] == [True]
