"""``python -m tests.campaigns.follow``: a YSE-PZ with 5,000 transients, followed by its lists.

The stand-in takes as long as YSE-PZ was measured to take. What is followed has to be exactly
what has the status, the tag, or a place in the saved query, after one look; then some are
renamed, some change their status, some lose their tag, and one look has to follow all of it. A
renamed transient stays one target, with the pause and the rejected point that people gave it.

All of it twice: by `[follow]` in the targets file and the service's own job, and by the command
``yse-ingest targets sync --status Following --tag YSE`` in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.campaigns.outage import say
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
PROGRAM = Path(sys.executable).parent / "yse-ingest"
OPTIONS = ("--status", "Following", "--tag", "YSE")


@dataclass
class Row:
    """A transient as this campaign put it into YSE-PZ."""

    name: str
    dec: float
    status: str
    tagged: bool

    def is_wanted(self, *, with_query: bool) -> bool:
        """Tell whether it is to be followed."""
        listed = with_query and self.status == "Watch" and self.dec > 0
        return self.status == "Following" or self.tagged or listed


class World:
    """One YSE-PZ, and what people do there."""

    def __init__(self, ysepz: YsePzStandIn, count: int) -> None:
        self.ysepz = ysepz
        self.rows = [
            Row(
                name=f"20{20 + number % 7}{_letters(number)}",
                dec=-60 + (number * 37 % 1200) / 10,
                status=STATUSES[number * 7 % 5 if number % 3 else 2],
                tagged=number % 11 == 0,
            )
            for number in range(count)
        ]
        self.number_of = {row.name: number for number, row in enumerate(self.rows)}
        """Which transient has, or had, a name."""
        with ysepz.store.connect() as held:
            held.run("SELECT 1 FROM YSE_App_transient")  # else each close syncs the file
            for number, row in enumerate(self.rows):
                tags = ("YSE",) if row.tagged else ()
                ra = number * 0.071 % 360
                ysepz.add_transient(row.name, ra, row.dec, status=row.status, tags=tags)

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
        self.number_of[name] = self.number_of[row.name]
        row.name = name


class Changes(NamedTuple):
    """What one look changed."""

    new: int
    gone: int
    back: int
    renamed: set[str]


class Job:
    """`[follow]` in the targets file, and the job that the service does by itself."""

    with_query = True

    def __init__(self, service: Service) -> None:
        self.service = service

    def look(self) -> Changes:
        """Look at the lists once."""
        followed = None
        while followed is None:
            followed = self.service.follow()
        return Changes(
            len(followed.new), len(followed.gone), len(followed.back), set(followed.renamed)
        )


class Command:
    """`targets sync` in a process of its own: with its options once, then without."""

    with_query = False

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment, self._folder = environment, folder
        self._options: tuple[str, ...] = OPTIONS

    def look(self) -> Changes:
        """Run it; what it says of its requests is compared with what YSE-PZ saw."""
        changes = self.run(*self._options)["changes"]
        self._options = ()
        return Changes(
            len(changes["added"]),
            len(changes["paused"]),
            len(changes["back"]),
            set(changes["renamed"]),
        )

    def run(self, *options: str) -> dict[str, Any]:
        """Return what one run says."""
        done = subprocess.run(
            [PROGRAM, "targets", "sync", *options, "--json"],
            cwd=self._folder,
            env={**os.environ, **self._environment},
            stdout=subprocess.PIPE,
            check=True,
        )
        told: dict[str, Any] = json.loads(done.stdout)
        return told


class Campaign:
    """One service that follows some of the world in one way, and what should be followed."""

    def __init__(self, world: World, service: Service, way: Job | Command) -> None:
        self.world, self.service, self.way = world, service, way

    def run(self) -> bool:
        """Tell the whole story; return whether every look was exact."""
        good = self.look("first look")
        good &= self.look("nothing changed")
        paused, rejected = self.renamed_by_people()
        self.world.change()
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
        self.world.rename(old)
        good &= self.look("renamed after its look-up was forgotten", renamed=[old.name])
        return good

    def look(self, what: str, *, renamed: Iterable[str] = ()) -> bool:
        """Look at the lists once; tell what it took, and whether it was exact."""
        log = self.world.ysepz.log
        log.clear()
        began = time.monotonic()
        changes = self.way.look()
        seconds = time.monotonic() - began
        targets = self.service.state.targets
        left = {name for name, why in targets.paused().items() if why != "a person"}
        names = {target.name for target, _ in targets.all()}
        wanted = {row.name for row in self.wanted()}
        wrong = (names - left) ^ wanted
        doubled = len(names) - len({self.world.number_of[name] for name in names})
        say(
            f"{what}: {len(wanted)} to follow, wrong {len(wrong)}, doubled {doubled}; "
            f"new {changes.new}, gone {changes.gone}, back {changes.back}, "
            f"renamed {len(changes.renamed)}; {len(log)} requests, "
            f"{seconds:.1f} s, of which YSE-PZ {sum(each.cost for each in log):.1f} s"
        )
        return not wrong and not doubled and set(renamed) <= changes.renamed

    def renamed_by_people(self) -> tuple[Row, Row]:
        """Rename two targets about which people decided something."""
        paused, rejected = self.wanted()[:2]
        self.service.state.targets.pause(paused.name, "a person")
        self.service.state.quarantine.reject(rejected.name, "7", "a satellite")
        self.world.rename(paused)
        self.world.rename(rejected)
        return paused, rejected

    def wanted(self) -> list[Row]:
        """Return what is to be followed now."""
        with_query = self.way.with_query
        return [row for row in self.world.rows if row.is_wanted(with_query=with_query)]


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
                "YSE_INGEST_FOLLOW_EVERY": "0.001",
            }
            world = World(ysepz, given.transients)
            good = by_the_file(world, environment, folder)
            good &= by_the_command(world, environment, folder)
    say(f"follow: {'OK' if good else 'FAILED'}: {given.transients} transients")
    return 0 if good else 1


def by_the_file(world: World, environment: Mapping[str, str], folder: Path) -> bool:
    """Follow a status, a tag and a saved query by the targets file."""
    say("[follow] in the targets file, and the service's own job")
    service = _service(
        environment,
        YSE_INGEST_STATE_DIR=str(folder / "file"),
        YSE_INGEST_TARGETS=str(folder / "targets.toml"),
    )
    return Campaign(world, service, Job(service)).run()


def by_the_command(world: World, environment: Mapping[str, str], folder: Path) -> bool:
    """Follow a status and a tag by the command, and end it."""
    say(f"yse-ingest targets sync {' '.join(OPTIONS)}")
    # Another namespace on the same Redis: another service.
    own = {
        "YSE_INGEST_STATE_DIR": str(folder / "command"),
        "YSE_INGEST_NAMESPACE": "command",
        "YSE_INGEST_TARGETS": "",
    }
    service = _service(environment, **own)
    command = Command({**environment, **own}, folder)
    campaign = Campaign(world, service, command)
    dry = command.run(*OPTIONS, "--dry-run")["changes"]["added"]
    good = service.state.targets.count() == 0
    say(f"dry run: {len(dry)} would be added, {service.state.targets.count()} were")
    good &= len(dry) == len(campaign.wanted()) and campaign.run()
    # The job of the service keeps in step what the command began.
    world.change()
    campaign.way = Job(service)
    campaign.way.with_query = False
    good &= campaign.look("the service's own job, after more changes")
    ended = command.run("--forget", *OPTIONS)
    paused = service.state.targets.paused().keys()
    left = [name for name in service.state.targets.names() if name not in paused]
    say(f"ended: {len(ended['changes']['paused'])} paused, {len(left)} not")
    return good and not left


def _service(environment: Mapping[str, str], **changes: str) -> Service:
    return Service.from_settings(Settings.from_env({**environment, **changes}))


if __name__ == "__main__":
    sys.exit(main())
