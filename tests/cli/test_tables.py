"""Tables for people: what gives way where the terminal is narrow, and what never does."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

NAME = "ZTF19aaknvuh"
CODE = f"""
import fcntl, struct, sys, termios
fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
from yse_ingest.cli.render import table
table(
    ["target", "source", "newest", "state"],
    [("{NAME}", "alerce", "2019-06-07 06:43", "idle")],
    spare=["source", "newest"],
)
"""


def shown(width: int) -> list[str]:
    """Return the lines of a table in a terminal of a width."""
    ours, theirs = pty.openpty()
    env = {
        name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}
    }
    done = subprocess.Popen(
        [sys.executable, "-c", CODE, str(width)], stdin=theirs, stdout=theirs, env=env
    )
    os.close(theirs)
    text = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    os.close(ours)
    assert done.wait(20) == 0
    return text.decode().splitlines()


@pytest.mark.parametrize(
    ("width", "without"),
    [(60, ""), (45, "source"), (25, "source, newest"), (15, "source, newest")],
)
def test_columns_give_way_and_names_do_not(width: int, without: str) -> None:
    """Spare columns go in their order, a line says which, and the name is never cut."""
    lines = shown(width)
    assert any(NAME in line for line in lines)
    assert not any("\N{HORIZONTAL ELLIPSIS}" in line and "ZTF" in line for line in lines)
    told = [line for line in lines if line.startswith("(for want of width")]
    assert told == ([f"(for want of width without: {without})"] if without else [])
