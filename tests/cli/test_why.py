"""`yse-ingest why`, and the options that say when a target is asked."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.sandbox.faults import Fault
from yse_ingest.state import Backfill
from yse_ingest.targets import ADAPTIVE, Target
from yse_ingest.times import time_ms_of_date

if TYPE_CHECKING:
    from tests.cli.conftest import Console

NP = "2019np"
DAY_MS = 86_400_000


def why(console: Console, **changes: str) -> dict[str, Any]:
    result = console.run("why", "SN2019np", "--json", **changes)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def terms(document: dict[str, Any]) -> dict[str, str]:
    return {each["term"]: each["told"] for each in document["terms"]}


def test_the_options_say_when_a_target_is_asked(console: Console) -> None:
    """A time from now becomes a date; both commands take them; the last word holds."""
    options = (
        "--every",
        "15m",
        "--until",
        "2d",
        "--expires",
        "2099-01-01",
        "--priority",
        "high",
    )
    assert console.run("targets", "add", NP, *options).exit_code == 0
    target = console.service().state.targets.get(NP)
    assert target is not None
    assert (target.cadence_s, target.expires, target.priority) == (
        900.0,
        "2099-01-01T00:00:00",
        1,
    )
    assert target.until is not None
    ahead_ms = time_ms_of_date(target.until) - time.time() * 1000
    assert ahead_ms == pytest.approx(2 * DAY_MS, abs=60_000)
    ended = console.start("enqueue", NP, "--every", "adaptive", "--json")
    assert ended.returncode == 0, ended.stdout
    assert console.service().state.targets.get(NP) == Target(NP, cadence_s=ADAPTIVE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--until", "2d"), "--until goes with --every."),
        (("--every", "often"), "or adaptive"),
        (("--every", "15m", "--until", "tomorrow"), "'tomorrow' is neither a date"),
        (("--priority", "urgent"), "low, normal, high"),
    ],
    ids=["until-alone", "every", "until", "priority"],
)
def test_an_option_that_cannot_be_used_is_told(
    console: Console, options: tuple[str, ...], said: str
) -> None:
    """Exit code 2, what is wrong, and nothing is written."""
    result = console.run("targets", "add", NP, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert console.service().state.targets.get(NP) is None


def test_reading_again_leaves_the_target_as_it_is(console: Console) -> None:
    """--full, --from and --to change nothing of how it is followed; the last day is whole."""
    known = Target(NP, cadence_s=900.0, priority=2)
    console.service().enqueue(known)
    for options, wanted, said in (
        (
            ("--from", "2019-01-09", "--to", "2019-02-01"),
            Backfill(time_ms_of_date("2019-01-09"), time_ms_of_date("2019-02-02") - 1),
            "what was observed from 2019-01-09 00:00 to 2019-02-01 23:59, the next time",
        ),
        (("--full",), Backfill(), "everything, the next time"),
    ):
        ended = console.start("enqueue", NP, *options, "--json")
        assert ended.returncode == 0, ended.stdout
        state = console.service().state
        assert state.backfills.get(NP) == wanted
        assert state.targets.get(NP) == known
        told = terms(why(console))
        assert told["read again"] == said
        # Nobody has taken the message yet.
        assert told["next"].startswith("now: a message to ask was sent; if it is lost, ")
    for wrong in (
        ("--full", "--to", "2019-02-01"),
        ("--from", "2019-02-01", "--to", "2019-01-01"),
        ("--from", "30d"),
    ):
        assert console.start("enqueue", NP, *wrong).returncode == 2


def test_why_tells_each_term_of_an_adaptive_target(console: Console) -> None:
    """The sum stands there as it was told after the answer, line by line."""
    console.service(YSE_INGEST_CADENCE=ADAPTIVE).enqueue(Target(NP))
    before = why(console, YSE_INGEST_CADENCE=ADAPTIVE)
    assert before["due"]
    assert terms(before)["last"] == "mars was never asked"
    assert terms(before)["next"] == "now: it is due"
    service = console.service(YSE_INGEST_CADENCE=ADAPTIVE)
    service.refresh([NP])
    after = why(console, YSE_INGEST_CADENCE=ADAPTIVE)
    assert not after["due"]
    assert (after["cadence"], after["said_by"]) == (ADAPTIVE, "the default")
    base, phase, *_ = after["adaptive"]
    assert base == "30 min, the base"
    assert phase.startswith("x 48: ")
    text = console.run("why", NP, YSE_INGEST_CADENCE=ADAPTIVE).stdout
    assert text.startswith("2019np\n  last:       mars asked ")
    assert all(line in text for line in after["adaptive"])


def test_why_keeps_private_photometry_to_itself(console: Console) -> None:
    """The terms would tell brightness and slope."""
    changes = {"YSE_INGEST_CADENCE": ADAPTIVE, "YSE_INGEST_GROUPS": "YSE"}
    service = console.service(**changes)
    service.enqueue(Target(NP))
    service.refresh([NP])
    assert why(console, **changes)["adaptive"] == []
    assert "private" in console.run("why", NP, **changes).stdout


def test_why_tells_what_keeps_a_target_from_being_asked(console: Console) -> None:
    """Paused, expired, the source down, its budget spent, uploads held: each in words."""
    service = console.service(YSE_INGEST_BREAKER_FAILURES="1")
    service.enqueue(Target(NP, cadence_s=7200.0))
    console.mars.faults.add(Fault("status", status=503))
    service.refresh([NP])
    service.state.outbox.hold("maintenance")
    told = terms(why(console))
    assert told["down"].startswith("mars: ")
    assert "after a failure" in told["asked again"]
    assert told["cadence"] == "every 2.0 h, its own"
    assert told["held"] == "all uploads: maintenance. Sources are asked meanwhile"
    service.meter("mars").pause(120.0, why="it answered 429 and asked us to wait")
    assert (
        "it answered 429 and asked us to wait; it is asked again in"
        in (terms(why(console))["held back"])
    )
    service.state.targets.set_cadence(NP, 60.0)
    assert terms(why(console))["cadence"] == "every 60 s, as a person set it"
    service.state.targets.pause(NP, "host nucleus")
    assert terms(why(console))["next"] == (
        "never: host nucleus; `yse-ingest targets resume 2019np` ends it"
    )
    service.state.targets.resume(NP)
    service.enqueue(Target(NP, expires="2020-01-01"))
    document = why(console)
    assert (document["next"], document["paused"]) == (None, "expired 2020-01-01")
    resumed = console.run("targets", "resume", NP)
    assert resumed.exit_code == 2
    assert "it expired 2020-01-01" in resumed.stderr


def test_why_of_what_nobody_follows_says_how_to_follow_it(console: Console) -> None:
    """Exit code 1, as every answer of the world."""
    result = console.run("why", "2000aa")
    assert result.exit_code == 1
    assert "yse-ingest enqueue 2000aa" in result.stderr
