"""How rows look in the REST API."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.server import Reply
from yse_ingest.sandbox.ysepz.columns import POINT_PLAIN, TRANSIENT_KEYS, TRANSIENT_PLAIN, Kind
from yse_ingest.sandbox.ysepz.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.ysepz.session import Session

Row = sqlite3.Row

PATHS: Final = {
    "transientstatuses": "transientstatus",
    "antaresclassifications": "antaresclassification",
    "internalsurveys": "internalsurvey",
    "observationgroups": "observationgroup",
    "transientclasses": "transientclass",
    "dataquality": "dataquality",
    "instruments": "instrument",
    "transientphotometry": "transientphotometry",
    "transientphotdata": "transientphotdata",
    "photometricbands": "photometricband",
    "telescopes": "telescope",
    "transients": "transient",
    "alternatetransientnames": "alternatetransientnames",
    "groups": "group",
    "transienttags": "transienttag",
}

PATH_OF: Final = {table: path for path, table in PATHS.items()}


def reply_of(obj: object, status: int = 200) -> Reply:
    """Return `obj` as JSON without blanks, as the REST framework writes it."""
    return Reply(status, json.dumps(obj, separators=(",", ":")).encode())


@dataclass(frozen=True, slots=True)
class Links:
    """Builds the hyperlinks of replies."""

    base: str

    def to(self, table: str, row_id: int | None) -> str | None:
        """Return the address of a row, or None."""
        return None if row_id is None else f"{self.base}/api/{PATH_OF[table]}/{row_id}/"

    def owned(self, row: Row) -> dict[str, Any]:
        """Return who made and who last changed a row, and when."""
        return {
            "created_by": f"{self.base}/api/users/{row['created_by_id']}/",
            "modified_by": f"{self.base}/api/users/{row['modified_by_id']}/",
            "created_date": shown(row["created_date"]),
            "modified_date": shown(row["modified_date"]),
        }


def show_transient(session: Session, row: Row) -> dict[str, Any]:
    """Return a transient as the API shows it."""
    links = Links(session.base_url)
    keys = {
        name: None if table is None else links.to(table, row[f"{name}_id"])
        for name, table in TRANSIENT_KEYS.items()
    }
    plain = {name: _plain(row[name], kind) for name, (kind, _) in TRANSIENT_PLAIN.items()}
    return {
        "url": links.to("transient", row["id"]),
        **keys,
        "tags": [links.to("transienttag", tag) for tag in session.db.tags(row["id"])],
        **links.owned(row),
        **plain,
    }


def _show_header(session: Session, row: Row) -> dict[str, Any]:
    links = Links(session.base_url)
    return {
        "url": links.to("transientphotometry", row["id"]),
        "transient": links.to("transient", row["transient_id"]),
        "instrument": links.to("instrument", row["instrument_id"]),
        "obs_group": links.to("observationgroup", row["obs_group_id"]),
        "host": None,
        "followup": None,
        "groups": [links.to("group", group) for group in session.db.groups(row["id"])],
        **links.owned(row),
        "reference": None,
    }


def _show_point(session: Session, row: Row) -> dict[str, Any]:
    links = Links(session.base_url)
    plain = {name: _plain(row[name], kind) for name, kind in POINT_PLAIN.items()}
    return {
        "url": links.to("transientphotdata", row["id"]),
        "photometry": links.to("transientphotometry", row["photometry_id"]),
        "band": links.to("photometricband", row["band_id"]),
        "unit": None,
        "data_quality": [
            links.to("dataquality", flag["id"]) for flag in session.db.flags(row["id"])
        ],
        **links.owned(row),
        "zp_off": None,
        **plain,
        "mag_sys": None,
    }


def _show_alias(session: Session, row: Row) -> dict[str, Any]:
    links = Links(session.base_url)
    return {
        "url": links.to("alternatetransientnames", row["id"]),
        "transient": links.to("transient", row["transient_id"]),
        "obs_group": links.to("observationgroup", row["obs_group_id"]),
        **links.owned(row),
        "name": row["name"],
        "slug": row["slug"],
        "description": None,
    }


def _show_name(table: str) -> Callable[[Session, Row], dict[str, Any]]:
    def show(session: Session, row: Row) -> dict[str, Any]:
        links = Links(session.base_url)
        head: dict[str, Any] = {"url": links.to(table, row["id"])}
        name = {"name": row["name"]}
        match table:
            case "group":
                return {**head, **name, "permissions": []}
            case "instrument":
                telescope = links.to("telescope", row["parent_id"])
                return {
                    **head,
                    "telescope": telescope,
                    **links.owned(row),
                    **name,
                    "description": "",
                }
            case "photometricband":
                return {
                    **head,
                    "instrument": links.to("instrument", row["parent_id"]),
                    **links.owned(row),
                    **name,
                    "lambda_eff": None,
                    "throughput_file": None,
                    "disp_color": None,
                    "disp_symbol": None,
                }
            case "telescope":
                place = {"latitude": 0.0, "longitude": 0.0, "elevation": 0.0}
                return {**head, "observatory": None, **links.owned(row), **name, **place}
            case "transienttag":
                return {**head, "color": None, **links.owned(row), **name}
            case _:
                return {**head, **links.owned(row), **name}

    return show


def _plain(value: Any, kind: Kind) -> Any:
    if value is not None and kind == "time":
        return shown(value)
    if value is not None and kind == "truth":
        return bool(value)
    return value


def how_to_show(table: str) -> Callable[[Session, Row], dict[str, Any]]:
    """Return the function that shows rows of a table."""
    special: dict[str, Callable[[Session, Row], dict[str, Any]]] = {
        "transient": show_transient,
        "transientphotometry": _show_header,
        "transientphotdata": _show_point,
        "alternatetransientnames": _show_alias,
    }
    return special.get(table) or _show_name(table)
