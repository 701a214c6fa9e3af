"""What a target costs the two servers in a day: 200 stored points, one new point per night."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.figures import Figure, main
from bench.own_cpu import OwnCpu
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
    """What a target costs in a day [s]: the servers' virtual seconds, our processor time."""

    ysepz: float
    mars: float
    own_cpu: float
    longest: float
    """The request that took YSE-PZ longest [s]: after 30 it breaks one off."""
    vocabulary: float = 0.0
    """Of YSE-PZ and an installation, whatever the number of its targets [s]; not in `ysepz`."""
    told: str = ""

    def of(self, targets: int) -> float:
        """Return YSE-PZ's seconds for an installation of so many targets."""
        return targets * self.ysepz + self.vocabulary


def product(*, targets: int = TARGETS, points: int = POINTS, quiet: int = ROUNDS - 1) -> Day:
    """Return a day of the product, as it is shipped: every default.

    Parameters
    ----------
    targets
        How many share its requests to the source.
    points
        Stored points of each.
    quiet
        Rounds without news that are run; the others of the day cost as much.
    """
    with World() as world:
        followed = world.seed(targets, points)
        names = [target.name for target in followed]
        service = world.service()
        for target in followed:
            service.enqueue(target)
        cycle(service, names)
        cpu = OwnCpu(world.redis.url(1))
        world.call("forget")

        def rounds(count: int) -> dict[str, float]:
            began = cpu.now_s()
            for _ in range(count):
                cycle(service, names)
            return {**_costs(world), "cpu": cpu.now_s() - began}

        before = rounds(quiet // 2)
        world.call("night", range(targets), points)
        news = rounds(1)
        after = rounds(quiet - quiet // 2)

        # A look-up is believed for a week.
        for target in followed:
            service.state.resolutions.drop(target.name)
            service.locate(target)
        lookups = _costs(world)["ysepz"]

        # A new process reads the vocabulary first; so does every one after an hour.
        full = world.service(YSE_INGEST_FULL_READ="1ms", YSE_INGEST_AUDIT_AGE="1ms")
        full.ysepz.vocabulary()
        vocabulary = 24 * _costs(world)["ysepz"]
        cycle(full, names)
        full_read = _costs(world)["mars"]

        auditor, audited = Auditor(full), 0
        while audited < targets and (hints := auditor.tick()):
            for hint in hints:
                full.upload(hint.name, hint.key, hint.fence, attempt=1)
            audited += len(hints)
        audits = _costs(world)["ysepz"]
        stored = [world.call("rows", name) for name in names]
    if stored != [points + 1] * targets or audited != targets:
        raise RuntimeError(f"not a day's work: {stored} stored, {audited} audited")
    day = {
        what: news[what] + (before[what] + after[what]) * (ROUNDS - 1) / quiet
        for what in ("ysepz", "mars", "cpu")
    }
    parts = {
        "uploads and their proofs": day["ysepz"] / targets,
        "look-up": lookups / targets / DAYS_PER_LOOKUP,
        "audit": audits / targets / DAYS_PER_AUDIT,
    }
    told = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in parts.items())
    return Day(
        sum(parts.values()),
        (day["mars"] + full_read / DAYS_PER_FULL_READ) / targets,
        day["cpu"] / targets,
        news["longest"],
        vocabulary,
        f"{told}, vocabulary {vocabulary / INSTALLATION:.3f} s of {INSTALLATION:,} targets",
    )


def cron(
    *, every_page: bool, targets: int = 1, points: int = POINTS, rounds: int = CRON_ROUNDS
) -> Day:
    """Return a day of the documented cron on targets of which all points are stored.

    Parameters
    ----------
    every_page
        Mended: not the first page of the source's answer alone.
    rounds
        Rounds that are run; the others of the day cost as much.
    """
    with World() as world:
        followed = world.seed(targets, points)
        for target in followed:
            _run(world, target, every_page=True)
        world.call("forget")
        began = time.process_time()
        for _ in range(rounds):
            for target in followed:
                _run(world, target, every_page=every_page)
        used = time.process_time() - began
        of = _costs(world)
    share = ROUNDS / rounds / targets
    return Day(of["ysepz"] * share, of["mars"] * share, used * share, of["longest"])


def _costs(world: World) -> dict[str, float]:
    """Return both servers' seconds since the last call, and YSE-PZ's longest request."""
    mars, _ = world.call("cost", "mars")
    ysepz, asked = world.call("cost", "ysepz")
    longest = max((seconds for *_, seconds in asked), default=0.0)
    return {"mars": mars, "ysepz": ysepz, "longest": longest}


def _run(world: World, target: Target, *, every_page: bool) -> None:
    if target.ra is None or target.dec is None:
        raise ValueError(target.name)
    job = DocumentedCron(world.mars_url, world.ysepz_url, USER, PASSWORD, every_page=every_page)
    job.run(target.name, target.ra, target.dec)


def figures() -> Iterator[Figure]:
    """Measure the two servers' seconds per target and day."""
    day, first_page, mended = product(), cron(every_page=False), cron(every_page=True)
    ours = day.of(INSTALLATION) / INSTALLATION
    name = "YSE-PZ server seconds per target and day"
    yield Figure(name, "s", ours, 1 / 80, first_page.ysepz, "s, cron, page 1", note=day.told)
    yield Figure(
        f"{name} (paging mended)", "s", ours, 1 / 140, mended.ysepz, "s, cron, all pages"
    )
    yield Figure(
        "MARS server seconds per target and day",
        "s",
        day.mars,
        1 / 5,
        first_page.mars,
        "s, cron, page 1",
        note=f"beside the cron with its paging mended: {mended.mars:.4g} s",
    )


if __name__ == "__main__":
    main(figures)
