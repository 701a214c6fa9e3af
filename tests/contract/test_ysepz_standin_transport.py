"""The stand-in YSE-PZ: logins, bodies, the debug page, and the machinery of its workers."""

from __future__ import annotations

import gzip
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.ysepz import YsePzStandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.contract.conftest import Uploader


def wait_until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


# Answers --------------------------------------------------------------------------------------


def test_success_is_one_fixed_body(uploader: Uploader) -> None:
    """An upload that did not crash is answered by 22 bytes that say nothing else."""
    response = uploader.add(uploader.transient("2020abc", uploader.point()))

    assert response.status_code == 200
    assert response.content == b'{"message": "success"}'
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_content_type_is_ignored(uploader: Uploader, kind: str) -> None:
    """The body is read as JSON whatever it claims to be."""
    body = json.dumps({"2020abc": uploader.transient("2020abc")})

    response = uploader.post("/add_transient/", data=body, headers={"Content-Type": kind})

    assert response.status_code == 200
    assert uploader.server.transients() == ["2020abc"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/add_transient/", 200),
        ("POST", "/add_transient/whatever", 200),
        ("GET", "/add_transient/", 500),
        ("GET", "/add_transient", 301),
        ("GET", "/api/transients", 301),
        ("GET", "/download_data/2019np", 301),
        ("GET", "/transient_summary/1/", 302),
        ("GET", "/nonsense/", 404),
    ],
)
def test_methods_and_slashes(uploader: Uploader, method: str, path: str, status: int) -> None:
    """PUT is POST, anything after the prefix works, a GET without its slash moves."""
    response = requests.request(
        method,
        uploader.server.url + path,
        data="{}" if method != "GET" else None,
        auth=uploader.auth,
        allow_redirects=False,
        timeout=5,
    )

    assert response.status_code == status


@pytest.mark.parametrize("path", ["/add_transient", "/add_transient_phot", "/api/transients"])
def test_post_without_its_slash_crashes(uploader: Uploader, path: str) -> None:
    """A body cannot be redirected."""
    response = uploader.post(path, json={})

    assert uploader.raised(response) == "RuntimeError"


def test_debug_page(uploader: Uploader) -> None:
    """A 500 is 64 kB of HTML or more that names the exception and dumps what was posted."""
    response = uploader.post("/add_transient/", json={"a": {"dec": 12.345}})

    assert uploader.raised(response) == "KeyError"
    assert uploader.message(response) == "'name'"
    assert len(response.content) >= 64_000
    assert response.headers["Content-Type"].startswith("text/html")
    assert "12.345" in response.text


def test_debug_page_in_plain_text(uploader: Uploader) -> None:
    """A client that accepts JSON and no HTML gets the 500 as plain text."""
    response = uploader.post(
        "/add_transient/", json={"a": {}}, headers={"Accept": "application/json"}
    )

    assert response.status_code == 500
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.text.startswith("KeyError at /add_transient/\n'name'\n\n")


def test_bare_page(uploader: Uploader) -> None:
    """Where debug is off every exception is one page of Django's, which says nothing of it."""
    uploader.server.debug = False

    asked = {"Accept": "application/json"}
    failed = uploader.post("/add_transient/", json={"a": {"dec": 12.345}}, headers=asked)
    unslashed = uploader.post("/add_transient", json={})
    uploader.server.faults.add(Fault("error_before", times=1))
    away = uploader.post("/add_transient/", json={})

    for response in (failed, unslashed, away):
        assert response.status_code == 500
        assert response.headers["Content-Type"].startswith("text/html")
        assert "<h1>Server Error (500)</h1>" in response.text
        assert len(response.content) < 300


# Logins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "status", "text"),
    [
        (None, 403, "Incorrect user credentials"),
        ("Basic aW5nZXN0Ondyb25n", 403, "Incorrect user credentials."),
        ("Basic bm9ib2R5OnNhbmRib3gtb25seQ==", 403, "Incorrect user credentials."),
        ("bAsIc aW5nZXN0OnNhbmRib3gtb25seQ==", 200, '{"message": "success"}'),
        ("Token abc", 401, ""),
        ("Bearer abc", 401, ""),
    ],
)
def test_upload_logins(uploader: Uploader, header: str | None, status: int, text: str) -> None:
    """Uploads answer a wrong login by 403 and another scheme by an empty 401."""
    headers = {} if header is None else {"Authorization": header}

    response = uploader.post("/add_transient/", data="{}", headers=headers, auth=None)

    assert (response.status_code, response.text) == (status, text)
    if status == 401:
        assert response.headers["WWW-Authenticate"] == "Basic"


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic aW5nZXN0"])
def test_malformed_logins_crash(uploader: Uploader, header: str) -> None:
    """A login without credentials, or without a colon in them, is a 500."""
    response = uploader.post(
        "/add_transient/", data="{}", headers={"Authorization": header}, auth=None
    )

    assert uploader.raised(response) == "ValueError"


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, "Authentication credentials were not provided."),
        ("Token abc", "Authentication credentials were not provided."),
        ("Basic aW5nZXN0Ondyb25n", "Invalid username/password."),
    ],
)
def test_api_logins(uploader: Uploader, header: str | None, detail: str) -> None:
    """Below /api/ a wrong login is a 401 in JSON."""
    headers = {} if header is None else {"Authorization": header}

    response = uploader.get("/api/transients/", headers=headers, auth=None)

    assert response.status_code == 401
    assert response.json() == {"detail": detail}


# Bodies ---------------------------------------------------------------------------------------

GOOD = json.dumps(
    {"x": {"name": "x", "ra": 1.0, "dec": 2.0, "status": "New", "obs_group": "ZTF"}}
).encode()


def chunks() -> Iterator[bytes]:
    yield GOOD[:20]
    yield GOOD[20:]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(GOOD[:-1], id="cut"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, id="byte order mark"),
        pytest.param(GOOD.replace(b"ZTF", b"\xff\xfe"), id="not UTF-8"),
        pytest.param(gzip.compress(GOOD), id="gzip"),
        pytest.param(chunks, id="chunked"),
        pytest.param(GOOD.replace(b"1.0", b"NaN"), id="NaN"),
        pytest.param(GOOD.replace(b"1.0", b"-Infinity"), id="Infinity"),
    ],
)
def test_bodies_that_are_no_strict_json(uploader: Uploader, body: Any) -> None:
    """Each is refused whole by a 500, and nothing is written."""
    data = body() if callable(body) else body

    response = uploader.post("/add_transient/", data=data)

    assert uploader.raised(response) == "ParseError"
    assert uploader.server.transients() == []


@pytest.mark.parametrize("body", ["{}", '{"noupdatestatus": true}', '{"TNS": true}'])
def test_empty_objects_succeed(uploader: Uploader, body: str) -> None:
    """Nothing to do is a success."""
    assert uploader.post("/add_transient/", data=body).json() == {"message": "success"}


def test_a_list_crashes(uploader: Uploader) -> None:
    """The top level must be an object."""
    assert uploader.raised(uploader.post("/add_transient/", data="[]")) == "AttributeError"


def test_of_a_duplicate_key_the_last_wins(uploader: Uploader) -> None:
    """As in any JSON parser; the first transient is never seen."""
    body = b'{"x": 1, ' + GOOD[1:]

    assert uploader.post("/add_transient/", data=body).status_code == 200
    assert uploader.server.transients() == ["x"]


# Workers and faults ---------------------------------------------------------------------------


def test_the_third_client_waits_for_a_worker() -> None:
    """Two workers handle two requests at a time; the rest wait in the queue, not refused."""
    with YsePzStandIn(workers=2) as server:
        server.faults.add(Fault("slow", path="^/api", seconds=0.2))
        auth = ("ingest", "sandbox-only")
        threads = [
            threading.Thread(
                target=requests.get,
                args=(f"{server.url}/api/groups/",),
                kwargs={"auth": auth, "timeout": 5},
            )
            for _ in range(5)
        ]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        wait_until(lambda: server.state()["waiting"] == 3)
        for thread in threads:
            thread.join()
        took = time.monotonic() - began

        assert server.max_in_flight == 2
        assert 0.6 <= took < 2.0
        assert [entry.status for entry in server.log] == [200] * 5


def test_a_request_goes_on_after_its_client_left(uploader: Uploader, np2019: int) -> None:
    """The server does not notice that nobody waits any more; the points are stored."""
    server = uploader.server
    server.real_cost = 1.0

    with pytest.raises(requests.ReadTimeout):
        uploader.phot("2019np", uploader.point(), timeout=0.05)
    wait_until(lambda: server.log)

    assert server.log[-1].client_gone
    assert len(server.rows("2019np")) == 1


def test_the_worker_limit_leaves_what_was_written(uploader: Uploader, np2019: int) -> None:
    """A request that takes too long ends in a misleading 500; the points before it stay."""
    server = uploader.server
    server.add_photometry(
        "2019np",
        [
            uploader.point(f"2019-03-01T{n // 60:02d}:{n % 60:02d}:00", mag=18)
            for n in range(300)
        ],
    )
    server.real_cost, server.worker_limit_s = 1.0, 0.8
    points = [uploader.point(f"2019-02-{day:02d}T06:00:00") for day in range(1, 29)]

    began = time.monotonic()
    response = uploader.phot("2019np", *points)
    took = time.monotonic() - began

    assert uploader.raised(response) == "ValueError"
    assert "isot" in uploader.message(response)
    assert 0.7 < took < 1.6
    stored = len(server.rows("2019np")) - 300
    assert 0 < stored < 28


def test_a_hanging_mail_server_drops_the_connection(uploader: Uploader) -> None:
    """The worker is killed while it is blocked on the mail: no reply at all, nothing stored."""
    server = uploader.server
    server.smtp, server.worker_limit_s = "hang", 0.3

    with pytest.raises(requests.ConnectionError):
        uploader.add(uploader.transient("x", uploader.point(), status="nonsense"))

    assert server.transients() == []


@pytest.mark.parametrize(
    ("fault", "seen", "stored"),
    [
        (Fault("down"), requests.ConnectionError, 0),
        (Fault("drop_before"), requests.ConnectionError, 0),
        (Fault("drop_after"), requests.ConnectionError, 1),
        (Fault("cut"), requests.exceptions.ChunkedEncodingError, 1),
        (Fault("hang", seconds=0.1), requests.ConnectionError, 0),
        (Fault("error_before"), 500, 0),
        (Fault("error_after"), 500, 1),
        (Fault("status", status=503, headers={"Retry-After": "7"}), 503, 0),
        (Fault("status", status=413, body="<h1>Too Large</h1>"), 413, 0),
        (Fault("garbage"), 200, 0),
        (Fault("truncated"), 200, 1),
        (Fault("slow", seconds=0.1), 200, 1),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else None,
)
def test_faults(
    uploader: Uploader, np2019: int, fault: Fault, seen: type[Exception] | int, stored: int
) -> None:
    """Each fault shows the client what it promises, and executes the request or does not."""
    server = uploader.server
    server.faults.add(fault)

    if isinstance(seen, int):
        response = uploader.phot("2019np", uploader.point())
        assert response.status_code == seen
        if fault.headers:
            assert response.headers["Retry-After"] == "7"
        if fault.kind in ("garbage", "truncated"):
            with pytest.raises(requests.JSONDecodeError):
                response.json()
    else:
        with pytest.raises(seen):
            uploader.phot("2019np", uploader.point())
    wait_until(lambda: server.log)

    assert len(server.rows("2019np")) == stored
    assert server.log[-1].fault == fault.kind


def test_a_refused_connection(uploader: Uploader) -> None:
    """The listening socket is closed for as long as the fault lasts, and the port is kept."""
    server = uploader.server
    server.faults.add(Fault("refuse"))

    with pytest.raises(requests.ConnectionError, match="refused"):
        uploader.get("/api/groups/")
    server.faults.clear()

    assert uploader.get("/api/groups/").status_code == 200


def test_faults_are_counted_and_chosen_by_path(uploader: Uploader) -> None:
    """`after_skip` lets requests pass first, `times` ends the fault, `path` limits it."""
    uploader.server.faults.add(
        Fault("status", path="^/api/groups", status=503, after_skip=1, times=2)
    )

    seen = [uploader.get("/api/groups/").status_code for _ in range(4)]
    elsewhere = uploader.get("/api/dataquality/").status_code

    assert seen == [200, 503, 503, 200]
    assert elsewhere == 200


def test_control_over_http(uploader: Uploader) -> None:
    """Faults, log and counters are reached from another process, while every worker hangs."""
    url = uploader.server.url
    fault = {"kind": "slow", "seconds": 0.3, "path": "^/api", "times": 2}
    made = requests.post(f"{url}/_sandbox/faults", json=fault, timeout=5)
    refused = requests.post(f"{url}/_sandbox/faults", json={"kind": "flood"}, timeout=5)
    threads = [threading.Thread(target=uploader.get, args=("/api/groups/",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: uploader.server.in_flight == 2)
    state = requests.get(f"{url}/_sandbox/state", timeout=5).json()
    for thread in threads:
        thread.join()
    entries = requests.get(f"{url}/_sandbox/requests", timeout=5).json()["requests"]
    requests.delete(f"{url}/_sandbox/requests", timeout=5)
    requests.delete(f"{url}/_sandbox/faults", timeout=5)

    assert made.status_code == 201
    assert refused.status_code == 400
    assert "flood" in refused.json()["detail"]
    assert state["in_flight"] == 2
    assert [(one["path"], one["fault"]) for one in entries] == [("/api/groups/", "slow")] * 2
    assert list(uploader.server.log) == []
    assert len(uploader.server.faults) == 0


def test_uploads_in_flight_are_counted_by_transient(uploader: Uploader, np2019: int) -> None:
    """Whoever uploads one transient twice at a time is found out."""
    uploader.server.real_cost = 1.0
    threads = [
        threading.Thread(target=uploader.phot, args=("2019np", uploader.point()))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert uploader.server.max_in_flight_by_key["2019np"] == 2


def test_a_page_for_people(uploader: Uploader, np2019: int) -> None:
    """The front page lists transients; a transient's page draws what is stored, escaped."""
    server = uploader.server
    server.add_transient("<i>odd</i>", 10.0, 10.0, slug="odd")
    server.add_photometry("2019np", [uploader.point(), uploader.point(band="r-ZTF", mag=None)])

    front = requests.get(server.url, timeout=5).text
    page = requests.get(f"{server.url}/transient_detail/2019np/", timeout=5)
    missing = requests.get(f"{server.url}/transient_detail/nope/", timeout=5)

    assert '<a href="/transient_detail/2019np/">2019np</a>' in front
    assert "&lt;i&gt;odd&lt;/i&gt;" in front
    assert page.text.count("<circle") == 1
    assert "17.500 ± 0.050" in page.text
    assert missing.status_code == 404
