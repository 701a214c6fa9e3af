"""Rounds: whom to ask about a target, survey by survey, and who was asked in the end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from yse_ingest.cadence import BASE_S
from yse_ingest.choice import course, due_for_check, lagging, outcome
from yse_ingest.clients import CREATION_KEY
from yse_ingest.errors import StateError, YseIngestError
from yse_ingest.state import Choice
from yse_ingest.targets import ADAPTIVE
from yse_ingest.ysepz import Transient, check_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from yse_ingest.choice import Course, Group
    from yse_ingest.clients import Clients
    from yse_ingest.fetch.turns import Turns
    from yse_ingest.state import Backfill
    from yse_ingest.state.connection import Read
    from yse_ingest.targets import Target
    from yse_ingest.union import Sightings

logger = logging.getLogger(__name__)

ITS_TIME = 0.75
"""A survey is asked when so much of a target's cadence is over since it was asked last."""


@dataclass
class Round:
    """One round of questions about one target to the sources of one survey."""

    target: Target
    group: Group
    key: str
    """Of its outbox row."""
    place: Transient | None
    course: Course
    usable: list[str] = field(default_factory=list)
    """Who gave usable answers."""
    failed: dict[str, str] = field(default_factory=dict)
    """Who gave none, and why."""
    backfill: Backfill | None = None
    """What is to be read again."""
    answered: bool = False
    """Whether somebody answered, whatever it was."""
    sightings: Sightings | None = None
    """What all its sources reported, where there are several."""


class Rounds:
    """Whom one message asks about each target."""

    def __init__(self, clients: Clients, turns: Turns) -> None:
        self._clients = clients
        self._turns = turns
        self._state = clients.state
        self._settings = clients.settings
        self._wishes: dict[str, tuple[Backfill, set[str]]] = {}
        """Target to what is to be read again of it, and of which surveys."""

    def reads_of(self, names: Iterable[str]) -> Iterator[Read]:
        """Yield what `of`, and `Fetch.run` beside it, read of each target."""
        state = self._state
        for name in names:
            yield from state.targets.reads_of(name)
            yield state.backfills.read_of(name)
            yield state.choices.read_of(name)
            yield state.hinted.read_of(name)
            yield state.resolutions.read_of(name)

    def of(self, name: str, *, wanted: bool = False) -> list[Round]:
        """Return whom to ask about a target, by survey; all of them where it is ``wanted``."""
        target = self._state.targets.get(name)
        if target is None:
            logger.error("unknown target", extra={"target": name})
            return []
        every = self._clients.groups_of(target)
        groups = every if wanted else self._its_time(target, every)
        rounds = []
        courses = [(group, self._course(target, group)) for group in groups]
        courses = [(group, course) for group, course in courses if course.ask]
        if not courses:
            return []
        try:
            key, place = self._place(target)
        except StateError:
            raise
        except YseIngestError as error:
            for _, course in courses:
                for source in course.ask:
                    self._turns.unasked(target, source, error)
            return []
        if place is None:
            target = self._clients.completed(target)
        wish = self._state.backfills.get(target.name)
        if wish is not None:
            self._wishes[target.name] = wish, {group.survey for group in every}
        for group, course in courses:
            again = None if wish is None or group.survey in wish.done else wish
            rounds.append(Round(target, group, key, place, course, backfill=again))
        return rounds

    def note_read(self, rounds: Iterable[Round]) -> None:
        """Note what was to be read again, and was; without an answer it is still wanted."""
        read: dict[str, set[str]] = {name: set() for name in self._wishes}
        for one in rounds:
            if one.backfill is not None and one.answered:
                read[one.target.name].add(one.group.survey)
        for name, (wish, surveys) in self._wishes.items():
            self._state.backfills.read_again(name, wish, surveys=read[name], of=surveys)

    def _its_time(self, target: Target, groups: list[Group]) -> list[Group]:
        """Return the surveys that are asked now: all, or those on which somebody waits.

        A target comes before its time for those that gave no answer; the others have theirs.
        """
        waiting = self._state.choices.waiting(target.name)
        if len(groups) == 1 or not waiting:
            return groups
        clocks = self._state.clocks.get(target.name)
        now_ms = self._state.now_ms()
        cadence_s = self._clients.cadence_of(target, now_ms)
        if cadence_s == ADAPTIVE:
            cadence_s = self._state.targets.pace_s(target.name) or BASE_S
        before_ms = now_ms - ITS_TIME * 1000 * cadence_s
        return [
            group
            for group in groups
            if not waiting.isdisjoint(group.sources)
            or all(
                source not in clocks or (clocks[source].asked_ms or 0) <= before_ms
                for source in group.sources
            )
        ]

    def _course(self, target: Target, group: Group) -> Course:
        """Return whom to ask about a target in one survey."""

        def out(source: str) -> str | None:
            return self._turns.left_alone(target, source)

        if not group.has_choice:
            return course(group.sources, out=out, lagging={}, due=())
        clocks = self._state.clocks.get(target.name)
        return course(
            group.sources,
            out=out,
            lagging=lagging(
                group.sources,
                self._state.choices.sightings(target.name, group.survey).by(group.sources),
                clocks,
                silent_after_s=self._settings.silent_after_s,
            ),
            due=due_for_check(
                group.sources,
                clocks,
                now_ms=self._state.now_ms(),
                every_s=self._settings.union_every_s,
            ),
        )

    def _place(self, target: Target) -> tuple[str, Transient | None]:
        """Return the target's outbox key and its transient; look it up where need be."""
        known = self._state.resolutions.get(target.name)
        if known is not None:
            place = Transient.from_dict(known)
            try:
                check_place(target, place)
            except YseIngestError:
                # Once it is corrected there, the next question is answered.
                self._state.resolutions.drop(target.name)
                raise
            return str(place.pk), place
        held = self._clients.held_back("lookup", [target.name])
        if held is not None:
            raise held
        found = self._clients.locate(target)
        return (CREATION_KEY + target.name if found is None else str(found.pk)), found

    def instead(self, one: Round) -> Iterator[tuple[str, Round]]:
        """Yield who is asked next, as long as nobody gave a usable answer."""
        while not one.usable and one.course.spare:
            source, *spare = one.course.spare
            one.course = replace(one.course, spare=tuple(spare))
            if (why := self._turns.left_alone(one.target, source)) is None:
                yield source, one
                return
            one.failed[source] = why

    def note(self, one: Round) -> None:
        """Note who was asked and who was passed over, and tell a change."""
        if not one.group.has_choice:
            return
        name, survey, order = one.target.name, one.group.survey, one.group.sources
        before = self._state.choices.get(name).get(survey, Choice())
        reasons = {**one.course.out, **one.failed}
        disagreements = before.disagreements
        if one.sightings is not None:
            clocks = self._state.clocks.get(name)
            silent_s = self._settings.silent_after_s
            reasons |= lagging(order, one.sightings, clocks, silent_after_s=silent_s)
            disagreements = tuple(map(str, one.sightings.disagreements(order)))
        asked, passed = outcome(order, one.usable, reasons)
        same = asked[:1] == before.asked[:1]
        choice = Choice(
            asked=asked,
            since_ms=before.since_ms if same else self._state.now_ms(),
            passed=passed,
            disagreements=disagreements,
        )
        if choice != before:
            self._state.choices.put(name, survey, choice)
        fields = {"target": name, "survey": survey, "source": choice.speaks}
        if not same and passed:
            logger.warning("another source is asked instead", extra=fields | {"why": passed})
        elif not same and before.passed:
            logger.info("the first source is asked again", extra=fields)
        if set(disagreements) - set(before.disagreements):
            # `status` says which, to whom they concern: the photometry may be private.
            count = len(disagreements)
            logger.warning("sources disagree", extra={"target": name, "count": count})
