"""From Python: what `enqueue_target` and `enqueue_targets` return, on real workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from astropy import units
from astropy.table import MaskedColumn, QTable, Table

from workers import enqueue_targets
from workers.enqueue import _rows
from workers.handle import LOOK_MAX_S, LOOK_MIN_S, rest_s
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


def test_a_wait_ends_soon_after_the_fact() -> None:
    """A look comes late by 3 % of the wait at most, or 20 ms; a long wait asks seldom."""
    assert rest_s(0.0) == LOOK_MIN_S == 0.02
    assert rest_s(1.0) == pytest.approx(0.03)
    assert rest_s(3600.0) == LOOK_MAX_S == 0.5


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


LATE = "2019late"
LATE_PLACE = (50.0, 10.0)
LATE_JD = 2458500.5
"""2019-01-17."""


def publish(service: Service, *days: float) -> None:
    """Publish exposures of these nights [d after the first]."""
    for each in days:
        jd = LATE_JD + each
        service.mars.add_alert("ZTF19lateaaa", jd, "r", 19.0, 0.05, *LATE_PLACE)


def test_python_has_a_target_read_again_in_full_or_in_part(
    shared: Service, until: Callable[..., float]
) -> None:
    """What the source published long after comes in, once; the target stays as it is."""
    shared.ysepz.add_transient(LATE, *LATE_PLACE)
    publish(shared, *range(20))
    follow = f"from workers import enqueue_target, enqueue_targets; name = '{LATE}';"
    shared.python(f"{follow} enqueue_target(name, cadence='2h').wait(20)")
    publish(shared, 3.25, 7.25, 9.25)
    shared.python(f"{follow} enqueue_target(name).wait(20)")
    assert shared.stored(LATE) == 20

    # The first of the three lies on the last day, which is meant whole.
    shared.python(
        f"{follow} enqueue_target(name, from_date='2019-01-19', to_date='2019-01-20').wait(20)"
    )
    assert shared.stored(LATE) == 21
    shared.python(
        "import os; from celery import Celery;"
        "there = Celery(broker=os.environ['CELERY_BROKER_URL']);"
        f"there.send_task('yse_ingest.enqueue_target', ['{LATE}'],"
        " {'from_date': '2019-01-24T00:00', 'to_date': '2019-01-24'}, queue='control')"
    )
    until(lambda: shared.stored(LATE) == 22, within=15)
    row = "{'name': name, 'full': True}"
    said = shared.python(f"{follow} print(enqueue_targets([{row}])[0].wait(20))")
    assert said.strip() == "stored"
    assert shared.stored(LATE) == 23

    kept = "from workers.resources import service; print(service().state.targets.get(name))"
    assert "cadence_s=7200.0" in shared.python(f"name = '{LATE}'; {kept}")


def test_the_name_alone_changes_nothing_of_a_target(shared: Service) -> None:
    """It is looked at now; what was said of it before holds. More than the name changes it."""
    said = shared.python(
        "from workers import enqueue_target, enqueue_targets\n"
        "from workers.resources import service\n"
        "known = lambda: print(service().state.targets.get('2020kept').cadence_s)\n"
        "enqueue_target('2020kept', 1.0, 2.0, cadence='2h'); known()\n"
        "enqueue_target('2020kept'); enqueue_targets(['2020kept']); known()\n"
        "enqueue_target('2020kept', cadence='1h'); known()\n"
    )
    assert said.split() == ["7200.0", "7200.0", "3600.0"]


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
