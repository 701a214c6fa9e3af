"""What a person sees: the transients, and for each one its light curve as it is stored."""

from __future__ import annotations

import html
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.sandbox.server import Reply
from yse_ingest.sandbox.ysepz.columns import POINT_PLAIN
from yse_ingest.sandbox.ysepz.light_curve_svg import BAND_COLOURS, OTHER_COLOUR, light_curve_svg
from yse_ingest.sandbox.ysepz.values import stored_mjd

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from yse_ingest.sandbox.ysepz.store import Database

STYLE: Final = """
:root { color-scheme: light; --ink: #1c2733; --soft: #5c6b7a; --line: #dde3ea; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7fa; color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 4px 0 2px; } h2 { font-size: 17px; margin: 28px 0 8px; }
p { margin: 4px 0; } .soft, .soft a { color: var(--soft); }
a { color: #1f5fa8; text-decoration: none; } a:hover { text-decoration: underline; }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 10px;
        padding: 14px 16px; margin-top: 14px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 13px; }
td.n, th.n { text-align: right; } tr:last-child td { border-bottom: 0; }
.dot { display: inline-block; width: 10px; height: 10px; border-radius: 50%;
       margin-right: 6px; }
.flag { color: #b3261e; font-weight: 600; } svg { display: block; width: 100%; height: auto; }
"""


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def points(
    database: Database, user_names: Mapping[int, str], transient: int
) -> list[dict[str, Any]]:
    """Return every point of a transient, in the order of storage, names in place of ids."""
    rows = database.all(
        "SELECT p.*, h.id AS header, t.name AS transient, b.name AS band, "
        "i.name AS instrument, g.name AS obs_group FROM YSE_App_transientphotdata p "
        "JOIN YSE_App_transientphotometry h ON h.id = p.photometry_id "
        "JOIN YSE_App_transient t ON t.id = h.transient_id "
        "JOIN YSE_App_photometricband b ON b.id = p.band_id "
        "JOIN YSE_App_instrument i ON i.id = h.instrument_id "
        "JOIN YSE_App_observationgroup g ON g.id = h.obs_group_id "
        "WHERE t.id = ? ORDER BY p.id",
        [transient],
    )
    return [
        {
            "pk": row["id"],
            "header": row["header"],
            "transient": row["transient"],
            "instrument": row["instrument"],
            "obs_group": row["obs_group"],
            "groups": _group_names(database, row["header"]),
            "band": row["band"],
            **{
                name: bool(row[name])
                if kind == "truth" and row[name] is not None
                else row[name]
                for name, kind in POINT_PLAIN.items()
            },
            "data_quality": [flag["name"] for flag in database.flags(row["id"])],
            "created_by": user_names.get(row["created_by_id"]),
            "modified_by": user_names.get(row["modified_by_id"]),
            "created_date": row["created_date"],
            "modified_date": row["modified_date"],
        }
        for row in rows
    ]


def _group_names(database: Database, header: int) -> list[str]:
    return [
        database.all("SELECT name FROM YSE_App_group WHERE id = ?", [group])[0]["name"]
        for group in database.groups(header)
    ]


def overview(database: Database) -> str:
    """Return the page of all transients with the number of points in each band."""
    counts = database.all(
        "SELECT h.transient_id AS transient, b.name AS band, count(*) AS points, "
        "max(p.obs_date) AS last FROM YSE_App_transientphotdata p "
        "JOIN YSE_App_transientphotometry h ON h.id = p.photometry_id "
        "JOIN YSE_App_photometricband b ON b.id = p.band_id GROUP BY h.transient_id, b.id"
    )
    bands = sorted({row["band"] for row in counts}, key=_band_order)
    by_transient: dict[int, dict[str, sqlite3.Row]] = {}
    for row in counts:
        by_transient.setdefault(row["transient"], {})[row["band"]] = row
    transients = database.all(
        "SELECT t.*, s.name AS status FROM YSE_App_transient t "
        "JOIN YSE_App_transientstatus s ON s.id = t.status_id ORDER BY t.name"
    )
    lines = []
    for transient in transients:
        mine = by_transient.get(transient["id"], {})
        cells = "".join(
            f'<td class="n">{mine[band]["points"] if band in mine else "·"}</td>'
            for band in bands
        )
        total = sum(row["points"] for row in mine.values())
        last = max((row["last"] for row in mine.values()), default="")
        lines.append(
            f'<tr><td><a href="/transient_detail/{html.escape(transient["slug"])}/">'
            f"{html.escape(transient['name'])}</a></td><td>{html.escape(transient['status'])}</td>"
            f'<td class="n">{transient["ra"]:.5f}</td>'
            f'<td class="n">{transient["dec"]:+.5f}</td>'
            f'{cells}<td class="n"><b>{total}</b></td>'
            f'<td class="soft">{html.escape(last[:10])}</td></tr>'
        )
    heads = "".join(f'<th class="n">{_dot(band)}{html.escape(band)}</th>' for band in bands)
    total = sum(row["points"] for row in counts)
    body = (
        f"<h1>YSE-PZ, the sandbox's</h1><p class='soft'>{len(transients)} transients, "
        f"{total} points stored</p>"
        '<div class="card"><table><thead><tr><th>Transient</th><th>Status</th>'
        f'<th class="n">RA [deg]</th><th class="n">Dec [deg]</th>{heads}'
        '<th class="n">Points</th><th>Last</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
    return _page("YSE-PZ sandbox", body)


def detail(database: Database, user_names: Mapping[int, str], slug: str) -> Reply:
    """Return the page of one transient, with its light curve drawn."""
    row = database.one(
        "SELECT t.*, s.name AS status, g.name AS obs_group FROM YSE_App_transient t "
        "JOIN YSE_App_transientstatus s ON s.id = t.status_id "
        "JOIN YSE_App_observationgroup g ON g.id = t.obs_group_id WHERE t.slug = ?",
        [slug],
    )
    if row is None:
        body = f"<h1>No transient {html.escape(slug)}</h1><p><a href='/'>All transients</a></p>"
        return Reply.html(_page("Not found", body), 404)
    stored_points = points(database, user_names, row["id"])
    facts = [
        f"RA {row['ra']:.6f}°, Dec {row['dec']:+.6f}°",
        f"status {row['status']}",
        f"group {row['obs_group']}",
    ]
    if row["redshift"] is not None:
        facts.append(f"z = {row['redshift']:g}")
    if row["disc_date"] is not None:
        facts.append(f"discovered {row['disc_date'][:10]}")
    body = (
        f"<p class='soft'><a href='/'>All transients</a></p><h1>{html.escape(row['name'])}</h1>"
        f"<p class='soft'>{html.escape(' · '.join(facts))}</p>"
        f'<div class="card">{light_curve_svg(stored_points)}</div>{_legend(stored_points)}'
        f"{_table(stored_points)}"
    )
    return Reply.html(_page(f"{row['name']} · YSE-PZ sandbox", body))


def _band_order(band: str) -> tuple[int, str]:
    order = list(BAND_COLOURS)
    return (order.index(band) if band in order else len(order), band)


def _dot(band: str) -> str:
    colour = BAND_COLOURS.get(band, OTHER_COLOUR)
    return f'<span class="dot" style="background:{colour}"></span>'


def _legend(stored_points: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(point["band"] for point in stored_points)
    parts = [
        f"<span>{_dot(band)}{html.escape(band)}: <b>{counts[band]}</b></span>"
        for band in sorted(counts, key=_band_order)
    ]
    gap = '<span class="soft"> &emsp; </span>'
    return f"<p style='margin-top:10px'>{gap.join(parts) or 'No photometry is stored.'}</p>"


def _table(stored_points: Sequence[Mapping[str, Any]]) -> str:
    if not stored_points:
        return ""
    lines = []
    for point in sorted(stored_points, key=lambda one: (one["obs_date"], one["pk"])):
        flags = ", ".join(point["data_quality"])
        kind = "forced" if point["forced"] else ""
        lines.append(
            f"<tr><td class='soft'>{point['pk']}</td>"
            f"<td>{html.escape(point['obs_date'].replace('T', ' ')[:23])}</td>"
            f"<td class='n'>{stored_mjd(point['obs_date']):.5f}</td>"
            f"<td>{_dot(point['band'])}{html.escape(point['band'])}</td>"
            f"<td class='n'>{_number(point['mag'], 3)}</td>"
            f"<td class='n'>{_number(point['mag_err'], 3)}</td>"
            f"<td class='n'>{_number(point['flux'], 1)}</td>"
            f"<td class='n'>{_number(point['flux_err'], 1)}</td>"
            f"<td>{html.escape(point['instrument'])}, {html.escape(point['obs_group'])}</td>"
            f"<td>{html.escape(str(point['created_by']))}</td>"
            f"<td class='soft'>{kind}</td><td class='flag'>{html.escape(flags)}</td></tr>"
        )
    return (
        "<h2>Stored points</h2><div class='card'><table><thead><tr>"
        "<th>id</th><th>Time (UTC)</th>"
        "<th class='n'>MJD</th><th>Band</th><th class='n'>Mag</th><th class='n'>±</th>"
        "<th class='n'>Flux</th><th class='n'>±</th><th>Instrument, group</th><th>By</th>"
        f"<th></th><th></th></tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
