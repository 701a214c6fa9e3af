"""Names by TNS: which object, where, and what else it is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest

from yse_ingest.errors import (
    AmbiguousTargetError,
    SettingsError,
    SourceError,
    SourceHeldBackError,
    SourceRefusedError,
    SourceReplyError,
    SourceUnavailableError,
)
from yse_ingest.meter import LocalMeter
from yse_ingest.sandbox.server import Reply, Request, StandIn
from yse_ingest.sandbox.tns import TnsStandIn
from yse_ingest.sources import Timeouts
from yse_ingest.sources.setup import Setup
from yse_ingest.sources.tns import Tns, TnsObject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yse_ingest.meter import Meter

GOLDEN = Path(__file__).parent / "golden"
BOT = {"TNS_API_KEY": "sandbox-only", "TNS_BOT_ID": "7", "TNS_BOT_NAME": "a_bot"}


class Recorded(StandIn):
    """A server that gives one answer to everything, and keeps how it was asked."""

    def __init__(self, content: Any, status: int = 200) -> None:
        super().__init__()
        self.content, self.status = content, status
        self.agents: list[str] = []

    def handle(self, request: Request) -> Reply:
        """Answer."""
        self.agents.append(request.headers.get("User-Agent", ""))
        return Reply.json(self.content, self.status)


class Careless(TnsStandIn):
    """A TNS whose searches ignore what they are asked for."""

    def _search(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        return super()._search(dict.fromkeys(asked, ""))


def client(url: str, *, meter: Meter | None = None, waits: list[float] | None = None) -> Tns:
    tns = Tns.from_setup(
        Setup(
            {**BOT, "TNS_URL": url},
            timeouts=Timeouts(connect_s=2, post_s=2, fetch_s=20),
            sleep=(waits if waits is not None else []).append,
            jitter=lambda: 0.0,
            meter=meter,
        )
    )
    assert tns is not None
    return tns


@pytest.fixture(params=[False, True], ids=["data", "data.reply"])
def stand_in(request: pytest.FixtureRequest) -> Iterator[TnsStandIn]:
    """Return a TNS of today, and one of before 2024-12."""
    with TnsStandIn(older=request.param) as tns:
        tns.add_object(
            "2025abc", 150.1, 2.2, prefix="SN", internal_names=("ZTF25aaaaaaa", "ATLAS25xyz")
        )
        tns.add_object("2025abd", 150.2, 2.2, internal_names=("ZTF25aaaaaab", "PS25q"))
        tns.add_object("2025abe", 150.3, 2.2, internal_names=("PS25q",))
        yield tns


def test_the_golden_object_reads_as_it_always_did() -> None:
    """Each name once; the position in degrees; the redshift is left alone."""
    content = json.loads((GOLDEN / "tns_object.json").read_text())
    with Recorded(content) as server:
        found = client(server.url).find("SN 2031kno")
        asked = parse_qs(server.log[0].body.decode())
        assert server.log[0].path == "/object"
        assert server.agents == ['tns_marker{"tns_id": 7, "type": "bot", "name": "a_bot"}']
    assert found == TnsObject(
        name="2031kno",
        prefix="SN",
        ra=138.14,
        dec=-3.5125,
        internal_names=("ZTF31abcdefg", "ATLAS31qrs", "LSST-P-DO-170032882156535843"),
        discovered="2031-02-03 04:05:06.789",
        type="SN II",
    )
    assert (found.ztf_id, found.lsst_id) == ("ZTF31abcdefg", "170032882156535843")
    assert TnsObject.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert asked["api_key"] == ["sandbox-only"]
    assert json.loads(asked["data"][0])["objname"] == "2031kno"


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("2025abc", ["object"]),
        ("AT 2025abc", ["object"]),
        ("ZTF25aaaaaaa", ["search", "object"]),
        ("ATLAS25xyz", ["search", "object"]),
    ],
    ids=["name", "with prefix", "ztf", "atlas"],
)
def test_a_name_is_found(stand_in: TnsStandIn, name: str, paths: list[str]) -> None:
    """In one request by TNS's name, in two by that of a survey."""
    found = client(stand_in.api_url).find(name)
    assert found is not None
    assert (found.name, found.ra, found.dec) == ("2025abc", 150.1, 2.2)
    assert [each.path.rsplit("/", 1)[-1] for each in stand_in.log] == paths


@pytest.mark.parametrize("name", ["2031zzz", "ZTF31zzzzzzz"])
def test_an_unknown_name_is_nothing(stand_in: TnsStandIn, name: str) -> None:
    """No error: TNS answered."""
    assert client(stand_in.api_url).find(name) is None


def test_a_name_of_several_objects_is_ambiguous(stand_in: TnsStandIn) -> None:
    """All are named."""
    with pytest.raises(AmbiguousTargetError, match="2 objects of this name: 2025abd, 2025abe"):
        client(stand_in.api_url).find("PS25q")


def test_without_a_key_there_is_no_client() -> None:
    """And a key without its bot is told, naming what is missing."""
    assert Tns.from_setup(Setup({"TNS_BOT_ID": "7"})) is None
    for variable in ("TNS_BOT_ID", "TNS_BOT_NAME"):
        with pytest.raises(SettingsError, match=variable):
            Tns.from_setup(Setup({**BOT, variable: ""}))
    with pytest.raises(SettingsError, match="TNS_BOT_ID = 'seven'"):
        Tns.from_setup(Setup({**BOT, "TNS_BOT_ID": "seven"}))


def test_a_wrong_key_names_the_settings(stand_in: TnsStandIn) -> None:
    """Without the key."""
    stand_in.key = "another"
    with pytest.raises(SourceRefusedError, match=r"\(401\).*Check TNS_API_KEY") as caught:
        client(stand_in.api_url).find("2025abc")
    assert "sandbox-only" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ([], "is no JSON object"),
        ({"data": {}}, "id_code is missing"),
        ({"id_code": 200, "data": {"objname": "2025abc"}}, "radeg is missing"),
        (
            {"id_code": 200, "data": {"objname": "2025abc", "radeg": 400.0, "decdeg": 2.2}},
            "radeg is 400.0, outside 0 to 360",
        ),
        (
            {"id_code": 200, "data": {"objname": "2025zzz", "radeg": 1.0, "decdeg": 2.2}},
            "answered the question for 2025abc with 2025zzz",
        ),
        ({"id_code": 200, "data": []}, "is no JSON object"),
    ],
    ids=["list", "no code", "no place", "no degree", "another object", "no object"],
)
def test_what_cannot_be_an_answer_is_refused(content: Any, fact: str) -> None:
    """Nothing of it is used."""
    with Recorded(content) as server, pytest.raises(SourceReplyError) as caught:
        client(server.url).find("2025abc")
    assert fact in str(caught.value)


def test_a_search_that_ignores_the_name_is_noticed() -> None:
    """A hit that is not called so is not believed."""
    with Careless() as tns:
        tns.add_object("2025abc", 150.1, 2.2, internal_names=("ZTF25aaaaaaa",))
        with pytest.raises(SourceReplyError, match="2025abc, which is not called so"):
            client(tns.api_url).find("ZTF25other00")


def test_a_refusal_in_the_body_is_one() -> None:
    """The status says 200, the code says no."""
    with (
        Recorded({"id_code": 400, "id_message": "Bad request", "data": None}) as server,
        pytest.raises(SourceRefusedError, match="Bad request"),
    ):
        client(server.url).find("2025abc")


def test_the_last_request_of_a_quota_closes_the_meter() -> None:
    """Nobody runs into the 429 that the headers foretold; then it is asked again."""
    meter = LocalMeter("TNS")
    with TnsStandIn(limit=2, window_s=60) as tns:
        tns.add_object("2025abc", 150.1, 2.2)
        asked = client(tns.api_url, meter=meter)
        asked.find("2025abc")
        asked.find("2025abc")
        with pytest.raises(SourceHeldBackError, match="its quota is used up") as caught:
            asked.find("2025abc")
        assert caught.value.retry_after == pytest.approx(60, abs=3)
        assert [each.status for each in tns.log] == [200, 200]


def test_a_429_is_told_to_all_who_share_the_meter() -> None:
    """Somebody else with the same key spent it."""
    meter = LocalMeter("TNS")
    waits: list[float] = []
    with TnsStandIn(limit=1, window_s=90) as tns:
        client(tns.api_url).find("2025abc")
        with pytest.raises(SourceUnavailableError, match="answered 429") as caught:
            client(tns.api_url, meter=meter, waits=waits).find("2025abc")
        assert caught.value.retry_after == pytest.approx(90, abs=3)
        assert waits == []
        with pytest.raises(SourceHeldBackError):
            client(tns.api_url, meter=meter).find("2025abc")
        assert len(tns.log) == 2


def test_a_dead_tns_is_an_error_that_passes() -> None:
    """It may be asked again later."""
    with TnsStandIn() as tns:
        url = tns.api_url
    with pytest.raises(SourceError) as caught:
        client(url).find("2025abc")
    assert caught.value.retryable
