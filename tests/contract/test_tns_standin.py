"""The stand-in TNS answers as clients of TNS expect it to, its traps included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.tns import TnsStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

AGENT = 'tns_marker{"tns_id": 1, "type": "bot", "name": "a_bot"}'
NO_RESULTS = {"110": {"message": "No results found.", "message_id": 110}}


@pytest.fixture
def tns() -> Iterator[TnsStandIn]:
    with TnsStandIn() as stand_in:
        fill(stand_in)
        yield stand_in


def fill(stand_in: TnsStandIn) -> None:
    stand_in.add_object(
        "2025abc", 150.1, 2.2, prefix="SN", internal_names=("ZTF25aaaaaaa", "ATLAS25xyz")
    )
    stand_in.add_object("2025abcd", 150.2, 2.2, internal_names=("ZTF25aaaaaab",))


def ask(
    stand_in: TnsStandIn,
    call: str,
    *,
    agent: str = AGENT,
    key: str = "sandbox-only",
    parts: bool = False,
    **data: Any,
) -> requests.Response:
    form = {"api_key": key, "data": json.dumps(data)}
    body: Any = {"files": {name: (None, text) for name, text in form.items()}}
    return requests.post(
        f"{stand_in.api_url}/{call}",
        headers={"User-Agent": agent},
        timeout=10,
        **(body if parts else {"data": form}),
    )


@pytest.mark.parametrize("parts", [False, True], ids=["urlencoded", "multipart"])
def test_an_object_is_content_of_data(tns: TnsStandIn, parts: bool) -> None:
    """The form may come in either way; the name has no prefix, internal names are one text."""
    reply = ask(tns, "object", objname="2025abc", photometry="1", spectra="0", parts=parts)
    content = reply.json()
    assert (reply.status_code, content["id_code"], content["id_message"]) == (200, 200, "OK")
    data = content["data"]
    assert (data["objname"], data["name_prefix"]) == ("2025abc", "SN")
    assert (data["radeg"], data["decdeg"]) == (150.1, 2.2)
    assert data["internal_names"] == "ZTF25aaaaaaa, ATLAS25xyz"
    assert data["photometry"] == []
    assert "spectra" not in data


def test_an_older_server_has_it_one_level_deeper() -> None:
    """Until 2024-12: data.reply, beside what was received."""
    with TnsStandIn(older=True) as stand_in:
        fill(stand_in)
        data = ask(stand_in, "object", objname="2025abc").json()["data"]
        assert data["reply"]["objname"] == "2025abc"
        hits = ask(stand_in, "search", objname="2025abc").json()["data"]["reply"]
        assert [hit["objname"] for hit in hits] == ["2025abc", "2025abcd"]


def test_a_missing_object_is_a_200_whose_name_is_no_text(tns: TnsStandIn) -> None:
    """There is no 404."""
    reply = ask(tns, "object", objname="2031zzz")
    assert reply.status_code == 200
    assert reply.json()["data"] == {"objname": NO_RESULTS}


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({"objname": "2025abc"}, ["2025abc", "2025abcd"]),
        ({"objname": "2025abc", "objname_exact_match": 1}, ["2025abc"]),
        ({"internal_name": "ZTF25aaaaaa"}, ["2025abc", "2025abcd"]),
        ({"internal_name": "ZTF25aaaaaab", "internal_name_exact_match": 1}, ["2025abcd"]),
        ({"internal_name": "ZTF25aaaaaa", "internal_name_exact_match": 1}, []),
        ({"ra": "150.1", "dec": "2.2", "radius": "3", "units": "arcsec"}, ["2025abc"]),
        ({"ra": "", "dec": "", "objname": "2025abcd", "internal_name": ""}, ["2025abcd"]),
    ],
    ids=["name", "exact name", "internal", "exact internal", "not exact", "cone", "empty"],
)
def test_a_search_lists_names(tns: TnsStandIn, data: dict[str, Any], names: list[str]) -> None:
    """Begins-with unless exact; an empty text is no condition."""
    content = ask(tns, "search", **data).json()
    assert [hit["objname"] for hit in content["data"]] == names
    assert all(set(hit) == {"objname", "prefix", "objid"} for hit in content["data"])


@pytest.mark.parametrize(
    "agent",
    ["python-requests/2.32", "tns_marker", 'tns_marker{"tns_id": 1}', "tns_marker{no json}"],
    ids=["library", "bare", "incomplete", "broken"],
)
def test_who_does_not_name_its_bot_is_blocked(tns: TnsStandIn, agent: str) -> None:
    """Whatever the key."""
    assert ask(tns, "object", agent=agent, objname="2025abc").status_code == 403


def test_a_wrong_key_is_refused(tns: TnsStandIn) -> None:
    """With the code in the body, too."""
    reply = ask(tns, "object", key="another", objname="2025abc")
    assert (reply.status_code, reply.json()["id_code"]) == (401, 401)


def test_quotas_stand_in_headers_that_of_cones_apart() -> None:
    """Remaining becomes a word, reset is seconds, and a 429 says its code."""
    with TnsStandIn(limit=3, cone_limit=1, window_s=60) as stand_in:
        fill(stand_in)
        cone: dict[str, Any] = {"ra": "150.1", "dec": "2.2", "radius": "3", "units": "arcsec"}
        first = ask(stand_in, "search", **cone)
        assert first.headers["x-rate-limit-limit"] == "3"
        assert first.headers["x-rate-limit-remaining"] == "2"
        assert first.headers["x-cone-rate-limit-remaining"] == "0"
        assert 0 < int(first.headers["x-cone-rate-limit-reset"]) <= 60
        second = ask(stand_in, "search", **cone)
        assert (second.status_code, second.json()["id_code"]) == (429, 429)
        assert second.headers["x-cone-rate-limit-remaining"] == "Exceeded"
        third = ask(stand_in, "object", objname="2025abc")
        assert third.status_code == 200
        assert third.headers["x-rate-limit-remaining"] == "0"
        assert "x-cone-rate-limit-remaining" not in third.headers
        fourth = ask(stand_in, "object", objname="2025abc")
        assert fourth.json() == {"id_code": 429, "id_message": "Too Many Requests"}
        assert fourth.headers["x-rate-limit-remaining"] == "Exceeded"
