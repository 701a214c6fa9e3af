"""What the service would have sent while it only looked on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.state.connection import Read
from yse_ingest.state.ledgers import LedgerStore
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yse_ingest.ledger import Ledger
    from yse_ingest.state.connection import Connection
    from yse_ingest.state.keys import Keys


class ShadowLedgers(LedgerStore):
    """Ledgers as if all that was planned had been sent; where there is none, the real one."""

    def __init__(self, connection: Connection, keys: Keys, real: LedgerStore) -> None:
        super().__init__(connection, keys, shelf="shadow:ledger")
        self._real = real

    def get(self, transient_id: int) -> Ledger | None:
        """Return the ledger of a transient; None when there is none, or it is damaged."""
        ledger = super().get(transient_id)
        return ledger if ledger is not None else self._real.get(transient_id)

    def holds(self, transient_id: int) -> bool:
        """Tell whether there is a ledger, and it is as it was written; it is not unpacked."""
        return super().holds(transient_id) or self._real.holds(transient_id)


class Shadow:
    """Targets that were followed in shadow, and when each exposure would have been sent.

    It is bounded by what there is to send: an exposure is noted once, at the first time.
    """

    def __init__(self, connection: Connection, keys: Keys, real: LedgerStore) -> None:
        self._connection = connection
        self._keys = keys
        self._targets = keys("shadow", "targets")
        self.ledgers: LedgerStore = ShadowLedgers(connection, keys, real)

    def plan(self, key: str, names: Iterable[str], exposures: Iterable[str]) -> int:
        """Note what would be sent to a transient now; return how many are noted in all.

        Parameters
        ----------
        key
            Of the outbox: the transient's id as text, or "name:<NAME>".
        names
            Its targets.
        exposures
            `yse_ingest.state.exposure_field` of each.
        """
        planned = self._planned(key)
        now_ms = self._connection.now_ms()
        commands: list[tuple[str | int, ...]] = [
            ("HSET", self._targets, canonical_name(name), key) for name in names
        ]
        commands += [("HSETNX", planned, exposure, now_ms) for exposure in exposures]
        return int(self._connection.batch([*commands, ("HLEN", planned)], atomic=True)[-1])

    def planned(self, key: str) -> dict[str, int]:
        """Return exposures and when each would have been sent first [Unix ms]."""
        found = self._connection.call("HGETALL", self._planned(key))
        return {exposure: int(at_ms) for exposure, at_ms in found.items()}

    def targets(self) -> dict[str, str]:
        """Return the targets that were followed in shadow, with their keys."""
        return dict(self._connection.call("HGETALL", self._targets))

    def holds(self, name: str) -> bool:
        """Tell whether a target was followed in shadow and not for real since."""
        return self._connection.call(*self.read_of(name).command) is not None

    def read_of(self, name: str) -> Read:
        """Return what `holds` reads."""
        return Read(("HGET", self._targets, canonical_name(name)))

    def leave(self, name: str) -> None:
        """Forget a target: from now on it is followed for real."""
        name = canonical_name(name)
        key = self._connection.call("HGET", self._targets, name)
        self._connection.call("HDEL", self._targets, name)
        if key is None:
            return
        self._connection.call("DEL", self._planned(key))
        if key.isdecimal():
            self.ledgers.drop(int(key))

    def _planned(self, key: str) -> str:
        return self._keys("shadow", "planned", key)
