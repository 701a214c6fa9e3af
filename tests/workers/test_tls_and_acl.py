"""Redis behind TLS, under a user who may do what the service needs and nothing else."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from yse_ingest.errors import (
    SettingsError,
    StateError,
    YseIngestError,
    YsePzUnavailableError,
)
from yse_ingest.settings import Settings
from yse_ingest.sources import Ask, build_source
from yse_ingest.state import side_connection
from yse_ingest.targets import Rules, Target
from yse_ingest.ysepz import Account, YsePz

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.workers.conftest import Service

CERTIFICATES = Path(__file__).parents[1] / "security" / "certificates"
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
USER, PASSWORD = "ingest", "acl/p@ss:word%"
QUOTED = "acl%2Fp%40ss%3Aword%25"


class TlsProxy:
    """Ends TLS with one of the tests' certificates, and hands on to a plain server."""

    def __init__(self, certificate: str, port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
        self._behind = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.plain = 0
        """Connections that did not speak TLS, or did not like the certificate."""
        self.served = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            inside = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            self.plain += 1
            connection.close()
            return
        self.served += 1
        behind = socket.create_connection(("127.0.0.1", self._behind))
        self._open += [inside, behind]
        back = threading.Thread(target=_pump, args=(behind, inside), daemon=True)
        back.start()
        _pump(inside, behind)
        back.join()
        inside.close()
        behind.close()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tls() -> Iterator[Callable[[str, int], TlsProxy]]:
    """Put TLS in front of a port."""
    made: list[TlsProxy] = []

    def start(certificate: str, port: int) -> TlsProxy:
        made.append(TlsProxy(certificate, port))
        return made[-1]

    yield start
    for proxy in made:
        proxy.stop()


def _url(port: int, database: int = 0, *, user: str = "", ca: str = "ca.pem") -> str:
    return f"rediss://{user}127.0.0.1:{port}/{database}?ssl_ca_certs={CERTIFICATES / ca}"


def _documented_rules(namespace: str) -> list[str]:
    """Return the rules of the ACL user as docs/security.md gives them."""
    (line,) = re.findall(r"^ *ACL SETUSER ingest (.*)$", DOCUMENT.read_text(), re.MULTILINE)
    return [word.replace("NAMESPACE", namespace) for word in line.split()]


def test_a_whole_cycle_runs_under_the_documented_user_through_tls(
    service: Service, tls: Callable[[str, int], TlsProxy], until: Callable[..., float]
) -> None:
    """Workers, beat, Flower and the terminal need no right beyond the documented ones."""
    service.know("2019np")
    proxy = tls("here", service.redis.port)
    owner = side_connection(service.redis.url())
    owner.call("ACL", "SETUSER", USER, f">{PASSWORD}", *_documented_rules("acl"))
    login = f"{USER}:{QUOTED}@"
    service.env |= {
        "CELERY_BROKER_URL": _url(proxy.port, user=login),
        "YSE_INGEST_STATE_URL": _url(proxy.port, 1, user=login),
        "YSE_INGEST_NAMESPACE": "acl",
        "FLOWER_BASIC_AUTH": "watcher:secret-of-flower",
    }
    workers = [service.worker("everything"), service.celery("beat")]
    workers.append(service.celery("flower", "--address=127.0.0.1", "--port=0", "--read-only"))
    service.python("from workers import enqueue_target; enqueue_target('2019np')")

    def denied() -> list[object]:
        entries = [
            dict(zip(row[::2], row[1::2], strict=True)) for row in owner.call("ACL", "LOG")
        ]
        return [(entry["username"], entry["reason"], entry["object"]) for entry in entries]

    def stored() -> bool:
        return service.stored("2019np") == service.published("2019np")

    until(lambda: denied() or stored(), within=40)
    assert denied() == []
    commands = [["status"], ["doctor"], ["targets", "list"], ["quarantine", "list"]]
    service.python(
        "from yse_ingest.cli import main\n"
        f"for command in {commands}:\n"
        "    try:\n"
        "        main(command, standalone_mode=False)\n"
        "    except SystemExit as ended:\n"
        "        assert not ended.code, command\n",
        within=120,
    )
    inspected = service.celery("inspect", "ping")
    assert inspected.end(within=30) == 0, inspected.text

    assert denied() == []
    assert owner.call("CLIENT", "LIST").count(f"user={USER}") >= 3
    assert proxy.plain == 0
    assert proxy.served > 3
    foreign = [
        key
        for database in (0, 1)
        for key in side_connection(service.redis.url(database)).call("KEYS", "*")
        if not key.startswith("yse_ingest:acl:")
    ]
    assert foreign == []
    assert all("secret-of-flower" not in each.text for each in workers)


@pytest.mark.parametrize("certificate", ["own", "elsewhere"])
def test_a_redis_with_a_wrong_certificate_is_refused(
    service: Service, tls: Callable[[str, int], TlsProxy], certificate: str
) -> None:
    """An unknown authority or another host's certificate gets neither password nor message."""
    proxy = tls(certificate, service.redis.port)
    url = _url(proxy.port)
    with pytest.raises(StateError, match="CERTIFICATE_VERIFY_FAILED"):
        side_connection(url).call("PING")
    code = (
        "from workers.celery import app\n"
        "with app.connection_for_write() as connection:\n"
        "    try:\n"
        "        connection.ensure_connection(max_retries=1)\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
        "    else:\n"
        "        print('connected')\n"
    )
    said = service.python(code, CELERY_BROKER_URL=url)
    assert "CERTIFICATE_VERIFY_FAILED" in said
    assert proxy.served == 0
    # Without a query the system's authorities are asked; they know nothing of ours.
    bare = url.partition("?")[0]
    said = service.python(code, CELERY_BROKER_URL=bare)
    assert "CERTIFICATE_VERIFY_FAILED" in said, "it must not fall back to plain text"


@pytest.mark.parametrize("variable", ["CELERY_BROKER_URL", "YSE_INGEST_STATE_URL"])
@pytest.mark.parametrize("query", ["ssl_cert_reqs=none", "ssl_check_hostname=false"])
def test_verification_cannot_be_switched_off(variable: str, query: str) -> None:
    """A URL that asks for TLS without verification is refused by name."""
    url = f"rediss://:very-secret@127.0.0.1:6379/0?{query}"
    with pytest.raises(SettingsError, match=variable) as caught:
        Settings.from_env({variable: url})
    assert "very-secret" not in str(caught.value)


@pytest.mark.parametrize("certificate", ["here", "own", "elsewhere"])
def test_https_is_spoken_with_verified_servers_only(
    service: Service,
    tls: Callable[[str, int], TlsProxy],
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
) -> None:
    """Neither YSE-PZ nor a source behind a wrong certificate is sent a byte."""
    service.know("2019np")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATES / "ca.pem"))
    proxies = [tls(certificate, port) for port in (service.ysepz.port, service.mars.port)]
    urls = [f"https://127.0.0.1:{proxy.port}" for proxy in proxies]
    source = build_source("mars", {"MARS_URL": urls[1]}, sleep=lambda _: None)
    with YsePz(urls[0], Account("ingest", "sandbox-only")) as client:
        answered: YseIngestError | None = None
        try:
            client.ping()
        except YsePzUnavailableError as error:
            answered = error
    (told,) = source.fetch([Ask(Target("2019np", ra=157.3415, dec=29.5106667), Rules())])
    source.close()
    if certificate == "here":
        assert answered is None
        assert told.error is None
        return
    assert "its certificate is not trusted" in str(answered)
    assert "no trusted connection" in str(told.error)
    assert all(proxy.served == 0 for proxy in proxies)
