"""The chaos campaign in short: the whole one is ``make chaos``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = {
    "--seed": "5",
    "--targets": "20",
    "--points": "600",
    "--seconds": "8",
    "--kills": "10",
    "--broker-kills": "1",
    "--cadence": "3",
    "--quiet-seconds": "80",
}


@pytest.mark.timeout(240)
def test_twenty_targets_survive_ten_kills_and_a_broker(tmp_path: Path) -> None:
    """Nothing lost, doubled or altered, nothing of others touched, one upload at a time."""
    command = [sys.executable, "-m", "tests.campaigns.chaos", "--keep", str(tmp_path)]
    for option, value in SHORT.items():
        command += [option, value]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, last = done.stdout.splitlines()
    assert re.search(r"OK: 20 targets, \d+ SIGKILL, 1 broker kills, owed \d{3},", last)
    assert "lost 0, duplicated 0, altered 0, unwanted 0, foreign changed 0" in last
    assert "in flight per transient 1, quiet after" in last
