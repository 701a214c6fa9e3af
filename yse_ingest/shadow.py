"""Shadow: everything is planned, nothing is sent, and what would have been sent is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.delta import Verdict
from yse_ingest.ledger import RANK_BITS
from yse_ingest.pipeline import Outcome, Receipt, State
from yse_ingest.state import exposure_fields
from yse_ingest.times import iso_of_unix
from yse_ingest.ysepz import creation_request, resolve
from yse_ingest.ysepz.uploads import declared_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yse_ingest.ledger import Ledger
    from yse_ingest.pipeline import Plan
    from yse_ingest.targets import Target
    from yse_ingest.ysepz import Transient, YsePz


def rehearse(plan: Plan, *, at: float) -> Receipt:
    """Return the receipt of a plan that is not carried out; not one request is made.

    Parameters
    ----------
    at
        Unix time [s].
    """
    receipt = Receipt.begun(plan, at=at)
    corrected = np.array([each.row for each in plan.corrections], dtype=np.int64)
    receipt.mark(
        np.concatenate([plan.comparison.where(Verdict.NEW), corrected]), Outcome.PLANNED
    )
    receipt.state = State.SHADOW
    return receipt


def planned_exposures(receipt: Receipt) -> list[str]:
    """Return the exposures that a rehearsal would have sent, as the outbox names them."""
    return exposure_fields(receipt.plan.curve.take(_new(receipt)))


def ledger_as_if_sent(receipt: Receipt, known: Ledger) -> Ledger:
    """Return a ledger with what a rehearsal would have sent: no rows of ours, never missed."""
    planned = known.with_sent(receipt.plan.curve.take(_new(receipt)))
    flags = planned.flags.copy()
    flags[len(known) :] &= RANK_BITS
    return replace(planned, flags=flags)


def rehearse_creation(client: YsePz, target: Target) -> Transient | None:
    """Return the transient of a target, which may stand by now; None: it would be created.

    Raises
    ------
    YseIngestError
        What would stop the creation: an incomplete or unknown field, a place that is taken.
    """
    creation_request(target)
    client.vocabulary().check_creation(declared_fields(target), target=target.name)
    return resolve(client, target).transient


def creation_planned(name: str, exposures: Sequence[str], *, at: float) -> dict[str, Any]:
    """Return the record of a creation that was not carried out."""
    return {
        "target": name,
        "at": iso_of_unix(at),
        "state": str(State.SHADOW),
        "creation": True,
        "counts": {str(Outcome.PLANNED): len(exposures)},
    }


def _new(receipt: Receipt) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the rows that are planned as new points: a correction has its row already."""
    new = receipt.plan.comparison.where(Verdict.NEW)
    return np.intersect1d(new, receipt.rows(Outcome.PLANNED))
