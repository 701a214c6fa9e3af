from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import (
    LeaseLostError,
    OutcomeUnknownError,
    PayloadError,
    SettingsError,
    YsePzReplyError,
    YsePzUnavailableError,
)
from yse_ingest.sandbox.faults import Fault
from yse_ingest.ysepz import Account, Timeouts, YsePz
from yse_ingest.ysepz.http import normalised

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yse_ingest.sandbox.ysepz import YsePzStandIn

ACCOUNT = Account("ingest", "sandbox-only")
SHORT = Timeouts(connect_s=0.3, read_s=0.3)
REQUEST: dict[str, Any] = {"header": {}, "transient": {}, "photheader": {}}


@pytest.fixture(name="raw")
def _raw() -> Iterator[Callable[[bytes], str]]:
    """Serve one fixed answer, byte for byte, to whoever connects."""
    stopping = threading.Event()
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(listener: socket.socket, answer: bytes) -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(listener, answer))
        thread.start()
        listeners.append(listener)
        threads.append(thread)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    stopping.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(timeout=5)


def test_refused_connection_wrote_nothing(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """A refused connection proves that nothing was written, so it may simply be tried again."""
    client = make_client(timeouts=SHORT)
    server.faults.add(Fault("refuse"))
    with pytest.raises(YsePzUnavailableError, match="connection refused"):
        client.upload_photometry(REQUEST)


def test_unknown_host_wrote_nothing(make_client: Callable[..., YsePz]) -> None:
    """A host that does not resolve proves it, too, and is named."""
    client = make_client("http://yse-pz.invalid")
    with pytest.raises(YsePzUnavailableError, match=r"yse-pz\.invalid.*does not resolve"):
        client.upload_photometry(REQUEST)


def test_connect_time_out_wrote_nothing(make_client: Callable[..., YsePz]) -> None:
    """A connection that does not come about in time proves it, too."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        client = make_client(f"http://127.0.0.1:{full.getsockname()[1]}", timeouts=SHORT)
        with pytest.raises(YsePzUnavailableError, match="no connection in time"):
            client.upload_photometry(REQUEST)
        for one in crowd:
            one.close()


@pytest.mark.parametrize("kind", ["hang", "drop_before", "drop_after", "cut", "down"])
def test_lost_answers_are_unclear(
    server: YsePzStandIn, make_client: Callable[..., YsePz], kind: str
) -> None:
    """A request that was sent and not answered may have been carried out (duplicates trap)."""
    client = make_client(timeouts=SHORT)
    server.faults.add(Fault(kind, path="add_transient", times=1, seconds=1.0))  # type: ignore[arg-type]
    with pytest.raises(OutcomeUnknownError, match="read back"):
        client.upload_photometry(REQUEST)


@pytest.mark.parametrize("kind", ["hang", "drop_before", "cut", "down"])
def test_lost_answers_to_reads(
    server: YsePzStandIn, make_client: Callable[..., YsePz], kind: str
) -> None:
    """A read that is not answered is asked again later."""
    client = make_client(timeouts=SHORT)
    server.faults.add(Fault(kind, path="^/api", times=1, seconds=1.0))  # type: ignore[arg-type]
    with pytest.raises(YsePzUnavailableError) as caught:
        client.ping()
    assert caught.value.retryable


def test_nothing_is_sent_twice(server: YsePzStandIn, make_client: Callable[..., YsePz]) -> None:
    """The client never repeats a request by itself, whatever became of it."""
    client = make_client(timeouts=SHORT)
    server.faults.add(Fault("drop_after", path="add_transient"))
    with pytest.raises(OutcomeUnknownError):
        client.upload_photometry(REQUEST)
    assert [entry.path for entry in server.log] == ["/add_transient_phot/"]


def test_half_an_answer_is_no_answer(raw: Callable[[bytes], str]) -> None:
    """An answer shorter than its Content-Length accepts nothing."""
    url = raw(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"message": "success"}')
    with YsePz(url, ACCOUNT, timeouts=SHORT) as client:
        with pytest.raises(OutcomeUnknownError):
            client.upload_photometry(REQUEST)
        with pytest.raises(YsePzUnavailableError):
            client.ping()


def test_noise_instead_of_http(raw: Callable[[bytes], str]) -> None:
    """A server that speaks no HTTP leaves a write unclear and a read unanswered."""
    url = raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    with YsePz(url, ACCOUNT, timeouts=SHORT) as client:
        with pytest.raises(OutcomeUnknownError):
            client.upload_photometry(REQUEST)
        with pytest.raises(YsePzUnavailableError):
            client.ping()


def test_https_where_http_is_spoken(raw: Callable[[bytes], str]) -> None:
    """A failed TLS handshake is reported, not followed by plain text."""
    url = raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    with (
        YsePz(url.replace("http:", "https:"), ACCOUNT, timeouts=SHORT) as client,
        pytest.raises(YsePzUnavailableError),
    ):
        client.ping()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirections_are_not_followed(raw: Callable[[bytes], str], status: int) -> None:
    """The account is not carried to another host, and a POST never becomes a GET."""
    url = raw(
        f"HTTP/1.1 {status} Moved\r\nLocation: https://elsewhere.example.org/add?token=x\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    with YsePz(url, ACCOUNT, timeouts=SHORT) as client:
        for call in (client.ping, lambda: client.upload_photometry(REQUEST)):
            with pytest.raises(YsePzReplyError, match=r"elsewhere\.example\.org") as caught:
                call()
            assert "token" not in str(caught.value)


def test_endless_error_pages_end(raw: Callable[[bytes], str]) -> None:
    """Of an error page no more is read than could matter."""
    page = b"KeyError at /add_transient/\n'x'\n\n" + b"secret " * 300_000
    url = raw(
        b"HTTP/1.1 500 Error\r\nContent-Length: 999999999\r\nConnection: close\r\n\r\n" + page
    )
    with (
        YsePz(url, ACCOUNT, timeouts=Timeouts(connect_s=1, read_s=2)) as client,
        pytest.raises(YsePzUnavailableError, match="KeyError"),
    ):
        client.ping()


@pytest.mark.parametrize("size", [1, 70_000])
def test_an_answer_that_trickles_ends(size: int) -> None:
    """An answer that comes byte by byte, each in time, is given up all the same."""
    stopping = threading.Event()

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not stopping.wait(0.02):
                try:
                    connection.sendall(b" " * size)
                except OSError:  # the client has given up
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        times = Timeouts(connect_s=1, read_s=0.05)
        with (
            YsePz(url, ACCOUNT, timeouts=times) as client,
            pytest.raises(OutcomeUnknownError, match="no answer"),
        ):
            client.upload_photometry(REQUEST)
        stopping.set()
        thread.join(timeout=5)


def test_requests_are_plain(server: YsePzStandIn, client: YsePz) -> None:
    """Bodies have a Content-Length (chunked ones fail), are JSON and hold no blanks."""
    server.faults.add(Fault("status", status=200, body='{"message": "success"}'))
    client.upload_photometry({"a": [1, "é"]})
    assert server.log[-1].body == b'{"a":[1,"\\u00e9"]}'


def test_not_a_number_is_not_sent(server: YsePzStandIn, client: YsePz) -> None:
    """NaN, which YSE-PZ refuses for the whole body, never leaves."""
    with pytest.raises(PayloadError, match="no JSON"):
        client.upload_photometry({"mag": float("nan")})
    assert not server.log


def test_notice_before_every_write(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """Every request that writes is announced first, reads are not."""
    seen: list[str] = []
    client = make_client(before_request=seen.append)
    server.faults.add(Fault("status", path="add", status=200, body='{"message": "success"}'))
    client.ping()
    client.upload_photometry(REQUEST)
    client.add_transient({})
    client.patch_transient(1, {"redshift": 0.2})
    assert seen == [
        "POST /add_transient_phot/",
        "POST /add_transient/",
        "PATCH /api/transients/1/",
    ]


def test_notice_can_stop_a_write(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """A lease that cannot be renewed stops the request before a byte is sent."""

    def refuse(_what: str) -> None:
        raise LeaseLostError("somebody else holds it", service="Redis")

    client = make_client(before_request=refuse)
    with pytest.raises(LeaseLostError):
        client.upload_photometry(REQUEST)
    assert not server.log


def test_client_that_only_reads(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """A client that may not write refuses all four writes, and reads."""
    client = make_client(may_write=False)
    for call in (
        lambda: client.upload_photometry(REQUEST),
        lambda: client.add_transient({}),
        lambda: client.patch_point(1, {"mag": 1.0}),
        lambda: client.patch_transient(1, {}),
    ):
        with pytest.raises(PayloadError, match="only reads"):
            call()
    assert not server.log
    assert client.transient_by_name("2019np") is not None


def test_a_session_for_each_thread(server: YsePzStandIn, client: YsePz) -> None:
    """Threads share a client: each has a session, and the vocabulary is read once."""
    results: list[object] = []
    threads = [
        threading.Thread(target=lambda: results.append(client.transient_by_name("2019np")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert len(set(results)) == 1
    assert sum(entry.path == "/api/photometricbands/" for entry in server.log) == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://yse-pz.example.org", "https://yse-pz.example.org"),
        ("https://yse-pz.example.org/", "https://yse-pz.example.org"),
        (" http://127.0.0.1:8000/yse/// ", "http://127.0.0.1:8000/yse"),
    ],
)
def test_base_address(given: str, kept: str) -> None:
    """Slashes at the end go, a port and a path prefix stay."""
    assert normalised(given) == kept


@pytest.mark.parametrize(
    "url",
    [
        "yse-pz.example.org",
        "ftp://x",
        "http://[::1",
        "http://host:port",
        "http://host:99999",
        "http://",
        "http://user:s3cret@host",
        "http://host/?a=1",
    ],
)
def test_bad_addresses(url: str) -> None:
    """An address that cannot work, or holds a password, is refused without showing it."""
    with pytest.raises(SettingsError, match="YSE_PZ_URL") as caught:
        normalised(url)
    assert "s3cret" not in str(caught.value)
