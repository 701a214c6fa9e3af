"""Adoption: read what is stored already, tell how it stands, and keep it as the ledger.

Nothing is written to YSE-PZ. An upload adopts its target by itself, since without a ledger it
reads back before it sends; this does it ahead, for many, and tells what was found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.delta import differs, match, outranked, own_windows, windows
from yse_ingest.errors import StateError, YseIngestError
from yse_ingest.inventory import Finding, take_inventory
from yse_ingest.ledger import Ledger
from yse_ingest.pipeline import fetch_light_curve
from yse_ingest.sources import Status
from yse_ingest.times import iso_of_unix

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from yse_ingest.inventory import Inventory
    from yse_ingest.pipeline import Fetched
    from yse_ingest.service import Service
    from yse_ingest.targets import Target
    from yse_ingest.ysepz import ReadBack, Transient

ADOPTED, DONE_BEFORE, NOT_STORED, FAILED = "adopted", "done before", "not in YSE-PZ", "failed"
WAITS = "waits"
"""The budget of YSE-PZ's time is spent: adopt it later."""


@dataclass(frozen=True)
class Adoption:
    """What was found for one target."""

    target: str
    state: str
    """adopted, done before, not in YSE-PZ, waits, failed; ambiguous, unknown (the source)."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """`yse_ingest.inventory.Finding` to its number of exposures and rows."""
    at: str = ""
    reason: str = ""
    error: YseIngestError | None = None

    @property
    def well(self) -> bool:
        """Tell whether it needs nobody."""
        return self.state in {ADOPTED, DONE_BEFORE, NOT_STORED}

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        plain = {key: value for key, value in vars(self).items() if key != "error"}
        if self.error is not None:
            plain["error"] = self.error.as_dict()
        return plain


def adopt(
    service: Service, targets: Sequence[Target], *, again: bool = False
) -> Iterator[Adoption]:
    """Adopt targets one after the other; one that fails stops only itself.

    Safe to repeat and to break off: who was adopted is remembered, and done again only where
    its ledger was lost, or with ``again``.
    """
    for target in targets:
        known = None if again else _done_before(service, target)
        if known is not None:
            yield known
            continue
        held = service.held_back("adopt", [target.name])
        if held is not None:
            yield Adoption(target.name, WAITS, reason=held.fact)
            continue
        try:
            yield _adopt(service, target)
        except StateError:
            raise
        except YseIngestError as error:
            yield Adoption(target.name, FAILED, error=error)


def look_at(
    service: Service, target: Target, transient: Transient
) -> tuple[Fetched, ReadBack, Inventory]:
    """Return everything that the source has, what YSE-PZ stores, and how they compare."""
    fetched = fetch_light_curve(
        target.at(transient.ra, transient.dec),
        service.source(service.source_of(target)),
        rules=service.rules(target),
        discovery_ms=transient.discovery_ms,
    )
    stored = service.ysepz.for_purpose("adopt").read_back(transient.slug)
    inventory = take_inventory(
        fetched,
        stored,
        account=service.ysepz.account.username,
        ledger=service.state.ledgers.get(transient.pk),
    )
    return fetched, stored, inventory


def _done_before(service: Service, target: Target) -> Adoption | None:
    record = service.state.adoptions.get(target.name)
    place = service.state.resolutions.get(target.name)
    if record is None or place is None or service.state.ledgers.get(int(place["pk"])) is None:
        return None
    return Adoption(target.name, DONE_BEFORE, counts=record["counts"], at=record["at"])


def _adopt(service: Service, target: Target) -> Adoption:
    transient = service.locate(target)
    if transient is None:
        return Adoption(target.name, NOT_STORED, reason="it is still to be created")
    fetched, stored, inventory = look_at(service, target, transient)
    answer = fetched.answer
    if answer.status not in {Status.OK, Status.EMPTY}:
        return Adoption(target.name, str(answer.status), reason=answer.reason)
    state = service.state
    at_ms = state.now_ms()
    counts = {str(finding): count for finding, count in inventory.counts.items()}
    # A ledger that is there already is newer than this read-back, or as good.
    if state.ledgers.get(transient.pk) is None and not state.outbox.in_flight(
        str(transient.pk)
    ):
        ledger = _ledger(fetched, stored, account=service.ysepz.account.username, at_ms=at_ms)
        state.ledgers.put(transient.pk, ledger, name=transient.name, slug=transient.slug)
    at = iso_of_unix(at_ms / 1000)
    state.adoptions.put(target.name, {"at": at, "counts": counts})
    return Adoption(target.name, ADOPTED, counts=counts, at=at)


def _ledger(fetched: Fetched, stored: ReadBack, *, account: str, at_ms: int) -> Ledger:
    """Return the ledger of a read-back; a row of ours that differs stays due for correction."""
    ledger = Ledger.from_stored(
        stored.photometry, account=account, gaps=fetched.gaps, read_back_ms=at_ms
    )
    curve = fetched.curve
    window = windows(
        curve.band,
        instrument=curve.instrument,
        gaps=fetched.gaps,
        tolerance_ms=fetched.tolerance_ms,
        mjdmatchmin=fetched.rules.mjdmatchmin,
    )
    window = own_windows(
        window,
        instrument=curve.instrument,
        gaps=fetched.gaps,
        tolerance_ms=fetched.tolerance_ms,
    )
    index, _ = match(curve, stored.photometry, window)
    off = differs(curve, stored.photometry, index)
    ours = stored.photometry.written_by(account)
    settled = (index >= 0) & ~(off & ours[np.maximum(index, 0)]) if len(ledger) else index >= 0
    if len(ledger):  # a lesser row of the source is no news of a better one that stands
        settled &= ~outranked(curve.rank, ledger.rank[index])
    return ledger.with_hashes(index[settled], curve.value_hash[settled])


COLUMNS = (
    Finding.SAME,
    Finding.DIFFERS,
    Finding.FORCED,
    Finding.NEGATIVE,
    Finding.COLLAPSED,
    Finding.UNKNOWN_BAND,
    Finding.TO_SEND,
)
"""What is told of every target; the other findings only where there are any."""
