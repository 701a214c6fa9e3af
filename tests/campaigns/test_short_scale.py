"""The campaign of scale in short: the whole one is ``make scale``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = {
    "--targets": "6000",
    "--million": "20000",
    "--cadence": "12",
    "--adaptive": "1500",
    "--longest": "12",
    "--bins": "12",
    # So few targets, and ticks of almost the length of a part, are less even.
    "--evenness": "1.8",
}


@pytest.mark.timeout(240)
def test_six_thousand_targets_are_asked_once_each_time() -> None:
    """Two beats, one killed; targets come and go; nobody is asked twice or left out.

    At a fixed cadence and at the adaptive pace.
    """
    command = [sys.executable, "-m", "tests.campaigns.scale"]
    for option, value in SHORT.items():
        command += [option, value]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(", 0 double-asks, 0 left out") == 2
    assert "60 added while running" in done.stdout
    assert "6,000 targets: watch, " in done.stdout
    assert "500 removed: asked 0 times after that" in done.stdout
    assert "claim of 1,000 due out of 20,000" in done.stdout
