"""All figures: ``python -m bench``. The last line says how many goals hold.

``--write docs/performance.md`` puts the table and the machine into that page.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from rich.console import Console

from bench import page
from bench.figures import Figure, show, tally
from bench.machine import machine

COMMANDS = (
    "server_seconds",
    "quiet_target",
    "parse",
    "throughput",
    "celery_overhead",
    "latency",
    "memory",
    "ledger_size",
    "state_size",
    "start_up",
    "growth_of_targets",
    "growth",
)
"""In the order of the goals."""


def run(commands: tuple[str, ...] = COMMANDS) -> dict[str, list[Figure]]:
    """Measure one command after the other, and print each as soon as it is done."""
    console = Console(width=150)
    measured: dict[str, list[Figure]] = {}
    for name in commands:
        console.print(f"\npython -m bench.{name}", highlight=False)
        measured[name] = list(importlib.import_module(f"bench.{name}").figures())
        show(measured[name])
    return measured


def main() -> None:
    """Measure all, and say how many goals hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into a page")
    chosen = parser.parse_args()
    facts = machine()
    sys.stdout.write("\n".join(facts) + "\n")
    measured = run()
    if chosen.write is not None:
        page.write(chosen.write, page.table(measured, facts))
    sys.stdout.write(tally([each for some in measured.values() for each in some]) + "\n")


if __name__ == "__main__":
    main()
