"""How far each target is: fetched, delivered, verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yse_ingest.ledger import Flag
from yse_ingest.sources import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from yse_ingest.ledger import Ledger
    from yse_ingest.service import Service
    from yse_ingest.state import Clock, RowSummary

ROWS_MAX = 100_000
SHADOW = "shadow"
"""All that would be sent is recorded, and nothing is."""
REFUSED = "refused"
"""Status of a clock whose question cannot be put at all: asking again is useless."""
_DONE = {"verified", "nothing to send", SHADOW}


@dataclass(frozen=True)
class Band:
    """Points of one band that stand in YSE-PZ."""

    delivered: int
    verified: int
    """Of these, seen there in a read-back."""


@dataclass(frozen=True)
class Progress:
    """One target."""

    target: str
    source: str
    state: str
    """In one word: waiting, fetched, owed, verified, refused, ..."""
    asked_ms: int = 0
    """When its sources were last asked, all of them [Unix ms]; 0: never."""
    fetched: int | None = None
    """Exposures of its source that were compared with YSE-PZ; None: not yet."""
    bands: Mapping[str, Band] = field(default_factory=dict)
    reason: str | None = None
    """Why it is not further."""

    @property
    def done(self) -> bool:
        """Tell whether everything its source has stands in YSE-PZ, and was seen there."""
        return self.state in _DONE

    @property
    def refused(self) -> bool:
        """Tell whether it needs a person."""
        return self.state in {"refused", "ambiguous", "unknown"}

    @property
    def delivered(self) -> int:
        """Return how many points stand in YSE-PZ."""
        return sum(band.delivered for band in self.bands.values())

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "target": self.target,
            "source": self.source,
            "state": self.state,
            "fetched": self.fetched,
            "bands": {
                name: {"delivered": band.delivered, "verified": band.verified}
                for name, band in self.bands.items()
            },
            **({"reason": self.reason} if self.reason else {}),
        }


def look(service: Service, *, since_ms: int = 0) -> list[Progress]:
    """Return how far each target is, in the order of names.

    Parameters
    ----------
    service
        Its state is read; nothing is asked of the network besides.
    since_ms
        What was asked before this does not count [Unix ms].
    """
    state = service.state
    targets = [target for target, _ in state.targets.all()]
    names = [target.name for target in targets]
    clocks, choices = state.clocks.all(names), state.choices.all(names)
    # After the clocks: what is owed is written down before the answer it came from.
    owed = {name: row for row in state.outbox.rows(ROWS_MAX) for name in row.targets}
    found = []
    for target in targets:
        chosen = choices.get(target.name, {})
        groups = service.groups_of(target)
        speaks = [group.speaks(chosen.get(group.survey)) for group in groups]
        source = ", ".join(speaks)
        mine = [clock for name in speaks if (clock := clocks.get(target.name, {}).get(name))]
        asked_ms = min((clock.asked_ms or 0 for clock in mine), default=0)
        if len(mine) < len(speaks) or asked_ms < since_ms:
            found.append(Progress(target.name, source, "waiting"))
            continue
        known = state.resolutions.get(target.name)
        ledger = None if known is None else service.ledgers.get(int(known["pk"]))
        receipts = [] if known is None else state.receipts.list(str(known["pk"]))
        # Of several surveys, the one that is not done yet.
        states = [_state(clock, owed.get(target.name), ledger) for clock in mine]
        state_now, reason = min(states, key=lambda each: each[0] in _DONE)
        if service.settings.shadow and state_now in {"verified", "accepted"}:
            state_now = SHADOW
        found.append(
            Progress(
                target.name,
                source,
                state_now,
                asked_ms=asked_ms,
                fetched=_fetched(receipts, target.name),
                bands={} if ledger is None else _bands(ledger),
                reason=reason,
            )
        )
    return found


def _fetched(receipts: Iterable[Mapping[str, Any]], target: str) -> int | None:
    """Return the size of the largest light curve that a receipt is about: the first one."""
    sizes = (sum(each["counts"].values()) for each in receipts if each.get("target") == target)
    return max(sizes, default=None)


def _state(
    clock: Clock, row: RowSummary | None, ledger: Ledger | None
) -> tuple[str, str | None]:
    if clock.silence == "no answer":
        return ("refused" if clock.status == REFUSED else "no answer"), clock.error
    if clock.silence == "pending":
        return "pending", None
    if clock.status in {Status.AMBIGUOUS, Status.UNKNOWN}:
        return str(clock.status), clock.detail.get("reason")
    if row is not None:
        place = "refused" if row.place == "refused" else "settling" if row.settling else "owed"
        return place, row.reason
    if ledger is None:
        return ("nothing to send" if clock.status == Status.EMPTY else "fetched"), None
    proven = ledger.read_back_ms and (ledger.flags & Flag.VERIFIED).astype(bool).all()
    return ("verified" if proven else "accepted"), None


def _bands(ledger: Ledger) -> dict[str, Band]:
    seen = (ledger.flags & Flag.VERIFIED).astype(bool)
    return {
        name: Band(
            delivered=int((ledger.band == name).sum()),
            verified=int((seen & (ledger.band == name)).sum()),
        )
        for name in sorted(set(ledger.band.tolist()))
    }


def table(rows: Sequence[Progress]) -> None:
    """Print a table; per band, how many points were seen in YSE-PZ of those delivered."""
    from yse_ingest.cli import render

    bands = band_names(rows)
    render.table(
        ["target", "source", "fetched", *bands, "state"],
        [
            [
                row.target,
                row.source,
                row.fetched,
                *(_cell(row.bands.get(band)) for band in bands),
                row.state,
            ]
            for row in rows
        ],
        right=["fetched", *bands],
        styles={
            "verified": "green",
            "refused": "red",
            "ambiguous": "red",
            "no answer": "yellow",
        },
    )


def band_names(rows: Iterable[Progress]) -> list[str]:
    """Return every band that a row has."""
    return sorted({band for row in rows for band in row.bands})


def _cell(band: Band | None) -> str:
    return "" if band is None else f"{band.verified}/{band.delivered}"
