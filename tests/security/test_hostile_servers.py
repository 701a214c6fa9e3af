"""What a broken or hostile server may cost: bounded time and memory, and a named error."""

from __future__ import annotations

import gzip
import itertools
import resource
import time
import traceback
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import YseIngestError
from yse_ingest.sources import Ask, build_source
from yse_ingest.sources import Timeouts as SourceTimeouts
from yse_ingest.targets import Rules, Target
from yse_ingest.ysepz import Account, Timeouts, YsePz

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from tests.security.conftest import Hostile, Script

    Call = Callable[[Hostile, float], None]

ASK = Ask(Target("2019np", ra=157.3415, dec=29.5106667), Rules())
REQUEST: dict[str, Any] = {"header": {}, "transient": {}, "photheader": {}}
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOVED = b"HTTP/1.1 302 Found\r\n"
MEMORY_MAX = 400 * 2**20
"""The longest answer that is taken, as bytes, parts and values, and room for the rest [B]."""
PASSWORD = "never-tell-anyone"
PATIENCE_S = 20.0
DAY_S = 86400.0


def _peak() -> int:
    """Return the most memory that this process ever held [B]."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


BASE = _peak()


def _whole(head: bytes, body: bytes) -> bytes:
    return head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def _bomb(layers: int) -> bytes:
    """Return gzip of gzip of ... 256 MiB of blanks."""
    packer = zlib.compressobj(9, wbits=31)
    body = b"".join(packer.compress(b" " * 2**20) for _ in range(256)) + packer.flush()
    for _ in range(layers - 1):
        body = gzip.compress(body, 9)
    return body


def _slowly(part: bytes, *, first: bytes = b"") -> Script:
    def script(stopping: threading.Event) -> Iterator[bytes]:
        yield first
        while not stopping.wait(0.02):
            yield part

    return script


def _endlessly(part: bytes, *, first: bytes = b"") -> Script:
    return lambda _: itertools.chain([first], itertools.repeat(part))


def _says(answer: bytes) -> Script:
    return lambda _: [answer]


SCRIPTS: dict[str, Script] = {
    "a header that never ends": _slowly(b"x", first=OK + b"X-Long: "),
    "headers without end": _endlessly(b"X-More: 1\r\n" * 100, first=OK),
    "a status line that never ends": _slowly(b"x", first=b"HTTP/1.1 200 "),
    "continue for ever": _endlessly(b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "a moved page without end": _endlessly(
        b" " * 65536, first=MOVED + b"Location: http://elsewhere.invalid/\r\n\r\n"
    ),
    "a moved page that trickles": _slowly(
        b" ", first=MOVED + b"Location: http://elsewhere.invalid/\r\n\r\n"
    ),
    "moved to an address that is none": _says(_whole(MOVED + b"Location: http://[\r\n", b"")),
    "moved to bytes": _says(_whole(MOVED + b"Location: \xff\xfe\xfd\r\n", b"")),
    "moved to a port that is none": _says(_whole(MOVED + b"Location: //a:99999/\r\n", b"")),
    "a chunk size without end": _endlessly(b"0" * 65536, first=CHUNKED),
    "a chunk size that trickles": _slowly(b"0", first=CHUNKED),
    "a chunk size that is none": _says(CHUNKED + b"zz\r\n"),
    "a negative chunk size": _says(CHUNKED + b"-5\r\nhello"),
    "trailers without end": _endlessly(b"X: y\r\n" * 100, first=CHUNKED + b"0\r\n"),
    "one endless trailer": _endlessly(b"x" * 65536, first=CHUNKED + b"0\r\n"),
    "a body without end": _endlessly(b" " * 65536, first=OK + b"\r\n"),
    "an error page without end": _endlessly(
        b" " * 65536, first=b"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\n\r\n"
    ),
    "a gzip bomb": _says(_whole(OK + b"Content-Encoding: gzip\r\n", _bomb(1))),
    "a bomb of bombs": _says(_whole(OK + b"Content-Encoding: gzip, gzip, gzip\r\n", _bomb(3))),
    "too many encodings": _says(
        _whole(OK + b"Content-Encoding: " + b"gzip," * 40 + b"gzip\r\n", b"x")
    ),
    "gzip that is none": _says(_whole(OK + b"Content-Encoding: gzip\r\n", b"hello")),
    "an encoding nobody knows": _says(_whole(OK + b"Content-Encoding: zzz\r\n", b"hello")),
    "deep nesting": _says(_whole(OK, b"[" * 2_000_000)),
    "deep objects": _says(_whole(OK, b'{"a":' * 200_000 + b"1" + b"}" * 200_000)),
    "a number of 100 000 digits": _says(_whole(OK, b"[" + b"9" * 100_000 + b"]")),
    "a list of huge numbers": _says(_whole(OK, b"[" + b"9" * 4000 + b"," + b"1e999" + b"]")),
    "counts of 4000 digits": _says(
        _whole(OK, b'{"count": ' + b"9" * 4000 + b', "results": [' + b"9" * 4000 + b"]}")
    ),
    "a length of too many digits": _says(
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}"
    ),
    "a length that is none": _says(OK + b"Content-Length: -7\r\n\r\n{}"),
    "two lengths": _says(OK + b"Content-Length: 2, 99\r\n\r\n{}"),
    "a status of seven digits": _says(b"HTTP/1.1 9999999 Huh\r\n\r\n"),
    "a status 0": _says(b"HTTP/1.1 000 Huh\r\n\r\n"),
    "another protocol": _says(b"HTTP/9.9 200 OK\r\n\r\n[]"),
    "nothing at all": _says(b""),
    "bytes of zero": _endlessly(b"\0" * 65536),
    "text in UTF-16": _says(_whole(OK, "[]".encode("utf-16"))),
    "half a character": _says(_whole(OK, b'["\xc3')),
    "a lone surrogate": _says(_whole(OK, rb'{"message": "\ud800"}')),
    "wait for ever": _says(
        _whole(b"HTTP/1.1 503 Later\r\nRetry-After: " + b"9" * 400 + b"\r\n", b"")
    ),
    "wait until the year 99999": _says(
        _whole(b"HTTP/1.1 503 Later\r\nRetry-After: Mon, 1 Jan 99999 00:00:00 GMT\r\n", b"")
    ),
    "wait until the year 1": _says(
        _whole(b"HTTP/1.1 429 Later\r\nRetry-After: Mon, 1 Jan 0001 00:00:00 +2359\r\n", b"")
    ),
}


SLOW = {
    name
    for name in SCRIPTS
    if any(word in name for word in ("never ends", "trickle", "for ever", "trailers"))
}
"""Scripts that only time ends."""
SHORT_S, LONG_S = 0.15, 5.0


def _ask_source(hostile: Hostile, wait_s: float) -> None:
    source = build_source(
        "mars",
        {"MARS_URL": hostile.url},
        timeouts=SourceTimeouts(connect_s=1, get_s=wait_s, post_s=wait_s, fetch_s=2 * wait_s),
        sleep=lambda _: None,
    )
    try:
        (answer,) = source.fetch([ASK])
        if answer.error is not None:
            raise answer.error
    finally:
        source.close()


def _ask_ysepz(call: Callable[[YsePz], object]) -> Call:
    def ask(hostile: Hostile, wait_s: float) -> None:
        account = Account("ingest", PASSWORD)
        times = Timeouts(connect_s=1, read_s=wait_s)
        with YsePz(hostile.url, account, timeouts=times) as client:
            call(client)

    return ask


CALLS: dict[str, Call] = {
    "source": _ask_source,
    "upload": _ask_ysepz(lambda client: client.upload_photometry(REQUEST)),
    "names": _ask_ysepz(lambda client: client.transient_by_name("2019np")),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_whatever_a_server_does_ends_in_a_named_error(
    hostile: Hostile, script: str, call: str
) -> None:
    """Nothing but an error of ours comes out, in bounded time and memory, without a secret."""
    hostile.script = SCRIPTS[script]
    started = time.monotonic()
    with pytest.raises(YseIngestError) as caught:
        CALLS[call](hostile, SHORT_S if script in SLOW else LONG_S)

    assert time.monotonic() - started < PATIENCE_S
    assert _peak() < BASE + MEMORY_MAX
    assert len(str(caught.value)) < 1000
    assert (caught.value.retry_after or 0) <= DAY_S
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
