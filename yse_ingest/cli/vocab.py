"""``yse-ingest vocab``: the names that YSE-PZ knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from yse_ingest.cli.terminal import Terminal, terminal_options

if TYPE_CHECKING:
    from yse_ingest.ysepz import Vocabulary
    from yse_ingest.ysepz.vocabulary import Kind

KINDS: dict[str, Kind | None] = {
    "bands": None,
    "instruments": "instrument",
    "obs_groups": "obs_group",
    "groups": "group",
    "statuses": "status",
    "tags": "tag",
    "quality": "data_quality",
    "classes": "class",
}
"""Kind on the command line to its name in the vocabulary; bands stand there by themselves."""
ALIKE = 0.5
"""Names at least so much like the text are near it, capitals apart (1: the same)."""
NEAREST = 4
"""Most names of a kind that are shown for being near."""


@click.command()
@click.argument("kind", type=click.Choice([*KINDS]), required=False)
@click.option("--like", metavar="TEXT", help="Only names that hold this text, or nearly.")
@terminal_options
def vocab(terminal: Terminal, kind: str | None, like: str | None) -> None:
    """List the names that YSE-PZ knows: bands, instruments, groups, statuses, tags.

    A name that YSE-PZ does not know is refused here before it is sent: YSE-PZ itself would
    store it as "Unknown" and answer success. "obs_groups" are observing groups (who took the
    data), "groups" those of users (who may see it).

    \b
    Examples:
      yse-ingest vocab bands --like ztf
      yse-ingest vocab statuses
    """
    from yse_ingest.cli.render import say, table, warn

    vocabulary = terminal.service().ysepz.vocabulary()
    found = {
        each: _like(_names(vocabulary, each), like) for each in ([kind] if kind else KINDS)
    }
    if like and not any(found.values()):
        found = {each: _nearest(_names(vocabulary, each), like) for each in found}
        near = "the nearest are these" if any(found.values()) else "and nothing is near it"
        warn(f'Nothing holds "{like}"; {near}.')
    if terminal.as_json:
        terminal.result(
            {
                each: [
                    {"band": name, "instrument": instrument} if each == "bands" else name
                    for name, instrument in rows
                ]
                for each, rows in found.items()
            }
        )
        return
    for each, rows in found.items():
        if not rows:
            continue
        if each == "bands":
            table(["band", "instrument"], rows)
        else:
            table([each], [(name,) for name, _ in rows])
        say()


def _names(vocabulary: Vocabulary, kind: str) -> list[tuple[str, str]]:
    """Return the names of a kind, each with the instrument where it is a band."""
    wanted = KINDS[kind]
    if wanted is None:
        return [(band.name, band.instrument) for band in vocabulary.bands]
    return [(name, "") for name in vocabulary.all(wanted)]


def _like(rows: list[tuple[str, str]], like: str | None) -> list[tuple[str, str]]:
    text = (like or "").casefold()
    return [row for row in rows if any(text in part.casefold() for part in row)]


def _nearest(rows: list[tuple[str, str]], like: str) -> list[tuple[str, str]]:
    from difflib import SequenceMatcher

    def likeness(row: tuple[str, str]) -> float:
        return max(
            SequenceMatcher(None, like.casefold(), part.casefold()).ratio() for part in row
        )

    near = [row for row in rows if likeness(row) >= ALIKE]
    return sorted(near, key=likeness, reverse=True)[:NEAREST]
