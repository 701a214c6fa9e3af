"""Beside six years of crons: what `adopt` and `shadow report` find, and a short cut-over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.campaigns.six_years import PASSWORD, SixYears
from yse_ingest.cli import main
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def crons() -> Iterator[SixYears]:
    with SixYears(2) as house:
        yield house


@pytest.fixture
def env(crons: SixYears, redis: EmbeddedRedis, tmp_path: Path) -> dict[str, str]:
    return {
        "MARS_URL": crons.mars.url,
        "YSE_PZ_URL": crons.ysepz.url,
        "YSE_PZ_USERNAME": "ingest",
        "YSE_PZ_PASSWORD": PASSWORD,
        "CELERY_BROKER_URL": redis.url(),
        "YSE_INGEST_NAMESPACE": f"test-{tmp_path.name}",
        "YSE_INGEST_STATE_DIR": str(tmp_path / "var"),
        "XDG_STATE_HOME": str(tmp_path / "home"),
    }


def followed(env: dict[str, str], house: SixYears, **changes: str) -> Service:
    service = Service.from_settings(Settings.from_env({**env, **changes}))
    for name in house.names:
        service.enqueue(Target(name))
    return service


def told(env: dict[str, str], *arguments: str) -> Any:
    result = CliRunner().invoke(main, [*arguments, "--json"], env=env, prog_name="yse-ingest")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_adopt_tells_how_every_row_stands(crons: SixYears, env: dict[str, str]) -> None:
    """Each kind of row that crons leave is found, counted, and nothing is written."""
    service = followed(env, crons)
    before = crons.rows()
    crons.ysepz.log.clear()

    adopted = {each["target"]: each for each in told(env, "adopt", "--all")}

    assert {request.method for request in crons.ysepz.log} == {"GET"}
    assert crons.rows() == before
    for name, rows in before.items():
        counts = adopted[name]["counts"]
        assert sum(counts.values()) - counts.get("to send", 0) == len(rows)
    # One of the two spellings of a negative is taken for a detection, and so is a neighbour.
    assert adopted["2019np"]["counts"] == {
        "same": 30,
        "forced": 5,
        "negative": 1,
        "collapsed": 1,
        "other object": 2,
        "second row": 1,
    }
    # Visited twice each night: of every pair the job keeps one exposure, twice.
    assert adopted["2018syn"]["counts"] == {
        "same": 51,
        "differs": 1,
        "forced": 5,
        "to send": 108,
        "collapsed": 50,
    }
    assert all(service.state.ledgers.get(pk) is not None for pk in (1, 2, 3))


def test_adoption_is_resumed(crons: SixYears, env: dict[str, str]) -> None:
    """Who was done before is not read back again, unless asked or its ledger was lost."""
    service = followed(env, crons)
    told(env, "adopt", "2018syn")
    crons.ysepz.log.clear()

    states = {each["target"]: each["state"] for each in told(env, "adopt", "--all")}

    assert states.pop("2018syn") == "done before"
    assert set(states.values()) == {"adopted"}
    read = [each.path for each in crons.ysepz.log if "download_data" in each.path]
    assert len(read) == len(states)
    service.state.ledgers.drop_all()
    assert {each["state"] for each in told(env, "adopt", "--all")} == {"adopted"}


def test_adoption_sends_later_what_it_told(crons: SixYears, env: dict[str, str]) -> None:
    """The number "to send" is the number of rows that the first live cycle adds."""
    told_before = {}
    service = followed(env, crons)
    for each in told(env, "adopt", "--all"):
        told_before[each["target"]] = each["counts"].get("to send", 0)
    before = crons.rows()
    theirs = {name: [row["pk"] for row in rows] for name, rows in before.items()}

    for hint in service.refresh(crons.names):
        outcome = service.upload(hint.name, hint.key, hint.fence, attempt=1)
        assert outcome.state == "accepted"
    while hints := service.drain():
        for hint in hints:
            service.upload(hint.name, hint.key, hint.fence, attempt=1)

    now = crons.rows()
    assert {name: len(now[name]) - len(before[name]) for name in now} == told_before
    for name, pks in theirs.items():
        assert [row for row in now[name] if row["pk"] in pks] == before[name]


def test_the_shadow_report_names_both_sides_with_reasons(
    redis: EmbeddedRedis, env: dict[str, str]
) -> None:
    """Only theirs, only ours and differing are told with reasons; the delay of both too."""
    with SixYears(1) as house:
        env |= {"MARS_URL": house.mars.url, "YSE_PZ_URL": house.ysepz.url}
        shadow = followed(env, house, YSE_INGEST_SHADOW="true")
        for share in (0.92, 1.0):
            house.observe(share)
            _cycle(shadow, house.names)
            house.run_cron()
        house.ysepz.log.clear()

        report = {each["target"]: each for each in told(env, "shadow", "report")}

        assert {request.method for request in house.ysepz.log} == {"GET"}
    syn = report["2018syn"]
    assert syn["only_ours"].keys() == {"beyond page 1", "merged by the 0.01 d window"}
    assert syn["only_theirs"]["collapsed"] > 0
    assert syn["delay_theirs_s"] > syn["delay_ours_s"] > 0
    assert report["2019np"]["only_theirs"] == {
        "forced": 5,
        "negative": 1,
        "other object": 2,
        "second row": 1,
        "collapsed": 1,
    }
    assert {row["finding"] for row in syn["rows"]} >= {"to send", "collapsed", "forced"}


def _cycle(service: Service, names: list[str]) -> None:
    hints = service.refresh(names)
    while hints:
        for hint in hints:
            service.upload(hint.name, hint.key, hint.fence, attempt=1)
        hints = service.drain()


def test_a_short_cut_over_breaks_no_promise() -> None:
    """The campaign of `make cutover`, shorter: it prints its figures and ends with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.campaigns.cutover", "--rounds", "6", "--objects", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("cut-over passed: 0 writes in shadow, 0 foreign rows altered")
