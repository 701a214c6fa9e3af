"""The state in Redis: the only importer of redis.

Ledgers, outbox, quarantine and clocks are derivable: lose them, and the next cycles rebuild
them from the two ends. What people decided is kept in one plain file beside Redis, too.
"""

from __future__ import annotations

from yse_ingest.state.backfills import Backfill
from yse_ingest.state.choices import Choice
from yse_ingest.state.clocks import Clock
from yse_ingest.state.connection import Connection, Finding, side_connection
from yse_ingest.state.decisions import Decision
from yse_ingest.state.keys import QUEUES, key_prefix
from yse_ingest.state.ledgers import LedgerStore
from yse_ingest.state.looks import Look
from yse_ingest.state.notices import Change, Delivery, Present
from yse_ingest.state.owed import (
    Claim,
    OwedRow,
    RowSummary,
    Standing,
    exposure_field,
    exposure_fields,
)
from yse_ingest.state.source_records import KeptReply, SourceRecord
from yse_ingest.state.store import State
from yse_ingest.state.targets import EXPIRED, DueTarget, FileSync
from yse_ingest.state.troubles import CREDENTIALS, FORMAT, STATE_LOST, Trouble

__all__ = [
    "CREDENTIALS",
    "EXPIRED",
    "FORMAT",
    "QUEUES",
    "STATE_LOST",
    "Backfill",
    "Change",
    "Choice",
    "Claim",
    "Clock",
    "Connection",
    "Decision",
    "Delivery",
    "DueTarget",
    "FileSync",
    "Finding",
    "KeptReply",
    "LedgerStore",
    "Look",
    "OwedRow",
    "Present",
    "RowSummary",
    "SourceRecord",
    "Standing",
    "State",
    "Trouble",
    "exposure_field",
    "exposure_fields",
    "key_prefix",
    "side_connection",
]
