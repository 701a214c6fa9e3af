"""`/add_transient_phot/`: the photometry of one transient, which leaves its row untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.ysepz import session as cost
from yse_ingest.sandbox.ysepz.points import store_points
from yse_ingest.sandbox.ysepz.transients import new_transient

if TYPE_CHECKING:
    from yse_ingest.sandbox.ysepz.session import Session

SUCCESS: Final = "success"

REQUIRED: Final = ("header", "transient", "photheader")


def add_transient_phot(session: Session, payload: Any) -> str:
    """Store the points of one transient; return the message, which may be a refusal.

    Raises
    ------
    Exception
        Whatever the server raises on the payload; what was written before it stays.
    """
    keys = payload.keys()
    if not all(name in keys for name in REQUIRED):
        return "header, transient, and photheader keys are required"
    settings, transient, photheader = (payload[name] for name in REQUIRED)
    db = session.db
    instrument = db.first_named("instrument", photheader["instrument"])
    obs_group = db.first_named("observationgroup", photheader["obs_group"])
    statuses = db.named("transientstatus", transient["status"])
    if not statuses:
        return f"status {transient['status']} is not in DB"
    groups = []
    if photheader["groups"]:
        for name in photheader["groups"].split(","):
            rows = db.named("group", name)
            if not rows:
                return f"group {photheader['groups']} is not in DB"
            groups.append(int(rows[0]["id"]))
    session.hold(str(transient["name"]))
    session.charge(cost.TRANSIENT_S)
    found = db.named("transient", transient["name"])
    if found:
        owner = int(found[0]["id"])
    else:
        owner = new_transient(
            session,
            {
                "name": transient["name"],
                "ra": transient["ra"],
                "dec": transient["dec"],
                "status_id": statuses[0]["id"],
                "obs_group_id": obs_group,
            },
        )
        session.tess()
    header = db.header(owner, instrument, obs_group)
    if header is None:
        header = db.insert(
            "transientphotometry",
            session.user.id,
            {"transient_id": owner, "instrument_id": instrument, "obs_group_id": obs_group},
        )
    elif settings["clobber"]:
        _touch(session, header)
    for group in groups:
        if group not in db.groups(header):
            db.add_group(header, group)
            db.update("transientphotometry", [header], {"modified_date": db.now()})
    store_points(
        session,
        header,
        instrument=photheader["instrument"],
        settings=settings,
        points={key: point for key, point in payload.items() if key not in REQUIRED},
    )
    return SUCCESS


def _touch(session: Session, header: int) -> None:
    session.db.update(
        "transientphotometry",
        [header],
        {"modified_by_id": session.user.id, "modified_date": session.db.now()},
    )
