"""One campaign: the service on its stand-ins, the faults, the quiet after them, the verdict."""

from __future__ import annotations

import contextlib
import heapq
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.campaigns.chaos.clocks import HostClocks
from tests.campaigns.chaos.others import Others
from tests.campaigns.chaos.processes import Processes
from tests.campaigns.chaos.sky import Transient, sky
from tests.campaigns.chaos.stand_ins import CountingYsePz, MischievousMars
from tests.campaigns.chaos.trouble import WORKER_LIMIT_S, Trouble, plan
from tests.campaigns.chaos.verdict import SHOWN, Archive, Verdict
from yse_ingest.errors import StateError
from yse_ingest.sandbox.faults import Fault
from yse_ingest.state import State, side_connection
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCALE = 15
"""Every wait of the service is divided by about this."""
TIMES = {
    "YSE_PZ_CONNECT_TIMEOUT": "1",
    "YSE_PZ_READ_TIMEOUT": "4",
    "YSE_PZ_REQUEST_LIMIT": f"{WORKER_LIMIT_S:g}",
    "YSE_INGEST_SOURCE_CONNECT_TIMEOUT": "1",
    "YSE_INGEST_SOURCE_GET_TIMEOUT": "3",
    "YSE_INGEST_SOURCE_POST_TIMEOUT": "5",
    "YSE_INGEST_SETTLE_GAP": "0.2",
    "YSE_INGEST_LEASE": "6",
    "YSE_INGEST_MESSAGE_LIMIT": "16",
    "YSE_INGEST_VISIBILITY": "20",
    "YSE_INGEST_RETRY_WAIT": "0.4",
    "YSE_INGEST_RETRY_WAIT_MAX": "4",
    "YSE_INGEST_OWED_WAIT": "2",
    "YSE_INGEST_OWED_WAIT_MAX": "20",
    "YSE_INGEST_REFUSED_WAIT": "30",
    # An hour's work in minutes: the budget is another test's.
    "YSE_INGEST_BUDGET": "1000%",
    "YSE_INGEST_PROBE_WAIT": "0.4",
    "YSE_INGEST_PROBE_WAIT_MAX": "5",
    "YSE_INGEST_ASK_AGAIN": "4",
    "YSE_INGEST_FETCH_LOST": "40",
    "YSE_INGEST_REQUEST_SECONDS": "0.7",
    # More than the stand-in has workers, and enough for the turns of the dead to run out.
    "YSE_PZ_IN_FLIGHT": "6",
    "YSE_INGEST_UPLOADS": "4",
}
TICK_S = 0.05
SUPERVISED_S = 0.3
LOOK_S = 3.0


@dataclass(frozen=True)
class Size:
    """How large a campaign is."""

    targets: int = 500
    points: int = 50_000
    seconds: float = 420.0
    """How long things break [s]."""
    kills: int = 210
    broker_kills: int = 12
    connection_kills: int = 20
    black_holes: int = 6
    ysepz_faults: int = 130
    mars_faults: int = 40
    clock_jumps: int = 30
    cadence_s: float = 30.0
    """How often a target is asked about, and twice that is how often in full [s]."""
    quiet_s: float = 900.0
    """Not quiet after this: given up [s]."""


@dataclass
class Report:
    """What came of a campaign."""

    seed: int
    size: Size
    verdict: Verdict
    injected: Counter[str]
    most_open: int
    given_up: int
    given_up_beside: int
    quiet_after_s: float | None
    """None: it never became quiet."""
    ended_by_themselves: Counter[str]
    outbox: dict[str, int]
    writes: Counter[str]
    where: str = ""
    other_lines: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Return whether every promise was kept."""
        return self.verdict.clean and self.most_open <= 1 and self.quiet_after_s is not None


class Campaign:
    """One run; everything it starts ends with it."""

    def __init__(self, folder: Path, seed: int, size: Size, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.seed = seed
        self.size = size
        self.say = say
        self.injected: Counter[str] = Counter()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._sizes: list[tuple[float, int]] = []
        self._stack = contextlib.ExitStack()

    def run(self) -> Report:
        """Break things, wait until it is quiet, and judge."""
        with self._stack:
            self._build()
            self.begun = time.monotonic()
            self._schedule()
            self._until(self.size.seconds)
            calm = time.monotonic()
            self._calm()
            self.say(f"the faults are over after {calm - self.begun:.0f} s")
            quiet_after_s = self._wait_until_quiet(calm)
            verdict = self.archive.judge(self.transients)
            return Report(
                seed=self.seed,
                size=self.size,
                verdict=verdict,
                injected=self.injected,
                most_open=self.ysepz.most_open,
                where=self.ysepz.where,
                given_up=self.ysepz.given_up,
                given_up_beside=self.ysepz.given_up_beside,
                quiet_after_s=quiet_after_s,
                ended_by_themselves=Counter(self.processes.ended_by_themselves),
                outbox=self._outbox(),
                writes=self.ysepz.writes,
                other_lines=[
                    f"rows written by others: {len(self.archive.foreign)}",
                    *self._known_of(verdict.wrong.get("lost", [])[:SHOWN]),
                ],
            )

    # Building -----------------------------------------------------------------------------

    def _build(self) -> None:
        enter = self._stack.enter_context
        self.redis = enter(EmbeddedRedis(self.folder / "redis"))
        self.mars = enter(MischievousMars(seed=self.seed))
        self.ysepz = enter(
            CountingYsePz(path=self.folder / "ysepz.sqlite", worker_limit_s=WORKER_LIMIT_S)
        )
        self.transients = sky(self.seed, targets=self.size.targets, points=self.size.points)
        for transient in self.transients:
            if not transient.created_by_us:
                self.ysepz.add_transient(
                    transient.name, transient.ra, transient.dec, redshift=0.01, tags=["YSE"]
                )
        self.archive = Archive(self.ysepz.store.path, our_id=189)
        self.archive.note_curated()
        self.others = Others(self.seed, self.ysepz, self.archive, self.transients)
        (self.folder / "targets.toml").write_text("".join(map(_entry, self.transients)))
        self.publish(0.0)
        environment = {
            **TIMES,
            "YSE_INGEST_CADENCE": f"{self.size.cadence_s:g}",
            "YSE_INGEST_FULL_READ": f"{2 * self.size.cadence_s:g}",
            "CELERY_BROKER_URL": self.redis.url(0),
            "YSE_PZ_URL": self.ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "MARS_URL": self.mars.url,
            "YSE_INGEST_TARGETS": str(self.folder / "targets.toml"),
            "YSE_INGEST_STATE_DIR": str(self.folder / "var"),
        }
        self.state = State.connect(
            self.redis.url(1),
            namespace="yse_ingest",
            decisions=self.folder / "var" / "decisions.jsonl",
            request_limit_s=WORKER_LIMIT_S,
        )
        self.clocks = HostClocks.built(self.folder)
        if self.clocks is None:
            self.say("no C compiler: the clocks of the hosts do not jump")
        else:
            self._stack.callback(self.clocks.close)
            environment.update(self.clocks.environment)
        self.processes = Processes(self.folder, environment)
        self._stack.callback(self.processes.close)
        self.processes.keep()

    def _schedule(self) -> None:
        size = self.size
        troubles = plan(
            self.seed,
            seconds=size.seconds,
            kills=size.kills,
            broker_kills=size.broker_kills,
            connection_kills=size.connection_kills,
            black_holes=size.black_holes,
            ysepz_faults=size.ysepz_faults,
            mars_faults=size.mars_faults,
            clock_jumps=size.clock_jumps if self.clocks is not None else 0,
        )
        for trouble in troubles:
            self.after(trouble.at_s, lambda trouble=trouble: self._inject(trouble))  # type: ignore[misc]
        for number in range(1, 101):
            self.after(size.seconds * number / 100, lambda at=number / 100: self.publish(at))  # type: ignore[misc]
        for number in range(1, round(size.seconds / 4)):
            self.after(4.0 * number, self.others.act)

    # Time ---------------------------------------------------------------------------------

    def after(self, at_s: float, do: Callable[[], None]) -> None:
        """Do something at a time from the beginning of the faults [s]."""
        self._order += 1
        heapq.heappush(self._later, (at_s, self._order, do))

    @property
    def now_s(self) -> float:
        """Return the time from the beginning of the faults [s]."""
        return time.monotonic() - self.begun

    def _until(self, end_s: float) -> None:
        supervised = 0.0
        while self.now_s < end_s:
            while self._later and self._later[0][0] <= self.now_s:
                heapq.heappop(self._later)[2]()
            if self.now_s >= supervised:
                self.processes.keep()
                self._note_size()
                supervised = self.now_s + SUPERVISED_S
            time.sleep(TICK_S)

    # Publishing ---------------------------------------------------------------------------

    def publish(self, until: float) -> None:
        """Publish every alert and every new value up to a share of the time of faults."""
        done = getattr(self, "_published", -1.0)
        self._published = until
        for number, transient in enumerate(self.transients):
            for point in transient.points:
                if done < point.published <= until:
                    if point.copied:
                        self.others.copy(transient, point)
                    self.mars.add_alert(
                        f"ZTF31{number:07d}",
                        point.jd,
                        point.band,
                        point.mag,
                        point.mag_err,
                        transient.ra,
                        transient.dec,
                        candid=point.candid,
                        isdiffpos="f" if point.negative else "t",
                    )
                if point.reprocessed is not None and done < point.reprocessed[0] <= until:
                    self.mars.update_alert(point.candid, magpsf=point.reprocessed[1])
        self.archive.note_foreign()

    # Faults -------------------------------------------------------------------------------

    def _inject(self, trouble: Trouble) -> None:
        if getattr(self, f"_{trouble.what}")(**trouble.about) is not False:
            self.injected[trouble.kind] += 1

    def _kill(self, *, name: str) -> bool:
        return self.processes.kill(name)

    def _note_size(self) -> None:
        file = self._newest_log()
        if file is not None:
            self._sizes = [*self._sizes[-20:], (time.monotonic(), file.stat().st_size)]

    def _newest_log(self) -> Path | None:
        logs = (self.folder / "redis" / "appendonlydir").glob("*.incr.aof")
        return max(logs, key=lambda file: file.stat().st_mtime, default=None)

    def _kill_broker(self, *, away_s: float, lost_s: float) -> None:
        self.redis.kill()
        if lost_s:
            before = time.monotonic() - lost_s
            sizes = [size for at, size in self._sizes if at <= before]
            file = self._newest_log()
            if sizes and file is not None:
                os.truncate(file, min(sizes[-1], file.stat().st_size))
        self._sizes = []
        time.sleep(away_s)
        self.redis.start()

    def _cut_connections(self) -> None:
        connection = side_connection(self.redis.url(0))
        try:
            for kind in ("normal", "pubsub"):
                connection.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        finally:
            connection.close()

    def _stop_broker(self, *, seconds: float) -> None:
        pid = self.redis.pid
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)

    def _break_ysepz(self, *, fault: dict[str, Any]) -> None:
        self.ysepz.faults.add(Fault(**fault))

    def _break_mars(self, *, fault: dict[str, Any]) -> None:
        self.mars.faults.add(Fault(**fault))

    def _spoil_mars(self, *, seconds: float, share: float) -> None:
        self.mars.mischief = share
        self.after(self.now_s + seconds, lambda: setattr(self.mars, "mischief", 0.0))

    def _overload(self, *, seconds: float, real_cost: float) -> None:
        self.ysepz.real_cost = real_cost
        self.after(self.now_s + seconds, lambda: setattr(self.ysepz, "real_cost", 0.0))

    def _jump_clock(self, *, name: str, by_s: float, for_s: float) -> bool:
        if self.clocks is None:
            return False
        slot, shift = list(self.processes.roles).index(name), self.clocks.shift
        shift(slot, by_s)
        self.after(self.now_s + for_s, lambda: shift(slot, 0.0))
        return True

    def _jam(self) -> None:
        """Keep both server workers busy longer than our read time-out, and slow afterwards.

        Uploads that we give up are then still in the queue, and take a while when their turn
        comes: sent again too early, both would be written.
        """
        rounds = 4
        slow_s = 0.95 * WORKER_LIMIT_S
        slow = Fault("slow", path="^/get_transient", times=2 * rounds, seconds=slow_s)
        self.ysepz.faults.add(slow)
        for _ in range(2 * rounds):
            threading.Thread(target=self.others.ask_slowly, daemon=True).start()
        self._overload(seconds=rounds * slow_s + WORKER_LIMIT_S, real_cost=2.0)

    def _calm(self) -> None:
        self.ysepz.faults.clear()
        self.mars.faults.clear()
        self.ysepz.real_cost = 0.0
        self.mars.mischief = 0.0
        while self._later:
            heapq.heappop(self._later)[2]()
        self.ysepz.faults.clear()
        self.mars.faults.clear()
        self.publish(1.0)

    # Quiet --------------------------------------------------------------------------------

    def _outbox(self) -> dict[str, int]:
        try:
            return self.state.outbox.counts()
        except StateError:
            return {}

    def _wait_until_quiet(self, calm: float) -> float | None:
        """Wait until all is stored and nothing is owed; return how long that took [s]."""
        asked_ms = time.time() * 1000
        end = calm + self.size.quiet_s
        while time.monotonic() < end:
            self.processes.keep()
            time.sleep(LOOK_S)
            counts = self._outbox()
            waiting = sum(counts.get(what, 1) for what in ("due", "inflight", "refused"))
            took_s = time.monotonic() - calm
            self.say(f"  {took_s:4.0f} s later: {self.archive.count()} rows, {waiting} owed")
            if not waiting and self._all_asked_since(asked_ms):
                verdict = self.archive.judge(self.transients)
                if not verdict.count("lost") + verdict.count("altered"):
                    return took_s
        return None

    def _known_of(self, lost: list[str]) -> list[str]:
        """Return what the service itself knows of the targets that lack a point."""
        return [
            f"  {name}: {what} {known}"
            for name in sorted({case.split()[0] for case in lost})
            for what, known in (
                ("set aside", self.state.quarantine.list(name)[-3:]),
                ("refused by YSE-PZ", self.state.quarantine.refusals(name)),
                ("asked", self.state.clocks.get(name)),
            )
        ]

    def _all_asked_since(self, moment_ms: float) -> bool:
        clocks = self.state.clocks.all(transient.name for transient in self.transients)
        return all(
            any((clock.answered_ms or 0) > moment_ms for clock in each.values())
            for each in clocks.values()
        )


def _entry(transient: Transient) -> str:
    creation = 'creation = { status = "New", obs_group = "ZTF", tags = ["YSE"] }\n'
    return (
        f'[[targets]]\nname = "{transient.name}"\nra = {transient.ra}\ndec = {transient.dec}\n'
        + (creation if transient.created_by_us else "")
    )
