"""How a message leaves: by mail to a real server, by a command; bounded, without secrets."""

from __future__ import annotations

import json
import shlex
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.watch.smtp import CERTIFICATE, Fault, SmtpStandIn
from yse_ingest.errors import NoticeError
from yse_ingest.settings import Settings
from yse_ingest.watch.channels import Command, Mail, channels_of
from yse_ingest.watch.message import Message, trial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGE = trial(namespace="night")
SECRET = "not-for-anybody"


def settings(port: int = 25, **changes: str) -> Settings:
    return Settings.from_env(
        {
            "YSE_INGEST_NOTIFY_TO": "a@example.org, b@example.org",
            "YSE_INGEST_NOTIFY_FROM": "yse@example.org",
            "YSE_INGEST_NOTIFY_TIMEOUT": "0.5",
            "YSE_INGEST_SMTP_PORT": str(port),
            "YSE_INGEST_SMTP_SECURITY": "none",
            **changes,
        }
    )


@pytest.fixture
def account() -> dict[str, str]:
    return {"YSE_INGEST_SMTP_USERNAME": "yse", "YSE_INGEST_SMTP_PASSWORD": SECRET}


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))


@pytest.fixture(params=["starttls", "ssl"])
def encrypting(request: pytest.FixtureRequest) -> Iterator[SmtpStandIn]:
    with SmtpStandIn(security=request.param, accounts={"yse": SECRET}) as server:
        yield server


def test_a_mail_arrives_whole(smtp: SmtpStandIn) -> None:
    """Every receiver gets one mail, with text, sender and a date, marked as automatic."""
    said = Mail(settings(smtp.port)).send(MESSAGE)
    (seen,) = smtp.taken
    assert seen.receivers == ["a@example.org", "b@example.org"]
    assert seen.mail["Subject"] == MESSAGE.subject
    assert seen.mail["From"] == "yse@example.org"
    assert seen.mail["Auto-Submitted"] == "auto-generated"
    assert seen.mail["Date"]
    assert seen.text == MESSAGE.text
    assert "took it for a@example.org, b@example.org" in said


@pytest.mark.usefixtures("trusted")
def test_the_way_is_encrypted_before_the_password(
    encrypting: SmtpStandIn, account: dict[str, str]
) -> None:
    """Nothing but the greeting travels in the clear."""
    changes = {"YSE_INGEST_SMTP_SECURITY": encrypting.security, **account}
    Mail(settings(encrypting.port, **changes)).send(MESSAGE)
    (seen,) = encrypting.taken
    assert (seen.encrypted, seen.user) == (True, "yse")
    assert b"AUTH" not in encrypting.clear
    assert b"MAIL" not in encrypting.clear


def test_an_unknown_certificate_is_not_trusted(
    encrypting: SmtpStandIn, account: dict[str, str]
) -> None:
    """A server that cannot prove who it is gets neither password nor mail."""
    changes = {"YSE_INGEST_SMTP_SECURITY": encrypting.security, **account}
    with pytest.raises(NoticeError, match="certificate"):
        Mail(settings(encrypting.port, **changes)).send(MESSAGE)
    assert not encrypting.taken
    assert b"AUTH" not in encrypting.clear


def test_a_server_without_starttls_gets_no_password(
    smtp: SmtpStandIn, account: dict[str, str]
) -> None:
    """Somebody in between who hides STARTTLS learns nothing."""
    smtp.accounts = {"yse": SECRET}
    changes = {"YSE_INGEST_SMTP_SECURITY": "starttls", **account}
    with pytest.raises(NoticeError, match="STARTTLS"):
        Mail(settings(smtp.port, **changes)).send(MESSAGE)
    assert b"AUTH" not in smtp.clear


def test_a_password_never_travels_in_the_clear_to_another_host() -> None:
    """Without encryption a login is for a server on this host only."""
    with SmtpStandIn(accounts={"yse": SECRET}) as server:
        local = settings(
            server.port, YSE_INGEST_SMTP_USERNAME="yse", YSE_INGEST_SMTP_PASSWORD=SECRET
        )
        Mail(local).send(MESSAGE)
        assert server.taken[0].user == "yse"
        other = settings(
            server.port,
            YSE_INGEST_SMTP_HOST="127.1",
            YSE_INGEST_SMTP_USERNAME="yse",
            YSE_INGEST_SMTP_PASSWORD=SECRET,
        )
        with pytest.raises(NoticeError, match="in the clear"):
            Mail(other).send(MESSAGE)
        assert server.connections == 1


def test_a_password_may_stand_in_a_file(tmp_path: Path) -> None:
    """The file's last line break does not belong to it."""
    (tmp_path / "password").write_text(f"{SECRET}\n")
    with SmtpStandIn(accounts={"yse": SECRET}) as server:
        Mail(
            settings(
                server.port,
                YSE_INGEST_SMTP_USERNAME="yse",
                YSE_INGEST_SMTP_PASSWORD_FILE=str(tmp_path / "password"),
            )
        ).send(MESSAGE)
        assert len(server.taken) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("CONNECT", "554 not here"), "554 not here"),
        (Fault("MAIL", "550 not you"), "550 not you"),
        (Fault("RCPT", "550 no such user"), "550 no such user"),
        (Fault("DATA", "451 later"), "451 later"),
        (Fault(".", "552 too large"), "552 too large"),
        (Fault("DATA", drop=True), "closed"),
        (Fault(".", drop=True), "closed"),
        (Fault("CONNECT", "220 " + "x" * 9000), "too long"),
    ],
    ids=lambda value: value.at if isinstance(value, Fault) else "",
)
def test_a_server_that_says_no_is_quoted(smtp: SmtpStandIn, fault: Fault, words: str) -> None:
    """The error holds the server's own words and a remedy; nobody got the mail."""
    smtp.faults = [fault]
    with pytest.raises(NoticeError, match=words) as caught:
        Mail(settings(smtp.port)).send(MESSAGE)
    assert f"127.0.0.1:{smtp.port}" in str(caught.value)
    assert caught.value.remedy
    assert not smtp.taken


def test_a_wrong_password_is_not_repeated(account: dict[str, str]) -> None:
    """A refused login says so, without the password."""
    with SmtpStandIn(accounts={"yse": "another"}) as server:
        with pytest.raises(NoticeError, match="535") as caught:
            Mail(settings(server.port, **account)).send(MESSAGE)
        assert SECRET not in str(caught.value)


def test_no_server_is_an_error_too() -> None:
    """A refused connection is told like any other failure."""
    with pytest.raises(NoticeError, match="refused"):
        Mail(settings(1)).send(MESSAGE)


@pytest.mark.parametrize("at", ["CONNECT", "RCPT", "DATA", "."])
@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_server_that_does_not_go_on_is_given_up(smtp: SmtpStandIn, at: str, how: str) -> None:
    """Neither silence nor a byte now and then holds us longer than the limit."""
    smtp.faults = [Fault(at, hang=how == "hang", drip=how == "drip")]
    begun = time.monotonic()
    with pytest.raises(NoticeError):
        Mail(settings(smtp.port)).send(MESSAGE)
    # 0.5 s is the limit: without it this would last as long as the server.
    assert time.monotonic() - begun < 10
    assert not smtp.taken


def test_a_lost_farewell_changes_nothing(smtp: SmtpStandIn) -> None:
    """What the server took is sent, whatever becomes of QUIT: it must not be sent again."""
    smtp.faults = [Fault("QUIT", drop=True)]
    Mail(settings(smtp.port)).send(MESSAGE)
    assert len(smtp.taken) == 1


def test_one_refused_receiver_does_not_keep_it_from_the_others(smtp: SmtpStandIn) -> None:
    """The mail is sent, and who was refused is told."""
    smtp.faults = [Fault("RCPT", "550 gone", only="a@example.org")]
    said = Mail(settings(smtp.port)).send(MESSAGE)
    assert smtp.taken[0].receivers == ["b@example.org"]
    assert "refused for a@example.org" in said


# ---------------------------------------------------------------------- the command


def command(*words: str, **changes: str) -> Command:
    line = shlex.join(words)
    return Command(settings(25, YSE_INGEST_NOTIFY_COMMAND=line, **changes))


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_the_command_gets_the_message_on_its_input(tmp_path: Path) -> None:
    """As text, or as JSON when that is set."""
    path = tmp_path / "got"
    keep = python(f"import sys; open({str(path)!r}, 'w').write(sys.stdin.read())")
    command(*keep).send(MESSAGE)
    assert path.read_text() == MESSAGE.text
    command(*keep, YSE_INGEST_NOTIFY_FORMAT="json").send(MESSAGE)
    assert json.loads(path.read_text()) == MESSAGE.document


def test_the_command_has_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is ours, without passwords and without addresses that hold one."""
    monkeypatch.setenv("YSE_PZ_PASSWORD", SECRET)
    monkeypatch.setenv("CELERY_BROKER_URL", f"redis://:{SECRET}@127.0.0.1:1/0")
    monkeypatch.setenv("KEPT", "yes")
    path = tmp_path / "environment"
    command(*python(f"import os; open({str(path)!r}, 'w').write(repr(dict(os.environ)))")).send(
        MESSAGE
    )
    assert SECRET not in path.read_text()
    assert "'KEPT': 'yes'" in path.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (python("import sys; sys.exit('the pager is off')"), "ended with 1: the pager is off"),
        (("/nowhere/pager",), "cannot be started: .*No such file"),
        (("",), "cannot be started"),
    ],
)
def test_a_command_that_fails_is_quoted(words: tuple[str, ...], told: str) -> None:
    """Its exit code and its own words are told."""
    with pytest.raises(NoticeError, match=told):
        command(*words).send(MESSAGE)


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """Whatever it started goes with it."""
    path = tmp_path / "alive"
    child = f"import time; time.sleep(1.5); open({str(path)!r}, 'w').close()"
    begun = time.monotonic()
    with pytest.raises(NoticeError, match=r"took longer than 0\.5 s"):
        command(
            *python(
                f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
            )
        ).send(MESSAGE)
    assert time.monotonic() - begun < 10
    time.sleep(2)
    assert not path.exists()


def test_channels_are_those_that_are_set() -> None:
    """No receiver: no mail. No command: none is run."""
    none = Settings.from_env({})
    assert channels_of(none) == ()
    both = settings(YSE_INGEST_NOTIFY_COMMAND="pager")
    assert [channel.name for channel in channels_of(both)] == ["mail", "command"]


def test_a_subject_is_one_line(smtp: SmtpStandIn) -> None:
    """A line break of a source's reply cannot begin a header of its own."""
    message = Message("first\nBcc: everybody@example.org", "text\n", {})
    Mail(settings(smtp.port)).send(message)
    (seen,) = smtp.taken
    assert seen.mail["Subject"] == "first Bcc: everybody@example.org"
    assert seen.mail["Bcc"] is None
