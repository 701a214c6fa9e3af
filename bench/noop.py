"""Celery alone: tasks of the shape of a fetch that do nothing, on the product's application.

``python -m bench.noop MESSAGES NAMES`` sends messages and prints the processor time [s].
"""

from __future__ import annotations

import sys
import time

from workers.celery import app

QUEUE = "fetch"


@app.task(name="bench.noop", ignore_result=True)
def noop(name: str) -> None:
    """Do nothing about one target."""


@app.task(name="bench.noop_many", ignore_result=True)
def noop_many(names: list[str]) -> None:
    """Do nothing about many targets."""


def send(messages: int, names: int) -> float:
    """Send the hints of so many messages; return the processor time [s]."""
    with app.producer_pool.acquire(block=True) as producer:
        began = time.process_time()
        for number in range(messages):
            each = [f"bench{number:06d}x{part}" for part in range(names)]
            task, argument = (
                ("bench.noop", each[0]) if names == 1 else ("bench.noop_many", each)
            )
            app.send_task(task, args=(argument,), queue=QUEUE, producer=producer)
        return time.process_time() - began


if __name__ == "__main__":
    sys.stdout.write(f"{send(int(sys.argv[1]), int(sys.argv[2]))}\n")
