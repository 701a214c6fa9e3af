"""All figures: ``python -m bench``. The last line says how many goals hold."""

from __future__ import annotations

import importlib
import os
import platform

from rich.console import Console

from bench.figures import Figure, show

COMMANDS = (
    "server_seconds",
    "quiet_target",
    "parse",
    "start_up",
    "ledger_size",
    "celery_overhead",
    "growth",
)


def run() -> None:
    """Measure one command after the other, each in the order of its importance."""
    console = Console(width=150)
    console.print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    figures: list[Figure] = []
    for name in COMMANDS:
        measured = list(importlib.import_module(f"bench.{name}").figures())
        console.print(f"\npython -m bench.{name}")
        show(measured)
        figures += measured
    held = sum(figure.holds for figure in figures)
    console.print(f"{held} of {len(figures)} goals hold")


if __name__ == "__main__":
    run()
