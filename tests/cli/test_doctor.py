"""`yse-ingest doctor`: one line for each thing, and what to do about what is wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from yse_ingest.cli import main
from yse_ingest.errors import StateError
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.state.connection import judge_server, refuse_old_server
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Doctor = Callable[..., Result]

PASSWORD = "sandbox-only"
ASK = "yse_ingest.fetch_photometry"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("doctor")
    with (
        EmbeddedRedis(folder / "redis") as redis,
        MarsStandIn() as mars,
        YsePzStandIn() as ysepz,
    ):
        yield {
            "CELERY_BROKER_URL": redis.url(),
            "MARS_URL": mars.url,
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": PASSWORD,
            "YSE_INGEST_STATE_DIR": str(folder / "var"),
            "NETRC": str(folder / "no-netrc"),
        }


@pytest.fixture
def doctor(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Doctor:
    monkeypatch.chdir(tmp_path)

    def run(*options: str, **changes: str | None) -> Result:
        return CliRunner().invoke(main, ["doctor", *options], env={**environment, **changes})

    return run


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def failures(result: Result) -> list[dict[str, Any]]:
    """Return the failed checks of ``--json``; no output shows the password."""
    assert PASSWORD not in result.output
    checks: list[dict[str, Any]] = json.loads(result.stdout)["checks"]
    return [check for check in checks if check["level"] == "fail"]


def test_entries_of_the_schedule_that_do_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Each hand-written entry that beat cannot use, or that asks in vain, is told by name."""
    (tmp_path / "celeryconfig.py").write_text(
        "yse_ingest_config = 1\n"
        f'ask = {{"task": "{ASK}", "args": ["2019pn"], "schedule": 1800}}\n'
        "beat_schedule = {\n"
        '    "typo": ask,\n'
        '    "period": {**ask, "schedule": "30m"},\n'
        '    "task": {**ask, "task": "yse_ingest.fetch_fotometry"},\n'
        '    "args": {**ask, "args": []},\n'
        "}\n"
    )
    # The application reads the folder's file when it is imported.
    done = subprocess.run(
        [sys.executable, "-c", "from yse_ingest.cli import main; main()", "doctor", "--json"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )

    period = "it has the schedule '30m', and takes seconds or crontab(...)"
    told = [
        f"{check['level']}: {check['fact'].removeprefix(str(tmp_path))}"
        for check in json.loads(done.stdout)["checks"]
        if check["subject"] in {"celeryconfig", "schedule"}
    ]
    assert done.returncode == 1
    assert told == [
        "warn: /celeryconfig.py: Celery has no setting 'ask'; it is ignored.",
        "fail: entry 'task' names the task 'yse_ingest.fetch_fotometry', which is not ours",
        f"fail: entry 'args' does not fit {ASK}: missing a required argument: 'name'",
        f"fail: entry 'period' is left out: {period}",
        "warn: entry 'typo' asks for '2019pn', which is not followed",
    ]


def test_all_well(doctor: Doctor) -> None:
    """Nothing fails where everything answers; workers that are not started are a warning."""
    result = doctor()
    assert result.exit_code == 0, result.output
    assert "FAIL" not in result.output
    assert "warn  workers: none answers\n      Start them: `yse-ingest up`." in result.output
    for subject in ("Redis server", "clock", "source mars", "YSE-PZ", "vocabulary", "queues"):
        assert f"ok    {subject}: " in result.output
    assert PASSWORD not in result.output


def test_no_color_is_respected(doctor: Doctor, environment: dict[str, str]) -> None:
    """On a terminal levels and errors are coloured, unless NO_COLOR is set."""
    told = {
        wanted: CliRunner().invoke(
            main, ["doctor"], env={**environment, "NO_COLOR": wanted}, color=True
        )
        for wanted in ("", "1")
    }
    assert "\x1b[32mok" in told[""].output
    assert "\x1b[" not in told["1"].output


def test_rows_without_a_magnitude(doctor: Doctor) -> None:
    """Who switches on upper limits is told what YSE-PZ does with such rows; nobody else is."""
    silent = doctor()
    limits = doctor(
        YSE_INGEST_UPPER_LIMITS="before",
        YSE_INGEST_SOURCE="fink",
        FINK_URL="http://127.0.0.1:9",
    )

    assert "riser" not in silent.output
    assert "warn  no magnitude: upper limits will be sent: " in limits.output
    assert "recent_magdate" in limits.output
    assert "queries for risers leave the transient out" in limits.output


def test_wrong_password(doctor: Doctor) -> None:
    """A wrong password is one failure of YSE-PZ, and is not shown."""
    result = doctor("--json", YSE_PZ_PASSWORD="not-the-one")
    (failure,) = failures(result)
    assert result.exit_code == 1
    assert failure["subject"] == "YSE-PZ"
    assert failure["remedy"]
    assert "not-the-one" not in result.output


def test_unknown_band(doctor: Doctor) -> None:
    """A band that YSE-PZ lacks is one failure, with the nearest names."""
    result = doctor("--json", YSE_INGEST_BAND_MAP="g=g-NOPE")
    (failure,) = failures(result)
    assert result.exit_code == 1
    assert failure["subject"] == "vocabulary"
    assert "g-NOPE" in failure["fact"]
    assert "g-ZTF" in failure["remedy"]


def test_dead_host(doctor: Doctor) -> None:
    """A YSE-PZ that does not answer is one failure with its remedy."""
    result = doctor("--json", YSE_PZ_URL=f"http://127.0.0.1:{closed_port()}")
    (failure,) = failures(result)
    assert result.exit_code == 1
    assert failure["subject"] == "YSE-PZ"
    assert failure["remedy"]


def test_nothing_is_there(doctor: Doctor) -> None:
    """Without YSE-PZ, Redis and source each says so in its own line, and nothing is raised."""
    dead = closed_port()
    result = doctor(
        "--json",
        YSE_PZ_URL=None,
        YSE_PZ_USERNAME=None,
        YSE_PZ_PASSWORD=None,
        MARS_URL=None,
        ALERCE_URL=f"http://127.0.0.1:{dead}",
        CELERY_BROKER_URL=f"redis://127.0.0.1:{dead}/0",
    )
    found = {failure["subject"]: failure for failure in failures(result)}
    assert result.exit_code == 1
    assert "YSE_PZ_URL" in found["YSE-PZ"]["remedy"]
    assert {"Redis", "source alerce", "workers"} <= set(found)
    assert all(failure["remedy"] for failure in found.values())


def test_broker_without_a_database_number(doctor: Doctor) -> None:
    """A broker URL from which no state URL follows is one failure, and is not shown."""
    result = doctor("--json", CELERY_BROKER_URL=f"redis://:{PASSWORD}@127.0.0.1/abc")
    (failure,) = failures(result)
    assert result.exit_code == 1
    assert "CELERY_BROKER_URL" in failure["fact"]


def test_old_redis_is_refused() -> None:
    """Redis before 6.2 is refused with the reason; Valkey, which reports 7.2.4, is taken."""
    with pytest.raises(StateError, match=r"6\.0\.9 is too old.*6\.2"):
        refuse_old_server({"redis_version": "6.0.9"}, address="redis://127.0.0.1:6379/1")
    valkey = {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "8.1.4"}
    assert judge_server(valkey)[0].level == "ok"
