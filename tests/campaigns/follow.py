"""``python -m tests.campaigns.follow``: a YSE-PZ with 5,000 transients, followed by its lists.

The stand-in takes as long as YSE-PZ was measured to take. What is followed has to be exactly
what has the status, the tag, or a place in the saved query, after one look; then some are
renamed, some change their status, some lose their tag, and one look has to follow all of it. A
renamed transient stays one target, with the pause and the rejected point that people gave it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.campaigns.outage import say
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STATUSES = ("New", "Following", "Ignore", "FollowupFinished", "Watch")
TITLE = "bright_and_new"
SQL = (
    "SELECT t.id AS transient, t.name, t.slug, t.ra, t.dec, t.disc_date, s.name AS status, "
    "g.name AS obs_group FROM YSE_App_transient t "
    "JOIN YSE_App_transientstatus s ON s.id = t.status_id "
    "JOIN YSE_App_observationgroup g ON g.id = t.obs_group_id "
    "WHERE s.name = 'Watch' AND t.dec > 0"
)
FOLLOW = f'[follow]\nstatus = ["Following"]\ntags = ["YSE"]\nquery = "{TITLE}"\n'


@dataclass
class Row:
    """A transient as this campaign put it into YSE-PZ."""

    name: str
    dec: float
    status: str
    tagged: bool

    @property
    def is_wanted(self) -> bool:
        """Tell whether it is to be followed."""
        listed = self.status == "Watch" and self.dec > 0
        return self.status == "Following" or self.tagged or listed


class Campaign:
    """One YSE-PZ, one service, and what should be followed."""

    def __init__(self, ysepz: YsePzStandIn, service: Service, count: int) -> None:
        self.ysepz, self.service = ysepz, service
        self.rows = [
            Row(
                name=f"20{20 + number % 7}{_letters(number)}",
                dec=-60 + (number * 37 % 1200) / 10,
                status=STATUSES[number * 7 % 5 if number % 3 else 2],
                tagged=number % 11 == 0,
            )
            for number in range(count)
        ]
        with ysepz.store.connect() as held:
            held.run("SELECT 1 FROM YSE_App_transient")  # else each close syncs the file
            for number, row in enumerate(self.rows):
                tags = ("YSE",) if row.tagged else ()
                ra = number * 0.071 % 360
                ysepz.add_transient(row.name, ra, row.dec, status=row.status, tags=tags)

    def run(self) -> bool:
        """Tell the whole story; return whether every look was exact."""
        good = self.look("first look")
        good &= self.look("nothing changed")
        paused, rejected = self.renamed_by_people()
        self.change()
        good &= self.look(
            "renamed, other status, other tag", renamed=[paused.name, rejected.name]
        )
        state = self.service.state
        kept = state.targets.paused().get(paused.name) == "a person"
        kept &= state.quarantine.rejected(rejected.name) == {"7": "a satellite"}
        say(f"pause and rejected point went with the new names: {_yes(kept)}")
        good &= kept
        # A look-up is kept for a week: what was renamed since is told by the aliases.
        old = self.wanted()[10]
        state.resolutions.drop(old.name)
        self.rename(old)
        good &= self.look("renamed after its look-up was forgotten", renamed=[old.name])
        say(f"follow: {'OK' if good else 'FAILED'}: {len(self.rows)} transients")
        return good

    def look(self, what: str, *, renamed: Iterable[str] = ()) -> bool:
        """Look at the lists once; tell what it took, and whether it was exact."""
        self.ysepz.log.clear()
        began = time.monotonic()
        followed = None
        while followed is None:
            followed = self.service.follow()
        seconds = time.monotonic() - began
        targets = self.service.state.targets
        left = {name for name, why in targets.paused().items() if why != "a person"}
        names = {target.name for target, _ in targets.all()}
        wanted = {row.name for row in self.wanted()}
        known = {row.name for row in self.rows}
        wrong = (names - left) ^ wanted
        doubled = names - known
        cost = sum(each.cost for each in self.ysepz.log)
        say(
            f"{what}: {len(wanted)} to follow, wrong {len(wrong)}, doubled {len(doubled)}; "
            f"new {len(followed.new)}, gone {len(followed.gone)}, back {len(followed.back)}, "
            f"renamed {len(followed.renamed)}; {len(self.ysepz.log)} requests, "
            f"{seconds:.1f} s, of which YSE-PZ {cost:.1f} s"
        )
        return not wrong and not doubled and set(renamed) <= set(followed.renamed)

    def renamed_by_people(self) -> tuple[Row, Row]:
        """Rename two targets about which people decided something."""
        paused, rejected = self.wanted()[:2]
        self.service.state.targets.pause(paused.name, "a person")
        self.service.state.quarantine.reject(rejected.name, "7", "a satellite")
        self.rename(paused)
        self.rename(rejected)
        return paused, rejected

    def change(self) -> None:
        """Rename some, and change status and tag of others; some of these in one."""
        for number, row in enumerate(self.rows[20:]):
            if number % 97 == 0:
                self.rename(row)
            if number % 53 == 0:
                row.status = STATUSES[(STATUSES.index(row.status) + 1) % 5]
                row.tagged = row.tagged ^ (number % 2 == 0)
                tags = ("YSE",) if row.tagged else ()
                self.ysepz.set_status(row.name, row.status, tags=tags)

    def rename(self, row: Row) -> None:
        """Give a transient another name; the old one becomes an alias."""
        name = f"{row.name}x"
        self.ysepz.rename(row.name, name)
        row.name = name

    def wanted(self) -> list[Row]:
        """Return what is to be followed now."""
        return [row for row in self.rows if row.is_wanted]


def _letters(number: int) -> str:
    return "".join(_digits(number + 26**2))


def _digits(number: int) -> Iterator[str]:
    while number:
        number, digit = divmod(number, 26)
        yield chr(ord("a") + digit)


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="follow", description=__doc__)
    parser.add_argument("--transients", type=int, default=5000)
    parser.add_argument("--real-cost", type=float, default=1.0, help="share of measured time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="follow-") as scratch:
        folder = Path(scratch)
        (folder / "targets.toml").write_text(FOLLOW)
        with (
            EmbeddedRedis(folder / "redis") as redis,
            YsePzStandIn(real_cost=given.real_cost, saved_queries={TITLE: SQL}) as ysepz,
        ):
            environment = {
                "YSE_PZ_URL": ysepz.url,
                "YSE_PZ_USERNAME": "ingest",
                "YSE_PZ_PASSWORD": "sandbox-only",
                "YSE_INGEST_STATE_URL": redis.url(1),
                "YSE_INGEST_STATE_DIR": str(folder),
                "YSE_INGEST_TARGETS": str(folder / "targets.toml"),
                "YSE_INGEST_FOLLOW_EVERY": "0.001",
            }
            service = Service.from_settings(Settings.from_env(environment))
            return 0 if Campaign(ysepz, service, given.transients).run() else 1


if __name__ == "__main__":
    sys.exit(main())
