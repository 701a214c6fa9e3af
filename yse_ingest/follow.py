"""Follow: the targets are whatever has a status or a tag in YSE-PZ, or a saved query lists.

Which lists these are, the targets file says and people decide (`follow_lists`). What leaves all
of them is paused, not forgotten. What a person added, or the targets file has, is theirs: the
lists neither change nor pause it. A transient is one target whatever it is called: one that was
renamed in YSE-PZ goes on under its new name, with its pause, cadence and rejected points; one
that people follow under another of its names is not followed twice. Nor does a list make what
people follow another transient: where it has one of the same name, that is told.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import SettingsError, StateError, YseIngestError
from yse_ingest.listing import listing
from yse_ingest.state.targets import LEFT_FILE
from yse_ingest.targets import Target
from yse_ingest.ysepz import alias_key, name_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from yse_ingest.clients import Clients
    from yse_ingest.listing import Listing
    from yse_ingest.selection import Selection
    from yse_ingest.state import FileSync
    from yse_ingest.ysepz import Transient, YsePz

logger = logging.getLogger(__name__)

FOLLOW = "follow"
"""Kind of the trouble, and name of the lease that says when it is due again."""


@dataclass(frozen=True)
class Followed:
    """What one look at the lists changed, or would change: names of targets."""

    new: tuple[str, ...]
    gone: tuple[str, ...]
    back: tuple[str, ...]
    unusable: tuple[str, ...]
    """Names that cannot be followed, or that several transients have, if behind a prefix."""
    renamed: Mapping[str, str]
    """New names of targets that were followed under another one, with that one."""
    kept: tuple[str, ...]
    """Those of the lists that stay as they are, whoever follows them."""
    counts: Mapping[Selection, int]
    """How many transients each list has."""
    unread: Mapping[Selection, str]
    """Lists that could not be read, and why: as long as there are any, nothing is paused."""
    odd: tuple[str, ...]
    """What is left out or read otherwise because of an odd row: a sentence each."""
    requests: int
    """How many YSE-PZ was sent for it."""


@dataclass(frozen=True)
class Look:
    """What the lists said, and what that means for the registry."""

    wanted: frozenset[Selection]
    """The lists that were looked at."""
    listing: Listing
    targets: tuple[Target, ...]
    """What is to be followed because of them, under today's names."""
    theirs: tuple[str, ...]
    """Targets of people and of the file that the lists have under another name."""
    renames: tuple[tuple[str, str], ...]
    """Old and new names of targets."""
    places: Mapping[str, Mapping[str, Any]]
    """What a look-up of these targets would say."""
    requests: int

    def followed(self, sync: FileSync) -> Followed:
        """Return what it changed, or would change."""
        renamed = {new: old for old, new in self.renames}
        others = {*sync.changed, *sync.back, *renamed}
        return Followed(
            new=tuple(sync.changed),
            gone=tuple(sync.gone),
            back=tuple(sync.back),
            unusable=self.listing.unusable,
            renamed=renamed,
            kept=(*(one.name for one in self.targets if one.name not in others), *self.theirs),
            counts=self.listing.counts,
            unread={each: error.fact for each, error in self.listing.unread.items()},
            odd=self.listing.odd,
            requests=self.requests,
        )


def follow(clients: Clients, *, now: bool = False) -> Followed | None:
    """Bring the targets in step with YSE-PZ's lists; None: it is not due, or could not be.

    Safe to repeat, and on any number of hosts: a lease says who does it, and when it is due.

    Parameters
    ----------
    now
        A person wants it, due or not, and whatever the budget says.
    """
    wanted = wanted_lists(clients)
    if wanted is None or not (wanted or clients.state.targets.knows_list()):
        return None
    every_s = clients.settings.follow_every_s
    lease = clients.state.leases.take(FOLLOW, every_s)
    if lease is None and not now:
        return None
    try:
        if not now and (held := clients.held_back("lookup", [])) is not None:
            raise held
        followed = _brought_in_step(clients, look(clients, wanted))
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
    if followed.unread and lease is not None:
        again_s = min(every_s, clients.settings.ask_again_s)
        clients.state.leases.renew(FOLLOW, lease, lease_s=again_s)
    return followed


def follow_lists(clients: Clients, selections: Iterable[Selection]) -> Followed:
    """Follow lists from now on, as a person decided, and look at every list at once.

    Safe to repeat. Nothing is written where an error is raised.

    Raises
    ------
    VocabularyError
        When YSE-PZ does not know one of the names.
    SettingsError
        When no YSE-PZ is configured, or `[follow]` of the targets file cannot be used.
    YsePzError
        When it does not answer as it should.
    """
    selections = frozenset(selections)
    seen = look(clients, _usable_lists(clients) | selections, needed=selections)
    clients.state.lists.add(selections)
    return _brought_in_step(clients, seen)


def preview(
    clients: Clients,
    *,
    adding: Iterable[Selection] = (),
    ending: Collection[Selection] = (),
    file: Iterable[Target] | None = None,
) -> tuple[FileSync | None, Followed | None]:
    """Return what a look would change, and change nothing.

    Parameters
    ----------
    adding, ending
        Lists that a person would follow, or not any more.
    file
        What the targets file has; None: there is none.

    Returns
    -------
    tuple
        What the targets file would change, and the lists; None: there is nothing to look at.

    Raises
    ------
    YseIngestError
        As `follow_lists`.
    """
    registry = clients.state.targets
    adding = frozenset(adding)
    wanted = _usable_lists(clients, ending=ending) | adding
    if not (wanted or registry.knows_list()):
        return registry.preview(file=file, renamed=(), listed=None)[0], None
    seen = look(clients, wanted, needed=adding)
    of_file, sync = registry.preview(
        file=file,
        renamed=seen.renames,
        listed=seen.targets,
        whole=not seen.listing.unread,
    )
    return of_file, None if sync is None else seen.followed(sync)


def lists_of_file(clients: Clients) -> tuple[Selection, ...] | None:
    """Return the lists of the targets file; None: what it says of them cannot be used."""
    following = clients.targets_file().following
    return None if following is None else following.lists


def wanted_lists(
    clients: Clients, *, ending: Collection[Selection] = ()
) -> frozenset[Selection] | None:
    """Return the lists of the targets file and of people; None as `lists_of_file`.

    Parameters
    ----------
    ending
        Lists of people that do not count.
    """
    of_file = lists_of_file(clients)
    if of_file is None:
        return None
    return frozenset({*of_file, *(clients.state.lists.all().keys() - set(ending))})


def _usable_lists(
    clients: Clients, *, ending: Collection[Selection] = ()
) -> frozenset[Selection]:
    wanted = wanted_lists(clients, ending=ending)
    if wanted is None:
        raise SettingsError(
            "what [follow] of the targets file says cannot be used",
            service="settings",
            field="YSE_INGEST_TARGETS",
            value=str(clients.settings.targets_file),
            remedy="Correct it first: `yse-ingest targets sync` names the line.",
        )
    return wanted


def look(
    clients: Clients, wanted: frozenset[Selection], *, needed: Collection[Selection] = ()
) -> Look:
    """Return what the lists hold, and what that means for the registry; change nothing.

    Parameters
    ----------
    needed
        Lists that must be read.

    Raises
    ------
    YseIngestError
        As `yse_ingest.listing.listing`.
    """
    sent: list[None] = []
    client = clients.ysepz.for_purpose("lookup", keep=lambda: sent.append(None))
    # A saved query says less of a transient than the other lists, and comes last.
    ordered = sorted(wanted, key=lambda one: (one.terms[0].kind == "query", one))
    found = listing(client, ordered, needed=needed)
    state = clients.state
    origins = {target.name: origin for target, origin in state.targets.all()}
    cached = state.resolutions.many(list(origins))
    by_pk = _by_pk(client, origins, found.usable, cached)
    paused = state.targets.paused()
    of_people = {
        name
        for name, origin in origins.items()
        if origin != "list" and paused.get(name) != LEFT_FILE
    }
    places: dict[str, dict[str, Any]] = {}
    targets, renames, followed_otherwise, rivals = [], [], [], []
    for name, transient in found.usable.items():
        known = cached.get(name)
        place = known if transient is None else transient.as_dict()
        others = [each for each in by_pk.get(place["pk"], ()) if each != name] if place else []
        theirs = [each for each in others if each in of_people]
        stays = name in of_people and not _is_meant(name, known, transient)
        if transient is not None:
            placed = theirs if stays else [name, *theirs]
            places |= dict.fromkeys(placed, transient.as_dict())
        if theirs:
            followed_otherwise += theirs
            continue
        if stays and known is not None and transient is not None:
            rivals += [known["name"], transient.name]
            continue
        renames += [(old, name) for old in others if origins[old] == "list"]
        targets.append(Target(name))
    return Look(
        wanted=wanted,
        listing=replace(found, unusable=(*dict.fromkeys((*found.unusable, *rivals)),)),
        targets=tuple(targets),
        theirs=tuple(followed_otherwise),
        renames=tuple(renames),
        places=places,
        requests=len(sent),
    )


def _is_meant(name: str, known: Mapping[str, Any] | None, transient: Transient | None) -> bool:
    """Tell whether a target of people is the transient that a list has under its name.

    "2021abc" may be one transient and "SN2021abc" another: what it is known to be, it stays.
    """
    if transient is None:
        return True
    if known is None:
        return name_key(transient.name) == name_key(name)
    return bool(known["pk"] == transient.pk)


def _brought_in_step(clients: Clients, seen: Look) -> Followed:
    """Make the registry what a look says, and remember where each target is."""
    state = clients.state
    # Lists that were added or ended in the meantime are looked at, too.
    while (wanted := wanted_lists(clients)) is not None and wanted != seen.wanted:
        seen = look(clients, wanted)
    for old, new in seen.renames:
        for native_id, reason in state.quarantine.rejected(old).items():
            state.quarantine.reject(new, native_id, reason)
        state.targets.rename(old, new)
    state.resolutions.put_many(seen.places)
    whole = not seen.listing.unread
    followed = seen.followed(state.targets.sync_list(seen.targets, whole=whole))
    _note_troubles(clients, followed)
    if followed.new or followed.gone or followed.back or followed.renamed:
        changed = {
            "new": followed.new,
            "gone": followed.gone,
            "back": followed.back,
            "renamed": followed.renamed,
            "unusable": followed.unusable,
        }
        logger.info("targets listed", extra={"targets": len(seen.targets), **changed})
    return followed


def _by_pk(
    client: YsePz,
    origins: Mapping[str, str],
    usable: Mapping[str, Transient | None],
    cached: Mapping[str, Mapping[str, Any]],
) -> dict[int, list[str]]:
    """Return the names of targets by the number of the transient that each is."""
    found: dict[int, list[str]] = {}
    for name, place in cached.items():
        found.setdefault(place["pk"], []).append(name)
    lost = {
        alias_key(name): name
        for name, origin in origins.items()
        if origin == "list" and name not in cached and name not in usable
    }
    if lost and usable.keys() - origins.keys():
        # Their look-up is too old: the old name of one that was renamed is an alias now.
        for alias in client.aliases():
            old = lost.get(alias_key(alias.name))
            if old is not None and alias.transient is not None:
                found.setdefault(alias.transient, []).append(old)
    return found


def _note_troubles(clients: Clients, followed: Followed) -> None:
    clients.state.troubles.clear(FOLLOW)
    facts = [f"{each} could not be read: {why}" for each, why in followed.unread.items()]
    if followed.unread:
        logger.warning("lists not read", extra={"lists": facts})
    if followed.odd:
        logger.warning("odd rows in lists", extra={"rows": list(followed.odd)})
    if followed.unusable:
        count = len(followed.unusable)
        facts.append(f"{count} names of YSE-PZ's lists cannot be followed: see the log")
        logger.warning("cannot be followed", extra={"names": list(followed.unusable)})
    if facts:
        clients.state.troubles.note(FOLLOW, fact="; ".join(facts))
