"""Settings: read once from a mapping, checked, and passed on as a value.

`table` holds every setting, `values` how its text is read; `checks` what cannot be together;
`deployment` reads them, and tells what follows from them.
"""

from __future__ import annotations

from yse_ingest.settings.checks import refuse_unverified_tls
from yse_ingest.settings.deployment import PATIENCE_MAX_S, Settings
from yse_ingest.settings.table import DEFAULT_BROKER_URL, describe

__all__ = [
    "DEFAULT_BROKER_URL",
    "PATIENCE_MAX_S",
    "Settings",
    "describe",
    "refuse_unverified_tls",
]
