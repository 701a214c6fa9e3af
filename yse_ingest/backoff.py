"""How long to wait before the next try: pure arithmetic."""

from __future__ import annotations


def backoff_delay(
    attempt: int,
    *,
    base: float,
    cap: float,
    jitter: float,
    after: float | None = None,
) -> float:
    """Return the wait before try ``attempt + 1`` [s].

    The wait doubles with each attempt from ``base`` to ``cap``. The jitter only lengthens it
    (by up to a half), so that no retry is immediate. A server's ``Retry-After`` is a floor,
    and may exceed the cap: who asks us to wait gets the wait.

    Parameters
    ----------
    attempt
        How many tries have failed, from 1.
    base
        Wait after the first failure [s].
    cap
        Longest wait, jitter apart [s].
    jitter
        A random number in [0, 1), drawn by the caller.
    after
        What the server asked for [s].
    """
    exponent = min(max(attempt, 1) - 1, 62)
    delay = min(cap, base * 2.0**exponent) * (1.0 + 0.5 * jitter)
    return max(delay, after or 0.0)
