"""How many bytes of Redis the whole state of a quiet target takes, its stored points aside.

The 31 supernovae of the sandbox go through the service twice; what is then known of each is
copied under other names, until hashes and sorted sets are as large as those of a survey.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.figures import Figure, main
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state import State, side_connection
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

COPIES = 100
POINT_BYTES = 17


def figures() -> Iterator[Figure]:
    """Measure what the server uses before and after."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as redis:
        service, every = _quiet(redis, folder)
        known = service.state
        connection = side_connection(redis.url(2))
        with State.connect(redis.url(2), namespace="yse_ingest", decisions=None) as state:
            before = int(connection.call("INFO", "memory")["used_memory"])
            points = 0
            for target in every:
                for copy in range(COPIES):
                    points += _copy(known, state, target, copy * len(every))
            after = int(connection.call("INFO", "memory")["used_memory"])
        connection.close()
        known.close()
    count = COPIES * len(every)
    yield Figure(
        f"state per target, {POINT_BYTES} bytes a stored point aside",
        "byte",
        (after - before - POINT_BYTES * points) / count,
        1000.0,
        note=f"{count:,} targets with {points / count:.1f} points each, by the used_memory of "
        "Redis: registry, next times, clocks, look-ups, ledgers, receipts, quarantine",
    )


def _quiet(redis: EmbeddedRedis, folder: str) -> tuple[Service, list[Target]]:
    """Return a service that has all supernovae stored, and found nothing new since."""
    every = supernovae.load()
    targets = [Target(each.name, ra=each.ra, dec=each.dec) for each in every]
    with MarsStandIn() as mars, YsePzStandIn() as ysepz:
        supernovae.fill_mars(mars, every)
        for each in every:
            ysepz.add_transient(each.name, each.ra, each.dec)
        environment = {
            "CELERY_BROKER_URL": redis.url(0),
            "MARS_URL": mars.url,
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "YSE_INGEST_STATE_DIR": str(Path(folder) / "var"),
            "YSE_INGEST_BUDGET": "1",
        }
        service = Service.from_settings(Settings.from_env(environment))
        for target in targets:
            service.enqueue(target)
        for _ in range(2):
            for target in targets:
                for hint in service.refresh([target.name]):
                    service.upload(hint.name, hint.key, hint.fence, attempt=1)
    return service, targets


def _copy(known: State, state: State, target: Target, shift: int) -> int:
    """Write down what is known of a target under another name; return its points."""
    place = known.resolutions.get(target.name) or {}
    ledger = known.ledgers.get(place["pk"])
    if ledger is None:
        raise RuntimeError(f"{target.name} has no ledger")
    key, new = str(place["pk"]), place["pk"] + shift
    name = f"ZTF{20 + shift % 7}a{new:06d}"
    state.targets.put(replace(target, name=name), origin="adhoc")
    state.ledgers.put(
        new, replace(ledger, pk=ledger.pk + 40 * shift), name=name, slug=name.lower()
    )
    state.resolutions.put(name, {**place, "name": name, "slug": name.lower(), "pk": new})
    for receipt in reversed(known.receipts.list(key)):
        named = {"target": name, "transient": name, "transient_id": new}
        state.receipts.put(str(new), {**receipt, **named})
    for source, clock in known.clocks.get(target.name).items():
        state.clocks.record_answers([name], source, lambda *_, clock=clock: clock)
    found: dict[str, Any] = known.audits.found(key)
    if found:
        state.audits.done(str(new), {kind: n for kind, n in found.items() if kind != "at_ms"})
    state.quarantine.put(name, known.quarantine.list(target.name))
    return len(ledger)


if __name__ == "__main__":
    main(figures)
