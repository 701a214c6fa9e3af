"""A shorter cut of the fuzz campaign; ``make fuzz`` does 100,000 inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.campaigns.fuzz import over_http
from tests.campaigns.fuzz.families import FAMILIES
from tests.campaigns.fuzz.tally import Family, run

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUTS = 80


@pytest.fixture(scope="module", autouse=True)
def _no_server_stays() -> Iterator[None]:
    yield
    over_http.close()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_only_named_errors_come_out_and_only_valid_rows_pass(family: Family) -> None:
    """No family finds an unexpected exception, a wrong acceptance or a broken promise."""
    score = run(family, inputs=max(10, int(INPUTS * min(1, 20 * family.share))), seed=0,
                profile="fuzz-short")  # fmt: skip

    assert (score.unexpected, score.wrong) == ([], [])
