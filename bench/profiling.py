"""Where the time goes: ``python -m bench.NAME --profile``."""

from __future__ import annotations

import cProfile
import pstats
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def print_profile(work: Callable[[], object]) -> None:
    """Run it once under the profiler and print where it spends its time."""
    profile = cProfile.Profile()
    profile.runcall(work)
    pstats.Stats(profile, stream=sys.stdout).sort_stats("cumulative").print_stats(45)
    pstats.Stats(profile, stream=sys.stdout).sort_stats("tottime").print_stats(30)
