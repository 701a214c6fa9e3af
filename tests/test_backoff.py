"""Waits: they grow, they are never immediate, and who asks us to wait gets the wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.backoff import backoff_delay

attempts = st.integers(-1, 10_000)
jitters = st.floats(0, 1, exclude_max=True)


@given(attempts, jitters, st.floats(0.01, 100), st.floats(0.01, 1e6))
def test_a_wait_stays_within_its_bounds(
    attempt: int, jitter: float, base: float, cap: float
) -> None:
    """At least the base (or the cap, if less), at most half as much again as the cap."""
    delay = backoff_delay(attempt, base=base, cap=cap, jitter=jitter)

    assert min(base, cap) <= delay <= 1.5 * cap


@given(attempts, jitters, st.floats(0, 1e6))
def test_what_a_server_asks_for_is_a_floor(attempt: int, jitter: float, after: float) -> None:
    """Retry-After may exceed the cap."""
    assert backoff_delay(attempt, base=1, cap=60, jitter=jitter, after=after) >= after


def test_the_waits_double_up_to_the_cap() -> None:
    """Without jitter the waits are 1, 2, 4, 8, 10, 10."""
    waits = [backoff_delay(n, base=1.0, cap=10.0, jitter=0.0) for n in range(1, 7)]

    assert waits == [1, 2, 4, 8, 10, 10]
