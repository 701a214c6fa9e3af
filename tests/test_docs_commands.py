"""The pages of people who run it: every command they name is one that exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from yse_ingest.cli import main
from yse_ingest.pipeline import Outcome, State
from yse_ingest.settings import describe

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["cut-over.md", "operate.md", "targets.md"]
_COMMAND = re.compile(r"yse-ingest ([a-z][^`\n#&>]*)")


def text_of(page: str) -> str:
    # A command in a sentence may be broken at the end of a line.
    return re.sub(r"(?<=[a-z])\n(?=[A-Za-z`-])", " ", (DOCS / page).read_text(encoding="utf-8"))


def commands(page: str) -> list[list[str]]:
    return [found.split() for found in _COMMAND.findall(text_of(page))]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_exists(page: str) -> None:
    """Each command, its sub-command and each of its options is one that the terminal takes."""
    found = commands(page)
    assert len(found) > 10
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


@pytest.mark.parametrize("page", PAGES)
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
