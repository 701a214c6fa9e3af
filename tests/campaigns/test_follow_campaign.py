"""The campaign of the lists: exactly the right ones among 5,000, in few requests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOOK = re.compile(
    r"(?P<what>.*): (?P<wanted>\d+) to follow, wrong (?P<wrong>\d+), doubled (?P<doubled>\d+); "
    r"new (?P<new>\d+), gone (?P<gone>\d+), back (?P<back>\d+), renamed (?P<renamed>\d+); "
    r"(?P<requests>\d+) requests, .* s, of which YSE-PZ .* s"
)


@pytest.mark.timeout(180)
def test_five_thousand_transients() -> None:
    """Found, renamed and changed within one look each; nothing doubled, little asked."""
    command = [sys.executable, "-m", "tests.campaigns.follow", "--real-cost", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == "follow: OK: 5000 transients"
    looks = [found.groupdict() for line in lines if (found := LOOK.fullmatch(line))]
    first, quiet, changed, late = looks
    assert int(first["new"]) == int(first["wanted"]) > 1000
    assert int(first["requests"]) <= 15
    assert (quiet["new"], quiet["gone"], quiet["requests"]) == ("0", "0", "3")
    assert int(changed["renamed"]) > 10
    assert int(changed["new"]) > 10
    assert int(changed["gone"]) > 10
    assert changed["requests"] == "3"
    assert (late["renamed"], late["new"], late["gone"]) == ("1", "0", "0")
    assert {each["wrong"] for each in looks} == {each["doubled"] for each in looks} == {"0"}
