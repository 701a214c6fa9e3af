"""The server's 500: Django's debug page, or the bare one where that is switched off."""

from __future__ import annotations

import html
import json
from typing import Final

from yse_ingest.sandbox.server import Reply, Request

SMALLEST_PAGE: Final = 64_000

BARE_PAGE: Final = """
<!doctype html>
<html lang="en">
<head>
  <title>Server Error (500)</title>
</head>
<body>
  <h1>Server Error (500)</h1><p></p>
</body>
</html>
"""
"""What Django shows of every exception, whatever the client accepts, with DEBUG off."""

SETTINGS: Final = {
    "DEBUG": True,
    "ATOMIC_REQUESTS": False,
    "DATABASES": {"default": {"ENGINE": "django.db.backends.mysql", "PASSWORD": "*" * 20}},
    "SECRET_KEY": "*" * 20,
    "ROOT_URLCONF": "YSE_PZ.urls",
}


class ServerError(Exception):
    """An exception of Django or of the database that the stand-in has no class for.

    Parameters
    ----------
    title
        The name of the exception's class, as the page shows it.
    message
        Its text.
    """

    def __init__(self, title: str, message: str) -> None:
        super().__init__(message)
        self.title = title
        self.message = message


def integrity_error(code: int, text: str) -> ServerError:
    """Return MySQL's complaint about a constraint."""
    return ServerError("IntegrityError", f'({code}, "{text}")')


def debug_page(request: Request, title: str, message: str) -> Reply:
    """Return the page of an exception, 64 kB at least, with the posted data in it.

    A client that accepts JSON and no HTML gets the same as plain text.
    """
    accept = request.headers.get("Accept", "*/*")
    posted = request.body.decode(errors="replace")
    if not any(kind in accept for kind in ("text/html", "text/*", "*/*")):
        text = f"{title} at {request.path}\n{message}\n\nRequest Method: {request.method}\n"
        text += f"POST: {posted}\n\nSettings:\n"
        return Reply.text(text + _settings(SMALLEST_PAGE - len(text)), 500)
    head = f"{title} at {request.path}"
    page = "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta http-equiv="content-type" content="text/html">',
            f"<title>{html.escape(head)}</title></head><body>",
            f'<div id="summary"><h1>{html.escape(title)}',
            f"       at {html.escape(request.path)}</h1>",
            f'<pre class="exception_value">{html.escape(message)}</pre></div>',
            f"<h3>POST</h3><pre>{html.escape(posted)}</pre>",
            '<div id="settings-info"><h3>Settings</h3><pre>',
        ]
    )
    return Reply.html(
        f"{page}{html.escape(_settings(SMALLEST_PAGE - len(page)))}</pre></div></body></html>",
        500,
    )


def _settings(length: int) -> str:
    block = json.dumps(SETTINGS, indent=2) + "\n"
    return block * (1 + max(0, length) // len(block))
