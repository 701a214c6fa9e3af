from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import (
    OutcomeUnknownError,
    PayloadError,
    PlaceTakenError,
    TargetError,
    UploadRefusedError,
    VocabularyError,
    YsePzReplyError,
)
from yse_ingest.sandbox.faults import Fault
from yse_ingest.targets import Target
from yse_ingest.ysepz import create, creation_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.ysepz import YsePzStandIn
    from yse_ingest.ysepz import YsePz


def target(
    name: str = "2026zz", ra: float = 10.0, dec: float = -5.0, **creation: Any
) -> Target:
    fields = {"status": "New", "obs_group": "ZTF", **creation}
    return Target(name, ra=ra, dec=dec, creation=fields)


def made(client: YsePz, wanted: Target, *, settled: bool = False) -> Any:
    return create(client, wanted, client.vocabulary(), settled=settled)


def test_a_new_transient(server: YsePzStandIn, client: YsePz) -> None:
    """A transient is created with every declared field and tag, and without photometry."""
    row = made(
        client,
        target(
            tags=["YSE", "AGN"],
            redshift=0.1,
            disc_date="2026-11-01",
            best_spec_class="SN Ia",
            non_detect_band="g-ZTF",
            non_detect_instrument="ZTF-Cam",
            has_hst=True,
            internal_names="ZTF26aaa",
        ),
    )
    stored = server.transient_row("2026zz")
    assert (row.name, row.status, row.obs_group) == ("2026zz", "New", "ZTF")
    assert set(row.tags) == {"YSE", "AGN"}
    assert stored["redshift"] == 0.1
    assert stored["best_spec_class"] == "SN Ia"
    assert server.rows("2026zz") == []
    posts = [entry for entry in server.log if entry.method == "POST"]
    assert [entry.path for entry in posts] == ["/add_transient/"]
    assert b"transientphotometry" not in posts[0].body


def test_it_is_there_already(server: YsePzStandIn, client: YsePz) -> None:
    """A transient that somebody made in the meantime is returned, and nothing is sent."""
    server.add_transient("2026zz", 10.0, -5.0, status="Following", redshift=0.5)
    before = server.transient_row("2026zz")
    row = made(client, target(redshift=0.1, tags=["YSE"]))
    assert row.status == "Following"
    assert server.transient_row("2026zz") == before
    assert not [entry for entry in server.log if entry.method != "GET"]


def test_twice(server: YsePzStandIn, client: YsePz) -> None:
    """Creating twice is creating once."""
    assert made(client, target()) == made(client, target())
    assert len(server.transients()) == 2


@pytest.mark.parametrize("field", ["status", "obs_group"])
def test_required_fields(server: YsePzStandIn, client: YsePz, field: str) -> None:
    """Without status or group YSE-PZ fails the whole request: it is not sent."""
    fields = {key: value for key, value in target().creation.items() if key != field}  # type: ignore[union-attr]
    with pytest.raises(TargetError, match=field):
        made(client, Target("2026zz", ra=10.0, dec=-5.0, creation=fields))
    assert len(server.transients()) == 1


def test_position_is_required(client: YsePz) -> None:
    """A transient without coordinates cannot be created."""
    wanted = Target("2026zz", creation={"status": "New", "obs_group": "ZTF"})
    with pytest.raises(TargetError, match="ra is missing"):
        made(client, wanted)


def test_creation_is_a_decision(client: YsePz) -> None:
    """A target without creation fields is never created."""
    with pytest.raises(TargetError, match="may not be created"):
        made(client, Target("2026zz", ra=10.0, dec=-5.0))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": "Nope"}, VocabularyError),
        ({"tags": ["Nope"]}, VocabularyError),
        ({"redshfit": 0.1}, PayloadError),
        ({"id": 1}, PayloadError),
        ({"redshift": None}, PayloadError),
        ({"redshift": "0.1"}, PayloadError),
        ({"disc_date": "1.11.2026"}, PayloadError),
        ({"transientphotometry": {}}, PayloadError),
    ],
)
def test_fields_that_would_break_or_vanish(
    server: YsePzStandIn, client: YsePz, fields: dict[str, Any], error: type[Exception]
) -> None:
    """A field that YSE-PZ would skip, misread or stop at is refused before it is sent."""
    with pytest.raises(error):
        made(client, target(**fields))
    assert len(server.transients()) == 1
    assert not [entry for entry in server.log if entry.method != "GET"]


def test_place_taken(server: YsePzStandIn, client: YsePz) -> None:
    """At the place of another transient nothing is created (traps 2 and 8)."""
    with pytest.raises(PlaceTakenError, match="2019np"):
        made(client, target(ra=157.3415, dec=29.5106667))
    assert len(server.transients()) == 1


def test_beside_is_ours_alone() -> None:
    """``beside`` tells us something, and is never sent."""
    request = creation_request(target(beside="2019np"))
    assert request == {
        "noupdatestatus": True,
        "2026zz": {
            "name": "2026zz",
            "ra": 10.0,
            "dec": -5.0,
            "obs_group": "ZTF",
            "status": "New",
        },
    }


def test_beside_a_neighbour(server: YsePzStandIn, client: YsePz) -> None:
    """Beyond 0.756" a target that says so is made; its neighbour is untouched."""
    before = server.transient_row("2019np")
    row = made(client, target(ra=157.3415, dec=29.5106667 + 1.2 / 3600, beside="2019np"))
    assert row.name == "2026zz"
    assert server.transient_row("2019np") == before


def test_it_became_an_alias(server: YsePzStandIn, make_client: Callable[..., YsePz]) -> None:
    """A transient that appears at the place in the last moment makes ours its alias: told."""

    def race(_request: str) -> None:
        server.add_transient("rival", 10.0, -5.0)

    client = make_client(before_request=race)
    with pytest.raises(PlaceTakenError, match="alias of rival"):
        made(client, target())


def test_accepted_and_not_there(server: YsePzStandIn, client: YsePz) -> None:
    """A success that made nothing is no success."""
    server.faults.add(
        Fault("status", path="add_transient", status=200, body='{"message": "success"}')
    )
    with pytest.raises(YsePzReplyError, match="no transient has this name"):
        made(client, target())


def test_missing_tags_are_added(server: YsePzStandIn, client: YsePz) -> None:
    """Tags that an interrupted creation left out are added when it is taken up again."""
    request = {
        "noupdatestatus": True,
        "2026zz": {
            "name": "2026zz",
            "ra": 10.0,
            "dec": -5.0,
            "status": "New",
            "obs_group": "ZTF",
            "tags": ["YSE", "no such tag"],
        },
    }
    with pytest.raises(UploadRefusedError):
        client.add_transient(request)
    row = made(client, target(tags=["YSE", "AGN"]), settled=True)
    assert set(row.tags) == {"YSE", "AGN"}
    assert set(server.transient_row("2026zz")["tags"]) == {"YSE", "AGN"}


def test_lost_answer_then_settled(server: YsePzStandIn, client: YsePz) -> None:
    """A creation whose answer was lost is found again, completed, and not repeated."""
    server.faults.add(Fault("drop_after", path="add_transient", times=1))
    with pytest.raises(OutcomeUnknownError):
        made(client, target(tags=["YSE"]))
    row = made(client, target(tags=["YSE"]), settled=True)
    assert row.tags == ("YSE",)
    assert len(server.transients()) == 2


def test_settled_leaves_what_people_touched(server: YsePzStandIn, client: YsePz) -> None:
    """A row of that name that is not ours alone is left as it is."""
    server.add_transient("2026zz", 10.0, -5.0, status="Following", created_by="human")
    before = server.transient_row("2026zz")
    made(client, target(tags=["YSE"]), settled=True)
    assert server.transient_row("2026zz") == before


def test_a_field_that_did_not_arrive(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """A field that reads back otherwise than it was sent is named with both values."""
    client = make_client()
    created = made(client, target())
    server.faults.clear()
    assert created.status == "New"
    with pytest.raises(YsePzReplyError, match=r"redshift is None where 0\.3 was sent"):
        made(client, target(redshift=0.3), settled=True)
