"""The budget: what is counted, what waits, until when, and who never does."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.limits import Hours, Limits, Purpose
from yse_ingest.state import State
from yse_ingest.state.budget import Spending

if TYPE_CHECKING:
    from yse_ingest.state.embedded import EmbeddedRedis

MINUTE = 60_000
NOON = 20_000 * 1440 * MINUTE + 720 * MINUTE
"""Noon of some day, UTC [Unix ms]."""


def spending(
    spent: dict[int, float] | None = None, *, purpose: Purpose = "upload", **limits: object
) -> Spending:
    """Return what was spent so many minutes before noon [s]."""
    last = NOON // MINUTE
    return Spending(
        Limits(**limits),  # type: ignore[arg-type]
        NOON,
        {
            last - ago: Counter({purpose: round(1000 * seconds)})
            for ago, seconds in (spent or {}).items()
        },
    )


def test_a_burst_of_six_minutes_passes() -> None:
    """A tenth of an hour may be spent at once; more waits until that is an hour ago."""
    assert spending({0: 359.0}).allows("upload")
    after = spending({0: 200.0, 30: 160.0})
    assert not after.allows("upload")
    assert after.until_ms("upload") == NOON + 30 * MINUTE
    assert after.allows("push")
    assert after.allows("doctor")


def test_the_window_slides() -> None:
    """What was spent an hour ago does not count any more, a minute earlier it does."""
    assert spending({59: 400.0}).total() == 400.0
    assert spending({60: 400.0}).total() == 0.0


def test_uploads_go_on_where_others_wait() -> None:
    """Adoption waits first, then verification, uploads last."""
    waits = {
        seconds: [
            each
            for each in ("adopt", "audit", "verify", "lookup", "upload")
            if not spending({5: seconds}).allows(each)
        ]
        for seconds in (269.0, 271.0, 325.0, 361.0)
    }
    assert waits == {
        269.0: [],
        271.0: ["adopt", "audit"],
        325.0: ["adopt", "audit", "verify"],
        361.0: ["adopt", "audit", "verify", "lookup", "upload"],
    }


def test_audits_have_a_share_of_their_own() -> None:
    """Audits stop at their hundredth although the budget is far from spent."""
    audited = spending({3: 37.0}, purpose="audit")
    assert not audited.allows("audit")
    assert audited.allows("adopt")
    assert spending({3: 37.0}, purpose="upload").allows("audit")
    assert spending({3: 37.0}, purpose="audit", audit_share=0.02).allows("audit")


def test_hours_have_shares_of_their_own() -> None:
    """A share holds from its first minute to before its last, over midnight too."""
    hours = (Hours(22 * 60, 6 * 60, 0.5), Hours(12 * 60, 12 * 60 + 30, 0.0))
    at = {
        clock: spending(hours=hours).share(NOON + (clock - 12) * 60 * MINUTE)
        for clock in (12, 13, 22, 24, 29, 30)
    }
    assert at == {12: 0.0, 13: 0.1, 22: 0.5, 24: 0.5, 29: 0.5, 30: 0.1}


def test_held_hours_say_when_they_end() -> None:
    """In hours with nothing to spend, work waits until they are over, or for good."""
    lunch = (Hours(12 * 60, 12 * 60 + 30, 0.0),)
    assert spending(hours=lunch).until_ms("upload") == NOON + 30 * MINUTE
    assert spending({5: 400.0}, hours=lunch).until_ms("upload") == NOON + 55 * MINUTE
    morning = (Hours(6 * 60, 5 * 60, 0.0),)
    assert spending(hours=morning).until_ms("upload") == NOON + 17 * 60 * MINUTE
    assert spending(share=0.0).until_ms("upload") is None


@given(
    st.dictionaries(st.integers(0, 70), st.floats(0, 500), max_size=20),
    st.sampled_from(get_args(Purpose)),
)
def test_the_promised_moment_is_the_first(spent: dict[int, float], purpose: Purpose) -> None:
    """Work is allowed at the moment that is told, and not a bucket earlier."""
    found = spending(spent)
    until_ms = found.until_ms(purpose)
    assert until_ms is not None
    assert found.allows(purpose, until_ms)
    assert (until_ms == NOON) == found.allows(purpose)
    if until_ms > NOON:
        assert not found.allows(purpose, until_ms - 1)


def test_every_request_is_counted_by_its_time(server: EmbeddedRedis, namespace: str) -> None:
    """Requests of all connections count together, by purpose, and leave with the window."""
    limits = Limits(window_s=1.5, share=0.2)
    with (
        State.connect(server.url(), namespace=namespace, decisions=None, limits=limits) as one,
        State.connect(server.url(), namespace=namespace, decisions=None, limits=limits) as two,
    ):
        for state, purpose in ((one, "upload"), (two, "audit")):
            with state.gate.turn("GET /", purpose=purpose) as turn:  # type: ignore[arg-type]
                time.sleep(0.2)
                turn.answered = True
        told = two.budget.state()
        assert told["by"].keys() == {"upload", "audit"}
        assert told["spent_s"] == pytest.approx(0.4, abs=0.2)
        assert not one.budget.allows("upload")
        assert one.budget.allows("push")
        until_ms = told["held"]["upload"]

        time.sleep(max(0.0, (until_ms - one.now_ms()) / 1000) + 0.1)
        assert one.budget.allows("upload")
        for _ in range(2):
            time.sleep(1.0)
            with one.gate.turn("GET /", purpose="lookup") as turn:
                turn.answered = False
        fields = one._connection.call("HKEYS", one.budget.key)
        assert {field.partition(":")[2] for field in fields} == {"lookup"}
