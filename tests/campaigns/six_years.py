"""A YSE-PZ and a MARS as six years of crons leave them, made of real light curves.

What the crons did to the rows is not drawn: the documented job itself runs again and again
while the alerts come in, and collapses, misses and takes in what it really would.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from tests.campaigns.documented_cron import DocumentedCron
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.supernovae import UNPUBLISHED_LIMIT, PublishedAlert, Supernova
from yse_ingest.sandbox.ysepz import YsePzStandIn

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

PASSWORD = "sandbox-only"
USERS = {
    "ingest": (PASSWORD,),
    "othercron": (PASSWORD,),
    "forcedphot": (PASSWORD,),
    "tns": (PASSWORD,),
    "human": (PASSWORD, "YSE"),
}
HISTORY = (0.4, 0.6, 0.6, 0.8, 0.8, 0.9, 0.9)
"""Share of the alerts that were there at each run of the cron in the six years."""
LATE = 5
"""Every so manieth object was given to the cron in the last year only."""
NEIGHBOUR_DEG = 4.0 / 3600
"""How far the neighbour lies that the cron takes in: in its cone, and not the target."""
_UNIX_ZERO_JD = 2440587.5


@dataclass
class SixYears:
    """The stand-ins, what is in them, and the cron that goes on."""

    count: int
    mars: MarsStandIn = field(init=False)
    ysepz: YsePzStandIn = field(init=False)
    objects: tuple[Supernova, ...] = field(init=False)
    cron: DocumentedCron = field(init=False)
    phantoms: int = 0
    """Negative subtractions that are spelt ``0``: the cron takes them for detections."""

    def __enter__(self) -> Self:
        """Start the stand-ins and live through six years."""
        self.objects = (synthetic(), *supernovae.load()[: self.count])
        self._stack = contextlib.ExitStack()
        self.mars = self._stack.enter_context(MarsStandIn())
        self.ysepz = self._stack.enter_context(YsePzStandIn(users=USERS))
        self.cron = DocumentedCron(self.mars.url, self.ysepz.url, "othercron", PASSWORD)
        self._given = dict.fromkeys((each.name for each in self.objects), 0)
        for each in self.objects:
            self.ysepz.add_transient(
                each.name, each.ra, each.dec, best_spec_class="SN Ia", redshift=0.01
            )
        for stage, share in enumerate(HISTORY):
            self.observe(share)
            if stage == len(HISTORY) - 2:
                self._others()
            late = stage < len(HISTORY) - 2
            self.run_cron(
                each for row, each in enumerate(self.objects) if row % LATE or not late
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the stand-ins."""
        self._stack.close()

    @property
    def names(self) -> list[str]:
        """Return the targets."""
        return [each.name for each in self.objects]

    def observe(self, share: float) -> int:
        """Let the alerts come in up to a share of them; return how many came."""
        came = 0
        for each in self.objects:
            upto = max(1, round(share * len(each.alerts)))
            for alert in each.alerts[self._given[each.name] : upto]:
                self._add(alert)
                came += 1
            if not self._given[each.name]:
                self._false_ones(each)
            self._given[each.name] = max(upto, self._given[each.name])
        return came

    def given(self, name: str) -> int:
        """Return how many alerts of a target have come in."""
        return self._given[name]

    def run_cron(self, objects: Iterable[Supernova] | None = None) -> None:
        """Run the documented job once for every object."""
        for each in self.objects if objects is None else objects:
            self.cron.run(each.name, each.ra, each.dec)

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return every stored row, by transient."""
        return {name: self.ysepz.rows(name) for name in self.names}

    def _add(self, alert: PublishedAlert) -> None:
        self.mars.add_alert(
            alert.object_id,
            alert.jd,
            alert.filter,
            alert.magpsf,
            alert.sigmapsf,
            alert.ra,
            alert.dec,
            candid=alert.candid,
            isdiffpos=alert.isdiffpos,
            rb=alert.rb,
            drb=alert.drb,
            diffmaglim=UNPUBLISHED_LIMIT if alert.diffmaglim is None else alert.diffmaglim,
        )

    def _false_ones(self, each: Supernova) -> None:
        """Add two negative subtractions, each spelling, and two alerts of a neighbour."""
        first = each.alerts[0]
        for number, spelling in enumerate(("f", "0")):
            self.mars.add_alert(
                first.object_id,
                first.jd + 40.2 + number,
                "r",
                19.5,
                0.2,
                first.ra,
                first.dec,
                isdiffpos=spelling,
            )
        self.phantoms += 1
        for number in range(2):
            self.mars.add_alert(
                f"{first.object_id}n",
                first.jd + 50.7 + number,
                "g",
                20.1,
                0.2,
                each.ra,
                each.dec + NEIGHBOUR_DEG,
            )

    def _others(self) -> None:
        """Store what other programs and people have stored."""
        for row, each in enumerate(self.objects):
            first = each.alerts[0]
            seconds = round((first.jd - _UNIX_ZERO_JD) * 86400)
            self.ysepz.add_photometry(
                each.name,
                [_row(seconds, first.filter, first.magpsf, discovery_point=1)],
                user="tns",
            )
            forced = [
                _row(
                    seconds - 86400 * night - 3600 * row % 7200,
                    first.filter,
                    None,
                    flux=-3.5 * night,
                    flux_err=9.0,
                    flux_zero_point=27.5,
                    forced=1,
                )
                for night in range(1, 6)
            ]
            self.ysepz.add_photometry(each.name, forced, user="forcedphot")
            middle = each.alerts[len(each.alerts) // 2]
            at = (middle.jd - _UNIX_ZERO_JD) * 86400 + 15.0
            self.ysepz.add_photometry(
                each.name,
                [_row(at, middle.filter, middle.magpsf + 0.02)],
                user="human",
                obs_group="YSE",
            )


def synthetic() -> Supernova:
    """Return an object with more detections than a page holds, visited twice each night."""
    alerts = [
        PublishedAlert(
            object_id="ZTF18synthet",
            candid=500_000_000_000 + 1000 * number,
            jd=2458300.7 + 2.0 * (number // 2) + (number % 2) * 0.006,
            filter="gr"[number // 2 % 2],
            magpsf=17.0 + 0.01 * abs(number - 60),
            sigmapsf=0.04,
            isdiffpos="t",
            ra=210.1,
            dec=54.3,
            diffmaglim=None,
            rb=0.9,
            drb=None,
        )
        for number in range(178)
    ]
    return Supernova("2018syn", "ZTF18synthet", 210.1, 54.3, tuple(alerts))


def _row(at_s: float, band: str, mag: float | None, **values: Any) -> dict[str, Any]:
    at = datetime.fromtimestamp(0, UTC) + timedelta(seconds=at_s)
    return {
        "obs_date": at.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "band": f"{band}-ZTF",
        "mag": mag,
        "mag_err": None if mag is None else 0.05,
        **values,
    }
