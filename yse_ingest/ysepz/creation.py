"""Creating a transient in YSE-PZ: a request of its own, without photometry, then proven.

Safe to repeat: it looks first, and what stands there is never touched unless an earlier request
of ours may have made it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from yse_ingest.errors import PlaceTakenError, YsePzReplyError
from yse_ingest.ysepz.http import SERVICE
from yse_ingest.ysepz.lookup import resolve, transient_by_alias
from yse_ingest.ysepz.uploads import creation_request, declared_fields

if TYPE_CHECKING:
    from yse_ingest.targets import Target
    from yse_ingest.ysepz.client import YsePz
    from yse_ingest.ysepz.transients import Transient
    from yse_ingest.ysepz.vocabulary import Vocabulary

NOT_SHOWN = frozenset({"tags", "internal_names", "non_detect_instrument"})
"""Creation fields that are no columns of the transient's row, or are proven otherwise."""


def create(
    client: YsePz, target: Target, vocabulary: Vocabulary, *, settled: bool = False
) -> Transient:
    """Return the transient of a target, created where YSE-PZ lacks it.

    A transient that is there already is returned as it stands.

    Parameters
    ----------
    settled
        An earlier request of ours may have made it: complete its tags, and compare its fields.

    Raises
    ------
    TargetError
        Its creation fields are missing or incomplete, or several transients have its name.
    PlaceTakenError
        Another transient stands there, before the request or because of it.
    VocabularyError, PayloadError
        A field that must not be sent.
    YsePzReplyError
        It was created otherwise than it was sent.
    YsePzError
        YSE-PZ did not do its part.
    """
    request = creation_request(target)
    vocabulary.check_creation(declared_fields(target), target=target.name)
    found = resolve(client, target).transient
    if found is not None and not (settled and _was_ours(client, found)):
        return found
    if found is None:
        client.add_transient(request)
        found = _the_one_made(client, target)
    return _completed(client, target, found, vocabulary)


def _was_ours(client: YsePz, transient: Transient) -> bool:
    row = client.read_back(transient.slug).transient
    ours = client.account.username.casefold()
    return all(
        str(row.get(who, "")).casefold() == ours for who in ("created_by", "modified_by")
    )


def _the_one_made(client: YsePz, target: Target) -> Transient:
    found = client.transient_by_name(target.name)
    if found is not None:
        return found
    other = transient_by_alias(client, target.name)
    if other is not None:
        raise PlaceTakenError(
            f"it has become an alias of {other}, which appeared there in the meantime",
            service=SERVICE,
            target=target.name,
            remedy=f"Nothing more is sent. Use the name {other.name} for this target, and "
            "compare that transient's position and group with what they were.",
        )
    raise YsePzReplyError(
        "the creation was accepted, and no transient has this name",
        service=SERVICE,
        target=target.name,
        remedy="Nothing more is sent; ask whoever runs YSE-PZ for its error mail.",
    )


def _completed(
    client: YsePz, target: Target, transient: Transient, vocabulary: Vocabulary
) -> Transient:
    wanted = [str(tag) for tag in declared_fields(target).get("tags", ())]
    if set(wanted) - set(transient.tags):
        names = list(dict.fromkeys([*transient.tags, *wanted]))
        links = [
            client.link("tag", pk)
            for name in names
            if (pk := vocabulary.pk_of("tag", name)) is not None
        ]
        client.patch_transient(transient.pk, {"tags": links})
    row = client.read_back(transient.slug).transient
    sent = {"ra": target.ra, "dec": target.dec, **declared_fields(target)}
    for field, value in sent.items():
        shown = row.get(field)
        same = set(wanted) <= set(row["tags"]) if field == "tags" else _same(value, shown)
        if not same and (field == "tags" or field not in NOT_SHOWN):
            raise YsePzReplyError(
                f"created, and {field} is {shown!r} where {value!r} was sent",
                service=SERVICE,
                target=target.name,
                field=field,
                value=shown,
                remedy="Set it in YSE-PZ, or correct the target; photometry waits until then.",
            )
    return client.transient_by_pk(transient.pk) or transient


def _same(sent: Any, shown: Any) -> bool:
    if isinstance(sent, bool) or isinstance(shown, bool):
        return bool(sent) is bool(shown)
    if isinstance(sent, int | float) and isinstance(shown, int | float):
        return math.isclose(sent, shown, rel_tol=1e-6, abs_tol=1e-9)
    if sent == shown:
        return True
    try:
        # A date comes back with time, milliseconds and a Z.
        return bool(
            np.datetime64(str(sent), "ms") == np.datetime64(str(shown).rstrip("Z"), "ms")
        )
    except ValueError:
        # A band comes back with its instrument before it.
        return isinstance(shown, str) and shown.endswith(f" - {sent}")
