"""What can go wrong with a source, and what is said and done about it."""

from __future__ import annotations

import socket
import threading
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.sources.asking import one
from yse_ingest.errors import (
    SettingsError,
    SourceRefusedError,
    SourceReplyError,
    SourceUnavailableError,
    YseIngestError,
)
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.server import Reply, StandIn
from yse_ingest.sources import Status, Timeouts, build_source
from yse_ingest.sources.http import HttpClient
from yse_ingest.sources.mars import MarsSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.sources.asking import Question, Served, Shower
    from yse_ingest.sandbox.faults import FaultKind
    from yse_ingest.sandbox.server import Request
    from yse_ingest.sources import Answer, Source


KNOWN = {"since_ms": 0, "known_objects": ("ZTF19aacgslb",)}


def error_of(answer: Answer) -> YseIngestError:
    assert answer.error is not None
    return answer.error


@pytest.fixture
def client() -> Iterator[Callable[..., HttpClient]]:
    """Return a function that makes a client which never really waits."""
    clients = []

    def make(url: str, **options: Any) -> HttpClient:
        clients.append(HttpClient(url, service="MARS", **{"sleep": lambda _: None} | options))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


# No answer ------------------------------------------------------------------------------------


def test_a_host_that_does_not_resolve_says_what_became_of_mars(
    question: Question, waits: list[float]
) -> None:
    """A dead host is told from no data, at once, with what to configure instead."""
    source = build_source("mars", {"MARS_URL": "http://mars.lco.invalid"}, sleep=waits.append)

    answer = one(source, question())

    assert answer.status is Status.ERROR
    assert isinstance(answer.error, SourceUnavailableError)
    assert str(answer.error) == (
        "MARS: 2019np: the host mars.lco.invalid does not resolve. MARS was retired by its "
        "operator LCO, and mars.lco.global no longer resolves. Set MARS_URL to a server of "
        "your own that speaks MARS, or leave it unset to use ALeRCE."
    )
    assert waits == []


def test_a_refused_connection_is_tried_three_times(
    mars: MarsStandIn, ask_mars: Source, question: Question, waits: list[float]
) -> None:
    """A port on which nothing listens is tried again twice, then named."""
    mars.faults.add(Fault("refuse"))

    answer = one(ask_mars, question())

    port = mars.port
    assert str(answer.error) == (
        f"MARS: 2019np: nothing listens at 127.0.0.1:{port} (3 tries). "
        "It is asked again with the next cycle."
    )
    assert waits == [0.5, 1.0]


@pytest.mark.parametrize("kind", ["down", "drop_before", "cut"])
def test_a_lost_connection_is_tried_again(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    *,
    shower: Shower,
    waits: list[float],
    kind: FaultKind,
) -> None:
    """One lost connection costs a retry and nothing else."""
    shower(mars, count=150)
    mars.faults.add(Fault(kind, after_skip=1, times=1))

    answer = one(ask_mars, question())

    assert len(answer.alerts) == 150
    assert waits == [0.5]


def test_a_lost_connection_that_stays_lost_is_named(
    mars: MarsStandIn, ask_mars: Source, question: Question
) -> None:
    """Connections that are closed without a word, three times, are said to be."""
    mars.faults.add(Fault("down"))

    answer = one(ask_mars, question())

    assert error_of(answer).fact == "closed the connection without an answer (3 tries)"
    assert error_of(answer).retryable


def test_silence_ends_with_the_time_out(
    mars: MarsStandIn, question: Question, waits: list[float]
) -> None:
    """A server that says nothing is left after the time-out of the method."""
    mars.faults.add(Fault("hang", seconds=30))
    source = build_source(
        "mars",
        {"MARS_URL": mars.url},
        timeouts=Timeouts(get_s=0.1, post_s=0.2),
        sleep=waits.append,
    )

    answer = one(source, question())
    together = list(source.fetch([question(), question(name="other")]))

    assert error_of(answer).fact == "said nothing for 0.1 s (3 tries)"
    assert {error_of(each).fact for each in together} == {"said nothing for 0.2 s (3 tries)"}
    assert [error_of(each).target for each in together] == ["2019np", "other"]
    source.close()


def test_a_fetch_ends_in_time_whatever_happens(mars: MarsStandIn, question: Question) -> None:
    """All tries together never take longer than a fetch may."""
    mars.faults.add(Fault("hang", seconds=30))
    now = [0.0]
    http = HttpClient(
        mars.url,
        service="MARS",
        timeouts=Timeouts(get_s=0.05, fetch_s=2.0),
        retries=50,
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
        clock=lambda: now[0],
        jitter=lambda: 0.0,
    )

    answer = one(MarsSource(http), question())

    assert isinstance(answer.error, SourceUnavailableError)
    assert now[0] < 2.0
    http.close()


def test_a_trickle_does_not_outlast_the_fetch(question: Question) -> None:
    """A server that sends a byte now and then is left when the fetch has had its time."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def trickle() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            try:
                while not stop.wait(0.02):
                    connection.sendall(b"x" * 20)
            except OSError:
                return

    thread = threading.Thread(target=trickle)
    thread.start()
    source = build_source(
        "mars",
        {"MARS_URL": f"http://127.0.0.1:{listener.getsockname()[1]}"},
        timeouts=Timeouts(get_s=0.5, fetch_s=0.4),
    )
    try:
        answer = one(source, question())
    finally:
        stop.set()
        thread.join()
        listener.close()
        source.close()

    assert error_of(answer).fact == "was still answering after 0.4 s"


# "Later" --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_later_is_believed(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    *,
    shower: Shower,
    waits: list[float],
    status: int,
) -> None:
    """Answers that pass are tried again; the data arrive."""
    shower(mars, count=3)
    mars.faults.add(Fault("status", status=status, times=2))

    assert len(one(ask_mars, question()).alerts) == 3
    assert waits == [0.5, 1.0]


def test_retry_after_is_honoured(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    shower: Shower,
    waits: list[float],
) -> None:
    """Who asks us to wait gets the wait, in seconds or as a date."""
    shower(mars, count=3)
    mars.faults.add(Fault("status", headers={"Retry-After": "7"}, times=1))
    mars.faults.add(
        Fault("status", headers={"Retry-After": formatdate(0, usegmt=True)}, times=1)
    )

    assert len(one(ask_mars, question()).alerts) == 3
    assert waits == [7.0, 1.0]


@pytest.mark.parametrize("text", ["61", "3600"])
def test_a_long_retry_after_is_left_to_the_next_cycle(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    waits: list[float],
    text: str,
) -> None:
    """Nobody sits and waits for more than a minute; the error carries how long."""
    mars.faults.add(Fault("status", headers={"Retry-After": text}))

    answer = one(ask_mars, question())

    assert waits == []
    assert error_of(answer).retry_after == float(text)
    assert error_of(answer).fact == "answered 503"


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_no_is_believed(
    mars: MarsStandIn,
    ask_mars: Source,
    question: Question,
    *,
    waits: list[float],
    served: Served,
    status: int,
) -> None:
    """Answers that do not pass are not asked for again, and are no empty light curve."""
    mars.faults.add(Fault("status", status=status))

    answer = one(ask_mars, question())

    assert answer.status is Status.ERROR
    assert isinstance(answer.error, SourceRefusedError)
    assert str(answer.error).startswith(f"MARS: 2019np: answered {status}, text/html")
    assert waits == []
    served(mars, 1)


# Another answer -------------------------------------------------------------------------------


def test_garbage_is_shown_for_what_it_is(
    mars: MarsStandIn, ask_mars: Source, question: Question
) -> None:
    """A page of HTML with status 200 is no photometry; the message shows what came."""
    mars.faults.add(Fault("garbage"))

    answer = one(ask_mars, question())

    assert isinstance(answer.error, SourceReplyError)
    assert str(answer.error) == (
        "MARS: 2019np: answered something that is not JSON "
        "(200, text/html, 'Welcome It works!'). Check that its URL is the right one."
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"results": {}}', "format changed: field results is no list (200, application/json,"),
        ('{"result": []}', "format changed: field results missing"),
        ("[1, 2]", "answered no list of results"),
        ("null", "answered no list of results"),
        ("", "not JSON"),
        ('{"results": [', "not JSON"),
        ("9" * 5000, "not JSON"),
        ("\udcff", "not JSON"),
    ],
)
def test_strange_bodies_are_errors_of_the_source(
    question: Question, waits: list[float], body: str, said: str
) -> None:
    """Whatever a body holds, it is named, and nothing crashes."""

    class Strange(StandIn):
        def handle(self, request: Request) -> Reply:
            return Reply(200, body.encode(errors="surrogateescape"))

    with Strange() as server:
        source = build_source("mars", {"MARS_URL": server.url})
        for asks in ([question()], [question(), question(name="b")]):
            for answer in source.fetch(asks):
                assert isinstance(answer.error, SourceReplyError)
                assert said in str(answer.error)
        source.close()


def test_strange_rows_are_refused_one_by_one(question: Question) -> None:
    """Rows that are no alerts are refused, each for itself."""

    class Strange(StandIn):
        def handle(self, request: Request) -> Reply:
            rows: list[Any] = [None, 3, "x", [], {}, {"candidate": []}, {"candid": True}]
            return Reply.json({"results": rows})

    with Strange() as server:
        source = build_source("mars", {"MARS_URL": server.url})
        answer = one(source, question(**KNOWN))
        source.close()

    assert answer.status is Status.EMPTY
    assert len(answer.refused) == 7


def test_a_filter_that_is_ignored_is_noticed(
    mars: MarsStandIn, question: Question, shower: Shower
) -> None:
    """Whole-sky data for a cone, or other objects for an object id, are never taken."""

    class Deaf(MarsStandIn):
        def handle(self, request: Request) -> Reply:
            request.query[:] = [pair for pair in request.query if pair[0] == "format"]
            return super().handle(request)

    with Deaf() as server:
        for number in range(30):
            shower(server, f"ZTF{number}", count=1, ra=10.0 * number)
        source = build_source("mars", {"MARS_URL": server.url})
        by_cone = one(source, question())
        by_id = one(source, question(ra=None, dec=None, object_id="ZTF7"))
        source.close()

    assert isinstance(by_cone.error, SourceReplyError)
    assert error_of(by_cone).fact.startswith(
        "answered without the filter: 30 of 30 rows lie outside the cone"
    )
    assert error_of(by_id).fact == (
        "answered without the filter: 29 of 30 rows are of other objects than ZTF7"
    )


def test_a_reply_that_never_ends_is_given_up(
    mars: MarsStandIn,
    question: Question,
    shower: Shower,
    client: Callable[..., HttpClient],
) -> None:
    """Full pages without an end are stopped by a cap, with what to do."""

    class Endless(MarsStandIn):
        def handle(self, request: Request) -> Reply:
            request.query[:] = [pair for pair in request.query if pair[0] != "page"]
            return super().handle(request)

    with Endless() as server:
        shower(server, count=100)
        answer = one(MarsSource(client(server.url), pages_max=3), question())

    assert str(answer.error).startswith("MARS: 2019np: has more than 300 rows for one query")
    assert str(answer.error).endswith("Make the cone smaller.")


def test_a_body_beyond_the_cap_is_not_read_to_its_end(
    mars: MarsStandIn,
    question: Question,
    shower: Shower,
    client: Callable[..., HttpClient],
) -> None:
    """A body that is too long is left, and a batch that is too long is halved."""
    for number in range(4):
        shower(mars, f"ZTF{number}", count=20, ra=10.0 * number)
    source = MarsSource(client(mars.url, body_cap=150_000))
    asks = [question(name=f"t{number}", ra=10.0 * number) for number in range(4)]

    assert all(len(answer.alerts) == 20 for answer in source.fetch(asks))

    small = MarsSource(client(mars.url, body_cap=2**15))
    assert error_of(one(small, asks[0])).fact == "answered more than 0.03125 MB"


def test_an_answer_without_our_ids_is_asked_for_one_by_one(
    mars: MarsStandIn, question: Question, shower: Shower
) -> None:
    """Where a server does not repeat the ids of the queries, each target gets a GET."""

    class Forgetful(MarsStandIn):
        def handle(self, request: Request) -> Reply:
            reply = super().handle(request)
            if request.method == "POST":
                reply.body = reply.body.replace(b'"id":', b'"was":')
            return reply

    with Forgetful() as server:
        shower(server, count=3)
        source = build_source("mars", {"MARS_URL": server.url})
        answers = list(source.fetch([question(), question(name="b", ra=1.0)]))
        source.close()

    assert [len(answer.alerts) for answer in answers] == [3, 0]


# Redirects, credentials, addresses ------------------------------------------------------------


class Mover(StandIn):
    """Redirects everything below /old to where it is told."""

    def __init__(self, target: str, status: int = 301) -> None:
        super().__init__()
        self.target, self.status = target, status

    def handle(self, request: Request) -> Reply:
        """Redirect, or answer an empty list."""
        if request.path.startswith("/old"):
            target = self.target.replace("HERE", self.url)
            return Reply(self.status, headers={"Location": target})
        return Reply.json({"results": []})


def test_redirects_on_the_same_host_are_followed(question: Question) -> None:
    """A redirect within the host is followed, query and all."""
    with Mover("HERE/new/") as server:
        source = build_source("mars", {"MARS_URL": f"{server.url}/old"})
        assert one(source, question()).status is Status.EMPTY
        source.close()


@pytest.mark.parametrize("target", ["http://localhost.invalid/new/", "ftp://127.0.0.1/"])
def test_redirects_to_another_host_are_not_followed(question: Question, target: str) -> None:
    """Nobody is led away to another host; the message says where to."""
    with Mover(target) as server:
        source = build_source("mars", {"MARS_URL": f"{server.url}/old"})
        answer = one(source, question())
        source.close()

    assert isinstance(answer.error, SourceRefusedError)
    assert str(answer.error).endswith("If it has moved there, set its URL to that address.")


def test_a_redirect_that_would_lose_the_question_is_refused(
    question: Question,
) -> None:
    """A POST is not turned into a GET on the way."""
    with Mover("HERE/new/", status=302) as server:
        source = build_source("mars", {"MARS_URL": f"{server.url}/old"})
        answers = list(source.fetch([question(), question(name="b")]))
        source.close()

    assert all(isinstance(answer.error, SourceRefusedError) for answer in answers)


def test_redirects_in_a_circle_end(question: Question) -> None:
    """Three redirects are enough."""
    with Mover("HERE/old/again") as server:
        source = build_source("mars", {"MARS_URL": f"{server.url}/old"})
        assert error_of(one(source, question())).fact == "redirects more than 3 times"
        source.close()


def test_no_credentials_leave_this_machine(
    mars: MarsStandIn,
    question: Question,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What ~/.netrc holds for the host is not sent; we say who we are."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen = []

    class Listening(MarsStandIn):
        def handle(self, request: Request) -> Reply:
            seen.append((request.headers.get("Authorization"), request.headers["User-Agent"]))
            return super().handle(request)

    with Listening() as server:
        assert requests.get(server.url, timeout=5).ok
        source = build_source("mars", {"MARS_URL": server.url})
        one(source, question())
        source.close()

    assert str(seen[0][0]).startswith("Basic")
    assert seen[1] == (None, "yse_ingest/0.1.0")


@pytest.mark.parametrize(
    ("url", "fact"),
    [
        ("", "MARS_URL is not set"),
        ("mars.example.org", "the URL of MARS is no http or https address"),
        ("ftp://mars.example.org", "the URL of MARS is no http or https address"),
        ("http://[::1", "the URL of MARS is no http or https address"),
        ("http://host:99999", "the URL of MARS is no http or https address"),
        ("https://me:secret@mars.example.org", "the URL of MARS holds credentials"),
    ],
)
def test_an_address_that_cannot_work_is_refused_at_once(url: str, fact: str) -> None:
    """A wrong address is a setting at fault; credentials in it are not repeated."""
    with pytest.raises(SettingsError) as caught:
        build_source("mars", {"MARS_URL": url})

    assert caught.value.fact == fact
    assert "secret" not in str(caught.value)


def test_an_unknown_source_is_named_with_the_known_ones() -> None:
    """A source that does not exist is refused with those that do."""
    with pytest.raises(SettingsError, match=r"there is no source 'nowhere'.*alerce, .*mars"):
        build_source("nowhere")


def test_each_thread_has_its_own_connection_and_uses_it_again(
    mars: MarsStandIn, client: Callable[..., HttpClient]
) -> None:
    """Requests of one thread share a connection; threads do not share one."""
    http = client(mars.url, concurrency=4)
    barrier = threading.Barrier(3)
    sessions = []

    def ask() -> None:
        for _ in range(3):
            http.get("", {"format": "json"}, deadline=http.deadline())
        sessions.append(http._session())
        barrier.wait()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(session) for session in sessions}) == 3
    assert mars.max_in_flight <= 3


def test_no_more_requests_at_a_time_than_allowed(
    mars: MarsStandIn, client: Callable[..., HttpClient]
) -> None:
    """Threads beyond the allowed number wait for their turn."""
    mars.faults.add(Fault("slow", seconds=0.1))
    http = client(mars.url, concurrency=1)

    def ask() -> None:
        http.get("", {"format": "json"}, deadline=http.deadline())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mars.max_in_flight == 1
    assert len(mars.log) == 3


def test_a_turn_that_does_not_come_in_time_is_told(
    mars: MarsStandIn, client: Callable[..., HttpClient]
) -> None:
    """Who waited in vain says so, and was not sent."""
    mars.faults.add(Fault("slow", seconds=1.0))
    http = client(mars.url, concurrency=1)
    first = threading.Thread(
        target=lambda: http.get("", {"format": "json"}, deadline=http.deadline())
    )
    first.start()
    while mars.max_in_flight < 1:
        time.sleep(0.01)
    with pytest.raises(SourceUnavailableError, match="other questions"):
        http.get("", {"format": "json"}, deadline=time.monotonic() + 0.1)
    first.join()
    assert len(mars.log) == 1
