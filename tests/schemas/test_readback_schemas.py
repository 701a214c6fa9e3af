from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from yse_ingest.schemas._load import load, load_rows
from yse_ingest.schemas.readback import (
    AliasRowSchema,
    PageSchema,
    StoredPointSchema,
    TransientRowSchema,
    pk_of_link,
)
from yse_ingest.schemas.vocabulary import BandRowSchema


@pytest.mark.parametrize(
    "link",
    [
        "http://127.0.0.1:8800/api/transients/17/",
        "http://127.0.0.1/api/transients/17/",
        "https://yse-pz.example.org/yse/api/transients/17",
        "/api/transients/17/",
    ],
)
def test_links_by_their_path(link: str) -> None:
    """A link leads to its row whatever host, port and prefix it names."""
    assert pk_of_link(link) == 17


@pytest.mark.parametrize(
    "link", [None, 17, "", "http://x/api/transients/", "x/\u0661/", "http://["]
)
def test_what_is_no_link(link: object) -> None:
    """Anything else is no link to a row."""
    with pytest.raises(ValidationError, match="no link"):
        pk_of_link(link)


@given(st.text(max_size=30))
def test_odd_links_are_refused(text: str) -> None:
    """No text at all breaks the reader of links."""
    with contextlib.suppress(ValidationError):
        assert pk_of_link(text) >= 0


def test_unknown_columns_are_left_out() -> None:
    """Other versions of YSE-PZ show other columns; what is read is what is needed."""
    row = {
        "url": "/api/transients/1/",
        "name": "2019np",
        "slug": "2019np",
        "ra": 157.3,
        "dec": 29.5,
        "tags": ["/api/transienttags/29/"],
        "a_new_column": 3,
    }
    loaded = load(TransientRowSchema(), row)
    assert loaded == {
        "pk": 1,
        "name": "2019np",
        "slug": "2019np",
        "ra": 157.3,
        "dec": 29.5,
        "disc_date": None,
        "status": None,
        "obs_group": None,
        "tags": [29],
    }


def test_an_alias_without_its_transient() -> None:
    """An alias may have lost its transient."""
    row = {"url": "/api/alternatetransientnames/1/", "name": "a", "transient": None}
    assert load(AliasRowSchema(), row) == {"pk": 1, "name": "a", "transient": None}


def test_pages_and_bands() -> None:
    """A page has a count and rows, a band the link to its instrument."""
    page = load(PageSchema(), {"count": 1, "next": None, "results": [{"x": 1}]})
    assert page == {"count": 1, "results": [{"x": 1}]}
    faulty: list[object] = [[], {"count": "1", "results": []}, {"count": 1, "results": [3]}]
    for broken in faulty:
        with pytest.raises(ValidationError):
            load(PageSchema(), broken)
    with pytest.raises(ValidationError):
        load(BandRowSchema(), {"url": "/api/photometricbands/1/", "name": "g"})


def test_every_fault_of_a_stored_row() -> None:
    """All faults of a row are told at once, with its primary key."""
    rows, refused = load_rows(
        StoredPointSchema(), [{"pk": 3, "band": 1, "obs_date": "x"}], id_key="pk"
    )
    assert rows == []
    assert refused[0].native_id == "3"
    assert {fault.field for fault in refused[0].faults} == {
        "band",
        "obs_date",
        "created_by",
        "modified_by",
    }
