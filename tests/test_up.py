"""`yse-ingest up`: the processes of the Procfile, restarted when they die, gone at the end."""

from __future__ import annotations

import configparser
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from yse_ingest.cli.deployment import template
from yse_ingest.cli.playground import Playground
from yse_ingest.cli.processes import (
    Process,
    Supervised,
    Tail,
    read_procfile,
    supervisor_config,
)
from yse_ingest.cli.running import severity, shortened
from yse_ingest.errors import SettingsError
from yse_ingest.sandbox import supernovae
from yse_ingest.state import side_connection
from yse_ingest.state.embedded import PID_FILE, EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


def wait_until(true: Callable[[], object], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_repositorys_procfile_is_the_shipped_one() -> None:
    """A folder without a Procfile runs what the repository's says."""
    assert (ROOT / "Procfile").read_text() == template("Procfile")


def test_the_procfile_is_the_one_list_of_processes(tmp_path: Path) -> None:
    """Fetch, upload and control workers, beat and Flower; a folder's own file wins."""
    names = [process.name for process in read_procfile(tmp_path)]
    assert names == ["fetch", "upload", "control", "beat", "flower"]
    (tmp_path / "Procfile").write_text("# mine\nonly: sleep 1\n")
    assert read_procfile(tmp_path) == [Process("only", "sleep 1")]


def test_a_line_that_is_no_process_is_named(tmp_path: Path) -> None:
    """A mistake in the Procfile is told with its line."""
    (tmp_path / "Procfile").write_text("fetch: sleep 1\nbeat sleep 1\n")
    with pytest.raises(SettingsError, match="line 2 of the Procfile"):
        read_procfile(tmp_path)


def test_the_configuration_keeps_percent_signs_and_no_secrets(tmp_path: Path) -> None:
    """A node name (%h) reaches Celery as written; the environment stands in no file."""
    text = supervisor_config(
        read_procfile(ROOT), directory=tmp_path, state_dir=tmp_path, stop_wait_s=80
    )
    config = configparser.ConfigParser(interpolation=None)
    config.read_string(text)
    program = config["program:fetch"]
    assert "-n fetch@%%h" in program["command"]
    assert program["autorestart"] == "true"
    assert program["stopwaitsecs"] == "80"
    assert "environment" not in program


def test_a_process_that_dies_is_started_again_and_all_end(tmp_path: Path) -> None:
    """A kill -9 of a process leads to a new one; at the end none is left, children included."""
    (tmp_path / "pids").mkdir()
    note = "echo $$ > pids/$NAME-$$; sleep 300 & echo $! > pids/child-$!; exec sleep 300"
    run = [
        Process("one", f"NAME=one sh -c '{note}'"),
        Process("two", f"NAME=two sh -c '{note}'"),
    ]

    def pids(name: str) -> list[int]:
        return [int(path.read_text() or 0) for path in (tmp_path / "pids").glob(f"{name}-*")]

    supervised = Supervised(
        run, directory=tmp_path, state_dir=tmp_path / "var", env=os.environ, stop_wait_s=5
    )
    with supervised:
        wait_until(lambda: all(pids("one")) and len(pids("one")) == len(pids("two")) == 1)
        first = pids("one")[0]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: len(pids("one")) == 2)
        wait_until(lambda: len(pids("child")) == 3)
        (trouble,) = [event for event in supervised.events() if event.is_trouble]
        assert (trouble.what, trouble.name) == ("exited", "one")
    everything = [pid for name in ("one", "two", "child") for pid in pids(name)]
    wait_until(lambda: not any(map(alive, everything)))


def test_a_process_that_missed_its_sigterm_is_told_again(tmp_path: Path) -> None:
    """One that was starting just then ends in order too, and is not killed a minute later."""
    (tmp_path / "deaf.sh").write_text(
        "trap 'trap \"touch ended; exit\" TERM' TERM\n"
        "touch ready\n"
        "while :; do sleep 0.1; done\n"
    )
    supervised = Supervised(
        [Process("deaf", "sh deaf.sh")],
        directory=tmp_path,
        state_dir=tmp_path / "var",
        env=os.environ,
        stop_wait_s=30,
    )
    with supervised:
        wait_until((tmp_path / "ready").exists)
        # Its pid is known to those who stop it once the supervisor has said so.
        wait_until(lambda: list(supervised.events()))
    assert (tmp_path / "ended").exists()


def test_the_log_is_followed_through_its_rotation(tmp_path: Path) -> None:
    """New whole lines are shown once, also after the log was rotated away."""
    log = tmp_path / "fetch.log"
    log.write_text("before\n")
    tail = Tail(log)
    with log.open("a") as out:
        out.write("one\ntw")
    assert tail.lines() == ["one"]
    with log.open("a") as out:
        out.write("o\n")
    assert tail.lines() == ["two"]
    log.rename(tmp_path / "fetch.log.1")
    assert tail.lines() == []
    log.write_text("three\n")
    assert tail.lines() == ["three"]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-11-23T09:20:01.123Z WARNING upload target=2019np", "WARNING"),
        (json.dumps({"time": "", "level": "ERROR", "event": "x"}), "ERROR"),
        (" -------------- fetch@host v5.7.0", None),
        ("", None),
    ],
)
def test_only_log_lines_are_shown(line: str, level: str | None) -> None:
    """Banners and other output stay in the log."""
    assert severity(line) == level


def test_a_line_in_the_terminal_has_no_ids() -> None:
    """What tells runs of a task apart stands in the log file; JSON stays whole."""
    said = "2026-11-23T09:20:01.123Z INFO    fetched target=2019np"
    line = f"{said} task=fetch task_id=a-1 attempt=1 seconds=0.6"
    assert shortened(line) == f"{said} seconds=0.6"
    as_json = json.dumps({"level": "INFO", "event": "x task=fetch task_id=a-1 attempt=1"})
    assert shortened(as_json) == as_json


class Up:
    """`yse-ingest up` in a folder, as started from a terminal."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self.folder = folder
        keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._output = (folder / "out").open("w")
        program = str(Path(sys.executable).parent / "yse-ingest")
        self.process = subprocess.Popen(
            [program, "up", *arguments],
            cwd=folder,
            env={**keep, **env},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._output.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def text(self) -> str:
        return (self.folder / "out").read_text()

    def end(self, within: float) -> int:
        return self.process.wait(within)

    def wait_for(self, text: str, *, within: float = 60.0) -> None:
        def said() -> bool:
            assert self.process.poll() is None or text in self.text, self.text
            return text in self.text

        wait_until(said, within=within)

    def pids(self, name: str) -> list[int]:
        log = self.folder / "var" / "sandbox" / "log" / "supervisord.log"
        spawned = re.findall(r"spawned: '([\w-]+)' with pid (\d+)", log.read_text())
        return [int(pid) for process, pid in spawned if process == name]


def test_the_sandbox_delivers_every_supernova_once_and_ends(tmp_path: Path) -> None:
    """`up --sandbox --once` in an empty folder: 31 supernovae fetched, stored, read back."""
    with Up(tmp_path, "--sandbox", "--once", "--json") as up:
        assert up.end(within=90) == 0, up.text
    told = json.loads(up.text[up.text.index("{\n") :])
    published = supernovae.load()
    assert told["state"] == "done"
    assert [row["target"] for row in told["targets"]] == sorted(each.name for each in published)
    for row in told["targets"]:
        bands = row["bands"].values()
        assert row["state"] == "verified"
        assert sum(band["verified"] for band in bands) == row["fetched"] > 0
    first = told["targets"][0]
    assert (first["target"], first["fetched"]) == ("2019np", 33)


def test_in_shadow_nothing_but_get_reaches_ysepz(tmp_path: Path) -> None:
    """`up --shadow`: real workers fetch and plan; the log of YSE-PZ has GETs alone."""
    with Up(tmp_path, "--sandbox", "--shadow", "--targets", "2") as up:
        up.wait_for("Stand-in YSE-PZ")
        found = re.search(r"Stand-in YSE-PZ +(\S+?)/\n", up.text)
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}/_sandbox/requests") as reply:
            requests = json.load(reply)["requests"]
        up.process.send_signal(signal.SIGINT)
        assert up.end(within=60) == 0, up.text
    assert {each["method"] for each in requests} == {"GET"}
    assert any("download_data" in each["path"] for each in requests)
    assert re.search(r"2019np +\w+ +33 .* shadow", up.text)


def test_the_sandbox_runs_until_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    """A killed worker comes back, Flower and the pages answer, Ctrl-C ends everything."""
    with Up(tmp_path, "--sandbox", "--targets", "2") as up:
        up.wait_for("Running until Ctrl-C.")
        addresses = re.findall(r"http://127\.0\.0\.1:\d+\S*", up.text)
        for address in addresses[:3]:
            with urllib.request.urlopen(address, timeout=20) as page:
                assert page.status == 200
        os.kill(up.pids("upload")[0], signal.SIGKILL)
        up.wait_for("upload runs again")
        os.killpg(up.process.pid, signal.SIGINT)
        assert up.end(within=60) == 0, up.text
        names = ("fetch", "upload", "control", "beat", "flower")
        assert not any(alive(pid) for name in names for pid in up.pids(name))
    assert "2019np" in up.text
    assert not (tmp_path / "var" / "sandbox" / "supervisord.pid").exists()


def test_a_kill_of_up_itself_leaves_nothing(tmp_path: Path) -> None:
    """After kill -9 of `up` its supervisor, workers and embedded Redis end all the same."""
    with Up(tmp_path, "--sandbox", "--targets", "1") as up:
        up.wait_for("Running until Ctrl-C.")
        sandbox = tmp_path / "var" / "sandbox"
        names = ("fetch", "upload", "control", "beat", "flower")
        left = [pid for name in names for pid in up.pids(name)]
        notes = (sandbox / "supervisord.pid", sandbox / "redis" / PID_FILE)
        left += [int(note.read_text()) for note in notes]
        assert all(map(alive, left))
        up.process.kill()
        wait_until(lambda: not any(map(alive, left)), within=60)


def test_a_port_that_is_taken_is_replaced_and_told(tmp_path: Path) -> None:
    """Flower moves to a free port where its own is in use; a second `up` is refused."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with Up(tmp_path, "--sandbox", "--targets", "1", FLOWER_PORT=port) as up:
            up.wait_for(f"Port {port} is taken: Flower gets")
            (tmp_path / "second").mkdir()
            (tmp_path / "second" / "var").symlink_to(tmp_path / "var")
            with Up(tmp_path / "second", "--sandbox") as second:
                assert second.end(within=20) == 1
                assert "it is running already in this folder" in second.text


def test_a_service_without_ysepz_is_refused_at_once(tmp_path: Path) -> None:
    """What is missing is named before any process is started."""
    with Up(tmp_path) as up:
        assert up.end(within=20) == 2
    assert "no YSE-PZ is configured" in up.text
    assert not list(tmp_path.glob("var/log/*"))


def test_the_sandbox_gives_up_after_its_time_with_the_reason(tmp_path: Path) -> None:
    """`--once` ends with an error and says which target is not done."""
    with Up(tmp_path, "--sandbox", "--once", "--targets", "1", "--timeout", "1s") as up:
        assert up.end(within=60) == 1
    assert "not done after 1 s: 1 of 1 targets, as 2019np: waiting" in up.text


def test_a_configured_broker_is_shared_and_left_as_it_was(tmp_path: Path) -> None:
    """The sandbox keeps to keys of its own on a broker that is not its own."""
    with EmbeddedRedis(tmp_path / "redis") as redis:
        broker = side_connection(redis.url())
        broker.batch([("SET", "theirs", "1"), ("SET", "yse_ingest:sandbox:old", "1")])
        env = {"CELERY_BROKER_URL": redis.url(), "YSE_PZ_URL": "https://real.example.org"}
        with Playground(tmp_path / "sandbox", env, count=1) as playground:
            inside = playground.environment()
        assert broker.call("KEYS", "*") == ["theirs"]
        broker.close()
    assert inside["CELERY_BROKER_URL"] == redis.url()
    assert inside["YSE_INGEST_NAMESPACE"] == "sandbox"
    assert inside["YSE_PZ_URL"] == playground.ysepz.url


def test_a_folder_that_is_not_the_sandboxs_is_not_emptied(tmp_path: Path) -> None:
    """Only what an earlier sandbox left is removed."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SettingsError, match="is not a folder of the sandbox"):
        Playground(tmp_path, {}).__enter__()
    assert (tmp_path / "thesis.tex").exists()
