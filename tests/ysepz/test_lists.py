from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yse_ingest.errors import TargetError, YsePzReplyError
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.server import Reply, Request, StandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.targets import separation_arcsec
from yse_ingest.ysepz import Account, YsePz
from yse_ingest.ysepz.lists import boxes
from yse_ingest.ysepz.transients import Transient, name_key

if TYPE_CHECKING:
    from collections.abc import Callable


class FilterlessYsePz(YsePzStandIn):
    """A YSE-PZ with a newer django-filter: it ignores every filter, and pages by 2."""

    def handle(self, request: Request) -> Reply:
        if not request.path.startswith("/api/"):
            return super().handle(request)
        kept = [(key, value) for key, value in request.query if key in ("limit", "offset")]
        paging = dict(kept)
        if request.path == "/api/transients/":
            paging["limit"] = "2"
        query = list(paging.items())
        return super().handle(
            Request(request.method, request.path, query, request.headers, request.body)
        )


class Proxy(StandIn):
    """A reverse proxy: a path prefix before YSE-PZ, links without port and prefix behind it."""

    name = "proxy"

    def __init__(self, behind: YsePzStandIn) -> None:
        super().__init__()
        self._behind = behind

    def handle(self, request: Request) -> Reply:
        if not request.path.startswith("/yse/"):
            return Reply.text("nothing here", 404)
        inner = Request(
            request.method,
            request.path.removeprefix("/yse"),
            request.query,
            request.headers,
            request.body,
        )
        reply = self._behind.handle(inner)
        here = urlsplit(self.url)
        reply.body = reply.body.replace(here.netloc.encode(), b"inner-host")
        return reply


def many(server: YsePzStandIn, count: int) -> None:
    for number in range(count):
        server.add_transient(f"2020a{number}", 10.0 + number, -5.0)


def test_filters_that_are_ignored() -> None:
    """A table that comes back unfiltered is no hit: its rows are compared here (trap 14)."""
    with FilterlessYsePz() as server:
        many(server, 7)
        with YsePz(server.url, Account("ingest", "sandbox-only")) as client:
            found = client.transient_by_name("2020a5")
            assert found is not None
            assert found.name == "2020a5"
            assert client.transient_by_name("2020zz") is None
            near = client.transients_near(13.0, -5.0, 3.0)
            assert [one.name for one, _ in near] == ["2020a3"]


def test_behind_a_proxy(server: YsePzStandIn) -> None:
    """A path prefix is kept, and links are compared by their path alone."""
    with (
        Proxy(server) as proxy,
        YsePz(proxy.url + "/yse/", Account("ingest", "sandbox-only")) as c,
    ):
        found = c.transient_by_name("2019np")
        assert found is not None
        assert (found.status, found.obs_group, found.tags) == ("Following", "ZTF", ("YSE",))
        assert c.read_back(found.slug).name == "2019np"
        assert c.link("tag", 29) == f"{proxy.url}/yse/api/transienttags/29/"


def test_long_lists_are_paged() -> None:
    """A list longer than a page arrives whole, each row once."""
    with FilterlessYsePz() as server:
        many(server, 5)
        with YsePz(server.url, Account("ingest", "sandbox-only")) as client:
            assert len(client.transients_near(0.0, 90.0, 180 * 3600.0)) == 5
        paths = [entry for entry in server.log if entry.path == "/api/transients/"]
        assert len(paths) == 3


@pytest.mark.parametrize(
    ("asked", "stored"), [("2019NP", "2019np"), ("sn te", "SN T\u00e9"), ("x", "x ")]
)
def test_names_as_the_database_compares_them(
    server: YsePzStandIn, client: YsePz, asked: str, stored: str
) -> None:
    """Case, accents and trailing blanks do not count; the stored spelling is used."""
    if stored != "2019np":
        server.add_transient(stored, 1.0, 1.0)
    found = client.transient_by_name(asked)
    assert found is not None
    assert found.name == stored


def test_names_that_only_look_alike(server: YsePzStandIn, client: YsePz) -> None:
    """A longer name is another name."""
    server.add_transient("2019npx", 1.0, 1.0)
    found = client.transient_by_name("2019npx")
    assert found is not None
    assert found.pk == 2
    assert client.transient_by_name("2019n") is None


def test_several_transients_of_one_name(server: YsePzStandIn, client: YsePz) -> None:
    """Two rows of one name stop everything: an upload would delete the second (trap 2)."""
    server.add_transient("2019np", 157.3415, 29.5106667)
    with pytest.raises(TargetError, match=r"2 transients .*rows 1, 2") as caught:
        client.transient_by_name("2019np")
    assert "deletes all but the first" in str(caught.value)


def test_by_primary_key(client: YsePz) -> None:
    """A primary key leads to its transient, or to nothing."""
    found = client.transient_by_pk(1)
    assert found is not None
    assert found.name == "2019np"
    assert found.discovery_ms == 1546992000000
    assert Transient.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert client.transient_by_pk(99) is None


@pytest.mark.parametrize(
    ("here", "there", "separation"),
    [
        ((359.9999, 10.0), (0.0001, 10.0), 0.709),
        ((0.0001, 10.0), (359.9999, 10.0), 0.709),
        ((0.0, 0.0), (0.0, 0.0), 0.0),
        ((10.0, 89.9999), (190.0, 89.9999), 0.72),
        ((10.0, -89.99995), (250.0, -89.9999), 0.476),
        ((200.0, 60.0), (200.0011, 60.0), 1.98),
        ((200.0, -60.0), (200.0, -60.0008), 2.88),
    ],
)
def test_neighbours_anywhere_on_the_sky(
    server: YsePzStandIn,
    client: YsePz,
    here: tuple[float, float],
    there: tuple[float, float],
    separation: float,
) -> None:
    """Neighbours are found across RA 0/360 and at the poles, by great circle."""
    server.add_transient("near", *there)
    found = client.transients_near(*here, 3.0)
    assert [one.name for one, _ in found] == ["near"]
    assert found[0][1] == pytest.approx(separation, abs=0.01)


def test_neighbours_are_round_and_sorted(server: YsePzStandIn, client: YsePz) -> None:
    """The corners of the box do not count, the nearest comes first."""
    server.add_transient("corner", 50.0 + 2.9 / 3600, 2.9 / 3600)
    server.add_transient("far", 50.0 + 2.5 / 3600, 0.0)
    server.add_transient("close", 50.0, 0.5 / 3600)
    assert [one.name for one, _ in client.transients_near(50.0, 0.0, 3.0)] == ["close", "far"]


@given(
    ra=st.floats(0, 360, exclude_max=True),
    dec=st.floats(-90, 90),
    radius=st.floats(0.1, 100.0),
    bearing=st.floats(0, 6.3),
    share=st.floats(0, 1),
)
def test_boxes_hold_the_circle(
    ra: float, dec: float, radius: float, bearing: float, share: float
) -> None:
    """Whatever lies within the circle lies within one of the boxes."""
    step = radius / 3600 * share
    other_dec = dec + step * math.cos(bearing)
    cosine = max(1e-12, math.cos(math.radians(dec)))
    other_ra = (ra + step * math.sin(bearing) / cosine) % 360
    if not -90 <= other_dec <= 90:
        return
    if separation_arcsec(ra, dec, other_ra, other_dec) > radius:
        return
    assert any(
        float(box["ra_gte"]) <= other_ra <= float(box["ra_lte"])
        and float(box["dec_gte"]) <= other_dec <= float(box["dec_lte"])
        for box in boxes(ra, dec, radius / 3600)
    )


@given(st.text(alphabet=st.characters(codec="latin-1"), max_size=10))
def test_name_key_is_stable(name: str) -> None:
    """Case and trailing blanks never tell two names apart."""
    assert name_key(name) == name_key(name_key(name))
    assert name_key(name) == name_key(name + " ")


def test_aliases_are_read_once_and_then_what_was_added(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """The table that has no filter is not read again whole at every look-up."""
    now = [1000.0]
    client = make_client(clock=lambda: now[0])
    for number in range(3):
        server.add_alias(f"ZTF19a{number}", "2019np")
    assert [alias.name for alias in client.aliases()] == ["ZTF19a0", "ZTF19a1", "ZTF19a2"]
    server.add_alias("ZTF19new", "2019np")
    assert [alias.name for alias in client.aliases()][-1] == "ZTF19new"
    assert len(client.aliases()) == 4
    assert dict(server.log[-1].query)["offset"] == "3"
    now[0] += 86_000.0
    assert len(client.aliases()) == 4
    assert dict(server.log[-1].query)["offset"] == "3"
    now[0] += 1000.0
    assert len(client.aliases()) == 4
    assert dict(server.log[-1].query)["offset"] == "0"


def test_aliases_that_were_deleted(server: YsePzStandIn, client: YsePz) -> None:
    """A table of aliases that shrank is read again whole."""
    rows = [
        {
            "url": f"http://x/api/alternatetransientnames/{pk}/",
            "name": f"a{pk}",
            "transient": None,
        }
        for pk in (1, 2, 3)
    ]

    def show(*shown: dict[str, Any]) -> None:
        page = {"count": len(shown), "next": None, "previous": None, "results": list(shown)}
        server.faults.clear()
        server.faults.add(Fault("status", path="alternate", status=200, body=json.dumps(page)))

    show(*rows)
    assert [alias.pk for alias in client.aliases()] == [1, 2, 3]
    show(rows[0], rows[2], {**rows[1], "url": "/api/alternatetransientnames/9/"})
    assert [alias.pk for alias in client.aliases()] == [1, 3, 9]


def test_a_list_that_is_no_list(server: YsePzStandIn, client: YsePz) -> None:
    """A row without the link that identifies it is named, with the address."""
    page = {"count": 1, "results": [{"name": "x"}]}
    server.faults.add(Fault("status", path="statuses", status=200, body=json.dumps(page)))
    with pytest.raises(YsePzReplyError, match=r"/api/transientstatuses/.*url"):
        client.vocabulary()


def test_a_name_that_the_cached_vocabulary_lacks(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """A status added since makes the vocabulary be read again, once a minute at most."""
    now = [0.0]
    client = make_client(clock=lambda: now[0])
    old = client.vocabulary()
    names = {**old.names, "status": {1: "New"}}
    client = make_client(
        clock=lambda: now[0], vocabulary=type(old)(names, old.telescopes, old.band_rows, 0.0)
    )
    found = client.transient_by_pk(1)
    assert found is not None
    assert found.status is None
    now[0] = 61.0
    found = client.transient_by_pk(1)
    assert found is not None
    assert found.status == "Following"
