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
    """Found, renamed and changed within one look each, by the file and by the command."""
    command = [sys.executable, "-m", "tests.campaigns.follow", "--real-cost", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == "follow: OK: 5000 transients"
    looks = [found.groupdict() for line in lines if (found := LOOK.fullmatch(line))]
    assert len(looks) == 9
    for first, quiet, changed, late in (looks[:4], looks[4:8]):
        assert int(first["new"]) == int(first["wanted"]) > 1000
        assert int(first["requests"]) <= 15
        assert (quiet["new"], quiet["gone"]) == ("0", "0")
        assert int(changed["renamed"]) > 10
        assert int(changed["new"]) > 5
        assert int(changed["gone"]) > 10
        assert (late["renamed"], late["new"], late["gone"]) == ("1", "0", "0")
    # A process of its own reads the vocabulary each time: ten lists.
    assert [int(each["requests"]) for each in looks[:8]] == [13, 3, 3, 4, 12, 12, 12, 13]
    assert {each["wrong"] for each in looks} == {each["doubled"] for each in looks} == {"0"}
    assert f"dry run: {looks[4]['wanted']} would be added, 0 were" in lines
    assert any(re.fullmatch(r"ended: 1\d{3} paused, 0 not", line) for line in lines)
