"""Leases by name, for what only one process may do at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.state import scripts

if TYPE_CHECKING:
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys


class Leases:
    """A lease ends by itself; its fence tells its holder from every later one."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def take(self, name: str, lease_s: float) -> int | None:
        """Take a lease for ``lease_s`` [s] and return its fence; None: somebody has it."""
        fence = self._connection.run(
            scripts.LEASE_TAKE,
            keys=[self._key(name), self._keys("fence")],
            args=[max(1, round(lease_s * 1000))],
        )
        return None if fence is None else int(fence)

    def renew(self, name: str, fence: int, *, lease_s: float) -> bool:
        """Extend a lease; False: it is lost."""
        return bool(
            self._connection.run(
                scripts.LEASE_RENEW,
                keys=[self._key(name)],
                args=[fence, max(1, round(lease_s * 1000))],
            )
        )

    def release(self, name: str, fence: int) -> bool:
        """Give a lease back; False: it was lost before."""
        return bool(
            self._connection.run(scripts.LEASE_RELEASE, keys=[self._key(name)], args=[fence])
        )

    def _key(self, name: str) -> str:
        return self._keys("lease", name)
