"""What a deployment may choose, and what keeps the promises whatever it chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workers.defaults import configuration, overruled
from workers.deployment import Deployment, read_deployment
from workers.schedule import TICKS, faults_of
from yse_ingest.cli.deployment import template
from yse_ingest.errors import SettingsError
from yse_ingest.settings import Settings
from yse_ingest.state import QUEUES

ROOT = Path(__file__).parents[2]
SETTINGS = Settings.from_env({})


def deployed(folder: Path, text: str) -> Deployment:
    (folder / "celeryconfig.py").write_text(text)
    return read_deployment(folder, {})


def configured(**choices: Any) -> dict[str, Any]:
    return configuration(SETTINGS, Deployment(origin="celeryconfig.py", choices=choices))


def test_a_folder_without_celeryconfig_has_the_defaults(tmp_path: Path) -> None:
    """The application works in an empty folder."""
    assert read_deployment(tmp_path, {}) == Deployment()
    found = configured()
    assert found["worker_pool"] == "threads"
    pulses = {f"pulse-{queue}" for queue in QUEUES}
    ticks = {"dispatch", "drain", "audit", "sweep", "follow", "watch"}
    assert set(found["beat_schedule"]) == ticks | pulses


def test_a_foreign_celeryconfig_is_refused_by_name(tmp_path: Path) -> None:
    """Another application's file is neither used nor executed; the error names it."""
    found = deployed(tmp_path, "raise SystemExit('executed')\ntask_acks_late = False\n")
    assert found.choices == {}
    assert str(tmp_path / "celeryconfig.py") in found.problems[0]
    assert "yse_ingest_config = 1" in found.problems[0]


def test_the_choices_of_a_deployment_hold(tmp_path: Path) -> None:
    """Celery's settings in the file of the working directory replace the defaults."""
    found = deployed(
        tmp_path,
        "import os\nfrom celery.schedules import crontab\n_private = 1\n"
        "yse_ingest_config = 1\nworker_concurrency = 3\ntimezone = 'Pacific/Honolulu'\n",
    )
    assert found.problems == ()
    merged = configuration(SETTINGS, found)
    assert (merged["worker_concurrency"], merged["timezone"]) == (3, "Pacific/Honolulu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", False),
        ("accept_content", ["pickle"]),
        ("worker_prefetch_multiplier", 4),
        ("task_create_missing_queues", True),
        ("result_backend", "redis://"),
    ],
)
def test_correctness_cannot_be_configured_away(name: str, value: object) -> None:
    """What the promises rest on is fixed, and whoever chose otherwise is told."""
    deployment = Deployment(origin="celeryconfig.py", choices={name: value})
    assert configuration(SETTINGS, deployment)[name] != value
    assert f"{name} is fixed by yse_ingest" in overruled(SETTINGS, deployment).problems[0]


def test_a_misspelt_setting_is_reported_with_the_nearest(tmp_path: Path) -> None:
    """Celery ignores names that it does not know; we do not."""
    found = deployed(tmp_path, "yse_ingest_config = 1\nbeat_shedule = {}\n")
    assert "no setting 'beat_shedule'" in found.problems[0]
    assert "Did you mean beat_schedule?" in found.problems[0]


def test_a_broken_celeryconfig_stops_the_start_with_its_name(tmp_path: Path) -> None:
    """A mistake in the file is told with path and reason."""
    with pytest.raises(SettingsError, match=r"celeryconfig\.py cannot be used: ZeroDivision"):
        deployed(tmp_path, "yse_ingest_config = 1\nworker_concurrency = 1 / 0\n")


def test_celerys_own_variable_names_another_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CELERY_CONFIG_MODULE is respected, and a name that cannot be imported is an error."""
    (tmp_path / "knobs_of_ours.py").write_text("worker_concurrency = 5\n")
    monkeypatch.chdir(tmp_path)
    found = read_deployment(tmp_path, {"CELERY_CONFIG_MODULE": "knobs_of_ours"})
    assert found.choices == {"worker_concurrency": 5}
    with pytest.raises(SettingsError, match="CELERY_CONFIG_MODULE"):
        read_deployment(tmp_path, {"CELERY_CONFIG_MODULE": "no_such_module"})


def test_two_addresses_of_the_broker_are_refused() -> None:
    """The terminal reads the environment: another address in the file would split us."""
    with pytest.raises(SettingsError, match="CELERY_BROKER_URL") as caught:
        configured(broker_url="redis://:secret@elsewhere/0")
    assert "secret" not in str(caught.value)


def test_hand_written_entries_are_added_to_the_schedule() -> None:
    """An entry of one of our names changes only what it says; the others join."""
    own = {"task": "yse_ingest.fetch_photometry", "args": ["2019np"], "schedule": 1800}
    schedule = configured(beat_schedule={"2019np": own, "dispatch": {"schedule": 60.0}})[
        "beat_schedule"
    ]
    assert schedule["2019np"] == own
    assert schedule["dispatch"]["task"] == "yse_ingest.dispatch"
    assert schedule["dispatch"]["schedule"] == 60.0
    assert schedule["drain"]["schedule"] == 2.0


ASK = "yse_ingest.fetch_photometry"


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"task": ASK, "args": ["2019np"], "schedule": "30m"}, "has the schedule '30m'"),
        ({"task": ASK, "args": ["2019np"]}, "has the schedule None"),
        ({"task": ASK, "args": ["2019np"], "schedule": 0}, "has the schedule 0"),
        ({"task": ASK, "args": "2019np", "schedule": 30}, "has the args '2019np'"),
        ({"task": ASK, "kwargs": ["2019np"], "schedule": 30}, "has kwargs that are no dict"),
        ({"args": ["2019np"], "schedule": 30}, "has no task"),
        ({"task": ASK, "shedule": 30}, "has the key 'shedule'"),
        (["2019np"], "has no name, or is no dictionary"),
    ],
    ids=["text", "none", "zero", "args", "kwargs", "task", "misspelt", "list"],
)
def test_an_entry_that_cannot_be_used_is_left_out_alone(entry: object, fault: str) -> None:
    """One mistake in the schedule is told by name; beat starts, with all other entries."""
    good = {"task": ASK, "args": ["2019np"], "schedule": 1800}
    chosen = {"wrong": entry, "good": good, "drain": {"schedule": -1}}

    entries = configured(beat_schedule=chosen)["beat_schedule"]
    assert entries == {**configured()["beat_schedule"], "good": good}
    faults = faults_of(chosen)
    assert set(faults) == {"wrong", "drain"}
    assert faults["wrong"].startswith(f"is left out: it {fault}")


def test_a_schedule_that_is_none_at_all_is_told() -> None:
    """The service runs on with its own entries."""
    assert configured(beat_schedule=["2019np"])["beat_schedule"] == TICKS
    assert "it is no dictionary" in faults_of(["2019np"])["all"]


def test_every_tick_expires() -> None:
    """Ticks do not pile up behind a worker that was away."""
    for entry in configured()["beat_schedule"].values():
        assert entry["schedule"] < entry["options"]["expires"] < 5 * entry["schedule"]


def test_redelivery_follows_the_settings() -> None:
    """A dead worker's messages are handed on after the visibility timeout, within a tenth."""
    settings = Settings.from_env(
        {
            "YSE_INGEST_VISIBILITY": "20",
            "YSE_INGEST_SOURCE_GET_TIMEOUT": "5",
            "YSE_INGEST_MESSAGE_LIMIT": "10",
            "YSE_INGEST_RETRY_WAIT_MAX": "5",
        }
    )
    options = configuration(settings, Deployment())["broker_transport_options"]
    assert options["visibility_timeout"] == 20
    assert options["unacked_restore_interval"] * options["unacked_restore_throttle"] <= 2
    assert options["socket_timeout"]


def test_transport_options_of_a_deployment_join_ours() -> None:
    """A deployment may add its own, but not change when messages are handed on."""
    chosen = {"socket_timeout": 3, "visibility_timeout": 1, "client_name": "yse"}
    options = configured(broker_transport_options=chosen)["broker_transport_options"]
    assert (options["socket_timeout"], options["client_name"]) == (3, "yse")
    assert options["visibility_timeout"] == SETTINGS.visibility_s


def test_another_namespace_has_queues_of_its_own() -> None:
    """Two deployments on one Redis do not take each other's hints."""
    mine = configured()["broker_transport_options"]
    settings = Settings.from_env({"YSE_INGEST_NAMESPACE": "test"})
    theirs = configuration(settings, Deployment())["broker_transport_options"]
    assert "global_keyprefix" not in mine
    assert theirs["global_keyprefix"] == "yse_ingest:test:"


def test_every_task_has_a_queue_that_is_read() -> None:
    """Tasks are routed by name to the three queues of the Procfile."""
    found = configured()
    assert {queue.name for queue in found["task_queues"]} == set(QUEUES)
    assert set(found["task_routes"].values()) == set(QUEUES)
    procfile = (ROOT / "Procfile").read_text()
    for queue in QUEUES:
        assert f"-Q {queue} " in procfile


@pytest.mark.parametrize("where", ["repository", "init"])
def test_the_shipped_celeryconfig_is_ours_and_clean(where: str, tmp_path: Path) -> None:
    """The file of the repository and that of `yse-ingest init` are accepted without a word."""
    path = ROOT / "celeryconfig.py"
    text = path.read_text() if where == "repository" else template("celeryconfig.py")
    found = overruled(SETTINGS, deployed(tmp_path, text))
    assert found.problems == ()
