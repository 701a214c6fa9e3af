"""TNS's API over HTTP: `/api/get/search` and `/api/get/object`.

True to what clients of it were read to send and to guard against (2026-07). The numbers of its
quotas are not documented, so they are parameters here. Left out are spectra and the bulk files.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from email import message_from_bytes
from email.policy import HTTP
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qsl

from yse_ingest.sandbox.server import Reply, Request, StandIn

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE_PATH: Final = "/api/get"
MARKER: Final = "tns_marker"
NOT_FOUND: Final = {"110": {"message": "No results found.", "message_id": 110}}
UNITS: Final = {"arcsec": 3600.0, "arcmin": 60.0, "deg": 1.0}

Row = dict[str, Any]


class _Quota:
    """So many requests in a sliding window.

    Parameters
    ----------
    limit
        None: as many as come.
    window_s
        Length of the window [s].
    """

    def __init__(self, limit: int | None, window_s: float) -> None:
        self.limit, self.window_s = limit, window_s
        self._taken: deque[float] = deque()

    def take(self) -> tuple[bool, dict[str, str]]:
        """Return whether one more is allowed, and the end of the names of its headers."""
        if self.limit is None:
            return True, {}
        now = time.monotonic()
        while self._taken and self._taken[0] <= now - self.window_s:
            self._taken.popleft()
        allowed = len(self._taken) < self.limit
        if allowed:
            self._taken.append(now)
        left = str(self.limit - len(self._taken)) if allowed else "Exceeded"
        reset = math.ceil(self._taken[0] + self.window_s - now)
        return allowed, {"limit": str(self.limit), "remaining": left, "reset": str(reset)}


class TnsStandIn(StandIn):
    """A TNS that holds whatever objects it was given.

    Parameters
    ----------
    key
        What it takes as ``api_key``.
    limit, cone_limit, window_s
        Requests, and cone searches, of a window of so many seconds; None: no quota.
    older
        Whether it answers as before 2024-12, with the content below ``reply``.
    workers, host, port, keep_alive
        As in `StandIn`.
    """

    name: ClassVar[str] = "tns"

    def __init__(
        self,
        *,
        key: str = "sandbox-only",
        limit: int | None = None,
        cone_limit: int | None = None,
        window_s: float = 60.0,
        older: bool = False,
        workers: int = 4,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_alive: bool = True,
    ) -> None:
        super().__init__(workers=workers, host=host, port=port, keep_alive=keep_alive)
        self.key = key
        self.older = older
        self._quota = _Quota(limit, window_s)
        self._cones = _Quota(cone_limit, window_s)
        self._table = threading.Lock()
        self._objects: dict[str, Row] = {}

    @property
    def api_url(self) -> str:
        """The base address of the API, without a slash at the end."""
        return self.url + BASE_PATH

    def add_object(
        self,
        name: str,
        ra: float,
        dec: float,
        *,
        prefix: str = "AT",
        internal_names: Sequence[str] = (),
        discovered: str = "2025-08-16 07:26:24.000",
        **extra: Any,
    ) -> None:
        """Add one object, also while it runs.

        Parameters
        ----------
        name
            Without its prefix: ``2025abc``.
        ra, dec
            ICRS [deg].
        extra
            Further fields, or others in place of these.
        """
        first = internal_names[0] if internal_names else None
        with self._table:
            self._objects[name] = {
                "objname": name,
                "name_prefix": prefix,
                "objid": 190001 + len(self._objects),
                "object_type": {"name": None, "id": None},
                "redshift": None,
                "ra": "10:00:24.000",
                "dec": "+02:12:00.00",
                "radeg": ra,
                "decdeg": dec,
                "hostname": None,
                "host_redshift": None,
                "internal_names": ", ".join(internal_names) or None,
                "discoverer_internal_name": first,
                "discoverydate": discovered,
                "discoverer": "A. Bot",
                "reporting_group": {"groupid": 74, "group_name": "ALeRCE"},
                "discovery_data_source": {"groupid": 48, "group_name": "ZTF"},
                "public": 1,
                **extra,
            }

    # What it answers ------------------------------------------------------------------------

    def handle(self, request: Request) -> Reply:
        """Answer a POST under `/api/get`."""
        call = request.path.rstrip("/").removeprefix(BASE_PATH).strip("/")
        if call not in {"search", "object"} or not request.path.startswith(BASE_PATH):
            return Reply.html("<!doctype html><title>Page not found</title>", 404)
        if request.method != "POST":
            return Reply.html("<!doctype html><title>Method Not Allowed</title>", 405)
        if not _is_bot(request.headers.get("User-Agent", "")):
            return Reply.html("<!doctype html><title>403 Forbidden</title>", 403)
        form = _form(request)
        if form.get("api_key") != self.key:
            return _told(401, "Unauthorized")
        try:
            asked = json.loads(form.get("data", ""))
        except ValueError:
            return _told(400, "Bad request")
        if not isinstance(asked, dict):
            return _told(400, "Bad request")
        return self._counted(call, asked)

    def _counted(self, call: str, asked: Row) -> Reply:
        cone = call == "search" and bool(asked.get("ra")) and bool(asked.get("dec"))
        with self._table:
            allowed, told = self._quota.take()
            headers = {f"x-rate-limit-{name}": value for name, value in told.items()}
            if cone:
                fits, told = self._cones.take()
                headers |= {f"x-cone-rate-limit-{name}": value for name, value in told.items()}
                allowed = allowed and fits
            if not allowed:
                reply = _told(429, "Too Many Requests")
            else:
                content = self._search(asked) if call == "search" else self._object(asked)
                data = {"received": asked, "reply": content} if self.older else content
                reply = Reply.json({"id_code": 200, "id_message": "OK", "data": data})
        reply.headers.update(headers)
        return reply

    def _object(self, asked: Row) -> Row:
        found = self._objects.get(str(asked.get("objname", "")))
        if found is None:
            return {"objname": NOT_FOUND}
        shown = dict(found)
        if str(asked.get("photometry", "0")) == "1":
            shown["photometry"] = []
        if str(asked.get("spectra", "0")) == "1":
            shown["spectra"] = []
        return shown

    def _search(self, asked: Row) -> list[Row]:
        return [
            {"objname": row["objname"], "prefix": row["name_prefix"], "objid": row["objid"]}
            for row in self._objects.values()
            if _matches(row, asked)
        ]


def _matches(row: Row, asked: Row) -> bool:
    """Tell whether an object fits every condition; an empty text is none."""
    internal = [name.strip() for name in (row["internal_names"] or "").split(",")]
    for key, names in (("objname", [row["objname"]]), ("internal_name", internal)):
        wanted = str(asked.get(key) or "")
        exact = str(asked.get(f"{key}_exact_match", "0")) == "1"
        if wanted and not any(
            wanted == name if exact else name.startswith(wanted) for name in names
        ):
            return False
    if asked.get("ra") and asked.get("dec"):
        radius = float(asked.get("radius") or 0) / UNITS[asked.get("units") or "arcsec"]
        return _apart(row, float(asked["ra"]), float(asked["dec"])) <= radius
    return True


def _apart(row: Row, ra: float, dec: float) -> float:
    """Return how far an object is from a place [deg]."""
    ra1, dec1, ra2, dec2 = map(math.radians, (row["radeg"], row["decdeg"], ra, dec))
    half = math.sin((dec2 - dec1) / 2) ** 2
    half += math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half))))


def _is_bot(agent: str) -> bool:
    """Tell whether a User-Agent names a bot; others are blocked."""
    if not agent.startswith(MARKER):
        return False
    try:
        marker = json.loads(agent.removeprefix(MARKER))
    except ValueError:
        return False
    return isinstance(marker, dict) and marker.keys() >= {"tns_id", "type", "name"}


def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form, in parts or in one line."""
    kind = request.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip() != "multipart/form-data":
        return dict(parse_qsl(request.body.decode(errors="replace")))
    whole = message_from_bytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + request.body, policy=HTTP
    )
    return {
        str(part.get_param("name", header="content-disposition")): part.get_content().strip()
        for part in whole.iter_parts()
    }


def _told(status: int, message: str) -> Reply:
    return Reply.json({"id_code": status, "id_message": message}, status)
