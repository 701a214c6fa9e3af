"""Follow: the targets are whatever has a status or a tag in YSE-PZ, or a saved query lists.

What leaves the list is paused, not forgotten. What a person added, or the targets file has, is
theirs: the list neither changes nor pauses it. A transient is one target whatever it is called:
one that was renamed in YSE-PZ goes on under its new name, with its pause, cadence and rejected
points; one that people follow under another of its names is not followed twice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import StateError, TargetError, YseIngestError
from yse_ingest.state.targets import LEFT_FILE
from yse_ingest.targets import Target, canonical_name
from yse_ingest.ysepz import Listed, name_key

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    renamed: tuple[str, ...] = ()
    """New names of targets that were followed under another one."""


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
        usable, unusable = _usable(_listed(clients, following))
        targets, renamed = _in_step(clients, usable)
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
    synced = clients.state.targets.sync_list(targets)
    _note_unusable(clients, unusable)
    followed = Followed(
        new=tuple(synced.changed),
        gone=tuple(synced.gone),
        back=tuple(synced.back),
        unusable=tuple(unusable),
        renamed=tuple(renamed),
    )
    if synced.changed or synced.gone or synced.back or renamed:
        logger.info("targets listed", extra={"targets": len(targets), **vars(followed)})
    return followed


def _listed(clients: Clients, following: Following) -> list[Listed]:
    """Return the transients that are followed; each once, where its number is known."""
    client = clients.ysepz.for_purpose("lookup")
    found: dict[int, Listed] = {}
    for name in following.status:
        found |= {
            one.pk: Listed(one.name, one) for one in client.transients_with("status", name)
        }
    for name in following.tags:
        found |= {one.pk: Listed(one.name, one) for one in client.transients_with("tag", name)}
    if following.query is None:
        return list(found.values())
    names_only: dict[str, Listed] = {}
    known = {name_key(one.name) for one in found.values()}
    for one in client.listed_by_query(following.query):
        if one.transient is not None:
            found.setdefault(one.transient.pk, one)
            known.add(name_key(one.name))
        else:
            names_only.setdefault(name_key(one.name), one)
    # A query that joins tables has a name many times.
    return [*found.values(), *(one for key, one in names_only.items() if key not in known)]


def _usable(found: list[Listed]) -> tuple[dict[str, Transient | None], list[str]]:
    """Return the names that can be followed, each with its transient; and those that cannot."""
    names: dict[str, list[Listed]] = {}
    for one in found:
        names.setdefault(name_key(one.name), []).append(one)
    usable: dict[str, Transient | None] = {}
    unusable = []
    for same in names.values():
        try:
            name = Target(same[0].name).name
        except TargetError:
            unusable.append(same[0].name)
            continue
        if len(same) > 1:
            unusable.append(name)
        else:
            usable[name] = same[0].transient
    return usable, unusable


def _in_step(
    clients: Clients, usable: dict[str, Transient | None]
) -> tuple[list[Target], list[str]]:
    """Return the targets of the list, under today's names; and which of them are new names.

    Remembers where each is: the list has said everything that a look-up would ask for.
    """
    state = clients.state
    origins = {target.name: origin for target, origin in state.targets.all()}
    cached = state.resolutions.many(list(origins))
    by_pk = _by_pk(clients, origins, usable, cached)
    paused = state.targets.paused()
    remembered: dict[str, dict[str, Any]] = {}
    targets, renamed = [], []
    for name, transient in usable.items():
        place = cached.get(name) if transient is None else transient.as_dict()
        others = [each for each in by_pk.get(place["pk"], ()) if each != name] if place else []
        theirs = [
            each for each in others if origins[each] != "list" and paused.get(each) != LEFT_FILE
        ]
        if transient is not None:
            remembered |= dict.fromkeys((name, *theirs), transient.as_dict())
        if theirs:
            continue
        for old in (each for each in others if origins[each] == "list"):
            for native_id, reason in state.quarantine.rejected(old).items():
                state.quarantine.reject(name, native_id, reason)
            state.targets.rename(old, name)
            renamed.append(name)
        targets.append(Target(name))
    state.resolutions.put_many(remembered)
    return targets, renamed


def _by_pk(
    clients: Clients,
    origins: Mapping[str, str],
    usable: Mapping[str, Transient | None],
    cached: Mapping[str, Mapping[str, Any]],
) -> dict[int, list[str]]:
    """Return the names of targets by the number of the transient that each is."""
    found: dict[int, list[str]] = {}
    for name, place in cached.items():
        found.setdefault(place["pk"], []).append(name)
    lost = {
        name_key(name): name
        for name, origin in origins.items()
        if origin == "list" and name not in cached and name not in usable
    }
    if lost and usable.keys() - origins.keys():
        # Their look-up is too old: the old name of one that was renamed is an alias now.
        for alias in clients.ysepz.for_purpose("lookup").aliases():
            old = lost.get(name_key(canonical_name(alias.name)))
            if old is not None and alias.transient is not None:
                found.setdefault(alias.transient, []).append(old)
    return found


def _note_unusable(clients: Clients, unusable: list[str]) -> None:
    clients.state.troubles.clear(FOLLOW)
    if unusable:
        count = len(unusable)
        fact = f"{count} names of YSE-PZ's lists cannot be followed: see the log"
        clients.state.troubles.note(FOLLOW, fact=fact)
        logger.warning("cannot be followed", extra={"names": unusable})
