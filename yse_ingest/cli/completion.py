"""What the shell is offered for the beginning of a word: names of targets, and of sources."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

WORDS_MAX = 200
"""More than these help nobody who presses Tab."""
PATIENCE_S = 1.0
"""So long is waited for Redis [s]."""


def target_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return names of targets that are followed; none where Redis or settings are amiss."""
    from yse_ingest.envfile import ENV_FILE, load_env_file
    from yse_ingest.errors import YseIngestError
    from yse_ingest.settings import Settings
    from yse_ingest.state import State

    try:
        load_env_file(Path(ENV_FILE), os.environ)
        settings = Settings.from_env(os.environ)
        with State.look_at(
            settings.service_state_url, namespace=settings.namespace, timeout_s=PATIENCE_S
        ) as state:
            names = state.targets.names()
    except YseIngestError:
        return []
    return [name for name in names if name.startswith(incomplete)][:WORDS_MAX]


def source_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return names of sources; of several parted by commas the last is completed."""
    from yse_ingest.sources import SOURCES

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in sorted(SOURCES) if name.startswith(last)]
