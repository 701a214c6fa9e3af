"""Values that no honest YSE-PZ shows, in every place of its replies."""

from __future__ import annotations

import contextlib
import copy
import math
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import YseIngestError
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.ysepz import Account, YsePz
from yse_ingest.ysepz.readback import parse_read_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.ysepz import Vocabulary

REPLY: dict[str, Any] = {
    "2019np": {
        "transient": [{"pk": 1, "fields": {"name": "2019np", "tags": []}}],
        "host": {},
        "photometry": [
            {
                "pk": 1,
                "fields": {
                    "instrument": "P48 - ZTF-Cam",
                    "obs_group": "ZTF",
                    "groups": [],
                },
                "data": [
                    {
                        "pk": 1,
                        "fields": {
                            "band": "ZTF-Cam - g-ZTF",
                            "obs_date": "2019-01-01T10:00:00.123Z",
                            "mag": 17.01,
                            "mag_err": 0.1,
                            "flux": 1.0,
                            "flux_err": 1.0,
                            "flux_zero_point": 27.5,
                            "forced": False,
                            "created_by": ["ingest"],
                            "modified_by": ["ingest"],
                        },
                    }
                ],
            }
        ],
        "spectra": {},
    }
}
STRANGE: list[Any] = [
    *(10**400, 10**30, -(10**30), 2**63, -1, 1.5, math.inf, math.nan, "9" * 5000),
    *(None, True, [], {}, [[[]]], "\ud800", "\0", "2019-13-01T00:00:00Z"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "/api/x/" + "9" * 5000 + "/"),
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    with (
        YsePzStandIn() as server,
        YsePz(server.url, Account("ingest", "sandbox-only")) as client,
    ):
        return client.vocabulary()


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = (
        node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    )
    for key in keys:
        yield (*path, key)
        yield from _places(node[key], (*path, key))


@pytest.mark.parametrize(
    "place", [*_places(REPLY)], ids=lambda place: ".".join(map(str, place))
)
def test_a_strange_value_is_refused_by_name_wherever_it_stands(
    place: tuple[Any, ...], vocabulary: Vocabulary
) -> None:
    """A reply with any value in any place is read, or refused with an error of ours."""
    *way, last = place
    for value in STRANGE:
        reply = copy.deepcopy(REPLY)
        node: Any = reply
        for key in way:
            node = node[key]
        node[last] = value
        with contextlib.suppress(YseIngestError):
            read = parse_read_back(
                reply, account="ingest", vocabulary=vocabulary, size=1, seconds=0.1
            )
            assert read.digest
