"""Where pushes of this machine wrote, so that the service takes those rows as its own.

A push without Redis shares the service's account and leaves nothing in its ledger. Beside its
lock file it notes, before each request, the places that it is about to write.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yse_ingest.audit import Place
    from yse_ingest.photometry import LightCurve
    from yse_ingest.settings import Settings

BYTES_MAX = 4_000_000
"""A longer journal loses its older half [byte]."""


def lock_path(settings: Settings, account: str) -> Path:
    """Return the lock file of pushes to this YSE-PZ under this account, for this user."""
    base = settings.environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    who = hashlib.sha256(f"{settings.ysepz_url}\n{account}".encode()).hexdigest()[:16]
    return Path(base) / "yse_ingest" / f"push-{who}.lock"


def journal_path(settings: Settings, account: str) -> Path:
    """Return the file that names the places at which pushes wrote."""
    return lock_path(settings, account).with_suffix(".journal")


def note_places(path: Path, transient_id: int, curves: Iterable[LightCurve]) -> None:
    """Note, on the disk, where a push is about to write. The caller holds the lock file."""
    lines = [
        json.dumps(
            {
                "transient": transient_id,
                "instrument": curve.instrument,
                "obs_group": curve.obs_group,
                "exposures": list(
                    zip(curve.band.tolist(), curve.time_ms.tolist(), strict=True)
                ),
            }
        )
        for curve in curves
    ]
    if path.exists() and path.stat().st_size > BYTES_MAX:
        older = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(older[len(older) // 2 :]), encoding="utf-8")
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def places(path: Path, transient_id: int) -> set[Place]:
    """Return where pushes of this machine wrote in a transient; none where none did."""
    found: set[Place] = set()
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            note = json.loads(line)
            if note["transient"] == transient_id:
                shelf = note["instrument"], note["obs_group"]
                found |= {(*shelf, band, int(time_ms)) for band, time_ms in note["exposures"]}
        except (ValueError, KeyError, TypeError):
            # Half a line of a push that was killed: nothing was sent after it.
            continue
    return found
