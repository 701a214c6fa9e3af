"""Ad hoc from Python: follow targets, and look at them now."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from marshmallow import ValidationError

from workers.celery import app, settings
from workers.handle import TargetHandle
from workers.hints import send_fetch
from workers.resources import service
from yse_ingest.errors import TargetError, YseIngestError
from yse_ingest.schemas import Fault
from yse_ingest.schemas._load import faults_of, load
from yse_ingest.schemas.target_fields import TargetSchema
from yse_ingest.schemas.targets import RULE_NAMES
from yse_ingest.service import backfill_of
from yse_ingest.sources import SOURCES
from yse_ingest.targets import Target, canonical_name, source_names
from yse_ingest.times import date_or_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from yse_ingest.state import Backfill

CREATION = ("status", "obs_group", "tags")
"""Fields of the transient's row, where YSE-PZ may be given it."""
AGAIN = ("full", "from_date", "to_date")
"""What says that a target is to be read again."""
DATES = frozenset({"until", "expires"})
"""What may be given as a time from now."""


class Table(Protocol):
    """What is needed of an astropy table, so that astropy is not imported for it."""

    colnames: list[str]

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def __getitem__(self, name: str, /) -> Any:
        """Return a column."""
        ...


def enqueue_target(
    name: str,
    ra: float | None = None,
    dec: float | None = None,
    *,
    object_id: str | None = None,
    since: str | None = None,
    source: str | Sequence[str] | None = None,
    cadence: float | str | None = None,
    until: float | str | None = None,
    expires: float | str | None = None,
    priority: int | str = 0,
    freshness: float | str | None = None,
    create: bool = False,
    status: str | None = None,
    obs_group: str | None = None,
    tags: Sequence[str] = (),
    full: bool = False,
    from_date: str | date | None = None,
    to_date: str | date | None = None,
    **rules: Any,
) -> TargetHandle:
    """Follow a target from now on, and have its photometry brought into YSE-PZ at once.

    Returns as soon as the target is written down; a second call that says more than the name
    changes the target, one with the name alone leaves it as it is. When the broker is away
    nothing is lost: the target is due, and `dispatch` finds it.

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
        Where to ask: a source, or several in order ("alerce,fink", or a list); the default
        otherwise.
    cadence
        How often: seconds, or "30m", "2h", "1d", or "adaptive" (docs/cadence.md).
    until
        So long this cadence holds: a date (ISO, UTC), or a time from now in the same way.
    expires
        Then nothing is asked any more: in the same way.
    priority
        Higher ones first, where more are due than can be asked about at once.
    freshness
        Stale without an answer for so long: in the same way.
    create
        Let YSE-PZ be given this transient when it has none of this name and place, with
    status, obs_group, tags
        its status, observing group and tags, by YSE-PZ's names.
    full
        Read the whole light curve again. What YSE-PZ lacks is sent, nothing twice; a target
        that is followed stays as it is, where nothing else is given.
    from_date, to_date
        Read again what was observed from then, or until then (ISO, UTC; a date without a time
        is meant whole): as ``full``.
    rules
        Fields of `yse_ingest.targets.Rules` that differ for this target.

    Returns
    -------
    TargetHandle
        The name under which YSE-PZ keeps it (a ``str``), with ``state``, ``receipt`` and
        ``wait(timeout)``.

    Raises
    ------
    TargetError
        When the target cannot be one.
    StateUnavailableError
        When Redis is away, and the target could not be written down.
    """
    given = {
        "ra": ra,
        "dec": dec,
        "object_id": object_id,
        "since": since,
        "source": source,
        "cadence": cadence,
        "until": until,
        "expires": expires,
        "priority": priority or None,
        "freshness": freshness,
        "create": create or None,
        "status": status,
        "obs_group": obs_group,
        "tags": list(tags),
        "full": full or None,
        "from_date": from_date,
        "to_date": to_date,
    }
    given = {field: value for field, value in given.items() if value not in (None, [])}
    (handle,) = _followed([_wish({"name": name, **given, **rules})])
    return handle


def enqueue_targets(
    targets: Iterable[str | Mapping[str, Any]] | Table, **common: Any
) -> list[TargetHandle]:
    """Follow many targets from now on, and have their photometry brought into YSE-PZ at once.

    Parameters
    ----------
    targets
        Names, mappings of what `enqueue_target` takes, or an astropy table with such columns:
        its masked values count as not given, ``ra`` and ``dec`` are converted from their unit.
    common
        What holds for all of them that do not say it themselves.

    Returns
    -------
    list
        Their handles, in order.

    Raises
    ------
    ExceptionGroup
        Of one `TargetError` per target that cannot be one; none of them is written then.
    StateUnavailableError
        When Redis is away.
    """
    known: list[_Wish] = []
    faults: list[TargetError] = []
    for row in _rows(targets):
        try:
            known.append(_wish({**common, **row}))
        except TargetError as error:
            faults.append(error)
    if faults:
        raise ExceptionGroup(f"{len(faults)} targets cannot be followed", faults)
    return _followed(known)


@app.task(name="yse_ingest.enqueue_target", throws=(YseIngestError,))
def enqueue_target_task(name: str, **given: Any) -> None:
    """Do `enqueue_target`, for other Celery applications: they send it by its name."""
    enqueue_target(name, **given)


class _Wish(NamedTuple):
    """What is wanted of a target."""

    target: Target
    backfill: Backfill | None
    bare: bool
    """Nothing is said of the target but its name."""


def _followed(wishes: list[_Wish]) -> list[TargetHandle]:
    """Write targets down as due now, and have the fetch workers look at them."""
    here = service()
    for wish in wishes:
        here.check(wish.target)  # what is wrong in itself is told without Redis
    since_ms = here.state.now_ms()
    followed = here.enqueue_many(
        [wish.target for wish in wishes],
        bare=[wish.target.name for wish in wishes if wish.bare],
        again={wish.target.name: wish.backfill for wish in wishes if wish.backfill},
        hinted=True,
    )
    handles = [TargetHandle(name, since_ms=since_ms) for name in followed]
    names = list(dict.fromkeys(map(str, handles)))
    for start in range(0, len(names), settings.batch_size):
        batch = names[start : start + settings.batch_size]
        if not send_fetch(batch):
            here.unhinted(batch)
    return handles


def _rows(targets: Iterable[str | Mapping[str, Any]] | Table) -> Iterator[dict[str, Any]]:
    if hasattr(targets, "colnames"):
        yield from _rows_of_table(cast("Table", targets))
        return
    for each in targets:
        yield {"name": each} if isinstance(each, str) else dict(each)


def _rows_of_table(table: Table) -> Iterator[dict[str, Any]]:
    columns = {
        name: _in_degrees(table[name]) if name in {"ra", "dec"} else table[name]
        for name in table.colnames
    }
    for number in range(len(table)):
        row = {name: column[number] for name, column in columns.items()}
        yield {
            name: value.item() if hasattr(value, "item") else value
            for name, value in row.items()
            if not getattr(value, "mask", False) and value is not None
        }


def _in_degrees(column: Any) -> Any:
    unit = getattr(column, "unit", None)
    return column if unit is None else column.value * unit.to("deg")


def _wish(given: dict[str, Any]) -> _Wish:
    """Return what is wanted of the target that is described."""
    again = {field: given.pop(field) for field in AGAIN if field in given}
    bare = given.keys() == {"name"}
    target = _target(given)
    try:
        return _Wish(target, backfill_of(again), bare)
    except ValidationError as error:
        raise _refused(target.name, faults_of(error, again)) from error


def _target(given: dict[str, Any]) -> Target:
    """Return the target that is described, by the rules of the targets file."""
    name = str(given.get("name", ""))
    create = given.pop("create", False)
    creation = {field: given.pop(field) for field in CREATION if field in given}
    if creation and not create:
        raise _refused(name, [Fault(*next(iter(creation.items())), "is for create=True")])
    if not isinstance(given.get("source", ""), str):
        given["sources"] = list(given.pop("source"))
    for field in DATES & given.keys():
        # What is no date either is refused below.
        with contextlib.suppress(ValueError, TypeError):
            given[field] = date_or_after(given[field], now_s=time.time())
    if create:
        given["creation"] = creation
    try:
        known = load(TargetSchema(), given)
    except ValidationError as error:
        raise _refused(name, faults_of(error, given)) from error
    for source in source_names(known.get("source", "")):
        if source not in SOURCES:
            raise _refused(name, [Fault("source", source, f"is none of {', '.join(SOURCES)}")])
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
