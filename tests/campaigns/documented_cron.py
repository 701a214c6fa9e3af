"""The job that YSE-PZ's documentation has each user write, written anew with all it does.

It asks MARS for one cone, takes the first page, drops what is marked ``f``, and posts the whole
to ``/add_transient/``: clobber, a window of 0.01 d, the row's position, group and status beside
it. Whatever happens, it believes that all went well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests
from astropy.time import Time

CONE_DEG = 0.0014
PAGE_SIZE = 100


@dataclass(frozen=True)
class DocumentedCron:
    """The job of one user, for any number of objects."""

    mars_url: str
    ysepz_url: str
    username: str
    password: str
    every_page: bool = False
    """Mended: not the first page alone."""

    def run(self, name: str, ra: float, dec: float) -> str:
        """Do one object; return what the job prints."""
        cone = f"{ra},{dec},{CONE_DEG}"
        query = {"format": "json", "sort_value": "jd", "sort_order": "desc", "cone": cone}
        alerts = self._page(query)
        page = 1
        while self.every_page and len(alerts) == PAGE_SIZE * page:
            page += 1
            alerts += self._page({**query, "page": str(page)})
        points = [_point(alert["candidate"]) for alert in alerts if _is_kept(alert)]
        upload = {"noupdatestatus": True, name: _transient(name, ra, dec, points)}
        answer = requests.post(
            f"{self.ysepz_url}/add_transient/",
            json=upload,
            auth=(self.username, self.password),
            timeout=60,
        )
        return str(answer.json()["message"]) if answer.ok else "successful upload!"

    def _page(self, query: dict[str, str]) -> list[dict[str, Any]]:
        answer = requests.get(self.mars_url, params=query, timeout=60)
        return list(answer.json()["results"]) if answer.status_code != 404 else []


def _is_kept(alert: dict[str, Any]) -> bool:
    return bool(alert["candidate"]["isdiffpos"] != "f")


def _point(candidate: dict[str, Any]) -> dict[str, Any]:
    return {
        "obs_date": Time(candidate["jd"], format="jd").isot,
        "mag": candidate["magpsf"],
        "mag_err": candidate["sigmapsf"],
        "band": f"{candidate['filter']}-ZTF",
        "data_quality": 0,
        "diffim": 1,
        "flux": None,
        "flux_err": None,
        "flux_zero_point": None,
        "forced": 0,
        "discovery_point": 0,
    }


def _transient(
    name: str, ra: float, dec: float, points: list[dict[str, Any]]
) -> dict[str, Any]:
    survey = {
        "instrument": "ZTF-Cam",
        "obs_group": "ZTF",
        "photdata": dict(enumerate(points)),
    }
    return {
        "name": name,
        "ra": ra,
        "dec": dec,
        "obs_group": "Unknown",
        "status": "Ignore",
        "transientphotometry": {"mjdmatchmin": 0.01, "clobber": True, "ZTF": survey},
    }
