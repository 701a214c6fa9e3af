"""How MARS writes what it answers: JSON, a table in HTML, and four error pages."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Final

from yse_ingest.sandbox.server import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yse_ingest.sandbox.mars.alert import Alert

_ERROR_TEXTS: Final[Mapping[int, tuple[str, str]]] = {
    400: (
        "Bad Request",
        "The browser (or proxy) sent a request that this server could not understand.",
    ),
    404: (
        "Not Found",
        (
            "The requested URL was not found on the server. If you entered the URL manually "
            "please check your spelling and try again."
        ),
    ),
    405: ("Method Not Allowed", "The method is not allowed for the requested URL."),
    500: (
        "Internal Server Error",
        (
            "The server encountered an internal error and was unable to complete your request. "
            "Either the server is overloaded or there is an error in the application."
        ),
    ),
}


def wants_json(arguments: Mapping[str, str], accept: str) -> bool:
    """Say whether a GET is answered in JSON; a client of ordinary manners gets HTML."""
    return arguments.get("format") == "json" or (
        _quality(accept, "application", "json") > _quality(accept, "text", "html")
    )


def _quality(accept: str, kind: str, subtype: str) -> float:
    """Return how much an Accept header wants a media type; its most specific range counts."""
    best = (-3, 0.0)
    for part in accept.split(","):
        media_range, *parameters = (piece.strip() for piece in part.split(";"))
        ranges = (f"{kind}/{subtype}", f"{kind}/*", "*/*")
        if media_range.lower() in ranges:
            weights = [piece[2:] for piece in parameters if piece.startswith("q=")]
            specificity = -ranges.index(media_range.lower())
            best = max(best, (specificity, float(weights[0]) if weights else 1.0))
    return best[1]


def is_json(media_type: str) -> bool:
    """Say whether a body of this media type is read at all."""
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


def json_reply(content: object) -> Reply:
    """Return content as the service writes JSON: sorted, without spaces, one newline."""
    # A NaN of the database comes out as the bare token, which strict parsers refuse.
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return Reply(200, f"{text}\n".encode())


def error_reply(status: int, headers: Mapping[str, str] | None = None) -> Reply:
    """Return one of the error pages."""
    title, text = _ERROR_TEXTS[status]
    page = (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n'
        f"<title>{status} {title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n"
    )
    return Reply(status, page.encode(), "text/html; charset=utf-8", dict(headers or {}))


def list_page(alerts: list[Alert]) -> str:
    """Return alerts as a table in HTML."""
    columns = ("jd", "fid", "magpsf", "sigmapsf", "ra", "dec", "rb", "drb")
    lines = [
        "<!DOCTYPE html>",
        "<html><head><title>MARS (sandbox)</title></head><body>",
        "<h1>Alerts</h1>",
        "<table><tr><th>objectId</th>",
        *(f"<th>{column}</th>" for column in columns),
        "</tr>",
    ]
    for alert in alerts:
        cells = "".join(f"<td>{alert.column(column)}</td>" for column in columns)
        lines.append(f"<tr><td>{html.escape(alert.object_id)}</td>{cells}</tr>")
    return "\n".join((*lines, "</table></body></html>\n"))
