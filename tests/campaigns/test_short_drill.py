"""The drill of the sources in short: the whole one is ``make drill``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_one_broker_dead_one_garbled_one_lying(tmp_path: Path) -> None:
    """Every point is stored once and true, the lie is reported, no broker is overrun."""
    command = [
        sys.executable,
        "-m",
        "tests.campaigns.drill",
        "--short",
        "--keep",
        str(tmp_path),
    ]
    command += ["--targets", "6", "--points", "150"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, reported, requests, last = done.stdout.splitlines()
    assert re.fullmatch(
        r"reported: magnitude of alert \d{18}: alerce says .*, fink says .*; "
        "that of alerce stands",
        reported,
    )
    assert requests.endswith("150 are allowed")
    assert last.startswith("drill: OK: 6 targets, owed ")
    assert "lost 0, duplicated 0, altered 0, lies reported 1" in last
