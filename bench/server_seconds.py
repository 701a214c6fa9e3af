"""What a target costs the two servers in a day: 200 stored points, one new point per night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.figures import Figure, main
from bench.world import PASSWORD, USER, World, cycle
from tests.campaigns.documented_cron import DocumentedCron
from yse_ingest.reconcile import Auditor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.targets import Target

POINTS = 200
TARGETS = 25
ROUNDS = 48
"""Questions in a day: one in 30 minutes."""
DAYS_PER_AUDIT = DAYS_PER_LOOKUP = 7
DAYS_PER_FULL_READ = 7
INSTALLATION = 1000
"""Targets over which the hourly reading of YSE-PZ's vocabulary is spread."""
CRON_ROUNDS = 4
"""Rounds of the cron that are run; each other one of the day costs the same."""


@dataclass(frozen=True)
class Day:
    """Virtual seconds per target and day."""

    ysepz: float
    mars: float
    told: str = ""


def product() -> Day:
    """Return a day of the product, as it is shipped: every default."""
    with World() as world:
        targets = world.seed(TARGETS, POINTS)
        names = [target.name for target in targets]
        service = world.service()
        for target in targets:
            service.enqueue(target)
        cycle(service, names)
        world.call("cost", "mars")
        world.call("cost", "ysepz")

        for number in range(ROUNDS):
            if number == ROUNDS // 2:
                world.call("night", range(TARGETS), POINTS)
            cycle(service, names)
        mars, _ = world.call("cost", "mars")
        uploads, asked = world.call("cost", "ysepz")

        # A look-up is believed for a week.
        for target in targets:
            service.state.resolutions.drop(target.name)
            service.locate(target)
        lookups, _ = world.call("cost", "ysepz")

        # A new process reads the vocabulary first; so does every one after an hour.
        full = world.service(YSE_INGEST_FULL_READ="1ms", YSE_INGEST_AUDIT_AGE="1ms")
        full.ysepz.vocabulary()
        vocabulary, _ = world.call("cost", "ysepz")
        cycle(full, names)
        full_read, _ = world.call("cost", "mars")
        world.call("cost", "ysepz")

        auditor, audited = Auditor(full), 0
        while audited < TARGETS and (hints := auditor.tick()):
            for hint in hints:
                full.upload(hint.name, hint.key, hint.fence, attempt=1)
            audited += len(hints)
        audits, _ = world.call("cost", "ysepz")
        stored = [world.call("rows", name) for name in names]
    if stored != [POINTS + 1] * TARGETS or audited != TARGETS:
        raise RuntimeError(f"not a day's work: {stored} stored, {audited} audited")
    parts = {
        "uploads and their proofs": uploads / TARGETS,
        "look-up": lookups / TARGETS / DAYS_PER_LOOKUP,
        "audit": audits / TARGETS / DAYS_PER_AUDIT,
        "vocabulary": 24 * vocabulary / INSTALLATION,
    }
    told = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in parts.items())
    kinds = sorted({(method, path.rstrip("/").split("/")[1]) for method, path, _ in asked})
    return Day(
        sum(parts.values()),
        (mars + full_read / DAYS_PER_FULL_READ) / TARGETS,
        f"{told}; requests: {', '.join(' '.join(kind) for kind in kinds)}",
    )


def cron(*, every_page: bool) -> Day:
    """Return a day of the documented cron on one target of which all points are stored."""
    with World() as world:
        (target,) = world.seed(1, POINTS)
        _run(world, target, every_page=True)
        world.call("cost", "mars")
        world.call("cost", "ysepz")
        for _ in range(CRON_ROUNDS):
            _run(world, target, every_page=every_page)
        mars, _ = world.call("cost", "mars")
        ysepz, _ = world.call("cost", "ysepz")
    return Day(ysepz * ROUNDS / CRON_ROUNDS, mars * ROUNDS / CRON_ROUNDS)


def _run(world: World, target: Target, *, every_page: bool) -> None:
    if target.ra is None or target.dec is None:
        raise ValueError(target.name)
    job = DocumentedCron(world.mars_url, world.ysepz_url, USER, PASSWORD, every_page=every_page)
    job.run(target.name, target.ra, target.dec)


def figures() -> Iterator[Figure]:
    """Measure the two servers' seconds per target and day."""
    ours, first_page, mended = product(), cron(every_page=False), cron(every_page=True)
    name = "YSE-PZ server seconds per target and day"
    yield Figure(
        name, "s", ours.ysepz, 1 / 80, first_page.ysepz, "s, cron, page 1", note=ours.told
    )
    yield Figure(
        f"{name} (paging mended)", "s", ours.ysepz, 1 / 140, mended.ysepz, "s, cron, all pages"
    )
    yield Figure(
        "MARS server seconds per target and day",
        "s",
        ours.mars,
        1 / 5,
        first_page.mars,
        "s, cron, page 1",
        note=f"beside the cron with its paging mended: {mended.mars:.4g} s",
    )


if __name__ == "__main__":
    main(figures)
