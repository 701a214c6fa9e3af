"""One process of a service that asks YSE-PZ from several threads: for `test_turns`."""

from __future__ import annotations

import sys
import threading

from yse_ingest.service import Service
from yse_ingest.settings import Settings


def main(threads: int, rounds: int) -> None:
    """Look up, read back and read lists, as the queues do at once."""
    service = Service.from_settings(Settings.from_env())
    service.ysepz.vocabulary()

    def ask() -> None:
        client = service.ysepz.for_purpose("upload")
        for _ in range(rounds):
            found = client.transient_by_name("2019np")
            if found is not None:
                client.read_back(found.slug)

    asking = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
