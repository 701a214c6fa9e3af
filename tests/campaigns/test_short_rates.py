"""The budget of a source in short: the whole run is ``make rates``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
def test_eight_workers_keep_to_one_rate_and_heed_a_429() -> None:
    """Never more than two requests in a second, none before Retry-After, and all are asked."""
    command = [sys.executable, "-m", "tests.campaigns.rates", "--seconds", "24"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, most, closed, answered, last = done.stdout.splitlines()
    assert re.fullmatch("most in any second: [12]", most)
    quiet = re.fullmatch(r"429 with Retry-After 4 s: nobody asked for ([\d.]+) s", closed)
    assert quiet is not None
    assert float(quiet[1]) >= 3.95
    assert answered == "targets answered: 24 of 24"
    assert last == "rates: OK"
