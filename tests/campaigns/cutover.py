"""The cut-over, beside crons that go on: shadow, adoption, and fifty rounds of both.

    .venv/bin/python -m tests.campaigns.cutover --rounds 50 --objects 31

It prints what each part did, and ends with 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.campaigns.six_years import PASSWORD, SixYears
from yse_ingest.push import push
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target
from yse_ingest.times import parse_obs_dates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Rows = dict[str, list[dict[str, Any]]]

OURS = "ingest"
SAME_EXPOSURE_MS = 2_000
"""A second row of ours this close to another of its band is a duplicate [ms]."""
NEW_ALERT_ROUNDS = 3


@dataclass
class Figures:
    """What one part of the campaign did."""

    part: str
    rounds: int = 0
    gets: int = 0
    writes: int = 0
    rows_before: int = 0
    rows_after: int = 0
    ours_added: int = 0
    cron_added: int = 0
    corrected: int = 0
    foreign_altered: int = 0
    doubled: int = 0
    seconds: float = 0.0


@dataclass
class Campaign:
    """One run: the stand-ins, the service, and what was seen."""

    house: SixYears
    environment: dict[str, str]
    figures: list[Figures] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    inserted: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def service(self, **changes: str) -> Service:
        """Return a service as a fresh process would have it."""
        return Service.from_settings(Settings.from_env({**self.environment, **changes}))

    def part(
        self,
        name: str,
        rounds: int,
        *,
        cycle: Callable[[int], None],
        before: Callable[[int], None] | None = None,
        cron: bool = True,
    ) -> Figures:
        """Let the cron and the service take turns; compare the rows around each turn."""
        figures = Figures(name, rounds=rounds)
        self.figures.append(figures)
        started = time.monotonic()
        rows = self.house.rows()
        figures.rows_before = _count(rows)
        for number in range(rounds):
            if before is not None:
                before(number)
            if cron:
                self.house.run_cron()
                after_cron = self.house.rows()
                figures.cron_added += _count(after_cron) - _count(rows)
                rows = after_cron
            curated = self._curated()
            self.house.ysepz.log.clear()
            cycle(number)
            self._count_requests(figures)
            now = self.house.rows()
            self._compare(figures, rows, now)
            if self._curated() != curated:
                self.violations.append(f"{name}: a row of the transient table changed")
            rows = now
        figures.rows_after = _count(rows)
        figures.seconds = time.monotonic() - started
        return figures

    def cycle(self, service: Service) -> None:
        """Do what the workers do: fetch every target, and upload until nothing is due."""
        hints = service.refresh(self.house.names)
        while hints:
            for hint in hints:
                outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)
                if outcome.state not in {"verified", "accepted", "shadow", "nothing owed"}:
                    self.violations.append(f"{hint.name}: {outcome.state} {outcome.error}")
            hints = service.drain()

    def _curated(self) -> list[dict[str, Any]]:
        return [self.house.ysepz.transient_row(name) for name in self.house.names]

    def _count_requests(self, figures: Figures) -> None:
        methods = Counter(each.method for each in self.house.ysepz.log)
        figures.gets += methods.pop("GET", 0)
        figures.writes += methods.total()

    def _compare(self, figures: Figures, before: Rows, now: Rows) -> None:
        for name, rows in now.items():
            known = {row["pk"]: row for row in before[name]}
            for pk, row in known.items():
                after = next((each for each in rows if each["pk"] == pk), None)
                if after == row:
                    continue
                if row["created_by"] == OURS == row["modified_by"] and after is not None:
                    figures.corrected += 1
                else:
                    figures.foreign_altered += 1
            for row in rows:
                if row["pk"] in known:
                    continue
                figures.ours_added += 1
                self._note_new(figures, name, row, before[name])

    def _note_new(
        self, figures: Figures, name: str, row: dict[str, Any], before: list[dict[str, Any]]
    ) -> None:
        exposure = (name, row["band"], row["obs_date"])
        self.inserted[exposure] += 1
        at = _time_ms(row)
        beside = any(
            each["band"] == row["band"]
            and each["instrument"] == row["instrument"]
            and abs(_time_ms(each) - at) < SAME_EXPOSURE_MS
            for each in before
        )
        figures.doubled += beside or self.inserted[exposure] > 1

    def require(self, true: bool, promise: str) -> None:
        """Note a broken promise."""
        if not true:
            self.violations.append(promise)


def run(*, rounds: int, objects: int, folder: Path) -> Campaign:
    """Run the campaign."""
    with SixYears(objects) as house, EmbeddedRedis(folder / "redis") as redis:
        campaign = Campaign(house, _environment(house, redis, folder))
        shadow = campaign.service(YSE_INGEST_SHADOW="true")
        for name in house.names:
            shadow.enqueue(Target(name, object_id=_object_of(house, name)))
        _shadow_week(campaign, shadow)
        _cut_over(campaign)
        _state_lost(campaign)
        _side_by_side(campaign, rounds)
        _crons_off(campaign)
        return campaign


def _shadow_week(campaign: Campaign, shadow: Service) -> None:
    steps = [0.92, 0.94, 0.95]

    def more(number: int) -> None:
        campaign.house.observe(steps[number])

    figures = campaign.part(
        "shadow", len(steps), before=more, cycle=lambda _: campaign.cycle(shadow)
    )
    campaign.require(figures.writes == 0, f"shadow: {figures.writes} requests beside GET")
    campaign.require(figures.ours_added == 0, "shadow: rows were added")
    campaign.require(shadow.state.outbox.counts()["points"] == 0, "shadow: the outbox grew")


def _cut_over(campaign: Campaign) -> None:
    service = campaign.service()
    campaign.part("cut-over", 1, cron=False, cycle=lambda _: campaign.cycle(service))
    complete = _missing(campaign)
    campaign.require(not complete, f"cut-over: exposures missing: {complete}")
    last = NEW_ALERT_ROUNDS - 1

    def more(number: int) -> None:
        campaign.house.observe(0.95 + 0.05 * (number + 1) / (last + 1))

    campaign.part("new alerts", last + 1, before=more, cycle=lambda _: campaign.cycle(service))


def _state_lost(campaign: Campaign) -> None:
    """Lose every ledger once: what the cron has collapsed since is filled in, once."""
    service = campaign.service()
    service.state.ledgers.drop_all()
    campaign.part("ledgers lost", 2, cycle=lambda _: campaign.cycle(service))


def _side_by_side(campaign: Campaign, rounds: int) -> None:
    """Go on where nothing is new: values change, ledgers are lost, people push."""
    house = campaign.house
    service = campaign.service()

    def cycle(number: int) -> None:
        names = house.names
        if number % 5 == 1:
            for each in house.objects:
                alert = each.alerts[number % len(each.alerts)]
                house.mars.update_alert(alert.candid, magpsf=alert.magpsf - 0.1)
        if number % 10 == 3:
            service.state.ledgers.drop_all()
        campaign.cycle(service)
        if number % 10 == 7:
            for result in push(service, [Target(name) for name in names[:5]]):
                campaign.require(result.done, f"push of {result.target}: {result.state}")
        if number % 10 == 8:
            solo = campaign.service(YSE_INGEST_STATE_URL="")
            list(push(solo, [Target(name) for name in names[:2]]))

    figures = campaign.part("side by side", rounds, cycle=cycle)
    grown = figures.rows_after - figures.rows_before
    campaign.require(grown == 0, f"side by side: {grown} rows more after {rounds} rounds")


def _crons_off(campaign: Campaign) -> None:
    service = campaign.service()
    figures = campaign.part("crons off", 3, cron=False, cycle=lambda _: campaign.cycle(service))
    campaign.require(figures.rows_after == figures.rows_before, "crons off: rows were added")


def _missing(campaign: Campaign) -> dict[str, int]:
    """Return how many given detections have no row at their time, by target."""
    house, found = campaign.house, {}
    for each in house.objects:
        rows = house.ysepz.rows(each.name)
        stored = {(row["band"], _time_ms(row) // 40_000) for row in rows}
        stored |= {(band, slot + step) for band, slot in stored for step in (-1, 1)}
        given = each.alerts[: house.given(each.name)]
        lost = [
            alert
            for alert in given
            if alert.isdiffpos == "t"
            and (f"{alert.filter}-ZTF", round((alert.jd - 2440587.5) * 86_400_000) // 40_000)
            not in stored
        ]
        if lost:
            found[each.name] = len(lost)
    return found


def _environment(house: SixYears, redis: EmbeddedRedis, folder: Path) -> dict[str, str]:
    return {
        "MARS_URL": house.mars.url,
        "YSE_PZ_URL": house.ysepz.url,
        "YSE_PZ_USERNAME": OURS,
        "YSE_PZ_PASSWORD": PASSWORD,
        "CELERY_BROKER_URL": redis.url(0),
        "YSE_INGEST_STATE_URL": redis.url(1),
        "YSE_INGEST_STATE_DIR": str(folder / "var"),
        "XDG_STATE_HOME": str(folder / "home"),
        # An old detection stands for a new one: everything is asked for, every time.
        "YSE_INGEST_OVERLAP": "10000d",
        "YSE_PZ_REQUEST_LIMIT": "1",
    }


def _object_of(house: SixYears, name: str) -> str:
    return {each.name: each.object_id for each in house.objects}[name]


def _count(rows: Rows) -> int:
    return sum(map(len, rows.values()))


def _time_ms(row: dict[str, Any]) -> int:
    return int(parse_obs_dates([str(row["obs_date"])])[0])


def report(campaign: Campaign) -> None:
    """Print the figures and what was broken."""
    console = Console(width=140 if not sys.stdout.isatty() else None)
    columns = [
        "part",
        "rounds",
        "GET",
        "writes",
        "rows before",
        "rows after",
        "ours added",
        "cron added",
        "corrected",
        "foreign altered",
        "doubled",
        "s",
    ]
    table = Table(box=box.SIMPLE_HEAD, title=f"{len(campaign.house.objects)} objects")
    for column in columns:
        table.add_column(column, justify="left" if column == "part" else "right")
    for each in campaign.figures:
        *cells, seconds = vars(each).values()
        table.add_row(*map(str, cells), f"{seconds:.0f}")
    console.print(table)
    for violation in campaign.violations:
        console.print(f"VIOLATION {violation}", style="red")


def summary(campaign: Campaign) -> str:
    """Return the last line."""
    total = {
        name: sum(getattr(each, name) for each in campaign.figures)
        for name in ("foreign_altered", "doubled")
    }
    parts = {each.part: each for each in campaign.figures}
    shadow, beside = parts["shadow"], parts["side by side"]
    word = "FAILED" if campaign.violations else "passed"
    return (
        f"cut-over {word}: {shadow.writes} writes in shadow, "
        f"{total['foreign_altered']} foreign rows altered, {total['doubled']} doubled, "
        f"{beside.rows_before} rows before and {beside.rows_after} after {beside.rounds} rounds"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it from the terminal; 1: a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--objects", type=int, default=31)
    options = parser.parse_args(arguments)
    os.environ.pop("YSE_INGEST_SHADOW", None)
    with tempfile.TemporaryDirectory() as folder:
        campaign = run(rounds=options.rounds, objects=options.objects, folder=Path(folder))
    for each in campaign.figures:
        campaign.require(each.foreign_altered == 0, f"{each.part}: foreign rows altered")
        campaign.require(each.doubled == 0, f"{each.part}: {each.doubled} rows doubled")
    report(campaign)
    print(summary(campaign))  # noqa: T201  the last line, for whoever greps
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    raise SystemExit(main())
