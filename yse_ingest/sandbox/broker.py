"""What the stand-ins of all sources have in common."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

from yse_ingest.sandbox.server import StandIn

if TYPE_CHECKING:
    from typing import Unpack

    from yse_ingest.sandbox.server import ServerOptions


class BrokerStandIn(StandIn):
    """A source of photometry. No costs are known of any, so none are charged.

    Parameters
    ----------
    server
        As `StandIn`; four workers and connections that stay open, where nothing else is said.
    """

    base_path: ClassVar[str] = ""
    """What its addresses begin with."""

    def __init__(self, **server: Unpack[ServerOptions]) -> None:
        server.setdefault("workers", 4)
        server.setdefault("keep_alive", True)
        super().__init__(**server)
        self._table_lock = threading.Lock()

    @property
    def api_url(self) -> str:
        """The base address of the API, without a slash at the end."""
        return self.url + self.base_path
