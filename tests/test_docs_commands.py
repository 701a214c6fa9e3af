"""The pages: every command, setting, source and link in them is one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from yse_ingest.cli import main
from yse_ingest.pipeline import Outcome, State
from yse_ingest.settings import describe
from yse_ingest.sources import SOURCES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = ["cut-over.md", "operate.md", "targets.md"]
ALL = sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))
RULES = ["sources/several.md", "sources/rules.md"]
_COMMAND = re.compile(r"yse-ingest ([a-z][^`\n#&>]*)")


def text_of(page: str) -> str:
    # A command in a sentence may be broken at the end of a line.
    return re.sub(r"(?<=[a-z])\n(?=[A-Za-z`-])", " ", (DOCS / page).read_text(encoding="utf-8"))


def commands(page: str) -> list[list[str]]:
    return [found.split() for found in _COMMAND.findall(text_of(page))]


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are called in a link."""
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[tuple[Path, str]]:
    """Return file and heading of each link of a page that stays in the repository."""
    found = re.findall(
        r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page.read_text(encoding="utf-8")
    )
    return [((page.parent / to).resolve() if to else page, heading) for to, heading in found]


@pytest.mark.parametrize("page", ALL)
def test_every_command_of_the_page_exists(page: str) -> None:
    """Each command, its sub-command and each of its options is one that the terminal takes."""
    found = commands(page)
    assert page not in PAGES or len(found) > 10
    context = click.Context(main, info_name="yse-ingest")
    for words in found:
        name, *rest = words
        command = main.get_command(context, name)
        assert command is not None, words
        while isinstance(command, click.Group) and rest:
            command = command.get_command(context, rest.pop(0))
            assert command is not None, words
        known = {option for each in command.params for option in each.opts}
        assert {word for word in rest if word.startswith("--")} <= known, words


@pytest.mark.parametrize("page", [*PAGES, *RULES])
def test_every_setting_of_the_page_exists(page: str) -> None:
    """Each variable is a setting."""
    named = set(re.findall(r"\b(?:YSE_INGEST|YSE_PZ)_[A-Z_]+\b", text_of(page)))
    assert named
    assert named <= {row["variable"] for row in describe()}


def test_every_state_and_outcome_is_explained() -> None:
    """What status can say of an upload and its points stands in the page."""
    page = text_of("operate.md")
    for word in (*State, *Outcome):
        assert re.search(rf"\b{word}\b", page), word


def test_every_source_stands_in_the_table() -> None:
    """Each source that is installed has its row, with its settings and a page."""
    table = text_of("sources.md")
    for name, source in SOURCES.items():
        (row,) = re.findall(rf"(?m)^\| \[`{name}`\]\(sources/.+$", table)
        assert {option.variable for option in source.options} <= set(
            re.findall(r"`(\w+)`", row)
        )


@pytest.mark.parametrize(
    "name", ["CONTRIBUTING.md", "README.md", *(f"docs/{page}" for page in ALL)]
)
def test_every_link_leads_somewhere(name: str) -> None:
    """A link within the repository names a file that is there, and a heading that it has."""
    for to, heading in links(ROOT / name):
        assert to.exists(), f"{name}: {to}"
        assert not heading or heading in anchors(to), f"{name}: {to}#{heading}"


def test_every_page_is_found_from_the_readme() -> None:
    """Who follows the links from the README comes to every page."""
    reached: set[Path] = set()
    ahead = {ROOT / "README.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead |= {to for to, _ in links(page) if to.suffix == ".md"} - reached
    assert {DOCS / page for page in ALL} <= reached
