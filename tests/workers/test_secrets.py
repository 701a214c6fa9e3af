"""The whole service with unmistakable secrets, and everything it ever writes."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner

from yse_ingest.cli import main
from yse_ingest.cli.deployment import write_deployment
from yse_ingest.envfile import ENV_FILE
from yse_ingest.redaction import forms
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.tns import TnsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state import side_connection
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

YSEPZ = "Ysepz-zQ1/&%41 'one\""
BROKER = "Broker-zQ2@/two%42"
STATE = "State-zQ3:/three"
SMTP = "Smtp-zQ4 four"
FLOWER = "Flower-zQ5_five"
TNS = "Tns-zQ6%/six &6"
LOGINS = {
    "ingest": YSEPZ,
    "queue": BROKER,
    "state": STATE,
    "mailer": SMTP,
    "watcher": FLOWER,
    "bot": TNS,
}
MORE = [f"{method}{number}" for method in ("GET", "POST") for number in range(10)]
"""Further targets, at which the faults strike."""
PROGRAMS = Path(sys.executable).parent
QUICK = {
    "YSE_PZ_CONNECT_TIMEOUT": "1",
    "YSE_PZ_READ_TIMEOUT": "2",
    "YSE_PZ_REQUEST_LIMIT": "2",
    "YSE_INGEST_SOURCE_GET_TIMEOUT": "2",
    "YSE_INGEST_SOURCE_POST_TIMEOUT": "3",
    "YSE_INGEST_SETTLE_GAP": "0.2",
    "YSE_INGEST_LEASE": "4",
    "YSE_INGEST_MESSAGE_LIMIT": "8",
    "YSE_INGEST_VISIBILITY": "12",
    "YSE_INGEST_RETRY_WAIT": "0.2",
    "YSE_INGEST_RETRY_WAIT_MAX": "2",
    "YSE_INGEST_CADENCE": "3",
    "YSE_INGEST_LOG_LEVEL": "DEBUG",
    # Every fault is met, however many came before it.
    "YSE_INGEST_BREAKER_FAILURES": "1000",
}


def _told(name: str) -> list[bytes]:
    """Return every form in which one of the secrets could be written."""
    secret = LOGINS[name]
    return [form.encode() for form in forms({secret, f"{name}:{secret}"})]


class Echo(socketserver.StreamRequestHandler):
    """A mail server that refuses every login, and repeats what it was told."""

    asked = 0

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"EHLO"):
                self.wfile.write(b"250-here\r\n250 AUTH PLAIN LOGIN\r\n")
            else:
                type(self).asked += 1
                self.wfile.write(b"535 5.7.8 refused: " + line.strip() + b"\r\n")


class Deployment:
    """A folder as `init` writes it, with a secret in every setting that may hold one."""

    def __init__(
        self,
        folder: Path,
        redis: EmbeddedRedis,
        *,
        mars: str,
        ysepz: str,
        tns: TnsStandIn,
        mail: int,
    ) -> None:
        self.folder, self.redis, self.tns = folder, redis, tns
        self.said: dict[str, bytes] = {}
        write_deployment(folder)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.flower = int(probe.getsockname()[1])
        self.at = at = f"127.0.0.1:{redis.port}"
        settings = {
            **QUICK,
            "YSE_PZ_URL": ysepz,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": YSEPZ,
            "CELERY_BROKER_URL": f"redis://queue:{quote(BROKER, safe='')}@{at}/0",
            "YSE_INGEST_STATE_URL": f"redis://state:{quote(STATE, safe='')}@{at}/1",
            "YSE_INGEST_NOTIFY_TO": "night@example.org",
            "YSE_INGEST_NOTIFY_AFTER": "1",
            "YSE_INGEST_SMTP_PORT": str(mail),
            "YSE_INGEST_SMTP_SECURITY": "none",
            "YSE_INGEST_SMTP_USERNAME": "mailer",
            "YSE_INGEST_SMTP_PASSWORD": SMTP,
            "FLOWER_BASIC_AUTH": f"watcher:{FLOWER}",
            "FLOWER_PORT": str(self.flower),
            "MARS_URL": mars,
            "TNS_URL": tns.api_url,
            "TNS_API_KEY": TNS,
            "TNS_BOT_ID": "7",
            "TNS_BOT_NAME": "bot",
            "YSE_INGEST_TARGETS": "targets.toml",
        }
        lines = [f"{name}={value}" for name, value in settings.items()]
        (folder / ENV_FILE).write_text("\n".join(lines) + "\n")
        self.settings = settings
        (folder / "targets.toml").write_text('[[targets]]\nname = "2019np"\n')
        self.start_redis()

    def start_redis(self) -> None:
        """Give the server's users their passwords: it forgets them at each start."""
        owner = side_connection(self.redis.url())
        for name in ("queue", "state"):
            owner.call("ACL", "SETUSER", name, "on", f">{LOGINS[name]}", "~*", "&*", "+@all")
        owner.close()

    def run(self, *command: str, **changed: str) -> None:
        """Run a command of the terminal; keep all it says."""
        logger = logging.getLogger("yse_ingest")
        handlers, level = list(logger.handlers), logger.level
        try:
            done = CliRunner().invoke(main, command, env={**self.settings, **changed})
        finally:  # --verbose is for one command
            logger.handlers[:] = handlers
            logger.setLevel(level)
        assert not isinstance(done.exception, AssertionError)
        text = f"{done.output}\n{done.stderr}\n{done.exception!r}"
        self.said[f"{len(self.said)} {' '.join(command)}"] = text.encode()

    def celery(self, *arguments: str) -> None:
        """Run Celery's own program with these settings; keep all it says."""
        done = subprocess.run(
            [PROGRAMS / "celery", "-A", "workers", *arguments],
            cwd=self.folder,
            env=_plain_environment(self.settings),
            capture_output=True,
            timeout=60,
            check=False,
        )
        self.said[f"celery {' '.join(arguments)}"] = done.stdout + done.stderr

    def service(self) -> Service:
        """Return the service of these settings, in this process."""
        env = {**self.settings, "YSE_INGEST_STATE_DIR": str(self.folder / "var")}
        return Service.from_settings(Settings.from_env(env))

    def page(self, path: str) -> int:
        """Fetch a page of Flower with its login; keep it."""
        login = base64.b64encode(f"watcher:{FLOWER}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.flower}{path}", headers={"Authorization": f"Basic {login}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                self.said[f"flower {path}"] = answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                self.said[f"flower {path}"] = error.read()
            return int(error.code)
        except OSError:
            return 0

    def command_lines(self) -> None:
        """Keep what `ps` shows to everybody on this machine."""
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                self.said[f"{each} {time.monotonic()}"] = each.read_bytes()

    def files(self) -> None:
        """Keep every file below the folder and Redis' own, but the one that holds secrets."""
        for root in (self.folder, self.redis.directory):
            for path in root.rglob("*"):
                if path.is_file() and path.name != ENV_FILE:
                    self.said[str(path)] = path.read_bytes()

    def keys(self) -> None:
        """Keep everything that stands in Redis."""
        readers = {
            "string": ("GET",),
            "hash": ("HGETALL",),
            "list": ("LRANGE", 0, -1),
            "set": ("SMEMBERS",),
            "zset": ("ZRANGE", 0, -1),
        }
        for database in (0, 1):
            connection = side_connection(self.redis.url(database))
            for key in connection.call("KEYS", "*"):
                verb, *rest = readers[connection.call("TYPE", key)]
                value = connection.call(verb, key, *rest, binary=True)
                self.said[f"redis {database} {key}"] = repr(value).encode()
            connection.close()


def _plain_environment(env: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **env}


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[tuple[Deployment, MarsStandIn, YsePzStandIn]]:
    users = {"ingest": (YSEPZ,), "human": ("human",)}
    with (
        EmbeddedRedis(tmp_path / "redis") as redis,
        MarsStandIn() as mars,
        YsePzStandIn(worker_limit_s=2, users=users) as ysepz,
        TnsStandIn(key=TNS) as tns,
    ):
        known = {each.name: each for each in supernovae.load()}
        supernovae.fill_mars(mars, known.values())
        each = known["2019np"]
        ysepz.add_transient("2019np", each.ra, each.dec)
        for number, name in enumerate(MORE):
            ra = 10.0 + number
            ysepz.add_transient(name, ra, 20.0)
            mars.add_alert(f"ZTF19aaaaa{number:02}", 2458494.9, "g", 18.0, 0.1, ra, 20.0)
        post = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
        threading.Thread(target=post.serve_forever, daemon=True).start()
        port = int(post.server_address[1])
        folder = tmp_path / "yse"
        here = Deployment(folder, redis, mars=mars.url, ysepz=ysepz.url, tns=tns, mail=port)
        yield here, mars, ysepz
        post.shutdown()
        post.server_close()


@pytest.mark.timeout(600)
def test_no_secret_is_written_anywhere(
    deployment: tuple[Deployment, MarsStandIn, YsePzStandIn],
    until: Callable[..., float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Logs, files, Redis, Flower, the terminal and `ps` hold no secret, whatever goes wrong."""
    here, mars, ysepz = deployment
    monkeypatch.chdir(here.folder)
    output = here.folder / "up.out"
    with output.open("wb") as file:
        up = subprocess.Popen(
            [PROGRAMS / "yse-ingest", "up"],
            cwd=here.folder,
            env=_plain_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        until(lambda: len(ysepz.rows("2019np")) > 30, within=60, what="stored")
        here.command_lines()
        _everything_fails(here, mars, ysepz, until)
        _tns_fails(here, until)
        _everything_is_asked(here, until)
    finally:
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(up.pid, signal.SIGKILL)
    here.files()
    here.keys()

    assert sum(map(len, here.said.values())) > 100_000
    told = [
        f"{name}'s secret in {where}: ...{_around(text, form)}..."
        for name in LOGINS
        for form in _told(name)
        for where, text in here.said.items()
        if form in text
    ]
    assert told == []


def _around(text: bytes, form: bytes) -> str:
    at = text.index(form)
    return repr(text[max(0, at - 100) : at + len(form) + 20])


def _everything_fails(
    here: Deployment, mars: MarsStandIn, ysepz: YsePzStandIn, until: Callable[..., float]
) -> None:
    """Break each service in each way; wait until the break was met."""
    header = base64.b64encode(f"ingest:{YSEPZ}".encode()).decode()
    page = (
        f"KeyError at /add_transient_phot/\n'HTTP_AUTHORIZATION Basic {header} {YSEPZ}'\n\n"
        f"Request headers: Authorization: Basic {header}"
    )
    faults: list[dict[str, Any]] = [
        {"kind": "status", "status": 500, "body": page},
        {"kind": "status", "status": 200, "body": f'{{"message": "no {header}"}}'},
        {"kind": "status", "status": 200, "body": f"hello {header}"},
        {"kind": "status", "status": 403, "body": page},
        {"kind": "status", "status": 400, "body": f'{{"detail": "Basic {header}"}}'},
        {
            "kind": "status",
            "status": 302,
            "headers": {
                "Location": f"http://ingest:{quote(YSEPZ, safe='')}@elsewhere.invalid/"
            },
        },
        {"kind": "drop_before"},
        {"kind": "garbage"},
    ]
    service = here.service()
    for method in ("GET", "POST"):
        ysepz.faults.add(*(Fault(**fault, method=method, times=1) for fault in faults))
        for number in range(len(faults)):
            service.enqueue(Target(f"{method}{number}"))
        until(lambda: not len(ysepz.faults), within=60, what=f"every fault of {method}")
    for fault in faults[:3]:
        ysepz.faults.add(Fault(**fault))
        here.run("push", "POST1", "-v")
        ysepz.faults.clear()
    mars.faults.add(Fault("garbage", times=3))
    here.run("fetch", "2019np", "-v")
    mars.faults.clear()
    owner = side_connection(here.redis.url())
    for kind in ("normal", "pubsub"):
        owner.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
    owner.close()
    here.redis.kill()
    here.run("doctor")
    here.redis.start()
    # For a while every password is wrong, as after a change at the server's end.
    time.sleep(3)
    here.start_redis()


def _tns_fails(here: Deployment, until: Callable[..., float]) -> None:
    """Let TNS repeat its key in every way, to a worker and at the terminal."""
    faults: list[dict[str, Any]] = [
        {"status": 500, "body": f"KeyError: {{'api_key': '{TNS}'}}"},
        {"status": 401, "body": f'{{"id_code": 401, "id_message": "no {TNS}"}}'},
        {"status": 200, "body": f"api_key={quote(TNS)} is what you said"},
        {"status": 200, "body": f'{{"id_code": 400, "id_message": "{quote_plus(TNS)}"}}'},
        {"status": 200, "body": f'{{"id_code": 200, "data": {{"objname": "{TNS}"}}}}'},
        {"status": 302, "headers": {"Location": f"http://x:{quote(TNS, safe='')}@y.invalid/"}},
    ]
    service = here.service()
    here.tns.faults.add(*(Fault("status", **fault, times=1) for fault in faults))
    for number in range(len(faults)):
        service.enqueue(Target(f"2031tns{'abcdefgh'[number]}"))
    until(lambda: not len(here.tns.faults), within=60, what="every fault of TNS")
    for fault in faults:
        here.tns.faults.add(Fault("status", **fault))
        here.run("targets", "resolve", "2031tnsx", "--fresh", "-v")
        here.tns.faults.clear()
    here.run("targets", "resolve", "2031tnsx")


def _everything_is_asked(here: Deployment, until: Callable[..., float]) -> None:
    """Ask everything that shows something."""
    here.run("notify", "--test")
    assert Echo.asked, here.said
    for command in (
        ("status", "--json"), ("status", "POST1"), ("doctor",), ("doctor", "--json"),
        ("fetch", "2019np", "--payload"), ("push", "2019np", "-v"), ("targets", "export"),
        ("quarantine", "list"),
    ):  # fmt: skip
        here.run(*command)
    for wrong in (
        {"YSE_PZ_PASSWORD": YSEPZ, "YSE_PZ_USERNAME": ""},
        {"YSE_PZ_URL": f"http://ingest:{quote(YSEPZ, safe='')}@127.0.0.1:9/"},
        {"MARS_URL": f"http//state:{STATE}@127.0.0.1:9/"},
        {"CELERY_BROKER_URL": f"redis://queue:{quote(BROKER, safe='')}@127.0.0.1:x/0"},
        {"CELERY_BROKER_URL": f"amqp://queue:{quote(BROKER, safe='')}@127.0.0.1/0"},
        {"YSE_INGEST_STATE_URL": f"redis://state:{quote(STATE, safe='')}@127.0.0.1:9/x"},
        {"YSE_INGEST_STATE_URL": f"redis://queue:{quote(STATE, safe='')}@{here.at}/1"},
    ):  # fmt: skip
        here.run("doctor", **wrong)
    for arguments in (
        ("report",), ("inspect", "conf"), ("inspect", "stats"),
    ):  # fmt: skip
        here.celery(*arguments)
    node = f"fetch@{socket.gethostname()}"
    until(
        lambda: here.page(f"/worker/{node}") == 200, within=40, what="Flower knows the worker"
    )
    for path in (
        "/", "/workers?json=true", "/tasks", "/broker", "/api/workers?refresh=true",
        "/api/tasks", "/api/queues/length", "/metrics", "/healthcheck", "/nosuch",
    ):  # fmt: skip
        here.page(path)
    assert b"worker_concurrency" in here.said[f"flower /worker/{node}"]
    here.command_lines()
