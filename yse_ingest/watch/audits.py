"""What audits found that a person must know: who else writes to YSE-PZ where we do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.watch.condition import Condition
from yse_ingest.watch.services import WORDS
from yse_ingest.watch.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.watch.sight import Sight


def second_installation(sight: Sight) -> Iterator[Condition]:
    """Hold for each transient that is stopped: rows of our account that nobody here wrote."""
    words = WORDS["second-installation"]
    for key, reason in sorted(sight.stops.items()):
        yield Condition(
            f"second-installation:{key}",
            f"transient number {key}: {reason}",
            remedy=words.remedy,
            safe=words.safe,
            over=f"transient number {key} goes on",
        )


def second_writer(sight: Sight) -> Iterator[Condition]:
    """Hold for each account that writes new rows, or changes ours, where we write."""
    words = WORDS["second-writer"]
    for writer in sight.writers:
        account, instrument, obs_group = (
            writer[part] for part in ("account", "instrument", "obs_group")
        )
        yield Condition(
            f"second-writer:{account}|{instrument}|{obs_group}",
            f"{account} writes {instrument} of {obs_group} too,"
            f" in {counted(len(writer['targets']), 'transient')}",
            remedy=words.remedy,
            safe=words.safe,
            over=f"{account} writes no more where we do",
            failure=False,
        )
