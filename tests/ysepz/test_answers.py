from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.errors import (
    CredentialsError,
    OutcomeUnknownError,
    RequestTooLargeError,
    UploadRefusedError,
    YsePzReplyError,
    YsePzUnavailableError,
)
from yse_ingest.sandbox.faults import Fault
from yse_ingest.sandbox.ysepz.errors import BARE_PAGE
from yse_ingest.ysepz import Account, Timeouts
from yse_ingest.ysepz.answers import AnswerReader, server_exception
from yse_ingest.ysepz.http import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from yse_ingest.sandbox.ysepz import YsePzStandIn
    from yse_ingest.ysepz import YsePz

REQUEST: dict[str, Any] = {"header": {}, "transient": {}, "photheader": {}}


def django_text(title: str, value: str) -> str:
    return f"{title} at /add_transient_phot/\n{value}\n\nRequest Method: POST\nsecret settings"


def django_html(title: str, value: str) -> str:
    return (
        f"<!DOCTYPE html><html><head><title>{title}\n          at /add_transient/</title>"
        f'</head><body><pre class="exception_value">{value}</pre>'
        f"<table>{'secret settings ' * 9000}</table></body></html>"
    )


@pytest.fixture(name="answering")
def _answering(server: YsePzStandIn) -> Callable[..., None]:
    def answering(status: int, body: str = "", **options: object) -> None:
        headers = options.pop("headers", {})
        server.faults.add(
            Fault("status", status=status, body=body, headers=headers, **options)  # type: ignore[arg-type]
        )

    return answering


def test_only_success_is_success(client: YsePz, answering: Callable[..., None]) -> None:
    """The exact answer of YSE-PZ accepts, and shows how long it took."""
    answering(200, '{"message": "success"}')
    answer = client.upload_photometry(REQUEST)
    assert isinstance(answer, Answer)
    assert answer.seconds > 0


@pytest.mark.parametrize(
    "message", ["status Follow is not in DB", "group X is not in DB", "Success", ""]
)
def test_200_that_refuses(client: YsePz, answering: Callable[..., None], message: str) -> None:
    """A 200 with any other message is a refusal that quotes it; nothing was written."""
    answering(200, json.dumps({"message": message}))
    with pytest.raises(UploadRefusedError) as caught:
        client.upload_photometry(REQUEST)
    assert message in str(caught.value)
    assert not caught.value.partial


@pytest.mark.parametrize(
    "body",
    [
        "<html>It works!</html>",
        "",
        "null",
        "[]",
        '{"message": "success", "more": 1}{',
        '{"message": 1}',
        "\ufeff",
    ],
)
def test_200_that_is_not_ysepz(
    client: YsePz, answering: Callable[..., None], body: str
) -> None:
    """A 200 that is no answer of YSE-PZ leaves open what became of the request."""
    answering(200, body)
    with pytest.raises(OutcomeUnknownError, match="read back"):
        client.add_transient({})


@pytest.mark.parametrize(
    ("status", "body", "seconds", "bare"),
    [
        (500, BARE_PAGE, 0.1, True),
        (500, BARE_PAGE, 9.0, False),
        (500, "<h1>Internal Server Error</h1>", 0.1, False),
        (500, "", 0.1, False),
        (502, BARE_PAGE, 0.1, False),
        (504, BARE_PAGE, 0.1, False),
    ],
)
def test_a_bare_page_that_comes_at_once(
    status: int, body: str, seconds: float, bare: bool
) -> None:
    """Only Django's own page, and only at once, may be the fault of what was sent."""
    answer = Answer("POST /add_transient_phot/", status, {}, body.encode(), seconds)
    with pytest.raises(OutcomeUnknownError) as caught:
        AnswerReader(Account("ingest", "sandbox-only"), slow_s=8.0).accept(answer, now=0.0)
    assert caught.value.bare is bare


@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_other_good_answers_prove_nothing(
    client: YsePz, answering: Callable[..., None], status: int
) -> None:
    """YSE-PZ accepts with 200 alone; another 2xx is somebody else's."""
    answering(status, '{"message": "success"}' if status != 204 else "")
    with pytest.raises(OutcomeUnknownError):
        client.upload_photometry(REQUEST)


@pytest.mark.parametrize("status", [401, 403])
def test_credentials(client: YsePz, answering: Callable[..., None], status: int) -> None:
    """401 and 403 name the account, its origin and the remedy, not the password."""
    for call in (lambda: client.upload_photometry(REQUEST), client.check_login):
        answering(status, "Incorrect user credentials.", times=1)
        with pytest.raises(CredentialsError) as caught:
            call()
        text = str(caught.value)
        assert "'ingest'" in text
        assert "YSE_PZ_USERNAME" in text
        assert f"HTTP {status}" in text
        assert "sandbox-only" not in text


def test_wrong_password_end_to_end(make_client: Callable[..., YsePz]) -> None:
    """A wrong password is told from the real answers of both kinds of address."""
    client = make_client(account=Account("ingest", "wrong", origin="~/.netrc"))
    with pytest.raises(CredentialsError, match=r"from ~/\.netrc"):
        client.check_login()
    with pytest.raises(CredentialsError):
        client.upload_photometry(REQUEST)


def test_password_of_other_letters(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """A password outside latin-1 goes out as UTF-8, and so it is refused, not mangled."""
    client = make_client(account=Account("ingest", "sch\u00f6n\u2605"))
    with pytest.raises(CredentialsError):
        client.check_login()
    assert server.log[-1].status == 401


def test_too_large(client: YsePz, answering: Callable[..., None]) -> None:
    """413 says that the request has to be cut."""
    answering(413, "<html><h1>413 Request Entity Too Large</h1></html>")
    with pytest.raises(RequestTooLargeError, match="halves"):
        client.upload_photometry(REQUEST)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("Mon, 23 Nov 2026 09:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 08:00:00 GMT", 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_unavailable(
    make_client: Callable[..., YsePz],
    answering: Callable[..., None],
    status: int,
    header: str,
    seconds: float | None,
) -> None:
    """429 and 503 prove that nothing was written; Retry-After is a number or a date."""
    now = 1795424400.0  # 2026-11-23T09:00:00Z
    client = make_client(clock=lambda: now)
    answering(status, headers={"Retry-After": header} if header else {})
    with pytest.raises(YsePzUnavailableError) as caught:
        client.upload_photometry(REQUEST)
    assert caught.value.retry_after == seconds
    assert caught.value.retryable


@pytest.mark.parametrize("status", [500, 501, 502, 504, 520, 599])
def test_server_errors_that_are_not_djangos(
    client: YsePz, answering: Callable[..., None], status: int
) -> None:
    """A gateway's error leaves open whether the worker behind it goes on; 504s did."""
    answering(status, "<html><h1>Bad Gateway</h1></html>")
    with pytest.raises(OutcomeUnknownError, match=f"HTTP status {status}"):
        client.upload_photometry(REQUEST)


@pytest.mark.parametrize("page", [django_text, django_html])
def test_quick_500_is_a_refusal(
    client: YsePz, answering: Callable[..., None], page: Callable[[str, str], str]
) -> None:
    """Django's own page names its exception; earlier points may stand, and no page is shown."""
    answering(500, page("ValidationError", "[&quot;5&quot; value must be True or False.]"))
    with pytest.raises(UploadRefusedError, match="ValidationError: ") as caught:
        client.upload_photometry(REQUEST)
    text = str(caught.value)
    assert caught.value.partial
    assert "value must be True or False" in text
    assert "secret" not in text
    assert len(text) < 600


def test_exception_text_is_shortened(client: YsePz, answering: Callable[..., None]) -> None:
    """At most 300 characters of an exception are shown, on one line."""
    answering(500, django_html("ValueError", "x\n" * 5000))
    with pytest.raises(UploadRefusedError) as caught:
        client.upload_photometry(REQUEST)
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_slow_500_is_a_time_out_whatever_it_says(
    server: YsePzStandIn, make_client: Callable[..., YsePz]
) -> None:
    """The page of a killed worker shows a misleading exception (trap of the 30 s limit)."""
    client = make_client(timeouts=Timeouts(connect_s=2, read_s=5, slow_s=0.2))
    server.worker_limit_s = 0.3
    server.faults.add(Fault("slow", path="add_transient", seconds=5))
    with pytest.raises(OutcomeUnknownError, match=r"add_transient_phot"):
        client.upload_photometry(REQUEST)


@pytest.mark.parametrize(
    ("title", "value"),
    [
        ("IntegrityError", "(1062, \"Duplicate entry 'sn' for key 'slug'\")"),
        ("MultipleObjectsReturned", "get() returned more than one Transient"),
        ("OperationalError", "(1213, 'Deadlock found when trying to get lock')"),
        ("OperationalError", "(2006, 'MySQL server has gone away')"),
        ("SystemExit", "1"),
    ],
)
def test_races_are_unclear(
    client: YsePz, answering: Callable[..., None], title: str, value: str
) -> None:
    """What tells of a race or of a busy database says nothing about our request."""
    answering(500, django_text(title, value))
    with pytest.raises(OutcomeUnknownError, match=title):
        client.upload_photometry(REQUEST)


def test_mail_down(client: YsePz, answering: Callable[..., None]) -> None:
    """ConnectionRefusedError on the page is YSE-PZ's mail, and a name that it does not know."""
    answering(500, django_text("ConnectionRefusedError", "[Errno 111] Connection refused"))
    with pytest.raises(UploadRefusedError, match="mail server is down"):
        client.add_transient({})


def test_mail_down_end_to_end(server: YsePzStandIn, client: YsePz) -> None:
    """An unknown name with the mail down is refused for the mail, and nothing is stored."""
    server.smtp = "refused"
    row = {"name": "new", "ra": 1.0, "dec": 1.0, "status": "Nope", "obs_group": "ZTF"}
    with pytest.raises(UploadRefusedError, match="mail server is down"):
        client.add_transient({"noupdatestatus": True, "new": row})


def test_name_is_gone(server: YsePzStandIn, client: YsePz) -> None:
    """An upload to a name that is gone is told from KeyError 'ra', and wrote nothing."""
    request = {
        "header": {"clobber": False, "mjdmatchmin": 1e-4},
        "transient": {"name": "2019zz", "status": "New"},
        "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": None},
    }
    with pytest.raises(UploadRefusedError, match="no transient has this name") as caught:
        client.upload_photometry(request)
    assert caught.value.field == "name"
    assert not caught.value.partial
    assert len(server.transients()) == 1


def test_bad_point_is_partial(server: YsePzStandIn, client: YsePz) -> None:
    """A point that stops the request leaves those before it, and the refusal says so."""
    point = {
        "obs_date": "2019-01-01T10:00:00.000",
        "mag": 17.0,
        "mag_err": 0.05,
        "band": "g-ZTF",
        "data_quality": None,
        "diffim": 1,
        "flux": None,
        "flux_err": None,
        "flux_zero_point": None,
        "forced": 0,
        "discovery_point": 0,
    }
    request = {
        "header": {"clobber": False, "mjdmatchmin": 1e-4},
        "transient": {"name": "2019np", "status": "Following"},
        "photheader": {"instrument": "ZTF-Cam", "obs_group": "ZTF", "groups": None},
        "0": point,
        "1": {**point, "obs_date": "2019-01-02T10:00:00+00:00"},
    }
    with pytest.raises(UploadRefusedError) as caught:
        client.upload_photometry(request)
    assert caught.value.partial
    assert len(server.rows("2019np")) == 1


@pytest.mark.parametrize(
    ("status", "body"), [(400, '{"mag": ["A valid number is required."]}'), (404, "{}")]
)
def test_patch_refused(
    client: YsePz, answering: Callable[..., None], status: int, body: str
) -> None:
    """A PATCH that is refused names the field, and wrote nothing."""
    answering(status, body)
    with pytest.raises(UploadRefusedError) as caught:
        client.patch_point(1, {"mag": 17.0})
    assert not caught.value.partial
    if status == 400:
        assert caught.value.field == "mag"
        assert "A valid number is required" in str(caught.value)


def test_patch_of_a_row_that_is_gone(client: YsePz) -> None:
    """A row that was deleted is a refusal, not a success."""
    with pytest.raises(UploadRefusedError, match="404"):
        client.patch_point(4711, {"mag": 17.0})


def test_patch_answer_without_a_row(client: YsePz, answering: Callable[..., None]) -> None:
    """A PATCH that shows no row leaves open whether it was carried out."""
    answering(200, "{}")
    with pytest.raises(OutcomeUnknownError, match="shows no row"):
        client.patch_transient(1, {"redshift": 0.1})


def test_404_of_an_upload_is_another_server(
    client: YsePz, answering: Callable[..., None]
) -> None:
    """An address without YSE-PZ is named as such."""
    answering(404, "<html>nginx</html>")
    with pytest.raises(YsePzReplyError, match="YSE_PZ_URL"):
        client.upload_photometry(REQUEST)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_reads_that_fail_are_only_unavailable(
    client: YsePz, answering: Callable[..., None], status: int
) -> None:
    """A read proves nothing and harms nothing: whatever fails there is asked again."""
    answering(status, django_html("OperationalError", "(1040, 'Too many connections')"))
    with pytest.raises(YsePzUnavailableError):
        client.ping()


@pytest.mark.parametrize("body", ["<html>It works!</html>", "", "{}", '{"count": "x"}', "3"])
def test_reads_of_garbage(client: YsePz, answering: Callable[..., None], body: str) -> None:
    """An answer that is not what the contract says names the address."""
    answering(200, body)
    with pytest.raises(YsePzReplyError) as caught:
        client.ping()
    assert "/api/transientstatuses/" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_nesting_does_not_break_the_reader(
    client: YsePz, answering: Callable[..., None]
) -> None:
    """An answer of a hundred thousand brackets is garbage like any other."""
    answering(200, "[" * 100_000)
    with pytest.raises(YsePzReplyError):
        client.ping()


def test_exception_of_both_forms_of_the_page() -> None:
    """The exception is read from the HTML and from the text form; other pages have none."""
    assert str(server_exception(django_html("KeyError", "&#x27;name&#x27;").encode())) == (
        "KeyError: 'name'"
    )
    text = server_exception(django_text("KeyError", "'name'").encode())
    assert text is not None
    assert (text.name, text.value) == ("KeyError", "'name'")
    assert server_exception(b"<h1>Server Error (500)</h1>") is None
    assert server_exception(b"\xff\xfe\x00") is None
    assert server_exception(b"") is None
