"""`yse-ingest targets resolve`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.tns import TnsStandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console


@pytest.fixture
def tns(console: Console) -> Iterator[TnsStandIn]:
    with TnsStandIn(key="unmistakable-key") as stand_in:
        stand_in.add_object("2025abc", 150.1, 2.2, internal_names=("ZTF25aaaaaaa",))
        console.environment |= {
            "TNS_URL": stand_in.api_url,
            "TNS_API_KEY": "unmistakable-key",
            "TNS_BOT_ID": "7",
            "TNS_BOT_NAME": "a_bot",
        }
        yield stand_in


def test_a_name_is_told_with_its_age(console: Console, tns: TnsStandIn) -> None:
    """Position, date, other names; the second time from what is kept."""
    for _ in range(2):
        done = console.run("targets", "resolve", "ZTF25aaaaaaa")
        assert done.exit_code == 0, done.output
        assert "ZTF25aaaaaaa is AT2025abc of TNS (asked just now)" in done.output
        assert "150.100000 +2.200000 deg" in done.output
        assert "2025-08-16 07:26:24.000, UTC" in done.output
    assert len(tns.log) == 2
    console.run("targets", "resolve", "ZTF25aaaaaaa", "--fresh")
    assert len(tns.log) == 4


def test_as_json(console: Console, tns: TnsStandIn) -> None:
    """For other programs, also where nothing is found."""
    told = json.loads(console.run("targets", "resolve", "SN2025abc", "--json").stdout)
    assert told["name"] == "2025abc"
    assert (told["found"]["ztf_id"], told["found"]["lsst_id"]) == ("ZTF25aaaaaaa", None)
    done = console.run("targets", "resolve", "2031zzz", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["found"] is None


def test_without_a_key_it_says_which(console: Console) -> None:
    """Nothing is asked."""
    done = console.run("targets", "resolve", "2025abc", TNS_API_KEY=None)
    assert done.exit_code != 0
    assert "TNS_API_KEY" in done.output


def test_the_key_is_not_told(console: Console, tns: TnsStandIn) -> None:
    """Whatever TNS answers."""
    tns.key = "another"
    for verbose in ((), ("--json",)):
        done = console.run("targets", "resolve", "2025abc", *verbose)
        assert done.exit_code != 0
        assert "TNS_API_KEY" in done.output
        assert "unmistakable" not in done.output
