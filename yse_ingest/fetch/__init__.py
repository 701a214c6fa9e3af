"""Fetch: what the sources say of the targets that are due, and what YSE-PZ lacks of it.

`rounds` says whom to ask, `turns` whether they may be asked now, `questions` what they are
asked; `answers` notes what they say, and `owing` what YSE-PZ is owed for it. `asking` holds
it together: one message's worth.
"""

from __future__ import annotations

from yse_ingest.fetch.asking import Fetch
from yse_ingest.fetch.owing import owed, wanted

__all__ = ["Fetch", "owed", "wanted"]
