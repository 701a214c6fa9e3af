"""Ad hoc from Python: follow a target, and look at it now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError

from workers.hints import send_fetch
from workers.resources import service
from yse_ingest.errors import TargetError
from yse_ingest.schemas import Fault
from yse_ingest.schemas._load import faults_of, load
from yse_ingest.schemas.target_fields import TargetSchema
from yse_ingest.schemas.targets import RULE_NAMES
from yse_ingest.sources import SOURCES
from yse_ingest.targets import Target, canonical_name

if TYPE_CHECKING:
    from collections.abc import Sequence


def enqueue_target(
    name: str,
    ra: float | None = None,
    dec: float | None = None,
    *,
    object_id: str | None = None,
    since: str | None = None,
    source: str | None = None,
    cadence: float | str | None = None,
    freshness: float | str | None = None,
    create: bool = False,
    status: str | None = None,
    obs_group: str | None = None,
    tags: Sequence[str] = (),
    **rules: Any,
) -> str:
    """Follow a target from now on, and have its photometry brought into YSE-PZ at once.

    Returns as soon as the target is written down; a second call changes the target. When the
    broker is away nothing is lost: the target is due, and `dispatch` finds it.

    Parameters
    ----------
    name
        As in YSE-PZ; ``SN2019np`` is ``2019np`` there.
    ra, dec
        ICRS [deg]. For a transient that YSE-PZ knows they are taken from there, and given ones
        must agree within 2".
    object_id
        The source's own name of the object, where several are near.
    since
        Nothing observed before this date (ISO, UTC) belongs to it.
    source
        Where to ask; the default source otherwise.
    cadence
        How often: seconds, or "30m", "2h", "1d".
    freshness
        Stale without an answer for so long: in the same way.
    create
        Let YSE-PZ be given this transient when it has none of this name and place, with
    status, obs_group, tags
        its status, observing group and tags, by YSE-PZ's names.
    rules
        Fields of `yse_ingest.targets.Rules` that differ for this target.

    Returns
    -------
    str
        The name under which YSE-PZ keeps it.

    Raises
    ------
    TargetError
        When the target cannot be one.
    StateUnavailableError
        When Redis is away, and the target could not be written down.
    """
    creation = {"status": status, "obs_group": obs_group, "tags": list(tags)}
    creation = {field: value for field, value in creation.items() if value}
    if creation and not create:
        raise _refused(name, [Fault(*next(iter(creation.items())), "is for create=True")])
    if source is not None and source not in SOURCES:
        raise _refused(name, [Fault("source", source, f"is none of {', '.join(SOURCES)}")])
    given = {
        "ra": ra,
        "dec": dec,
        "object_id": object_id,
        "since": since,
        "source": source,
        "cadence": cadence,
        "freshness": freshness,
        "creation": creation if create else None,
    }
    given = {field: value for field, value in given.items() if value is not None}
    due = service().enqueue(_target({"name": name, **given, **rules}))
    send_fetch([due])
    return due


def _target(given: dict[str, Any]) -> Target:
    """Return the target that is described, by the rules of the targets file."""
    try:
        known = load(TargetSchema(), given)
    except ValidationError as error:
        raise _refused(given["name"], faults_of(error, given)) from error
    cadence_s, freshness_s = known.pop("cadence", None), known.pop("freshness", None)
    overrides = {field: known.pop(field) for field in RULE_NAMES & known.keys()}
    return Target(**known, cadence_s=cadence_s, freshness_s=freshness_s, overrides=overrides)


def _refused(name: str, faults: Sequence[Fault]) -> TargetError:
    """Return the error that says everything that is wrong."""
    first = faults[0]
    return TargetError(
        "; ".join(f"{fault.field} {fault.reason}" for fault in faults),
        service="targets",
        target=canonical_name(name),
        field=first.field,
        value=first.value,
        remedy="Nothing was written; correct it and call again.",
    )
