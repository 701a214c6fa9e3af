"""Whom to ask, in the operator's order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.choice import (
    Group,
    course,
    down_since,
    due_for_check,
    groups_of,
    is_usable,
    known_objects,
    outcome,
)
from yse_ingest.errors import SourceUnavailableError
from yse_ingest.sources import Answer, Status
from yse_ingest.state import Clock

ORDER = ("alerce", "fink", "mars")


def test_sources_of_one_survey_are_alternatives() -> None:
    """Each once, in order; files stand for themselves, and an unknown name is told later."""
    assert groups_of(["fink", "files", "alerce", "fink", "nobody"]) == [
        Group("ZTF", ("fink", "alerce")),
        Group("files", ("files",)),
        Group("nobody", ("nobody",)),
    ]


def test_the_first_is_asked_and_the_others_wait() -> None:
    """Without a cross-check, one source is asked."""
    found = course(ORDER, out=lambda _: None, lagging=(), due=())
    assert (found.ask, found.spare) == (("alerce",), ("fink", "mars"))


def test_a_cross_check_asks_the_others_too() -> None:
    """Those that are due are asked beside the first."""
    found = course(ORDER, out=lambda _: None, lagging=(), due={"mars"})
    assert (found.ask, found.spare) == (("alerce", "mars"), ("fink",))


def test_a_source_that_is_down_is_passed_over() -> None:
    """The next one is asked, and why is kept."""
    found = course(ORDER, out={"alerce": "is down"}.get, lagging=(), due=())
    assert (found.ask, found.spare, found.out) == (("fink",), ("mars",), {"alerce": "is down"})


def test_a_silent_source_is_asked_last() -> None:
    """Before nobody is asked at all, it is."""
    found = course(ORDER, out=lambda _: None, lagging={"alerce"}, due=())
    assert (found.ask, found.spare) == (("fink",), ("mars", "alerce"))
    everybody = {"fink": "is down", "mars": "is down"}
    found = course(ORDER, out=everybody.get, lagging={"alerce"}, due=())
    assert (found.ask, found.spare) == (("alerce",), ())


def test_who_is_not_asked_is_not_probed() -> None:
    """A source that is down gives its probe to whoever really asks it."""
    looked: list[str] = []

    def out(name: str) -> None:
        looked.append(name)

    course(ORDER, out=out, lagging=(), due={"mars"})
    assert looked == ["alerce", "mars"]


@given(
    down=st.sets(st.sampled_from(ORDER)),
    lagging=st.sets(st.sampled_from(ORDER)),
    due=st.sets(st.sampled_from(ORDER)),
)
def test_somebody_is_asked_unless_all_are_down(
    down: set[str], lagging: set[str], due: set[str]
) -> None:
    """Nobody twice, nobody who is down, and the best of those that work first."""
    out = dict.fromkeys(down, "is down").get
    found = course(ORDER, out=out, lagging=lagging, due=due)
    named = (*found.ask, *found.spare, *found.out)
    assert sorted(named) == sorted(ORDER)
    assert down.isdisjoint(found.ask)
    works = sorted(set(ORDER) - down, key=lambda name: (name in lagging, ORDER.index(name)))
    assert set(works[:1]) <= set(found.ask) <= {*works[:1], *due}


def test_who_answers_holds_and_who_was_passed_over_is_told() -> None:
    """One that lacks what others have answers, and does not hold."""
    reasons = {"alerce": "lacks the newest 2 exposures of others", "mars": "is down"}
    assert outcome(ORDER, ["alerce", "fink"], reasons) == (
        ("fink", "alerce"),
        {"alerce": reasons["alerce"]},
    )
    assert outcome(ORDER, [], {"alerce": "is down"}) == ((), {"alerce": "is down"})
    assert outcome(ORDER, ["alerce"], {"fink": "is down"}) == (("alerce",), {})


@pytest.mark.parametrize(
    ("answer", "usable"),
    [
        (Answer("x", Status.OK), True),
        (Answer("x", Status.EMPTY), True),
        (Answer("x", Status.EMPTY, full=True), False),
        (Answer("x", Status.UNKNOWN), False),
        (Answer("x", Status.AMBIGUOUS), True),
        (Answer("x", Status.PENDING), True),
        (Answer.failed("x", SourceUnavailableError("no", service="S"), full=True), False),
    ],
    ids=["ok", "nothing new", "nothing at all", "unknown", "ambiguous", "pending", "error"],
)
def test_when_another_is_asked_in_the_same_round(answer: Answer, *, usable: bool) -> None:
    """Only what says nothing of the target makes somebody else be asked."""
    assert is_usable(answer) is usable


def test_a_cross_check_is_due_by_each_sources_own_clock() -> None:
    """Never asked, or not for so long."""
    clocks = {"alerce": Clock(asked_ms=5_000), "fink": Clock(asked_ms=1_000)}
    assert due_for_check(ORDER, clocks, now_ms=6_000, every_s=5.0) == {"fink", "mars"}


def test_an_object_that_one_source_resolved_is_offered_to_the_others() -> None:
    """Its own ids before those of another."""
    clocks = {
        "alerce": Clock(detail={"object_ids": ["ZTF1"]}),
        "fink": Clock(detail={"object_ids": ["ZTF2"]}),
    }
    assert known_objects(ORDER, "fink", clocks) == ("ZTF2",)
    assert known_objects(ORDER, "mars", clocks) == ("ZTF1",)
    assert known_objects(ORDER, "mars", {}) == ()


def test_why_a_source_is_passed_over_is_a_sentence() -> None:
    """With the time since when, where that is known."""
    assert down_since(0, "") == "is down"
    said = down_since(1_547_683_200_000, "answered 500")
    assert said == "is down since 2019-01-17T00:00:00Z: answered 500"
