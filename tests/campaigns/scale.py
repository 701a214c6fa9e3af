"""``python -m tests.campaigns.scale``: 100,000 targets, imported, dispatched, changed.

Real programs on a real Redis: the terminal imports a CSV; two beats and two control workers
dispatch a cadence of 2 h, in scaled time; one beat is killed half-way; targets come and go
meanwhile. Then the same with fewer targets at the adaptive pace. In the place of the fetch
workers stands a reader of their queue, which notes who was asked for when, and that an answer
came: sources are not what is measured here. Then 1,000 targets are claimed out of 1,000,000.
What each job of beat takes is printed for 1,000 targets and for all. Exit code 1 where a bound
is broken.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import datetime as dt
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.campaigns.beat_jobs import TICK_SHARE_MAX, costs
from yse_ingest.cadence import BASE_S, Facts, adaptive
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import DISPATCH_MAX, Service
from yse_ingest.settings import Settings
from yse_ingest.state import State, side_connection
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import ADAPTIVE, Target, phase_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parents[2]
CADENCE_H = 2
MINUTES = 60 * CADENCE_H
CONTROL = ["worker", "-Q", "control", "--without-gossip", "--without-mingle", "-c", "1"]
EVENNESS_MAX = 1.2
TARGET_BYTES_MAX = 1000
POINT_BYTES = 17
IMPORT_S_MAX = 120.0
MILLION_CLAIM_S_MAX = 1.0
READ_AT_ONCE = 50
PACES = (0.4, 0.6, 0.8)
"""The adaptive paces of the targets, as parts of the longest cadence."""
SENT_WITHIN_S = 1.0
"""Messages are sent so soon after their claim, on a busy host too [s]."""


@dataclass
class Verdict:
    """What was measured, and what of it breaks a bound."""

    broken: list[str] = field(default_factory=list)

    def tell(self, text: str, *, holds: bool = True) -> None:
        """Print one figure."""
        sys.stdout.write(f"{'ok  ' if holds else 'FAIL'}  {text}\n")
        sys.stdout.flush()
        if not holds:
            self.broken.append(text)


class Asked:
    """Reads the fetch queue as workers would, and notes every question."""

    def __init__(
        self,
        redis: EmbeddedRedis,
        state: State,
        *,
        expires_s: float,
        every_s: Callable[[str], float] | None,
    ) -> None:
        self._expires_s = expires_s
        self._every_s = every_s
        self._broker = side_connection(redis.url(0))
        self._state = state
        self._end = threading.Event()
        self.times: dict[str, list[float]] = defaultdict(list)
        self.thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        while not self._end.is_set():
            messages = self._broker.batch([("RPOP", "fetch")] * READ_AT_ONCE)
            questions = [each for text in messages if text for each in self._questions(text)]
            for name, sent in questions:
                self.times[name].append(sent)
                asked_ms = int(sent * 1000)
                self._state.clocks.record(
                    name, "mars", asked_ms=asked_ms, answered_ms=asked_ms, status="ok"
                )
                if self._every_s is not None:
                    self._set_pace(name, self._every_s(name))
            if not questions:
                self._end.wait(0.02)

    def _set_pace(self, name: str, every_s: float) -> None:
        """Note what the adaptive rule says after an answer, as the fetch does."""
        now_ms = self._state.now_ms()
        facts = Facts(now_ms, spread=phase_of(name) / 2**32)
        pace = adaptive(facts, min_s=every_s, max_s=every_s)
        due_ms = now_ms + round(1000 * pace.seconds)
        self._state.targets.set_pace(name, pace.every_s, due_ms)

    def _questions(self, text: str) -> list[tuple[str, float]]:
        """Return who is asked for by a message, and when: messages expire after a while."""
        message = json.loads(text)
        if not message["headers"]["task"].startswith("yse_ingest.fetch_photometry"):
            return []  # the pulse of the queue
        names = json.loads(base64.b64decode(message["body"]))[0][0]
        expires = dt.datetime.fromisoformat(message["headers"]["expires"])
        sent = expires.timestamp() - self._expires_s
        return [(name, sent) for name in ([names] if isinstance(names, str) else names)]

    def close(self) -> None:
        """End."""
        self._end.set()
        self.thread.join()
        self._broker.close()


def names_of(count: int, start: int = 0) -> list[str]:
    """Return names as a survey gives them: a year and letters."""
    letters = "abcdefghijklmnopqrstuvwxyz"

    def word(number: int) -> str:
        text = ""
        for _ in range(4):
            number, rest = divmod(number, 26)
            text = letters[rest] + text
        return text

    return [f"{2019 + n // 26**4}{word(n % 26**4)}" for n in range(start, start + count)]


def csv_of(names: Sequence[str]) -> str:
    """Return a table of targets all over the sky."""
    rows = (
        f"{name},{(number * 137.508) % 360:.6f},{(number * 0.618) % 180 - 90:.6f}\n"
        for number, name in enumerate(names)
    )
    return "name,ra,dec\n" + "".join(rows)


class Scale:
    """One run."""

    def __init__(
        self,
        folder: Path,
        *,
        targets: int,
        cadence_s: float,
        bins: int,
        evenness: float,
        is_adaptive: bool = False,
    ) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.is_adaptive = is_adaptive
        self.names = names_of(targets)
        self.cadence_s = cadence_s
        self.evenness = evenness
        self.verdict = Verdict()
        self.bins = bins
        # As a tick of 5 s is to 2 h.
        self.tick_s = max(0.1, cadence_s * 5 / (3600 * CADENCE_H))

    def environment(self, redis: EmbeddedRedis) -> dict[str, str]:
        """Return the settings of the service."""
        return {
            "CELERY_BROKER_URL": redis.url(0),
            "MARS_URL": "http://127.0.0.1:1/",
            "YSE_INGEST_STATE_DIR": str(self.folder / "var"),
            "YSE_INGEST_CADENCE": ADAPTIVE if self.is_adaptive else f"{self.cadence_s}",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def run(self) -> bool:
        """Run it and print the figures; return whether every bound holds."""
        with EmbeddedRedis(self.folder / "redis") as redis:
            settings = Settings.from_env(self.environment(redis))
            service = Service.from_settings(settings)
            if self.is_adaptive:
                self.few(redis)
            else:
                self.import_(redis, service)
            self.dispatch(redis, service)
            service.state.close()
        return not self.verdict.broken

    def every_s(self, name: str) -> float:
        """Return how often a target is asked about [s]: the adaptive ones differ."""
        if not self.is_adaptive:
            return self.cadence_s
        return self.cadence_s * PACES[phase_of(name) % len(PACES)]

    def few(self, redis: EmbeddedRedis) -> None:
        """Bring the targets in."""
        (self.folder / "celeryconfig.py").write_text(knobs(self.tick_s))
        (self.folder / "targets.csv").write_text(csv_of(self.names))
        self.terminal(redis, "targets", "import", "targets.csv")

    def terminal(self, redis: EmbeddedRedis, *arguments: str) -> dict[str, Any]:
        """Run one command of the terminal; return its JSON."""
        done = subprocess.run(
            [Path(sys.executable).parent / "yse-ingest", *arguments, "--json"],
            cwd=self.folder,
            env={**os.environ, **self.environment(redis)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def import_(self, redis: EmbeddedRedis, service: Service) -> None:
        """Bring the targets in, and measure what they take."""
        (self.folder / "celeryconfig.py").write_text(knobs(self.tick_s))
        (self.folder / "targets.csv").write_text(csv_of(self.names))
        connection = side_connection(redis.url(1))
        before = used_memory(connection)
        began = time.monotonic()
        counts = self.terminal(redis, "targets", "import", "targets.csv")
        took = time.monotonic() - began
        held = used_memory(connection) - before
        connection.close()
        count = len(self.names)
        whole = counts["new"] == count == service.state.targets.count()
        self.verdict.tell(
            f"import of {count:,} targets: {took:.1f} s", holds=whole and took < IMPORT_S_MAX
        )
        self.verdict.tell(
            f"registry: {held / count:.0f} B per target, its look of `watch` with it",
            holds=held / count < TARGET_BYTES_MAX,
        )
        began = time.monotonic()
        again = self.terminal(redis, "targets", "import", "targets.csv")
        self.verdict.tell(
            f"the same import again: {time.monotonic() - began:.1f} s, "
            f"{again['unchanged']:,} unchanged",
            holds=again["unchanged"] == count,
        )
        for words in (["status"], ["targets", "list", "--limit", "20"]):
            self.timed(redis, words)

    def timed(self, redis: EmbeddedRedis, words: list[str]) -> None:
        """Print how long a command takes, its exit code aside."""
        began = time.monotonic()
        done = subprocess.run(
            [Path(sys.executable).parent / "yse-ingest", *words],
            cwd=self.folder,
            env={**os.environ, **self.environment(redis)},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = len(done.stdout.splitlines())
        self.verdict.tell(
            f"`yse-ingest {' '.join(words)}`: {time.monotonic() - began:.1f} s, {lines} lines",
            holds=lines < 250,
        )

    def dispatch(self, redis: EmbeddedRedis, service: Service) -> None:
        """Dispatch for two cadences, with two beats and one of them killed."""
        asked = Asked(
            redis,
            service.state,
            expires_s=BASE_S if self.is_adaptive else self.cadence_s,
            every_s=self.every_s if self.is_adaptive else None,
        )
        with processes(self.folder, self.environment(redis)) as pids:
            asked.thread.start()
            try:
                self.story(redis, service, asked, pids)
            finally:
                asked.close()

    def story(
        self,
        redis: EmbeddedRedis,
        service: Service,
        asked: Asked,
        pids: dict[str, subprocess.Popen[bytes]],
    ) -> None:
        """Go through it from the first question to the last."""
        count = len(self.names)
        wait_until(lambda: len(asked.times) >= count, within=120 + count / 200)
        first = min(times[0] for times in list(asked.times.values()))
        took = time.time() - first
        self.verdict.tell(
            f"catching up: {count:,} claimed in {took:.1f} s, {count / took:,.0f} claims/s "
            f"({DISPATCH_MAX} a tick at most, a tick each {self.tick_s:g} s)"
        )
        # From here on each has its own time; a quarter of the cadence is free after the first.
        steady = time.time() + 0.25 * self.cadence_s
        wait_until(lambda: time.time() > steady + 0.5 * self.cadence_s, within=self.cadence_s)
        pids["beat1"].send_signal(signal.SIGKILL)
        killed = time.time()
        if not self.is_adaptive:
            self.evenness_of_next_times(service)
        more = names_of(count // 100, start=count)
        (self.folder / "more.csv").write_text(csv_of(more))
        self.terminal(redis, "targets", "import", "more.csv")
        added = time.time()
        gone = self.names[:: max(1, count // 500)]
        for name in gone:
            service.state.targets.remove(name)
        removed = time.time()
        wait_until(lambda: all(name in asked.times for name in more), within=120)
        self.verdict.tell(
            f"{len(more):,} added while running: all asked {time.time() - added:.1f} s later"
        )
        end = max(steady + 1.25 * self.cadence_s, removed + 5 * self.tick_s)
        wait_until(lambda: time.time() > end, within=2 * self.cadence_s)
        times = {name: list(each) for name, each in asked.times.items()}
        late = sum(t > removed + 2 for name in gone for t in times.get(name, []))
        self.verdict.tell(f"{len(gone)} removed: asked {late} times after that", holds=not late)
        if not self.is_adaptive:
            self.load(times, steady, end)
        self.doubles(times, killed)

    def evenness_of_next_times(self, service: Service) -> None:
        """Print how evenly the next times lie."""
        due = service.state.targets.due_times(self.names)
        length_ms = 1000 * self.cadence_s / self.bins
        bins = Counter(int(each / length_ms) % self.bins for each in due.values())
        worst = max(bins.values()) / (sum(bins.values()) / self.bins)
        self.verdict.tell(
            f"next times: max/mean of {self.bins} parts of {CADENCE_H} h is {worst:.3f}",
            holds=worst <= self.evenness and len(bins) == self.bins,
        )

    def load(self, times: dict[str, list[float]], start: float, end: float) -> None:
        """Print how evenly questions came, while all was steady.

        A minute is a second here: where the host lets no tick work for a part of it, that part
        of the questions comes in the next one. How long that was is told beside the figure.
        """
        length_s = self.cadence_s / self.bins
        first = set(self.names)
        asked = sorted(
            each
            for name, every in times.items()
            if name in first
            for each in every
            if start <= each < start + self.cadence_s
        )
        bins = Counter(int((each - start) / length_s) for each in asked)
        mean = len(asked) / self.bins
        worst = max(bins.values()) / mean
        paused_s = max(after - before for before, after in itertools.pairwise(asked))
        held_up = max(0.0, paused_s - 2 * self.tick_s) / length_s
        self.verdict.tell(
            f"questions: {mean:.0f} a minute, max/mean {worst:.3f}; no tick came for "
            f"{held_up:.2f} of a minute at most",
            holds=worst <= self.evenness,
        )

    def doubles(self, times: dict[str, list[float]], killed: float) -> None:
        """Print who was asked twice within a quarter of its cadence: its next time is later.

        At the adaptive pace, too, where an answer is late.
        """
        twice = sum(
            later - before < 0.25 * self.every_s(name) - SENT_WITHIN_S
            for name, every in times.items()
            for before, later in itertools.pairwise(every)
        )
        pace = ADAPTIVE if self.is_adaptive else "fixed"
        after = sum(each > killed for every in times.values() for each in every)
        gone = set(self.names[:: max(1, len(self.names) // 500)])
        unasked = sum(len(times[name]) < 2 for name in self.names if name not in gone)
        self.verdict.tell(
            f"two beats, one killed, {pace} pace: {sum(map(len, times.values())):,} questions, "
            f"{after:,} of them after the kill, {twice} double-asks, {unasked} left out",
            holds=not twice and not unasked and after > 0,
        )


def claim_of_a_million(folder: Path, verdict: Verdict, *, targets: int) -> None:
    """Claim 1,000 due targets out of very many, and print how long it takes."""
    with EmbeddedRedis(folder / "million") as redis:
        state = State.connect(redis.url(1), namespace="million", decisions=None)
        later_ms = state.now_ms() + 3_600_000
        names = names_of(targets)
        began = time.monotonic()
        for start in range(0, targets, 10_000):
            some = [Target(name, ra=10.0, dec=20.0) for name in names[start : start + 10_000]]
            state.targets.put_many(some, origin="file", due_ms=later_ms)
        took = time.monotonic() - began
        verdict.tell(f"{targets:,} targets put in {took:.0f} s")
        claims = []
        for start in range(5):
            due = names[start * 1000 : (start + 1) * 1000]
            for name in due:
                state.targets.set_due(name, 1)
            began = time.monotonic()
            claimed = state.targets.claim_due(state.now_ms(), 1000, cadence_s=7200.0)
            claims.append(time.monotonic() - began)
            if sorted(name for name, _ in claimed) != sorted(due):
                verdict.tell("the claim takes others than those that are due", holds=False)
        worst = max(claims)
        verdict.tell(
            f"claim of 1,000 due out of {targets:,}: {median(claims) * 1000:.0f} ms, "
            f"{worst * 1000:.0f} ms at most, {1000 / median(claims):,.0f} claims/s",
            holds=worst < MILLION_CLAIM_S_MAX,
        )
        state.close()


def ticks(folder: Path, verdict: Verdict, *, targets: int) -> None:
    """Print how long a tick takes in which 1,000 of very many are due, and none is."""
    with EmbeddedRedis(folder / "ticks") as redis:
        environment = {
            "CELERY_BROKER_URL": redis.url(0),
            "YSE_INGEST_STATE_DIR": str(folder / "ticks-var"),
            "YSE_INGEST_CADENCE": "2h",
        }
        service = Service.from_settings(Settings.from_env(environment))
        service.state.targets.put_many(map(Target, names_of(targets)), origin="adhoc")
        full: list[float] = []
        claimed = 0
        spent_s = time.process_time()
        for _ in range(targets // DISPATCH_MAX):
            began = time.monotonic()
            claimed += sum(len(batch.names) for batch in service.dispatch())
            full.append(time.monotonic() - began)
        spent_s = time.process_time() - spent_s
        began = time.monotonic()
        idle = sum(len(batch.names) for batch in service.dispatch())
        rest = time.monotonic() - began
        verdict.tell(
            f"tick with {DISPATCH_MAX:,} due of {targets:,}: {median(full) * 1000:.0f} ms, "
            f"p95 {sorted(full)[int(0.95 * len(full))] * 1000:.0f} ms "
            f"({1000 * spent_s / len(full):.0f} ms of it CPU time without Redis), "
            f"{claimed / sum(full):,.0f} claims/s; with none due {rest * 1000:.1f} ms",
            holds=claimed == targets // DISPATCH_MAX * DISPATCH_MAX and idle <= DISPATCH_MAX,
        )
        service.state.close()


def memory(folder: Path, verdict: Verdict) -> None:
    """Print what the 31 supernovae take in Redis once all is stored, by kind."""
    every = supernovae.load()
    with (
        EmbeddedRedis(folder / "memory") as redis,
        MarsStandIn() as mars,
        YsePzStandIn() as ysepz,
    ):
        supernovae.fill_mars(mars, every)
        for each in every:
            ysepz.add_transient(each.name, each.ra, each.dec)
        settings = {
            "CELERY_BROKER_URL": redis.url(0),
            "MARS_URL": mars.url,
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "YSE_INGEST_STATE_DIR": str(folder / "memory-var"),
            "YSE_INGEST_BUDGET": "1",
        }
        service = Service.from_settings(Settings.from_env(settings))
        for each in every:
            service.enqueue(Target(each.name, ra=each.ra, dec=each.dec))
        # The second look finds nothing new: the state of a target that is quiet.
        for _ in range(2):
            for each in every:
                for hint in service.refresh([each.name]):
                    service.upload(hint.name, hint.key, hint.fence, attempt=1)
        ids = service.state.ledgers.newest(2**53, len(every))
        ledgers = [service.ledgers.get(each) for each in ids]
        points = sum(len(ledger.time_ms) for ledger in ledgers if ledger is not None)
        connection = side_connection(redis.url(1))
        by_kind: Counter[str] = Counter()
        for key in connection.call("KEYS", "yse_ingest:*"):
            kind = key.split(":")[2]
            by_kind[kind] += connection.call("MEMORY", "USAGE", key, "SAMPLES", 0)
        connection.close()
        service.state.close()
    by_kind["ledger"] -= POINT_BYTES * points
    size = sum(by_kind.values()) / len(every)
    kinds = ", ".join(
        f"{kind} {held / len(every):.0f}" for kind, held in by_kind.most_common(6)
    )
    verdict.tell(
        f"whole state of {len(every)} supernovae, {points} points of {POINT_BYTES} B aside: "
        f"{size:.0f} B per target, the goal is {TARGET_BYTES_MAX} ({kinds})"
    )


def jobs(folder: Path, verdict: Verdict, *, targets: int) -> None:
    """Print what each job of beat takes, for a thousand targets and for all."""
    for count in (1000, targets):
        for cost in costs(folder, names_of(count)):
            verdict.tell(f"{count:,} targets: {cost}", holds=cost.share <= TICK_SHARE_MAX)


def used_memory(connection: Any) -> int:
    """Return what the server's data takes [bytes]."""
    return int(connection.call("INFO", "memory")["used_memory_dataset"])


def knobs(tick_s: float) -> str:
    """Return the deployment's celeryconfig.py."""
    return (
        "yse_ingest_config = 1\nbeat_schedule = {\n"
        f'    "dispatch": {{"schedule": {tick_s}}},\n'
        '    "drain": {"schedule": 600.0},\n    "watch": {"schedule": 600.0},\n}\n'
        f"beat_max_loop_interval = {tick_s}\n"
    )


@contextlib.contextmanager
def processes(
    folder: Path, environment: dict[str, str]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run two beats and two control workers; all end with the block."""
    commands = {
        "control1": [*CONTROL, "-n", "control1@scale"],
        "control2": [*CONTROL, "-n", "control2@scale"],
        "beat1": ["beat", "-s", str(folder / "beat1")],
        "beat2": ["beat", "-s", str(folder / "beat2")],
    }
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in commands.items():
            with (folder / f"{name}.log").open("ab") as log:
                running[name] = subprocess.Popen(
                    [sys.executable, "-m", "celery", "-A", "workers", *arguments],
                    cwd=folder,
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        yield running
    finally:
        for process in running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until(true: Callable[[], object], *, within: float) -> None:
    """Wait for a fact."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:.0f} s")
        time.sleep(0.05)


def main() -> int:
    """Run it; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=100_000)
    parser.add_argument("--million", type=int, default=1_000_000)
    parser.add_argument("--cadence", type=float, default=140.0, help="2 h, scaled [s]")
    parser.add_argument("--adaptive", type=int, default=10_000, help="targets of that pace")
    parser.add_argument("--longest", type=float, default=48.0, help="their longest pace [s]")
    parser.add_argument("--bins", type=int, default=MINUTES, help="of a cadence")
    parser.add_argument("--evenness", type=float, default=EVENNESS_MAX)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = Scale(
            folder,
            targets=chosen.targets,
            cadence_s=chosen.cadence,
            bins=chosen.bins,
            evenness=chosen.evenness,
        )
        few = Scale(
            folder / "adaptive",
            targets=chosen.adaptive,
            cadence_s=chosen.longest,
            bins=chosen.bins,
            evenness=chosen.evenness,
            is_adaptive=True,
        )
        few.verdict = run.verdict
        began = time.monotonic()
        memory(folder, run.verdict)
        ticks(folder, run.verdict, targets=chosen.targets)
        jobs(folder, run.verdict, targets=chosen.targets)
        run.run()
        few.run()
        claim_of_a_million(folder, run.verdict, targets=chosen.million)
    sys.stdout.write(f"{time.monotonic() - began:.0f} s in all\n")
    broken = len(run.verdict.broken)
    sys.stdout.write(f"{'OK' if not broken else 'FAILED'}: {broken} bounds broken\n")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
