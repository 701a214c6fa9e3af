from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from yse_ingest.errors import SettingsError
from yse_ingest.ysepz import Account

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://yse-pz.example.org:8000/prefix"


@pytest.fixture(name="nowhere")
def _nowhere(tmp_path: Path) -> Path:
    return tmp_path / "absent"


@pytest.fixture(name="netrc")
def _netrc(tmp_path: Path) -> Path:
    path = tmp_path / "netrc"
    path.write_text(
        "machine yse-pz.example.org login robot password of-netrc\n"
        "default login anonymous password guest\n"
    )
    path.chmod(0o600)
    return path


def test_environment_comes_first(netrc: Path) -> None:
    """User name and password of the environment win over the netrc file."""
    env = {"YSE_PZ_USERNAME": "ingest", "YSE_PZ_PASSWORD": "s3cret"}
    account = Account.find(URL, env, netrc)
    assert account == Account("ingest", "s3cret", origin="YSE_PZ_USERNAME")


def test_password_from_a_file(tmp_path: Path, nowhere: Path) -> None:
    """A password file holds the password and perhaps an end of line."""
    secret = tmp_path / "secret"
    secret.write_text("  with blanks \n")
    env = {"YSE_PZ_USERNAME": "ingest", "YSE_PZ_PASSWORD_FILE": str(secret)}
    account = Account.find(URL, env, nowhere)
    assert account is not None
    assert account.password == "  with blanks "


def test_netrc_by_host(netrc: Path) -> None:
    """The netrc entry of the host is taken, whatever port and path the address has."""
    account = Account.find(URL, {}, netrc)
    assert account is not None
    assert (account.username, account.password) == ("robot", "of-netrc")
    assert account.origin == str(netrc)
    assert Account.find(URL, {"YSE_PZ_USERNAME": "robot"}, netrc) == account


def test_netrc_named_by_the_environment(netrc: Path) -> None:
    """NETRC says where the netrc file is."""
    account = Account.find(URL, {"NETRC": str(netrc)})
    assert account is not None
    assert account.username == "robot"


def test_default_entry_of_netrc_is_not_for_us(netrc: Path) -> None:
    """A password meant for any host at all is not sent to YSE-PZ."""
    assert Account.find("https://other.example.org", {}, netrc) is None


def test_no_account(nowhere: Path) -> None:
    """Where nothing names an account there is none."""
    assert Account.find(URL, {}, nowhere) is None


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"YSE_PZ_USERNAME": "ingest"}, "no password is given"),
        ({"YSE_PZ_PASSWORD": "s3cret"}, "without a user name"),
        ({"YSE_PZ_USERNAME": "a:b", "YSE_PZ_PASSWORD": "s3cret"}, "a colon"),
        ({"YSE_PZ_PASSWORD_FILE": "/nonexistent/secret"}, "cannot be read"),
    ],
)
def test_half_an_account_is_refused(env: dict[str, str], says: str, nowhere: Path) -> None:
    """Half an account names what is missing, and never the password."""
    with pytest.raises(SettingsError, match=says) as caught:
        Account.find(URL, env, nowhere)
    assert caught.value.remedy
    assert "s3cret" not in str(caught.value)


def test_broken_netrc_does_not_show_its_lines(tmp_path: Path) -> None:
    """A netrc file that cannot be parsed is named, and its content is not."""
    path = tmp_path / "netrc"
    path.write_text("machine yse-pz.example.org login robot pasword s3cret\n")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="netrc") as caught:
        Account.find(URL, {}, path)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_password_is_never_shown() -> None:
    """Neither repr nor str of an account holds the password."""
    account = Account("ingest", "s3cret")
    assert "s3cret" not in f"{account!r} {account}"
