"""`status` and `doctor` say what waits, for what, and until about when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from yse_ingest.cli.sharing import held, spent
from yse_ingest.errors import YsePzUnavailableError
from yse_ingest.sandbox.faults import Fault


def test_a_spent_budget_is_told_with_its_end(console: Any) -> None:
    """`status` says what the budget holds, `doctor` warns, and both go on."""
    nothing = {"YSE_INGEST_BUDGET": "0"}

    status = console.run("status", **nothing).stdout
    doctor = console.start("doctor", **nothing).stdout

    line = "held by the budget: uploads, look-ups, verification, audits, adoption wait until"
    assert f"{line} further notice. Pushes and targets added by hand go on." in status
    assert "warn  budget: YSE-PZ has worked for us 0 s, the budget is 0 now" in doctor
    told = json.loads(console.run("status", "--json", **nothing).stdout)["machinery"]
    assert told["budget"]["held"].keys() == {"upload", "lookup", "verify", "audit", "adopt"}
    assert told["turns"] == {"under_way": 0, "turns": 2, "waiting": 0}


def test_work_that_waits_until_different_times_is_told_apart() -> None:
    """Each kind of work has its moment, in UTC; what is spent is a share of the budget."""
    noon_ms = 1_767_268_800_000
    budget = {
        "limit_s": 360.0,
        "spent_s": 330.0,
        "held": {"verify": noon_ms, "audit": noon_ms, "adopt": None},
    }

    assert spent(budget) == "92 % of the budget of 360 s is spent"
    assert held(budget) == (
        "held by the budget: verification, audits wait until about 2026-01-01 12:00 UTC; "
        "adoption wait until further notice"
    )
    assert held({**budget, "held": {}}) is None


def test_services_that_are_down_are_told(console: Any) -> None:
    """A source and a YSE-PZ that are only probed are named, and when they are asked again."""
    service = console.service()
    source = service.state.source_breaker("mars")
    for _ in range(5):
        source.record(ok=False, reason="connection refused")
    console.ysepz.faults.add(Fault("status", status=503, times=5))
    for _ in range(5):
        with pytest.raises(YsePzUnavailableError):
            service.ysepz.ping()

    status = console.run("status").stdout
    doctor = console.start("doctor").stdout

    assert "mars does not answer; it is tried again in" in status
    assert "YSE-PZ does not answer; it is tried again in" in status
    assert "warn  fetches: mars is down (connection refused)" in doctor
    assert "warn  uploads: YSE-PZ did not answer for a while" in doctor
    # The doctor asked YSE-PZ at once, and it is back.
    assert "YSE-PZ does not answer" not in console.run("status").stdout
    told = json.loads(console.run("status", "--json").stdout)["machinery"]
    assert told["sources"]["mars"]["open"]
    assert not told["breaker"]["open"]


def test_doctor_asks_ysepz_though_redis_is_dead(console: Any) -> None:
    """A dead Redis is told in its own line; the line of YSE-PZ says how YSE-PZ is."""
    dead = "redis://127.0.0.1:9/0"

    doctor = console.start("doctor", YSE_INGEST_STATE_URL=dead).stdout

    assert "ok    YSE-PZ: " in doctor
    assert "takes ingest" in doctor


def test_adoption_waits_for_the_budget(console: Any) -> None:
    """What is adopted of the targets file keeps to the budget, and says what is left over."""
    nothing = {
        "YSE_INGEST_BUDGET": "0",
        "YSE_INGEST_TARGETS": console.targets_file('[[targets]]\nname = "2019np"\n'),
    }
    console.service(**nothing).sync_targets_file()

    held_back = console.run("adopt", "--all", "--json", **nothing)
    assert held_back.exit_code == 1
    (waits,) = json.loads(held_back.stdout)
    assert waits["state"] == "waits"
    assert "held by the budget until about" in waits["reason"]
    assert not console.ysepz.log

    (done,) = json.loads(
        console.run("adopt", "--all", "--json", **{**nothing, "YSE_INGEST_BUDGET": "1"}).stdout
    )
    assert done["state"] == "adopted"
    assert console.service().budget.spending().total("adopt") > 0


def test_a_picture_is_counted(console: Any) -> None:
    """Reading YSE-PZ back for a picture is paid from the budget that all share."""
    before = console.service().budget.spending().total()
    found = console.run(
        *("fetch", "2019np", "--plot", str(console.folder / "it.png")),
        YSE_INGEST_STATE_URL=console.service().settings.service_state_url,
    )
    assert found.exit_code == 0, found.output
    paths = [request.path for request in console.ysepz.log]
    assert paths.count("/download_data/2019np/") == 1
    assert console.service().budget.spending().total() > before
