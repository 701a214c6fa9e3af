"""The connection: health, time-outs and errors that help and tell no secrets."""

from __future__ import annotations

import socket
import time
import traceback
from typing import TYPE_CHECKING

import pytest

from yse_ingest.errors import SettingsError, StateError, StateUnavailableError
from yse_ingest.state import State, side_connection
from yse_ingest.state.connection import CONNECT_PAUSES_S, judge_server, refuse_old_server
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "s3cret-pass"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """Run a server that the test may do anything to."""
    with EmbeddedRedis(tmp_path / "own") as running:
        yield running


def whole_text(error: BaseException) -> str:
    """Return all that a log would show of an error."""
    return "".join(traceback.format_exception(error)) + repr(error)


def test_a_healthy_server_is_found_so(state: State) -> None:
    """Version, append-only file, eviction and round trip, in one look."""
    findings = {finding.subject: finding for finding in state.check()}
    assert {finding.level for finding in findings.values()} == {"ok"}
    assert list(findings) == ["server", "appendonly", "maxmemory-policy", "ping"]
    assert "ms to redis://127.0.0.1" in findings["ping"].fact


def test_valkey_is_accepted_by_the_version_it_reports() -> None:
    """Valkey says redis_version 7.2.4; its own version is shown beside it."""
    [server, *_] = judge_server(
        {"redis_version": "7.2.4", "server_name": "valkey", "valkey_version": "9.1.2"}
    )
    assert (server.level, server.fact) == ("ok", "Valkey 9.1.2 (reports redis_version 7.2.4)")


@pytest.mark.parametrize("version", ["6.0.9", "5.0.14", "0", "unstable"])
def test_a_server_older_than_6_2_is_refused_with_the_reason(version: str) -> None:
    """Celery's transport would die on it with a text that nobody understands."""
    [server, *_] = judge_server({"redis_version": version})
    assert server.level == "failure"
    assert "ZRANGE BYSCORE" in server.fact
    with pytest.raises(StateError, match="too old") as caught:
        refuse_old_server({"redis_version": version}, address="redis://somewhere")
    assert "Redis 7" in (caught.value.remedy or "")
    for good in ("6.2.0", "7.0.15", "8.2.3"):
        refuse_old_server({"redis_version": good}, address="redis://somewhere")


def test_a_server_that_forgets_is_warned_about(own_server: EmbeddedRedis) -> None:
    """Without AOF a restart loses what is owed; with eviction Redis may drop it any time."""
    with State.connect(own_server.url(), namespace="t", decisions=None) as state:
        state._connection.call("CONFIG", "SET", "appendonly", "no")
        state._connection.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        findings = {finding.subject: finding for finding in state.check()}
    assert findings["appendonly"].level == "warning"
    assert findings["maxmemory-policy"].level == "failure"
    assert "noeviction" in (findings["maxmemory-policy"].remedy or "")


def test_who_was_just_told_that_nobody_is_there_is_told_at_once(unused_port: int) -> None:
    """The first tries wait for a restart; `doctor`, which asks a dozen times, does so once."""
    url, took = f"redis://127.0.0.1:{unused_port}/3", []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(StateUnavailableError):
            State.connect(url, namespace="t", decisions=None)
        took.append(time.monotonic() - began)
    assert took[0] >= sum(CONNECT_PAUSES_S)
    assert max(took[1:]) < CONNECT_PAUSES_S[-1]


def test_no_server_is_said_with_address_and_remedy(unused_port: int) -> None:
    """The message names where it looked, never the password."""
    url = f"redis://user:{PASSWORD}@127.0.0.1:{unused_port}/3"
    with pytest.raises(StateUnavailableError) as caught:
        State.connect(url, namespace="t", decisions=None)
    text = str(caught.value)
    assert f"redis://127.0.0.1:{unused_port}/3" in text
    assert "Start Redis" in text
    assert PASSWORD not in whole_text(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PASSWORD}#half@127.0.0.1:6379/0",
        f"http://:{PASSWORD}@127.0.0.1/0",
        f"redis://:{PASSWORD}@127.0.0.1:port/0",
        f"redis://:{PASSWORD}@127.0.0.1:6379/0?no_such_option=1",
        PASSWORD,
    ],
)
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    """It may hold a password in the wrong place."""
    with pytest.raises((SettingsError, StateUnavailableError)) as caught:
        State.connect(url, namespace="t", decisions=None)
    assert PASSWORD not in whole_text(caught.value)


def test_a_wrong_password_is_no_outage(own_server: EmbeddedRedis) -> None:
    """Trying again would not help, and is not done: user, password and ACL are named."""
    side = side_connection(own_server.url())
    side.call("CONFIG", "SET", "requirepass", PASSWORD)
    side.close()
    start = time.monotonic()
    for url in (own_server.url(), own_server.url().replace("//", "//:wrong@")):
        with pytest.raises(StateError, match="does not accept this user") as caught:
            State.connect(url, namespace="t", decisions=None)
        assert not isinstance(caught.value, StateUnavailableError)
        assert not caught.value.retryable
    assert time.monotonic() - start < 2.5
    right = own_server.url().replace("//", f"//:{PASSWORD}@")
    with State.connect(right, namespace="t", decisions=None) as state:
        assert PASSWORD not in state.address
        assert PASSWORD not in str(state.check())


def test_a_silent_server_is_given_up_on() -> None:
    """Who accepts and never answers costs one time-out, not the worker."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        start = time.monotonic()
        with pytest.raises(StateUnavailableError, match="no answer"):
            State.connect(url, namespace="t", decisions=None, socket_timeout=0.2)
        assert time.monotonic() - start < 2


def test_a_full_server_can_be_tried_again(own_server: EmbeddedRedis) -> None:
    """With noeviction a full Redis refuses to write; that is an outage, not a fault of ours."""
    with State.connect(own_server.url(), namespace="t", decisions=None) as state:
        state._connection.call("CONFIG", "SET", "maxmemory", "1kb")
        with pytest.raises(StateUnavailableError, match="memory is full"):
            state.receipts.put("7", {"a": 1})


def test_any_other_refusal_is_a_state_error(state: State) -> None:
    """Above this package nobody knows redis' errors."""
    state._connection.call("SET", state._keys("receipts"), "not a hash")
    with pytest.raises(StateError, match="WRONGTYPE"):
        state.receipts.last("7")


def test_a_restart_of_redis_costs_no_error(own_server: EmbeddedRedis) -> None:
    """Connections that died are replaced, and everything written is there (AOF)."""
    with State.connect(own_server.url(), namespace="t", decisions=None) as state:
        state.receipts.put("7", {"a": 1})
        own_server.kill()
        with pytest.raises(StateUnavailableError):
            state.now_ms()
        own_server.start()
        assert state.receipts.last("7") == {"a": 1}
        own_server.restart()
        assert state.leases.take("scripts are loaded again", 5) is not None


def test_a_namespace_cannot_reach_into_another(server: EmbeddedRedis) -> None:
    """Characters with a meaning in Redis are refused."""
    for namespace in ("", "a:b", "a*", "a b", "x" * 101):
        with pytest.raises(SettingsError, match="namespace"):
            State.connect(server.url(), namespace=namespace, decisions=None)


def test_a_unix_socket_is_named_without_options(tmp_path: Path) -> None:
    """The address of a socket is its path."""
    url = f"unix://:{PASSWORD}@{tmp_path}/redis.sock?db=2"
    with pytest.raises(StateUnavailableError, match=f"unix://{tmp_path}/redis.sock") as caught:
        State.connect(url, namespace="t", decisions=None)
    assert PASSWORD not in whole_text(caught.value)


@pytest.fixture
def unused_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
