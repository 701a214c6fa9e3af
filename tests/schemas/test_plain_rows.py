"""The short way through a schema tells what marshmallow tells, refusals included."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, ValidationError, fields

from yse_ingest.schemas import (
    alerce,
    alerce_lsst,
    antares,
    atlas,
    fink,
    fink_lsst,
    lasair,
    lasair_lsst,
    mars,
)
from yse_ingest.schemas._load import excerpt, faults_of, load, load_rows
from yse_ingest.schemas.alert_fields import AlertPart
from yse_ingest.schemas.plain_rows import plain_reader

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

SCHEMAS = [
    *(alerce.DetectionSchema, alerce.LimitSchema, alerce.ForcedSchema),
    *(alerce_lsst.DetectionSchema, alerce_lsst.ForcedSchema),
    *(antares.DetectionSchema, antares.LimitSchema),
    atlas.RowSchema,
    *(fink.AlertSchema, fink.LimitSchema),
    *(fink_lsst.SourceSchema, fink_lsst.ForcedSchema),
    *(lasair.DetectionSchema, lasair.LimitSchema, lasair.ForcedSchema),
    *(lasair_lsst.SourceSchema, lasair_lsst.ForcedSchema),
    mars.AlertSchema,
]
NUMBERS = [
    *(0.0, -0.0, 0.05, 1.0, 17.5, 18, 100.0, 359.99999, 360.0, 1e15, 10**400, -999, -99999.0),
    *(58500.25, 2458500.7, math.nan, math.inf, -math.inf, True, False, 2**53 + 1, 2**63),
]
TEXTS = [
    "",
    " ",
    "r",
    "g",
    "1",
    "t",
    "f",
    "18.5",
    "ZTF18abc",
    "ZTF 18",
    "ü",
    "x" * 70,
    "9" * 25,
]
OTHERS = [None, [], {}, ["r"], {"candid": 1}]
VALUES = st.sampled_from([*NUMBERS, *TEXTS, *OTHERS])


def rows_of(schema: Schema) -> SearchStrategy[Any]:
    """Rows whose keys the schema knows, with a value of any kind or none."""
    keys = {field.data_key or name: field for name, field in schema.load_fields.items()}
    cells = {
        key: VALUES | rows_of(field.schema) if isinstance(field, fields.Nested) else VALUES
        for key, field in keys.items()
    }
    return st.fixed_dictionaries({}, optional={**cells, "something else": VALUES})


def by_marshmallow(schema: Schema, row: object) -> object:
    try:
        return load(schema, row)
    except ValidationError as error:
        return faults_of(error, row), excerpt(schema, row)


def by_rows(schema: Schema, row: object) -> object:
    loaded, refused = load_rows(schema, [row])
    return loaded[0] if loaded else (refused[0].faults, refused[0].excerpt)


@pytest.mark.parametrize("kind", SCHEMAS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
@given(data=st.data())
def test_both_ways_through_a_schema_tell_the_same(kind: type[Schema], data: Any) -> None:
    schema = kind()
    row = data.draw(rows_of(schema) | VALUES)

    assert repr(by_rows(schema, row)) == repr(by_marshmallow(schema, row))


JDS = st.floats(2447892.5, 2488069.5)
GOOD = {"jd": 2458500.7, "filter": "r", "magpsf": 18.0, "sigmapsf": 0.1, "isdiffpos": "t"}


@given(
    values=st.dictionaries(st.sampled_from([*GOOD, "ra", "dec", "rb", "drb"]), VALUES), jd=JDS
)
def test_a_good_alert_with_a_few_odd_values_is_read_alike(values: Any, jd: float) -> None:
    candidate = {**GOOD, "jd": jd, "ra": 10.0, "dec": -5.0, "rb": 0.9, **values}
    row = {"candid": 7, "objectId": "ZTF18abc", "candidate": candidate}
    schema = mars.AlertSchema()

    assert repr(by_rows(schema, row)) == repr(by_marshmallow(schema, row))


def test_a_plain_alert_goes_the_short_way() -> None:
    candidate = {**GOOD, "ra": 10.0, "dec": -5.0, "rb": None}
    row = {"candid": 7, "objectId": "ZTF18abc", "candidate": candidate}
    reader = plain_reader(mars.AlertSchema())

    assert reader is not None
    assert repr(reader.read(row)) == repr(load(mars.AlertSchema(), row))


def test_a_schema_with_further_steps_goes_the_whole_way() -> None:
    class Doubled(AlertPart):
        number = fields.Integer()

    assert plain_reader(Doubled()) is None
    assert load_rows(Doubled(), [{"number": "7"}])[0] == [{"number": 7}]
