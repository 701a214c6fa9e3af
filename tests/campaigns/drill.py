"""``python -m tests.campaigns.drill``: three brokers of ZTF, one of them dies for six hours.

720 times as fast, on the real service: workers, beat, Redis, and stand-ins of ALeRCE, Fink and
MARS over HTTP. While ALeRCE is dead, Fink tells another magnitude for one alert, and later
answers garbage, so that MARS alone is left. The light curves in YSE-PZ have to be complete and
true, the lie reported, and no broker asked more often than it allows.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.chaos.processes import Processes
from tests.campaigns.chaos.sky import sky
from tests.campaigns.chaos.verdict import Archive
from tests.campaigns.outage import DIVIDED, SCALE, TIMES, say, wait_until
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.state import State
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.campaigns.chaos.sky import Point, Transient
    from tests.campaigns.chaos.verdict import Verdict
    from yse_ingest.sandbox.server import StandIn

ORDER = ("alerce", "fink", "mars")
SURVEY = "ZTF"
HOUR_S = 3600 / SCALE
"""An hour of the drill [s]."""
PER_HOUR = 150
"""What each broker allows: requests in any hour of the drill."""
LIE_MAG = 1.0
"""How far off the magnitude of the lie is [mag]."""
SCALED = {
    "YSE_INGEST_CADENCE": 1800.0,
    "YSE_INGEST_UNION_EVERY": 2 * 3600.0,
    "YSE_INGEST_SILENT_AFTER": 12 * 3600.0,
    "YSE_INGEST_ASK_AGAIN": 600.0,
}
"""Settings [s], divided by `SCALE`."""


@dataclass
class Plan:
    """When what happens [h]."""

    dies: float = 1.0
    lies: float = 2.0
    garbage: float = 4.0
    mended: float = 5.5
    back: float = 7.0
    ends: float = 10.0

    def steps(self, drill: Drill) -> list[tuple[float, str, Callable[[], None]]]:
        """Return time, event and what to do."""
        return [
            (0.0, "all three brokers answer", lambda: None),
            (self.dies, "ALeRCE dies", drill.kill_alerce),
            (self.lies, "Fink lies about one alert", drill.lie),
            (self.garbage, "Fink answers garbage", drill.garble_fink),
            (self.mended, "Fink is mended", drill.mend_fink),
            (self.back, "ALeRCE is back", drill.alerce.faults.clear),
        ]


@dataclass
class Drill:
    """One drill, from the first alert to the last delivery."""

    folder: Path
    transients: Sequence[Transient]
    plan: Plan
    alerce: AlerceStandIn
    fink: FinkStandIn
    mars: MarsStandIn
    ysepz: YsePzStandIn
    redis: EmbeddedRedis
    published: set[int] = field(default_factory=set)
    lied: Point | None = None
    wrong: list[str] = field(default_factory=list)
    """What was not as promised."""
    times: dict[str, list[float]] = field(default_factory=dict)
    """Broker to the times of its requests, Unix time [s]."""

    @property
    def servers(self) -> dict[str, StandIn]:
        """Return the brokers by name."""
        return {"alerce": self.alerce, "fink": self.fink, "mars": self.mars}

    def run(self) -> bool:
        """Run it and print the story; return whether everything is as promised."""
        for each in self.transients:
            self.ysepz.add_transient(each.name, each.ra, each.dec)
        self.archive = Archive(self.ysepz.store.path, our_id=189)
        self.archive.note_curated()
        entries = "".join(f'[[targets]]\nname = "{each.name}"\n' for each in self.transients)
        chosen = ", ".join(f'"{name}"' for name in ORDER)
        (self.folder / "targets.toml").write_text(
            f"[defaults]\nsources = [{chosen}]\n{entries}"
        )
        self.publish(0.0)
        self.state = State.connect(
            self.redis.url(1),
            namespace="yse_ingest",
            decisions=self.folder / "var" / "decisions.jsonl",
        )
        processes = Processes(self.folder, self.environment())
        try:
            processes.keep()
            self.story()
        finally:
            processes.close()
            self.state.close()
        return not self.wrong

    def environment(self) -> dict[str, str]:
        """Return the settings of the service."""
        return {
            **TIMES,
            **{name: f"{value / SCALE:.4f}" for name, value in (DIVIDED | SCALED).items()},
            **{f"{name.upper()}_RATE": f"{PER_HOUR / HOUR_S:.0f}/s" for name in ORDER},
            "YSE_INGEST_SOURCE_GET_TIMEOUT": "2",
            "YSE_INGEST_BREAKER_FAILURES": "2",
            "CELERY_BROKER_URL": self.redis.url(0),
            "YSE_PZ_URL": self.ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "ALERCE_URL": self.alerce.api_url,
            "FINK_URL": self.fink.api_url,
            "MARS_URL": self.mars.url,
            "YSE_INGEST_TARGETS": str(self.folder / "targets.toml"),
            "YSE_INGEST_STATE_DIR": str(self.folder / "var"),
        }

    # What happens ---------------------------------------------------------------------------

    def publish(self, until: float) -> None:
        """Let all brokers have the alerts that are observed until a share of the drill."""
        for number, transient in enumerate(self.transients):
            for point in transient.points:
                if point.published <= until and point.candid not in self.published:
                    self.published.add(point.candid)
                    self.tell(transient, number, point)

    def tell(self, transient: Transient, number: int, point: Point, *, lie: float = 0) -> None:
        """Give one alert to every broker; ``lie`` is how far off Fink's magnitude is [mag]."""
        row = (f"ZTF31{number:07d}", point.jd, point.band)
        rest = (point.mag_err, transient.ra, transient.dec)
        sign = "f" if point.negative else "t"
        candid = point.candid
        self.mars.add_alert(*row, point.mag, *rest, candid=candid, isdiffpos=sign)
        self.fink.add_alert(*row, point.mag + lie, *rest, candid=candid, isdiffpos=sign)
        self.alerce.add_detection(
            *row, point.mag, *rest, candid=candid, isdiffpos=-1 if point.negative else 1
        )

    def kill_alerce(self) -> None:
        """Close every connection to ALeRCE."""
        self.alerce.faults.add(Fault("down"))

    def garble_fink(self) -> None:
        """Let a page of HTML stand in Fink's place."""
        self.fink.faults.add(Fault("garbage"))

    def mend_fink(self) -> None:
        """Let Fink answer again, when MARS alone has carried everything."""
        self.wait("MARS alone is asked", lambda: set(self.speaks()) == {"mars"})
        self.fink.faults.clear()

    def lie(self) -> None:
        """Let Fink tell another magnitude of the next alert."""
        number, transient = 0, self.transients[0]
        point = next(
            each
            for each in transient.points
            if each.candid not in self.published and not each.negative
        )
        self.published.add(point.candid)
        self.lied = point
        self.tell(transient, number, point, lie=LIE_MAG)

    # The story ------------------------------------------------------------------------------

    def story(self) -> None:
        """Let it happen, a line for each hour and event."""
        self.wait("every alert of before is stored", lambda: self.stored() >= self.due())
        for server in self.servers.values():
            server.log.clear()
        say(f"{'time':>6}  {'event':34}{'asked':28}{'answers hold of':24}stored")
        began = time.monotonic()
        steps = self.plan.steps(self)
        hours = {float(hour): "" for hour in range(1, round(self.plan.ends) + 1)}
        line = hours | {at: event for at, event, _ in steps}
        for at in sorted(line):
            while (now := (time.monotonic() - began) / HOUR_S) < at:
                self.publish(now / self.plan.ends)
                time.sleep(0.1)
            self.line(at, line[at], self.asked(), self.speaks())
            for when, _, act in steps:
                if when == at:
                    act()
        self.publish(1.0)
        self.wait("every alert is stored", lambda: self.stored() >= self.due())
        self.wait("the lie is put right", lambda: not self.verdict().count("altered"))
        self.wait("ALeRCE is asked again", lambda: set(self.speaks()) == {"alerce"})
        self.line((time.monotonic() - began) / HOUR_S, "the end", self.asked(), self.speaks())
        self.judge()

    def line(
        self, at: float, event: str, asked: dict[str, int], speaks: dict[str, int]
    ) -> None:
        """Print one line of the table."""
        say(
            f"{at:5.1f}h  {event:34}{_listed(asked):28}{_listed(speaks):24}"
            f"{self.stored()} of {self.due()}"
        )

    def wait(self, what: str, true: Callable[[], object]) -> None:
        """Wait for a fact; note where it does not come true."""
        try:
            wait_until(true, within=60)
        except TimeoutError as error:
            self.wrong.append(f"{what}: {error}")

    def asked(self) -> dict[str, int]:
        """Return how many requests each broker had since the last look."""
        counts = {}
        for name, server in self.servers.items():
            times = [each.started for each in list(server.log)]
            counts[name] = len(times) - len(self.times.get(name, []))
            self.times[name] = times
        return {name: count for name, count in counts.items() if count}

    def speaks(self) -> dict[str, int]:
        """Return whose answers hold, and for how many targets."""
        found: dict[str, int] = {}
        for choices in self.state.choices.all(each.name for each in self.transients).values():
            speaks = choices[SURVEY].speaks if SURVEY in choices else None
            found[speaks or "nobody"] = found.get(speaks or "nobody", 0) + 1
        return {name: found[name] for name in (*ORDER, "nobody") if name in found}

    def stored(self) -> int:
        """Return how many points YSE-PZ holds."""
        return self.archive.count()

    def due(self) -> int:
        """Return how many points of what is published belong into YSE-PZ."""
        points = [point for each in self.transients for point in each.owed]
        return sum(point.candid in self.published for point in points)

    def verdict(self) -> Verdict:
        """Compare what is stored with what was published."""
        return self.archive.judge(self.transients)

    def reported(self) -> list[str]:
        """Return what was said of the alert about which Fink lied."""
        candid = "" if self.lied is None else str(self.lied.candid)
        choices = self.state.choices.all(each.name for each in self.transients)
        facts = [
            fact
            for by_survey in choices.values()
            for choice in by_survey.values()
            for fact in choice.disagreements
        ]
        self.wrong += [
            f"reported without a reason: {fact}" for fact in facts if candid not in fact
        ]
        return [fact for fact in facts if candid in fact]

    def judge(self) -> None:
        """Note what is not as promised, and print the verdict."""
        verdict = self.verdict()
        self.wrong += verdict.lines()
        facts = self.reported()
        if not facts:
            self.wrong.append("the lie is not reported")
        most = {name: most_within(self.times[name], HOUR_S) for name in ORDER}
        self.wrong += [
            f"{name} was asked {count} times in an hour, {PER_HOUR} are allowed"
            for name, count in most.items()
            if count > PER_HOUR
        ]
        for fact in facts:
            say(f"reported: {fact}")
        say(f"most requests in an hour: {_listed(most)}; {PER_HOUR} are allowed")
        for case in self.wrong:
            say(f"not as promised: {case}")
        say(
            f"drill: {'VIOLATED' if self.wrong else 'OK'}: {len(self.transients)} targets, "
            f"owed {verdict.owed}, stored {verdict.stored}, lost {verdict.count('lost')}, "
            f"duplicated {verdict.count('duplicated')}, altered {verdict.count('altered')}, "
            f"lies reported {len(facts)}"
        )


def most_within(times: Sequence[float], seconds: float) -> int:
    """Return the largest number of times within any such span [s]."""
    ordered = sorted(times)
    first = most = 0
    for last, end in enumerate(ordered):
        while end - ordered[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def in_order_of_time(transients: Sequence[Transient]) -> Sequence[Transient]:
    """Return transients whose alerts are published in the order of their times.

    What comes late is found when everything is read again, once a week: no part of this story.
    """
    for transient in transients:
        shares = sorted(point.published for point in transient.points)
        for point, share in zip(transient.points, shares, strict=True):
            point.published = share
            point.reprocessed = None
    return transients


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def main() -> int:
    """Run one drill."""
    # Whoever is told to end ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parser = argparse.ArgumentParser(prog="drill", description=__doc__)
    parser.add_argument("--targets", type=int, default=12)
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--keep", type=Path, help="folder for logs and the stand-in's file")
    parser.add_argument("--short", action="store_true", help="the same story in half the time")
    given = parser.parse_args()
    plan = Plan()
    if given.short:
        plan = Plan(dies=0.5, lies=1.0, garbage=2.0, mended=3.0, back=3.5, ends=5.0)
    with tempfile.TemporaryDirectory(prefix="drill-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        with (
            EmbeddedRedis(folder / "redis") as redis,
            AlerceStandIn() as alerce,
            FinkStandIn() as fink,
            MarsStandIn() as mars,
            YsePzStandIn(path=folder / "ysepz.sqlite", worker_limit_s=2) as ysepz,
        ):
            transients = in_order_of_time(sky(0, targets=given.targets, points=given.points))
            drill = Drill(folder, transients, plan, alerce, fink, mars, ysepz, redis)
            return 0 if drill.run() else 1


if __name__ == "__main__":
    sys.exit(main())
