"""The account under which this project uploads to YSE-PZ."""

from __future__ import annotations

import netrc
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yse_ingest.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

USERNAME = "YSE_PZ_USERNAME"
PASSWORD = "YSE_PZ_PASSWORD"  # noqa: S105  the name of a variable
PASSWORD_FILE = "YSE_PZ_PASSWORD_FILE"  # noqa: S105


@dataclass(frozen=True)
class Account:
    """User name and password; the password is never shown."""

    username: str
    password: str = field(repr=False)
    origin: str = "given"
    """Where it was found, for messages: "YSE_PZ_USERNAME", "~/.netrc"."""

    def __post_init__(self) -> None:
        """Refuse what HTTP Basic cannot carry."""
        if not self.username or ":" in self.username:
            raise SettingsError(
                "the user name is empty or holds a colon",
                service="settings",
                field=USERNAME,
                value=self.username,
                remedy="Give the name with which you log in to YSE-PZ.",
            )

    @classmethod
    def find(
        cls, url: str, env: Mapping[str, str], netrc_path: Path | None = None
    ) -> Account | None:
        """Return the account for a YSE-PZ, or None where nothing names one.

        ``YSE_PZ_USERNAME`` with ``YSE_PZ_PASSWORD`` or the file that ``YSE_PZ_PASSWORD_FILE``
        names; else the entry of the netrc file for the host (not its ``default`` entry).

        Parameters
        ----------
        url
            Address of YSE-PZ; its host is looked up in the netrc file.
        env
            Environment variables.
        netrc_path
            None: ``NETRC`` of the environment, else ``.netrc`` in the home directory.

        Raises
        ------
        SettingsError
            When half of an account is given, or a file cannot be read.
        """
        username = env.get(USERNAME, "")
        password = _password(env)
        if username and password is not None:
            return cls(username=username, password=password, origin=USERNAME)
        if password is not None:
            raise SettingsError(
                "a password is given without a user name",
                service="settings",
                remedy=f"Set {USERNAME}.",
            )
        found = _from_netrc(url, netrc_path or _netrc_path(env))
        if found is not None and username in ("", found.username):
            return found
        if username:
            raise SettingsError(
                f"{USERNAME} is {username!r}, and no password is given",
                service="settings",
                remedy=f"Set {PASSWORD} or {PASSWORD_FILE}, or add the host to the netrc file.",
            )
        return None


def _password(env: Mapping[str, str]) -> str | None:
    if env.get(PASSWORD):
        return env[PASSWORD]
    if not (path := env.get(PASSWORD_FILE)):
        return None
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the password file cannot be read: {type(error).__name__}",
            service="settings",
            field=PASSWORD_FILE,
            value=path,
            remedy="Name a text file that this user may read.",
        ) from error


def _netrc_path(env: Mapping[str, str]) -> Path:
    return Path(env["NETRC"]) if env.get("NETRC") else Path("~/.netrc").expanduser()


def _from_netrc(url: str, path: Path) -> Account | None:
    try:
        hosts = netrc.netrc(path).hosts
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError) as error:
        # The parser's own text may quote the line with the password.
        raise SettingsError(
            f"the netrc file {path} cannot be read: {type(error).__name__}",
            service="settings",
            remedy=f"Correct it, or set {USERNAME} and {PASSWORD}.",
        ) from None
    entry = hosts.get(urlsplit(url).hostname or "")
    if entry is None or not entry[0]:
        return None
    return Account(username=entry[0], password=entry[2] or "", origin=str(path))
