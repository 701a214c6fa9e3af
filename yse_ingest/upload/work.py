"""Work: one outbox row under its lease, and what is done of it so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yse_ingest.clients import CREATION_KEY
from yse_ingest.errors import LeaseLostError, UnknownTargetError
from yse_ingest.ysepz import Transient, YsePz

if TYPE_CHECKING:
    from yse_ingest.clients import Clients
    from yse_ingest.limits import Purpose
    from yse_ingest.pipeline import Receipt
    from yse_ingest.state import OwedRow
    from yse_ingest.targets import Target


class Work:
    """What every step of an upload shares: the row, its lease, and a client that keeps it."""

    def __init__(
        self,
        clients: Clients,
        name: str,
        row: OwedRow,
        *,
        fence: int,
        attempt: int,
        target: Target | None,
    ) -> None:
        self.clients = clients
        self.given = target
        self.settings = clients.settings
        self.state = clients.state
        self.name = name
        self.row = row
        self.key = row.key
        self.fence = fence
        self.attempt = attempt
        self.creation: int | None = None
        self.client = self._client()
        self.receipts: list[Receipt] = []
        self.audited = False
        """Whether YSE-PZ was read back and compared."""

    def _client(self) -> YsePz:
        """Return a client of this upload, which shares connections and what was read."""
        purpose: Purpose = "upload" if self.given is None else "push"
        if not self.row.curves and not self.key.startswith(CREATION_KEY):
            purpose = "verify" if self.state.audits.proof_owed(self.key) else "audit"
        return self.clients.ysepz.for_purpose(purpose, keep=self.hold)

    def hold(self) -> None:
        """Renew the lease before a request; raise where it is lost."""
        lease_s = self.settings.lease_s
        if not self.state.outbox.renew(self.key, self.fence, lease_s=lease_s) or (
            self.creation is not None
            and not self.state.leases.renew("create", self.creation, lease_s=lease_s)
        ):
            raise LeaseLostError(
                "the lease of this transient has passed on",
                service="Redis",
                target=self.name,
                remedy="Nothing to do: its new holder reads back and sends what is missing.",
            )

    def target(self, name: str) -> Target | None:
        """Return a target of the row: the given one, or the registry's."""
        if self.given is not None and self.given.name == name:
            return self.given
        return self.state.targets.get(name)

    def transient(self) -> Transient:
        """Return the transient of the row's key."""
        cached = self.state.resolutions.get(self.name)
        # One without a status was made while YSE-PZ's list of them was older than its own.
        if cached is not None and str(cached["pk"]) == self.key and cached["status"]:
            return Transient.from_dict(cached)
        found = self.client.transient_by_pk(int(self.key))
        if found is None:
            raise UnknownTargetError(
                f"YSE-PZ has no transient number {self.key} any more",
                service="YSE-PZ",
                target=self.name,
                remedy="It was deleted or merged there; enqueue the target again.",
            )
        self.clients.remember(self.name, found)
        return found

    def leaves_shadow(self) -> bool:
        """Tell whether what is sent now was planned in shadow before."""
        held = self.state.shadow.holds
        return not self.settings.shadow and any(map(held, self.row.targets))
