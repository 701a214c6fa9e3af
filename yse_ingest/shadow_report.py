"""What the old jobs stored, beside what this service would have: what a shadow week shows."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yse_ingest.adopt import look_at
from yse_ingest.errors import StateError, YseIngestError
from yse_ingest.inventory import ALONE, Finding
from yse_ingest.sources import Status
from yse_ingest.state import exposure_field
from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from yse_ingest.inventory import Inventory, Line
    from yse_ingest.pipeline import Fetched
    from yse_ingest.service import Service
    from yse_ingest.targets import Target

COMPARED, NOT_STORED, FAILED = "compared", "not in YSE-PZ", "failed"


@dataclass(frozen=True)
class Compared:
    """One target: theirs beside ours."""

    target: str
    state: str
    """compared, not in YSE-PZ, failed; ambiguous, unknown (the source)."""
    both: int = 0
    """Exposures that they have stored and we would not send again."""
    differing: int = 0
    """Of these, stored with other values."""
    only_theirs: Mapping[str, int] = field(default_factory=dict)
    """Reason to the number of their rows for which we have no exposure."""
    only_ours: Mapping[str, int] = field(default_factory=dict)
    """Reason to the number of exposures that they lack."""
    delay_theirs_s: float | None = None
    """From the exposure to their row, in the middle, of those that came in shadow [s]."""
    delay_ours_s: float | None = None
    """From the exposure to the moment at which we would have sent it, of the same [s]."""
    rows: tuple[Mapping[str, Any], ...] = ()
    """Every exposure and row on which the two sides are not one; none where it is private."""
    reason: str = ""
    error: YseIngestError | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        plain = {key: value for key, value in vars(self).items() if key != "error"}
        if self.error is not None:
            plain["error"] = self.error.as_dict()
        return plain


def compare_with_theirs(service: Service, targets: Sequence[Target]) -> Iterator[Compared]:
    """Compare target by target; nothing is written. One that fails stops only itself."""
    for target in targets:
        try:
            yield _compare(service, target)
        except StateError:
            raise
        except YseIngestError as error:
            yield Compared(target.name, FAILED, error=error)


def _compare(service: Service, target: Target) -> Compared:
    transient = service.locate(target)
    if transient is None:
        return Compared(target.name, NOT_STORED, reason="it would be created")
    fetched, _, inventory = look_at(service, target, transient)
    if fetched.answer.status not in {Status.OK, Status.EMPTY}:
        answer = fetched.answer
        return Compared(target.name, str(answer.status), reason=answer.reason)
    planned = service.state.shadow.planned(str(transient.pk))
    account = service.ysepz.account.username
    return _compared(
        target.name,
        inventory,
        fetched,
        planned,
        account=account,
        private=bool(fetched.rules.groups),
    )


def _compared(
    name: str,
    inventory: Inventory,
    fetched: Fetched,
    planned: Mapping[str, int],
    *,
    account: str,
    private: bool,
) -> Compared:
    theirs = [line for line in inventory.lines if line.created_by not in {None, account}]
    alone = [line for line in theirs if _is_alone(line, fetched)]
    standing = [line for line in theirs if not _is_alone(line, fetched)]
    missing = [line for line in inventory.lines if line.finding is Finding.TO_SEND]
    delays = [
        (line.created_ms - line.time_ms, at_ms - line.time_ms)
        for line in standing
        if line.created_ms and (at_ms := planned.get(_exposure(line, fetched))) is not None
    ]
    told = [line for line in (*alone, *standing, *missing) if line.finding is not Finding.SAME]
    return Compared(
        name,
        COMPARED,
        both=len(standing),
        differing=sum(line.finding is Finding.DIFFERS for line in standing),
        only_theirs=dict(Counter(str(line.finding) for line in alone)),
        only_ours=dict(Counter(line.reason for line in missing)),
        delay_theirs_s=_middle([theirs_ms for theirs_ms, _ in delays]),
        delay_ours_s=_middle([ours_ms for _, ours_ms in delays]),
        rows=() if private else tuple(_row(line) for line in sorted(told, key=_when)),
    )


def _is_alone(line: Line, fetched: Fetched) -> bool:
    """Tell whether a row stands for no exposure of the source."""
    if line.finding is not Finding.FORCED:
        return line.finding in ALONE
    curve = fetched.curve
    return not bool(((curve.time_ms == line.time_ms) & (curve.band == line.band)).any())


def _exposure(line: Line, fetched: Fetched) -> str:
    rules = fetched.rules
    return exposure_field(rules.instrument, rules.obs_group, line.band, line.time_ms)


def _middle(delays_ms: Sequence[int]) -> float | None:
    return statistics.median(delays_ms) / 1000 if delays_ms else None


def _when(line: Line) -> int:
    return line.time_ms


def _row(line: Line) -> dict[str, Any]:
    return {
        "band": line.band,
        "obs_date": iso_of_unix(line.time_ms / 1000),
        "finding": str(line.finding),
        "reason": line.reason,
        "created_by": line.created_by,
        "created": iso_of_unix(line.created_ms / 1000) if line.created_ms else None,
    }
