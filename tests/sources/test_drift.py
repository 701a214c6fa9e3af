"""A reply whose shape changed is told from bad rows, with the field that differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.errors import FormatChangedError, UnreadableRowsError
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sources import Kind, Status
from yse_ingest.targets import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.alerce import AlerceStandIn
    from yse_ingest.sandbox.fink import FinkStandIn
    from yse_ingest.sandbox.mars import MarsStandIn
    from yse_ingest.sources import Ask, Source

    Question = Callable[..., Ask]
    Shower = Callable[..., None]

WITH_LIMITS = frozenset({Kind.DETECTION, Kind.LIMIT})
KNOWN = {"since_ms": 0, "known_objects": ("ZTF19aacgslb",)}


def renamed(field: str) -> Fault:
    return Fault("drifted", edits={f'"{field}"': '"another_name"'})


@pytest.mark.parametrize(
    ("source", "field", "told"),
    [
        ("mars", "magpsf", "candidate.magpsf"),
        ("mars", "candidate", "candidate"),
        ("mars", "candid", "candid"),
        ("alerce", "magpsf", "magpsf"),
        ("alerce", "mjd", "mjd"),
        ("fink", "i:jd", "i:jd"),
    ],
)
@pytest.mark.parametrize("known", [{}, KNOWN], ids=["all", "recent"])
def test_a_field_that_was_renamed_is_named(
    source: str,
    field: str,
    told: str,
    *,
    known: dict[str, object],
    request: pytest.FixtureRequest,
    question: Question,
    shower: Shower,
) -> None:
    """Every row lacks it: that is no bad row, whether all is read or what is new."""
    stand_in: MarsStandIn | AlerceStandIn | FinkStandIn = request.getfixturevalue(source)
    ask: Source = request.getfixturevalue(f"ask_{source}")
    shower(stand_in, count=4)
    stand_in.faults.add(renamed(field))

    (answer,) = ask.fetch([question(**known)])

    assert isinstance(answer.error, FormatChangedError)
    assert answer.error.fact == f"format changed: field {told} missing"
    assert answer.error.field == told
    assert len(answer.alerts) == 0


@pytest.mark.parametrize(
    ("edits", "told"),
    [
        ({r'"magpsf":([\d.]+)': r'"magpsf":"\1"'}, "field candidate.magpsf is '18"),
        ({r'"magpsf":[\d.]+': '"magpsf":null'}, "field candidate.magpsf is missing (null)"),
        ({r'"jd":24[\d.]+': '"jd":58493.9'}, "field candidate.jd is 58493.9, outside "),
        ({r'"candid":(\d+)': r'"candid":\1.5'}, "field candid is "),
        ({'"results"': '"rows"'}, "field results missing"),
    ],
    ids=["text", "null", "another-scale", "float", "no-list"],
)
def test_another_type_is_a_changed_format(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
    *,
    edits: dict[str, str],
    told: str,
) -> None:
    """A field of another type or scale in every row, or no list at all, is named."""
    shower(mars, count=3)
    mars.faults.add(Fault("drifted", edits=edits))

    (answer,) = ask_mars.fetch([question()])

    assert isinstance(answer.error, FormatChangedError)
    assert answer.error.fact.startswith(f"format changed: {told}")


def test_a_few_bad_rows_among_good_ones_stay_bad_rows(
    mars: MarsStandIn, ask_mars: Source, question: Question, shower: Shower
) -> None:
    """Five rows without a sign and one with: the one is taken, the others are refused."""
    shower(mars, count=5, isdiffpos="x", first_candid=10)
    shower(mars, count=1, start=20.0, first_candid=90)

    (answer,) = ask_mars.fetch([question()])

    assert answer.status is Status.OK
    assert (len(answer.alerts), len(answer.refused)) == (1, 5)


def test_two_bad_rows_alone_prove_nothing(
    mars: MarsStandIn, ask_mars: Source, question: Question, shower: Shower
) -> None:
    """They may be all that a new object has: an error of the target, not a changed format."""
    shower(mars, count=2, isdiffpos="x", first_candid=10)

    (answer,) = ask_mars.fetch([question()])

    assert isinstance(answer.error, UnreadableRowsError)
    assert answer.error.field == "candidate.isdiffpos"
    assert "sent 2 rows and none can be read: 10: candidate.isdiffpos" in str(answer.error)


def test_rows_that_are_bad_in_different_ways_are_no_changed_format(
    mars: MarsStandIn, ask_mars: Source, question: Question, shower: Shower
) -> None:
    """There is no one field at fault."""
    shower(mars, count=2, isdiffpos="x", first_candid=10)
    shower(mars, count=2, start=10.0, sigmapsf=-5.0, first_candid=20)

    (answer,) = ask_mars.fetch([question()])

    assert isinstance(answer.error, UnreadableRowsError)
    assert answer.error.field is None


def test_a_number_for_no_value_is_no_changed_format(
    mars: MarsStandIn, ask_mars: Source, question: Question, shower: Shower
) -> None:
    """-999 in every row: the field is there, and the object is odd."""
    shower(mars, count=4, sigmapsf=-999.0)

    (answer,) = ask_mars.fetch([question()])

    assert isinstance(answer.error, UnreadableRowsError)


@pytest.mark.parametrize("bad", [1, 4], ids=["one", "many"])
@pytest.mark.parametrize("known", [{}, KNOWN], ids=["all", "recent"])
def test_rows_that_a_cut_leaves_out_were_read(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
    *,
    bad: int,
    known: dict[str, object],
) -> None:
    """Bad rows beside rows that are not good enough: nothing is wrong, and there is nothing."""
    shower(mars, count=4, rb=0.3)
    shower(mars, count=bad, start=10.0, isdiffpos="x", first_candid=10)

    (answer,) = ask_mars.fetch([question(rules=Rules(min_rb=0.5), **known)])

    assert (answer.status, answer.error) == (Status.EMPTY, None)
    assert answer.dropped == {"rb is below 0.5": 4}
    assert len(answer.refused) == bad


def test_a_bad_row_beside_upper_limits_is_a_bad_row(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """The broker was understood: one detection is set aside, and there is no other."""
    shower(alerce, count=1, sigmapsf=-5.0)
    alerce.add_non_detection("ZTF19aacgslb", 2458480.5, "g", 20.0)

    (answer,) = ask_alerce.fetch([question(kinds=WITH_LIMITS)])

    assert (answer.status, answer.error) == (Status.EMPTY, None)
    assert len(answer.refused) == 1


def test_upper_limits_do_not_hide_a_changed_format(
    alerce: AlerceStandIn, ask_alerce: Source, question: Question, shower: Shower
) -> None:
    """They are told in rows of their own, which say nothing of those of the detections."""
    shower(alerce, count=4)
    alerce.add_non_detection("ZTF19aacgslb", 2458480.5, "g", 20.0)
    alerce.faults.add(renamed("magpsf"))

    (answer,) = ask_alerce.fetch([question(kinds=WITH_LIMITS)])

    assert isinstance(answer.error, FormatChangedError)


def test_rows_with_a_bad_tag_do_not_hide_a_changed_format(
    fink: FinkStandIn, ask_fink: Source, question: Question, shower: Shower
) -> None:
    """They are left out unread."""
    shower(fink, count=4)
    fink.add_bad_quality("ZTF19aacgslb", 2458495.5, 1, 19.0)
    fink.faults.add(renamed("i:sigmapsf"))

    (answer,) = ask_fink.fetch([question(kinds=WITH_LIMITS)])

    assert isinstance(answer.error, FormatChangedError)
