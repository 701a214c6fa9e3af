"""Upload: one transient under one lease: settle, create, read back, send, record.

`sending` tells the story; `work` is what its steps share. `settling` finds out what an unclear
outcome left, `creation` makes a new transient, `refusals` sets single points aside, and
`endings` puts the row where it belongs.
"""

from __future__ import annotations

from yse_ingest.upload.outcome import UploadOutcome
from yse_ingest.upload.sending import Upload

__all__ = ["Upload", "UploadOutcome"]
