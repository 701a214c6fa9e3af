"""A stand-in YSE-PZ and an uploader that talks HTTP to it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.ysepz import YsePzStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PASSWORD = "sandbox-only"


class Uploader:
    """Speaks to a stand-in as one account, without any of the product's code."""

    def __init__(self, server: YsePzStandIn, account: str = "ingest") -> None:
        self.server = server
        self.auth = (account, PASSWORD)

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET as the account."""
        options = {"auth": self.auth, "timeout": 20, **options}
        return requests.get(self.server.url + path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST as the account."""
        options = {"auth": self.auth, "timeout": 20, **options}
        return requests.post(self.server.url + path, **options)

    def patch(self, path: str, fields: Mapping[str, Any]) -> requests.Response:
        """PATCH as the account."""
        return requests.patch(self.server.url + path, json=fields, auth=self.auth, timeout=20)

    def add(self, *transients: Mapping[str, Any], **options: Any) -> requests.Response:
        """POST /add_transient/, each transient under its name; flags among the options."""
        flags = {key: options.pop(key) for key in ("noupdatestatus", "TNS") if key in options}
        payload = {**flags, **{one["name"]: one for one in transients}}
        return self.post("/add_transient/", json=payload, **options)

    def phot(self, name: str, *points: Mapping[str, Any], **options: Any) -> requests.Response:
        """POST /add_transient_phot/ for one transient."""
        settings = {"clobber": False, "mjdmatchmin": 1e-4}
        payload = {
            "header": settings | {k: options.pop(k) for k in settings if k in options},
            "transient": {"name": name, "status": "Following", **options.pop("transient", {})},
            "photheader": {
                "instrument": options.pop("instrument", "ZTF-Cam"),
                "obs_group": options.pop("obs_group", "ZTF"),
                "groups": options.pop("groups", None),
            },
            **{f"p{number}": point for number, point in enumerate(points)},
        }
        return self.post("/add_transient_phot/", json=payload, **options)

    def times(self, name: str) -> list[str]:
        """Return the stored times of a transient's points, in the order of storage."""
        return [row["obs_date"] for row in self.server.rows(name)]

    @staticmethod
    def point(obs_date: Any = "2019-01-09T06:00:00", /, **changes: Any) -> dict[str, Any]:
        """Return a complete point; a change to ``...`` leaves the key out."""
        point = {
            "obs_date": obs_date,
            "mag": 17.5,
            "mag_err": 0.05,
            "band": "g-ZTF",
            "data_quality": None,
            "diffim": 1,
            "flux": None,
            "flux_err": None,
            "flux_zero_point": None,
            "forced": 0,
            "discovery_point": 0,
        } | changes
        return {key: value for key, value in point.items() if value is not ...}

    @staticmethod
    def transient(name: str, /, *points: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        """Return a complete new transient; a change to ``...`` leaves the key out."""
        block = {
            "instrument": changes.pop("instrument", "ZTF-Cam"),
            "obs_group": changes.pop("phot_group", "ZTF"),
            "photdata": {str(number): point for number, point in enumerate(points)},
        }
        fields = {
            "name": name,
            "ra": 157.3415,
            "dec": 29.5106667,
            "status": "Following",
            "obs_group": "ZTF",
            "transientphotometry": {
                "mjdmatchmin": changes.pop("mjdmatchmin", 1e-4),
                "clobber": changes.pop("clobber", False),
                "ZTF": block,
            },
        } | changes
        return {key: value for key, value in fields.items() if value is not ...}

    @staticmethod
    def raised(response: requests.Response) -> str:
        """Return the class of the exception that a 500 shows."""
        assert response.status_code == 500, response.text[:300]
        found = re.search(r"<title>(\w+) at ", response.text)
        assert found is not None, response.text[:300]
        return found[1]

    @staticmethod
    def message(response: requests.Response) -> str:
        """Return the message of the exception that a 500 shows."""
        found = re.search(r'<pre class="exception_value">(.*?)</pre>', response.text, re.DOTALL)
        assert found is not None, response.text[:300]
        return html.unescape(found[1])


@pytest.fixture
def ysepz() -> Iterator[YsePzStandIn]:
    """Run an empty YSE-PZ without delays."""
    with YsePzStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def uploader(ysepz: YsePzStandIn) -> Uploader:
    """Log in as `ingest`."""
    return Uploader(ysepz)


@pytest.fixture
def np2019(ysepz: YsePzStandIn) -> int:
    """Enter SN 2019np, as a person did."""
    return ysepz.add_transient(
        "2019np",
        157.3415,
        29.5106667,
        status="Following",
        obs_group="YSE",
        redshift=0.00452,
        best_spec_class="SN Ia",
        tags=("YSE",),
    )


@pytest.fixture
def np2019_of_one_worker() -> Iterator[Uploader]:
    """Enter SN 2019np on a server with one worker that takes its real time."""
    with YsePzStandIn(workers=1, real_cost=1.0) as stand_in:
        stand_in.add_transient("2019np", 157.3415, 29.5106667)
        yield Uploader(stand_in)
