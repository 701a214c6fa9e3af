from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from yse_ingest.errors import YsePzReplyError, YsePzUnavailableError
from yse_ingest.sandbox.faults import Fault
from yse_ingest.ysepz import Account
from yse_ingest.ysepz.readback import parse_read_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.ysepz import YsePzStandIn
    from yse_ingest.ysepz import YsePz


def test_rows_as_they_are_stored(server: YsePzStandIn, client: YsePz) -> None:
    """Every column of a stored row arrives, under the names of the vocabulary."""
    pks = server.add_photometry(
        "2019np",
        [
            {
                "obs_date": "2019-01-01T10:00:00.123456",
                "band": "g-ZTF",
                "mag": 17.01,
                "mag_err": 0.05,
            },
            {
                "obs_date": "2019-01-02T10:00:00",
                "band": "r-ZTF",
                "flux": -3.2,
                "flux_err": 1.5,
                "flux_zero_point": 25.0,
                "forced": 1,
                "modified_by": "human",
            },
        ],
        user="othercron",
    )
    back = client.read_back("2019np")
    stored = back.photometry
    assert back.pk == 1
    assert back.transient["status"] == "Following"
    assert back.transient["tags"] == ["YSE"]
    assert back.transient["best_spec_class"] == "SN Ia"
    assert back.transient["created_by"] == "human"
    assert stored.pk.tolist() == pks
    assert stored.time_ms.tolist() == [1546336800123, 1546423200000]
    assert stored.instrument.tolist() == ["ZTF-Cam", "ZTF-Cam"]
    assert stored.obs_group.tolist() == ["ZTF", "ZTF"]
    assert stored.band.tolist() == ["g-ZTF", "r-ZTF"]
    np.testing.assert_array_equal(stored.mag, [17.01, np.nan])
    np.testing.assert_array_equal(stored.flux, [np.nan, -3.2])
    np.testing.assert_allclose(stored.flux_at()[0], [np.nan, -32.0])
    assert stored.forced.tolist() == [False, True]
    assert stored.created_by.tolist() == ["othercron", "othercron"]
    assert stored.modified_by.tolist() == ["othercron", "human"]
    assert not stored.restricted.any()
    assert [(one.instrument, one.obs_group, one.groups) for one in back.headers] == [
        ("ZTF-Cam", "ZTF", ())
    ]
    assert back.bytes > 1000
    assert back.seconds > 0
    assert back.refused == ()


def test_no_photometry(client: YsePz) -> None:
    """A transient without photometry reads back as empty columns."""
    back = client.read_back("2019np")
    assert len(back.photometry) == 0
    assert back.headers == ()
    assert len(back.photometry.value_hash) == 0


def test_before_1970(server: YsePzStandIn, client: YsePz) -> None:
    """Photometry of a plate keeps its time."""
    server.add_photometry(
        "2019np", [{"obs_date": "1937-08-16T23:59:59.999", "band": "g-ZTF", "mag": 8.4}]
    )
    assert client.read_back("2019np").photometry.time_ms.tolist() == [-1021680000001]


def test_our_name_in_other_letters(server: YsePzStandIn, client: YsePz) -> None:
    """The log-in ignores case, so rows of "ingest" are ours when the setting says "INGEST"."""
    row = {"obs_date": "2019-01-01T10:00:00", "band": "g-ZTF", "mag": 17.0}
    server.add_photometry("2019np", [row], user="ingest")
    back = parse_read_back(
        json.loads(client._http.send("GET", "/download_data/2019np/").body),
        account="INGEST",
        vocabulary=client.vocabulary(),
        size=1,
        seconds=0.1,
    )
    assert back.photometry.written_by("INGEST").all()


def test_restricted_headers(
    server: YsePzStandIn, make_client: Callable[..., YsePz], client: YsePz
) -> None:
    """A header with groups says so to its members, and is not there for others (trap 12)."""
    server.add_photometry(
        "2019np",
        [{"obs_date": "2019-01-01T10:00:00", "band": "g-ZTF", "mag": 17.0}],
        user="human",
        groups=("YSE",),
    )
    member = make_client(account=Account("human", "sandbox-only")).read_back("2019np")
    assert member.headers[0].groups == ("YSE",)
    assert member.photometry.restricted.all()
    assert len(client.read_back("2019np").photometry) == 0


def test_unknown_slug(client: YsePz) -> None:
    """A slug that is not there is named; it is not taken for a server that is down."""
    with pytest.raises(YsePzReplyError, match="slug 'nope/x'"):
        client.read_back("nope/x")


def test_odd_slugs_are_quoted(server: YsePzStandIn, client: YsePz) -> None:
    """The slug of the list is asked for, not the name."""
    server.add_transient("SN 2020/b c", 1.0, 1.0)
    found = client.transient_by_name("SN 2020/b c")
    assert found is not None
    assert client.read_back(found.slug).name == "SN 2020/b c"


def test_digest_tells_read_backs_apart(server: YsePzStandIn, client: YsePz) -> None:
    """Two read-backs of the same photometry have one digest, a new or changed row another."""
    row = {"obs_date": "2019-01-01T10:00:00", "band": "g-ZTF", "mag": 17.0, "mag_err": 0.1}
    empty = client.read_back("2019np").digest
    pk = server.add_photometry("2019np", [row])[0]
    one = client.read_back("2019np").digest
    assert one == client.read_back("2019np").digest
    assert one != empty
    client.patch_point(pk, {"mag": 17.5})
    assert client.read_back("2019np").digest != one


@pytest.fixture(name="shown")
def _shown(server: YsePzStandIn, client: YsePz) -> dict[str, Any]:
    server.add_photometry(
        "2019np",
        [
            {"obs_date": f"2019-01-0{day}T10:00:00", "band": "g-ZTF", "mag": 17.0}
            for day in (1, 2, 3)
        ],
    )
    client.vocabulary()
    shown: dict[str, Any] = json.loads(client._http.send("GET", "/download_data/2019np/").body)
    return shown


def show(server: YsePzStandIn, reply: object) -> None:
    body = json.dumps(reply)
    server.faults.add(Fault("status", path="download_data", status=200, body=body))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mag", "bright"),
        ("flux_zero_point", []),
        ("forced", "perhaps"),
        ("created_by", None),
        ("modified_by", {}),
    ],
)
def test_a_row_that_cannot_be_read(
    server: YsePzStandIn, client: YsePz, shown: dict[str, Any], field: str, value: object
) -> None:
    """It is reported, and stands at its time without values: nobody could correct it."""
    good = client.read_back("2019np").photometry
    shown["2019np"]["photometry"][0]["data"][1]["fields"][field] = value
    show(server, shown)
    back = client.read_back("2019np")
    assert [refusal.native_id for refusal in back.refused] == ["2"]
    assert back.refused[0].faults[0].field == field
    assert back.photometry.pk[back.unread].tolist() == [2]
    stored = back.photometry.take(np.argsort(back.photometry.pk))
    for column in ("pk", "time_ms", "instrument", "obs_group", "band", "header"):
        assert getattr(stored, column).tolist() == getattr(good, column).tolist()
    assert np.isnan(stored.mag).tolist() == [False, True, False]
    assert stored.written_by("othercron").tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("obs_date", None),
        ("obs_date", "2019-13-01T10:00:00Z"),
        ("obs_date", 58484.4),
        ("band", None),
        ("pk", "2"),
    ],
)
def test_a_row_whose_place_cannot_be_read(
    server: YsePzStandIn, client: YsePz, shown: dict[str, Any], field: str, value: object
) -> None:
    """Left out, its exposure would be sent again: the whole read-back is refused, by its pk."""
    point = shown["2019np"]["photometry"][0]["data"][1]
    (point if field == "pk" else point["fields"])[field] = value
    show(server, shown)
    with pytest.raises(YsePzReplyError, match="stored row 2 of ZTF-Cam cannot be") as caught:
        client.read_back("2019np")
    assert caught.value.field == field
    assert caught.value.value is None
    assert not caught.value.retryable


def test_not_a_number_in_a_row(
    server: YsePzStandIn, client: YsePz, shown: dict[str, Any]
) -> None:
    """NaN and Infinity, which are no JSON and are shown all the same, mean missing."""
    fields = shown["2019np"]["photometry"][0]["data"][0]["fields"]
    fields["mag"], fields["flux"] = float("nan"), float("inf")
    show(server, shown)
    stored = client.read_back("2019np").photometry
    assert np.isnan(stored.mag[0])
    assert np.isnan(stored.flux[0])


@pytest.mark.parametrize(
    "break_it",
    [
        lambda shown: shown.clear(),
        lambda shown: shown.update(other={}),
        lambda shown: shown["2019np"].pop("transient"),
        lambda shown: shown["2019np"]["transient"].clear(),
        lambda shown: shown["2019np"].update(photometry=3),
        lambda shown: shown["2019np"]["photometry"][0]["fields"].pop("instrument"),
    ],
)
def test_what_is_no_read_back(
    server: YsePzStandIn,
    client: YsePz,
    shown: dict[str, Any],
    break_it: Callable[[dict[str, Any]], object],
) -> None:
    """A reply that is no read-back is refused as a whole: half of it would look like a loss."""
    break_it(shown)
    show(server, shown)
    with pytest.raises(YsePzReplyError):
        client.read_back("2019np")


@pytest.mark.parametrize("kind", ["error_before", "truncated"])
def test_read_back_that_fails(
    server: YsePzStandIn, client: YsePz, shown: dict[str, Any], kind: str
) -> None:
    """A read-back that fails never looks like an empty light curve."""
    assert shown
    server.faults.add(Fault(kind, path="download_data"))  # type: ignore[arg-type]
    with pytest.raises((YsePzReplyError, YsePzUnavailableError)):
        client.read_back("2019np")
