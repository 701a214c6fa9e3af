"""From Python: what `enqueue_target` and `enqueue_targets` return, on real workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from astropy import units
from astropy.table import MaskedColumn, QTable, Table

from workers import enqueue_targets
from workers.enqueue import _rows
from yse_ingest.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.workers.conftest import Service


def test_a_handle_tells_how_far_its_target_has_come(shared: Service) -> None:
    """It is the name; `wait` ends when everything is stored; the receipt says what was sent."""
    shared.know("2019np")
    said = shared.python(
        "import json; from workers import enqueue_target;"
        "handle = enqueue_target('SN2019np', ra=157.3415, dec=29.5106667);"
        "print(json.dumps([handle, handle.wait(20), handle.state, handle.receipt['counts']]))"
    )
    assert json.loads(said) == ["2019np", "stored", "stored", {"verified": 33}]


def test_a_handle_says_why_nothing_more_happens(shared: Service) -> None:
    """A target that YSE-PZ does not know is no endless wait: the time-out has the reason."""
    said = shared.python(
        "from workers import enqueue_target\n"
        "handle = enqueue_target('2011fe', ra=210.774, dec=54.274)\n"
        "try: handle.wait(3)\n"
        "except TimeoutError as error: print(error)\n"
    )
    assert "2011fe is no answer after 3 s" in said
    assert "no transient of this name" in said


def test_another_celery_application_enqueues_by_the_tasks_name(
    shared: Service, until: Callable[..., float]
) -> None:
    """It knows the broker and the name of the task, and imports nothing of ours."""
    shared.know("ZTF19aaknvuh")
    shared.python(
        "import os; from celery import Celery;"
        "there = Celery(broker=os.environ['CELERY_BROKER_URL']);"
        "there.send_task('yse_ingest.enqueue_target', ['ZTF19aaknvuh'],"
        " {'ra': 191.33554295, 'dec': 42.0609005}, queue='control')"
    )
    until(lambda: shared.stored("ZTF19aaknvuh") > 0, within=15)


def test_many_targets_are_refused_together_with_every_reason() -> None:
    """Nothing is written while one of them cannot be a target; no Redis is needed to say so."""
    with pytest.raises(ExceptionGroup) as caught:
        enqueue_targets(["2019np", {"name": "2018cow", "ra": 400.0, "dec": 1.0}, ""])
    errors = [error for error in caught.value.exceptions if isinstance(error, TargetError)]
    assert [error.target for error in errors] == ["2018cow", ""]
    assert "ra is 400" in str(errors[0])


@pytest.mark.parametrize("kind", [Table, QTable])
def test_a_table_is_read_in_its_units(kind: type[Table]) -> None:
    """Hours become degrees, masked values count as not given, numbers are Python's."""
    table = kind(
        {
            "name": ["2019np", "2018cow"],
            "ra": [157.3415 / 15, 244.000927 / 15] * units.hourangle,
            "dec": [29.5106667, 22.268031] * units.deg,
            "cadence": MaskedColumn(["30m", "1h"], mask=[False, True]),
        }
    )
    first, second = _rows(table)
    assert first.pop("ra") == pytest.approx(157.3415)
    assert first == {"name": "2019np", "dec": 29.5106667, "cadence": "30m"}
    assert set(second) == {"name", "ra", "dec"}
    assert type(second["dec"]) is float
