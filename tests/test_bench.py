"""The figures of speed: what they are beside, and how they are judged. No time is asserted."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import __main__ as bench
from bench.figures import Figure, as_ratio, tally
from bench.latency import UNAVOIDABLE, Floor, needed_of, p95
from bench.page import BEGIN, END, table, write
from bench.world import PASSWORD, USER, World, cycle
from tests.campaigns.documented_cron import DocumentedCron

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
POINTS = 130


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as world:
        world.seed(3, POINTS)
        yield world


def posted_by(world: World, job: DocumentedCron, number: int) -> dict[str, object]:
    target = world.field.targets()[number]
    assert target.ra is not None
    assert target.dec is not None
    world.call("forget")
    job.run(target.name, target.ra, target.dec)
    (asked,) = world.call("requests", "ysepz")
    assert (asked.method, asked.path) == ("POST", "/add_transient/")
    posted: dict[str, object] = json.loads(asked.body)
    return posted


@pytest.mark.parametrize(("every_page", "points"), [(False, 100), (True, POINTS)])
def test_the_cron_posts_what_the_documented_job_posts(
    world: World, every_page: bool, points: int
) -> None:
    """The whole of page 1 each time, over what stands there; mended, the whole light curve."""
    job = DocumentedCron(world.mars_url, world.ysepz_url, USER, PASSWORD, every_page)
    first, second = (posted_by(world, job, 0) for _ in range(2))
    assert first == second
    assert first["noupdatestatus"] is True
    transient = first["bench000000"]
    assert isinstance(transient, dict)
    assert {transient["name"], transient["obs_group"], transient["status"]} == {
        "bench000000",
        "Unknown",
        "Ignore",
    }
    photometry = transient["transientphotometry"]
    assert (photometry["mjdmatchmin"], photometry["clobber"]) == (0.01, True)
    rows = photometry["ZTF"]["photdata"].values()
    assert len(rows) == points
    assert world.call("rows", "bench000000") >= points
    assert {row["band"] for row in rows} == {"g-ZTF", "r-ZTF"}


def test_the_floor_asks_and_sends_what_the_product_must(world: World) -> None:
    """For another target, with the same result: all points of it are stored."""
    target, other = world.field.targets()[1:]
    service = world.service()
    service.enqueue(target)
    world.call("forget")
    cycle(service, [target.name])
    needed = [*needed_of(world, target)]
    assert [server for server, _ in needed] == [server for server, _, _ in UNAVOIDABLE]
    Floor(world).run(needed, target, other)
    repeated = [each for server in ("mars", "ysepz") for each in world.call("requests", server)]
    assert [each.method for each in repeated] == [method for _, method, _ in UNAVOIDABLE]
    assert world.call("rows", other.name) == world.call("rows", target.name) == POINTS


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure("alone", "s", 1.0, 1.0), True),
        (Figure("alone", "s", 1.01, 1.0), False),
        (Figure("ratio", "s", 1.0, 1 / 80, 80.0), True),
        (Figure("ratio", "s", 1.0, 1 / 80, 79.0), False),
        (Figure("more", "/s", 80.0, 0.8, 100.0, more_is_better=True), True),
        (Figure("more", "/s", 79.0, 0.8, 100.0, more_is_better=True), False),
        (Figure("beyond", "ms", 190.0, 100.0, 90.0, beyond=True), True),
        (Figure("beyond", "ms", 191.0, 100.0, 90.0, beyond=True), False),
    ],
)
def test_a_figure_is_judged_by_its_goal(figure: Figure, holds: bool) -> None:
    """Alone, by its ratio, by how far it is beyond; and the goal itself holds."""
    assert figure.holds is holds
    assert tally([figure, Figure("missed", "s", 2.0, 1.0)]) == f"{int(holds)} of 2 goals hold"


def test_numbers_are_written_as_people_say_them() -> None:
    """A small ratio is one by so many; the 95th of a hundred is not the mean."""
    assert [as_ratio(ratio) for ratio in (1 / 80, 0.8, 2.65)] == ["1/80", "0.8", "2.65"]
    assert p95([*range(101)]) == 95


def test_the_table_is_written_between_its_marks(tmp_path: Path) -> None:
    """What people wrote around it stays, and a second run replaces the first one's table."""
    figures = {
        "latency": [Figure("late", "ms", 190.0, 100.0, 90.0, "ms, floor", beyond=True)],
        "memory": [
            Figure("fetch", "MB", 160.0, 150.0, note="resident"),
            Figure("x", "s", 1, 2),
        ],
    }
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nformer\n{END}\n\nafter\n")
    for _ in range(2):
        write(page, table(figures, ["a machine"]))
    text = page.read_text()
    assert text.startswith(f"before\n\n{BEGIN}\n\n- a machine\n")
    assert text.endswith(f"{END}\n\nafter\n")
    assert "former" not in text
    late = "| `latency` | late | 190 ms | 90 ms, floor | 2.11 | <= reference + 100 ms | holds |"
    assert text.count(late) == 1
    assert "| `memory` | fetch | 160 MB |  |  | <= 150 MB | MISSES |" in text
    assert "|  | x | 1 s |" in text
    assert "**2 of 3 goals hold.**" in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="no place for the table"):
        write(page, "table")


@pytest.mark.parametrize("command", bench.COMMANDS)
def test_every_command_exists_and_is_explained(command: str) -> None:
    """The page says of each what it is."""
    assert callable(importlib.import_module(f"bench.{command}").figures)
    assert f"`{command}`" in PAGE.read_text().partition(END)[2]
