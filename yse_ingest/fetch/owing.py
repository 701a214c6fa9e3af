"""Owing: which exposures of an answer YSE-PZ does not hold as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from yse_ingest.choice import first_ms
from yse_ingest.clients import CREATION_KEY
from yse_ingest.delta import Verdict, compare, outranks, own_windows, windows
from yse_ingest.ledger import MEMORY
from yse_ingest.photometry import PointKind
from yse_ingest.sources import Status

if TYPE_CHECKING:
    from yse_ingest.clients import Clients
    from yse_ingest.ledger import Ledger
    from yse_ingest.photometry import LightCurve
    from yse_ingest.pipeline import Fetched
    from yse_ingest.state import Backfill
    from yse_ingest.targets import Target


def owed(clients: Clients, fetched: Fetched, key: str) -> tuple[LightCurve, Ledger | None]:
    """Return the exposures that YSE-PZ does not hold as they are, and its ledger.

    Where there is no ledger every exposure is owed; the upload reads back and compares.
    """
    empty = fetched.curve.take(slice(0, 0))
    if fetched.answer.status is not Status.OK:
        return empty, None
    nothing = not len(fetched.curve) and not fetched.gaps
    if nothing and not fetched.answer.full:
        return empty, None
    curve = wanted(fetched.curve, clients, fetched.target)
    ledger = None if key.startswith(CREATION_KEY) else clients.ledgers.get(int(key))
    if ledger is None:
        # Part of a light curve says nothing about the smallest gap: ask in full next time.
        return (curve if fetched.answer.full else empty), None
    window = windows(
        curve.band,
        instrument=curve.instrument,
        gaps=ledger.with_gaps(fetched.gaps).gaps,
        tolerance_ms=fetched.tolerance_ms,
        mjdmatchmin=fetched.rules.mjdmatchmin,
    )
    verdicts = compare(
        curve,
        ledger,
        window,
        ours=ledger.ours,
        value_hash=ledger.value_hash,
        send_stored_elsewhere=fetched.rules.send_stored_elsewhere,
        own_window=None
        if fetched.rules.mjdmatchmin is None
        else own_windows(
            window,
            instrument=curve.instrument,
            gaps=ledger.with_gaps(fetched.gaps).gaps,
            tolerance_ms=fetched.tolerance_ms,
        ),
    )
    rows = verdicts.where(Verdict.NEW, Verdict.CHANGED)
    if len(ledger):
        # A person who removed an upper limit has not refused the detection of its exposure.
        gone = (verdicts.row >= 0) & ledger.having(MEMORY)[verdicts.row]
        gone &= outranks(curve.rank, ledger.rank[verdicts.row])
        rows = np.union1d(rows, np.flatnonzero(gone))
    return curve.take(rows), ledger


def within(curve: LightCurve, backfill: Backfill) -> LightCurve:
    """Return what lies in the range that is to be read again, its ends included."""
    keep = np.ones(len(curve), dtype=bool)
    if backfill.from_ms is not None:
        keep &= curve.time_ms >= backfill.from_ms
    if backfill.to_ms is not None:
        keep &= curve.time_ms <= backfill.to_ms
    return curve.take(keep)


def wanted(curve: LightCurve, clients: Clients, target: Target) -> LightCurve:
    """Leave out what people rejected, and what YSE-PZ refused while its values stay.

    So are late upper limits: they end at the first detection that any source of the target
    knows, and who is asked later may know an earlier one.
    """
    state, name = clients.state, target.name
    is_limit = curve.kind == PointKind.LIMIT
    if is_limit.any():
        before_ms = first_ms(clients.sources_of(target), state.clocks.get(name))
        if before_ms is not None:
            curve = curve.take(~is_limit | (curve.time_ms < before_ms))
    rejected = state.quarantine.rejected(name)
    refused = state.quarantine.refused(name)
    if not refused and not rejected:
        return curve
    keep = [
        native_id not in rejected and refused.get(native_id) != str(value_hash)
        for native_id, value_hash in zip(
            curve.native_id.tolist(), curve.value_hash.tolist(), strict=True
        )
    ]
    return curve.take(np.array(keep, dtype=bool))
