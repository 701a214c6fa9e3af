"""A user's Python: ``python -m bench.astronomer`` enqueues the targets that it is told.

Each line of the input is a JSON list of [name, RA, Dec]; when all of them are stored and have
a receipt, it prints how long that took [s].
"""

from __future__ import annotations

import json
import sys
import time

from workers import enqueue_target

PATIENCE_S = 120.0


def run() -> None:
    """Do it for each line."""
    for line in sys.stdin:
        began = time.perf_counter()
        handles = [enqueue_target(*target) for target in json.loads(line)]
        for handle in handles:
            state, receipt = handle.wait(PATIENCE_S), handle.receipt
            if state != "stored" or receipt is None or set(receipt["counts"]) != {"verified"}:
                raise RuntimeError(f"{handle} is {state}: {receipt}")
        sys.stdout.write(f"{time.perf_counter() - began}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run()
