"""Whether each unit of work costs the same among 100,000 targets as among 1,000.

Own processor time: of this process, and of the Valkey that keeps the state. All targets have
been asked before, so that the state of each is there; those that are fetched are in the sky of
the stand-ins.
"""

from __future__ import annotations

import statistics
import sys
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from bench.figures import Figure, main
from bench.own_cpu import OwnCpu
from bench.profiling import print_profile
from bench.world import World, cycle
from yse_ingest.cli import main as terminal
from yse_ingest.service import DISPATCH_MAX
from yse_ingest.sources import Status
from yse_ingest.state.clocks import noted_answer
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FEW, MANY = 1_000, 100_000
IN_THE_SKY = 100
"""Targets that are fetched."""
CHANGED = 100
"""Targets that are added and removed."""
POINTS = 3
REPEATS = 9
IMPORTS = 3
AT_ONCE = 1_000
GROWS_AT_MOST = 1.3
UNITS = {
    "import, per target": "us",
    "dispatch, per target claimed": "us",
    "a tick with nothing due": "us",
    "quiet fetch, per target": "us",
    "add, per target": "us",
    "remove, per target": "us",
}


class Size:
    """A service with so many targets, and what each unit costs it."""

    def __init__(self, world: World, count: int, *, sky: Sequence[Target]) -> None:
        self.world = world
        self.namespace = f"growth{count}"
        self.service = world.service(
            # A tick looks how many messages wait.
            CELERY_BROKER_URL=world.redis.url(0),
            YSE_INGEST_OVERLAP="0s",
            YSE_INGEST_NAMESPACE=self.namespace,
            YSE_INGEST_STATE_DIR=str(world.directory / self.namespace),
        )
        self.cpu = OwnCpu(world.redis.url(1))
        self.names = [f"grown{number:06d}" for number in range(count - len(sky))]
        self.sky = sky
        self.costs: dict[str, list[float]] = {unit: [] for unit in UNITS}

    def settle(self) -> None:
        """Follow all, and have each asked about before."""
        store = self.service.state
        now_ms = store.now_ms()
        asked = noted_answer(
            asked_ms=now_ms, answered_ms=now_ms, status=str(Status.OK), detail={}
        )(None)
        for start in range(0, len(self.names), AT_ONCE):
            some = self.names[start : start + AT_ONCE]
            store.targets.put_many(
                (Target(name, ra=10.0, dec=20.0) for name in some),
                origin="adhoc",
                due_ms=now_ms + 86_400_000,
            )
            store.clocks.record_answers(some, "mars", lambda *_: asked)
        for target in self.sky:
            self.service.enqueue(target)
        for _ in range(2):
            cycle(self.service, [each.name for each in self.sky])

    def measure(self) -> None:
        """Measure each unit once."""
        service = self.service
        for name in self.names[:DISPATCH_MAX]:
            service.state.targets.set_due(name, 1)
        claimed = min(DISPATCH_MAX, len(self.names))
        self._note("dispatch, per target claimed", self._dispatch, claimed)
        self._note("a tick with nothing due", service.dispatch, 1)
        names = [each.name for each in self.sky]
        self._note("quiet fetch, per target", lambda: cycle(service, names), len(names))
        new = [Target(f"added{number}", ra=30.0, dec=1.0) for number in range(CHANGED)]
        self._note("add, per target", lambda: [service.enqueue(each) for each in new], CHANGED)
        remove = service.state.targets.remove
        self._note("remove, per target", lambda: [remove(each.name) for each in new], CHANGED)

    def _dispatch(self) -> None:
        claimed = sum(len(batch.names) for batch in self.service.dispatch())
        if claimed < min(DISPATCH_MAX, len(self.names)):
            raise RuntimeError(f"only {claimed} targets were claimed")

    def _note(self, unit: str, work: Callable[[], Any], count: int) -> None:
        self.costs[unit].append(1e6 * self.cpu.seconds_of(work) / count)


def import_us(world: World, count: int, number: int) -> float:
    """Return what `yse-ingest targets import` of so many costs, per target [us]."""
    folder = world.directory / f"import-{count}-{number}"
    folder.mkdir()
    file = folder / "targets.csv"
    rows = (f"imported{each:06d},{each % 360}.5,{each % 80}.25" for each in range(count))
    file.write_text("name,ra,dec\n" + "\n".join(rows) + "\n")
    environment = {
        **world.environment,
        "YSE_INGEST_NAMESPACE": folder.name,
        "YSE_INGEST_STATE_DIR": str(folder),
    }

    def run() -> None:
        done = CliRunner().invoke(
            terminal, ["targets", "import", str(file), "--json"], env=environment
        )
        if f'"new": {count}' not in done.output:
            raise RuntimeError(done.output)

    return 1e6 * OwnCpu(world.redis.url(1)).seconds_of(run) / count


def figures(*, profile: bool = False) -> Iterator[Figure]:
    """Measure both sizes in turns, so that what the machine does besides falls on both."""
    with World() as world:
        sky = world.seed(IN_THE_SKY, POINTS)
        few, many = sizes = [Size(world, count, sky=sky) for count in (FEW, MANY)]
        for size in sizes:
            size.settle()
        if profile:
            print_profile(many.measure)
        for _ in range(REPEATS + 1):
            for size in sizes:
                size.measure()
        import_us(world, 10, 0)  # what is imported once
        for number in range(IMPORTS):
            for size, count in zip(sizes, (FEW, MANY), strict=True):
                size.costs["import, per target"].append(import_us(world, count, number))
    for unit, name in UNITS.items():
        # The first one warms up.
        reference, measured = (
            statistics.median(size.costs[unit][-REPEATS:]) for size in (few, many)
        )
        yield Figure(
            f"own CPU, {unit}, of {MANY:,}",
            name,
            measured,
            GROWS_AT_MOST,
            reference,
            f"{name}, of {FEW:,}",
        )


if __name__ == "__main__":
    main(lambda: figures(profile="--profile" in sys.argv))
