"""What `enqueue_target` refuses, before anything is written or sent."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from workers import enqueue_target
from yse_ingest.errors import TargetError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "2019np", "ra": 157.3415}, "dec is missing"),
        ({"name": "2019np", "ra": "10:29:21.96", "dec": 29.5}, "ra"),
        ({"name": "2019np", "ra": 400.0, "dec": 29.5}, "ra is 400"),
        ({"name": ""}, "name"),
        ({"name": "2019np", "since": "soon"}, "since"),
        ({"name": "2019np", "cadence": "often"}, "cadence"),
        ({"name": "2019np", "source": "nobody"}, "source is none of"),
        ({"name": "2019np", "source": "alerce,nobody"}, "source is none of"),
        ({"name": "2019np", "source": ["alerce", "nobody"]}, "source is none of"),
        ({"name": "2019np", "source": [3]}, "sources.0 is 3, which is not text"),
        ({"name": "2019np", "status": "New"}, "status is for create=True"),
        ({"name": "2019np", "create": True}, "status is missing"),
        ({"name": "2019np", "radius": 3}, "radius is no setting"),
        ({"name": "2019np", "clobber": "yes"}, "clobber"),
        ({"name": "2019np", "full": "yes"}, "full is 'yes', neither true nor false"),
        ({"name": "2019np", "from_date": "soon"}, "from_date is 'soon', which is no date"),
        ({"name": "2019np", "from_date": "2d"}, "from_date is '2d', which is no date"),
        (
            {"name": "2019np", "full": True, "to_date": "2019-02-01"},
            "full is everything; give it without dates",
        ),
        (
            {"name": "2019np", "from_date": "2019-02-01", "to_date": "2019-01-01"},
            "from_date lies after the other date",
        ),
        ({"name": "2019np", "negatives": "flux", "flux_zero_point": None}, "no flux is sent"),
    ],
)
def test_a_target_that_cannot_be_one_is_refused_with_the_reason(
    arguments: dict[str, Any], said: str
) -> None:
    """The error names field, value and what to write; no Redis is needed to say so."""
    with pytest.raises(TargetError) as caught:
        enqueue_target(**arguments)
    assert said in str(caught.value)


def test_a_python_shell_in_a_deployments_folder_has_its_settings(tmp_path: Path) -> None:
    """What the commands read from the env file holds for `enqueue_target` too."""
    (tmp_path / "yse-ingest.env").write_text("YSE_INGEST_NAMESPACE=of-the-file\n")
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "from workers.celery import settings; print(settings.namespace)",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "of-the-file"
