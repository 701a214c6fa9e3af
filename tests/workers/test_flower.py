"""Flower: pages for one login, and nothing that changes anything."""

from __future__ import annotations

import base64
import re
import shlex
import socket
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flower.urls import handlers

from yse_ingest.cli.deployment import processes, template, write_deployment
from yse_ingest.cli.flower import FILE, LOGIN, with_login
from yse_ingest.envfile import ENV_FILE, parse_env

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.workers.conftest import Service

USER, PASSWORD = "watcher", "never-tell-anyone"
OPEN = {"/metrics", "/healthcheck", "/logout"}
"""What Flower shows to everybody who reaches its address: no target is named there."""


class Flower:
    """Flower as the shipped Procfile starts it."""

    def __init__(self, service: Service, until: Callable[..., float], **env: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        (command,) = [
            line for name, line in processes(template("Procfile")) if name == "flower"
        ]
        words = shlex.split(command.replace("${FLOWER_PORT:-5555}", str(self.port)))
        self.program = service.celery(*words[3:], cwd=None, **env)
        until(lambda: self.get("/healthcheck") == 200, within=30)
        self.text = ""

    def get(self, path: str, *, login: str | None = None, data: bytes | None = None) -> int:
        """Return the status of an answer, 0 while nobody answers; keep its text."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data)
        if login is not None:
            request.add_header(
                "Authorization", f"Basic {base64.b64encode(login.encode()).decode()}"
            )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                self.text = answer.read().decode()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                self.text = error.read().decode()
            return int(error.code)
        except OSError:
            return 0

    def listens_on(self) -> set[str]:
        """Return the addresses on which this port is open, in the kernel's notation."""
        rows = [
            line.split()[1:4]
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        ]
        return {
            local.partition(":")[0]
            for local, _, state in rows
            if state == "0A" and int(local.partition(":")[2], 16) == self.port
        }


def _paths(verb: str, worker: str) -> Iterator[str]:
    """Return an address for each of Flower's handlers that knows the verb."""
    for each in handlers:
        pattern, handler = (
            (each.regex.pattern, each.handler_class)
            if hasattr(each, "regex")
            else (each[0], each[1])
        )
        own = getattr(handler, verb, None)
        if own is None or own.__qualname__.startswith(("RequestHandler", "NotFound")):
            continue
        yield re.sub(r"\(\.[+*]\)|\.\*", worker, pattern).rstrip("$?")


@pytest.fixture
def flower(service: Service, until: Callable[..., float]) -> Flower:
    service.worker("everything")
    return Flower(service, until, FLOWER_BASIC_AUTH=f"{USER}:{PASSWORD}")


def test_flower_shows_everything_to_its_login_and_changes_nothing(
    flower: Flower, until: Callable[..., float]
) -> None:
    """Pages are for the login, orders are refused to everybody, and it listens here alone."""
    login, worker = f"{USER}:{PASSWORD}", "everything@test"
    until(lambda: flower.get(f"/worker/{worker}", login=login) == 200, within=30)
    pages = [
        path for path in _paths("get", worker) if path not in OPEN and "/static/" not in path
    ]
    assert len(pages) > 10
    for path in pages:
        assert flower.get(path) == 401, path
        assert flower.get(path, login=f"{USER}:wrong") == 401, path
    for path in ("/", "/workers", f"/worker/{worker}", "/tasks", "/broker", "/api/workers"):
        assert flower.get(path, login=login) == 200, path
    orders = [path for path in _paths("post", worker) if path != "/tasks/datatable"]
    assert len(orders) >= 14
    for path in orders:
        assert flower.get(path, login=login, data=b"{}") == 403, path
        assert "ead only" in flower.text
        assert flower.get(path, data=b"{}") in {401, 403}, path
    assert flower.get(f"/worker/{worker}", login=login) == 200, "the worker is still there"
    assert flower.listens_on() == {"0100007F"}
    for path in OPEN:
        assert flower.get(path) == 200
        assert PASSWORD not in flower.text
    assert PASSWORD not in flower.program.text
    command = Path(f"/proc/{flower.program.pid}/cmdline").read_bytes()
    assert PASSWORD.encode() not in command


def test_flower_lists_each_task_with_its_arguments(
    service: Service, until: Callable[..., float]
) -> None:
    """Which target a task is about stands in the list, beside its name and state."""
    flower = Flower(service, until, FLOWER_BASIC_AUTH=f"{USER}:{PASSWORD}")

    assert flower.get("/tasks", login=f"{USER}:{PASSWORD}") == 200
    columns = re.findall(r"<th[^>]*>\s*([\w ]+?)\s*</th>", flower.text)
    assert columns[:3] == ["Name", "args", "State"]


def test_init_writes_a_login_of_its_own(tmp_path: Path) -> None:
    """Each folder has another random password, in the file that its owner alone may read."""
    logins = set()
    for name in ("one", "two"):
        write_deployment(tmp_path / name)
        path = tmp_path / name / ENV_FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        user, _, password = parse_env(path.read_text(), name=ENV_FILE)[LOGIN].partition(":")
        assert user == "yse-ingest"
        assert len(password) >= 20
        assert "," not in password
        logins.add(password)
    assert len(logins) == 2


def test_up_makes_a_login_where_none_is_configured(tmp_path: Path) -> None:
    """It is kept in a file for its owner, used again, and not said."""
    env, said = with_login({}, state_dir=tmp_path / "var", sandbox=False)
    path = tmp_path / "var" / FILE
    password = env[LOGIN].partition(":")[2]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert password not in said
    assert str(path) in said
    assert with_login({}, state_dir=tmp_path / "var", sandbox=False)[0] == env
    chosen, said = with_login({LOGIN: "me:mine"}, state_dir=tmp_path, sandbox=False)
    assert chosen[LOGIN] == "me:mine"
    assert "me:mine" not in said
    assert with_login({}, state_dir=tmp_path, sandbox=True)[0] == {}


def test_without_a_login_the_sandbox_shows_pages_and_obeys_nobody(
    service: Service, until: Callable[..., float]
) -> None:
    """A first-time user sees the pages at once; orders and the API are refused all the same."""
    flower = Flower(service, until)
    assert flower.get("/workers") == 200
    assert flower.get("/api/worker/shutdown/everything@test", data=b"{}") in {401, 403}
    assert flower.listens_on() == {"0100007F"}
