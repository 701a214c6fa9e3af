"""One process of a service that asks YSE-PZ from several threads: for tests of many processes.

``asker.py rounds THREADS ROUNDS``, ``asker.py until THREADS ANSWERS`` or
``asker.py aliases THREADS EXPECTED``.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from yse_ingest.errors import YsePzUnavailableError
from yse_ingest.service import Service
from yse_ingest.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable


def look_and_read_back(service: Service, rounds: int) -> None:
    """Look up and read back, as the queues do at once."""
    client = service.ysepz.for_purpose("upload")
    for _ in range(rounds):
        found = client.transient_by_name("2019np")
        if found is not None:
            client.read_back(found.slug)


def ask_until_answered(service: Service, answers: int) -> None:
    """Ask again and again, until there were so many answers."""
    while answers:
        try:
            service.ysepz.ping()
            answers -= 1
        except YsePzUnavailableError:
            time.sleep(0.01)


def know_the_aliases(service: Service, expected: int) -> None:
    """Read the list of aliases, and see whether it is whole."""
    if len(service.ysepz.aliases()) != expected:
        os._exit(1)


def main(how: str, threads: int, count: int) -> None:
    """Do it in so many threads."""
    service = Service.from_settings(Settings.from_env())
    if how == "rounds":
        service.ysepz.vocabulary()
        work: Callable[[], None] = partial(look_and_read_back, service, count)
    elif how == "aliases":
        work = partial(know_the_aliases, service, count)
    else:
        work = partial(ask_until_answered, service, count)
    asking = [threading.Thread(target=work) for _ in range(threads)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
