"""Follow: the targets are whatever has a status or a tag in YSE-PZ.

What leaves the list is paused, not forgotten. What a person added, or the targets file has, is
theirs: the list neither changes nor pauses it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yse_ingest.errors import StateError, TargetError, YseIngestError
from yse_ingest.targets import Target
from yse_ingest.ysepz.transients import name_key

if TYPE_CHECKING:
    from yse_ingest.clients import Clients
    from yse_ingest.schemas.targets import Following
    from yse_ingest.ysepz import Transient

logger = logging.getLogger(__name__)

FOLLOW = "follow"
"""Kind of the trouble, and name of the lease that says when it is due again."""


@dataclass(frozen=True)
class Followed:
    """What one look at the lists changed: names of targets."""

    new: tuple[str, ...]
    gone: tuple[str, ...]
    back: tuple[str, ...]
    unusable: tuple[str, ...]
    """Names that cannot be followed, or that several transients have."""


def follow(clients: Clients, *, now: bool = False) -> Followed | None:
    """Bring the targets in step with YSE-PZ's lists; None: it is not due, or could not be.

    Safe to repeat, and on any number of hosts: a lease says who does it, and when it is due.

    Parameters
    ----------
    now
        A person wants it, due or not.
    """
    following = clients.targets_file().following
    if following is None or not (following or clients.state.targets.knows_list()):
        return None
    every_s = clients.settings.follow_every_s
    lease = clients.state.leases.take(FOLLOW, every_s)
    if lease is None and not now:
        return None
    try:
        if (held := clients.held_back("lookup", [])) is not None:
            raise held
        found = _listed(clients, following)
    except StateError:
        raise
    except YseIngestError as error:
        fact = f"the targets could not be listed: {error.fact}"
        clients.state.troubles.note(FOLLOW, fact=fact)
        logger.warning("targets not listed", extra={"error": str(error)})
        # Nothing is changed by what nobody said; it is tried again before its time.
        if lease is None:
            return None
        again_s = max(clients.settings.ask_again_s, error.retry_after or 0.0)
        clients.state.leases.renew(FOLLOW, lease, lease_s=min(every_s, again_s))
        return None
    targets, unusable = _targets_of(clients, found)
    synced = clients.state.targets.sync_list(targets)
    _note_unusable(clients, unusable)
    followed = Followed(
        new=tuple(synced.changed),
        gone=tuple(synced.gone),
        back=tuple(synced.back),
        unusable=tuple(unusable),
    )
    if synced.changed or synced.gone or synced.back:
        logger.info("targets listed", extra={"targets": len(targets), **vars(followed)})
    return followed


def _listed(clients: Clients, following: Following) -> list[Transient]:
    """Return the transients that have a status or a tag that is followed, each once."""
    client = clients.ysepz.for_purpose("lookup")
    found: dict[int, Transient] = {}
    for name in following.status:
        found |= {one.pk: one for one in client.transients_with("status", name)}
    for name in following.tags:
        found |= {one.pk: one for one in client.transients_with("tag", name)}
    return list(found.values())


def _targets_of(clients: Clients, found: list[Transient]) -> tuple[list[Target], list[str]]:
    """Return the targets, remembering where each is; and the names that cannot be any."""
    names: dict[str, list[Transient]] = {}
    for transient in found:
        names.setdefault(name_key(transient.name), []).append(transient)
    targets, unusable = [], []
    for same in names.values():
        try:
            target = Target(same[0].name)
        except TargetError:
            unusable.append(same[0].name)
            continue
        if len(same) > 1:
            unusable.append(target.name)
            continue
        # The list has said everything that a look-up would ask for.
        clients.remember(target.name, same[0])
        targets.append(target)
    return targets, unusable


def _note_unusable(clients: Clients, unusable: list[str]) -> None:
    clients.state.troubles.clear(FOLLOW)
    if unusable:
        count = len(unusable)
        fact = f"{count} names of YSE-PZ's lists cannot be followed: see the log"
        clients.state.troubles.note(FOLLOW, fact=fact)
        logger.warning("cannot be followed", extra={"names": unusable})
