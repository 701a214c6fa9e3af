"""How many bytes of Redis a stored point takes: the value alone, and with its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.figures import Figure, main
from bench.world import World, cycle

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = 20
POINTS = 33


def figures() -> Iterator[Figure]:
    """Measure the ledgers of some targets as Redis itself counts them."""
    with World() as world:
        targets = world.seed(TARGETS, POINTS)
        service = world.service()
        for target in targets:
            service.enqueue(target)
        cycle(service, [target.name for target in targets])
        connection = service.state._connection  # noqa: SLF001  Redis's own count, not ours
        key = f"yse_ingest:{service.state.namespace}:ledger"
        whole = connection.call("MEMORY", "USAGE", key, "SAMPLES", 0)
        ids = connection.call("HKEYS", key)
        values = sum(connection.call("HSTRLEN", key, each) for each in ids)
    if len(ids) != TARGETS:
        raise RuntimeError(f"{len(ids)} ledgers of {TARGETS} targets")
    points = TARGETS * POINTS
    yield Figure("ledger bytes per stored point, the value", "byte", values / points, 16.0)
    yield Figure(
        f"ledger bytes per stored point with its key, at {POINTS} points",
        "byte",
        whole / points,
        20.0,
        note="as MEMORY USAGE counts: the hash of all, its fields, and what Redis allocates",
    )


if __name__ == "__main__":
    main(figures)
