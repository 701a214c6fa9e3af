"""The env file of a deployment folder: settings that the process environment does not have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from yse_ingest.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

ENV_FILE = "yse-ingest.env"
"""Its name; systemd reads the same file."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load_env_file(path: Path, env: MutableMapping[str, str]) -> Path | None:
    """Lay the file's values under an environment: what is there already stays.

    Returns
    -------
    path
        The file, or None where there is none.

    Raises
    ------
    SettingsError
        When it cannot be read, or a line is no ``KEY=VALUE``. Values are not repeated: they
        may be secrets.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read ({type(error).__name__})",
            service="settings",
            remedy="Give this user the right to read it, or remove it.",
        ) from error
    for name, value in parse_env(text, name=str(path)).items():
        env.setdefault(name, value)
    return path


def parse_env(text: str, *, name: str) -> dict[str, str]:
    """Return the values of ``KEY=VALUE`` lines; ``#`` begins a comment line.

    Quotes around a value are taken off, as systemd does; nothing is expanded.

    Raises
    ------
    SettingsError
        As `load_env_file`; ``name`` is the file's.
    """
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key, value = key.strip(), value.strip()
        if not equals or not _NAME.fullmatch(key):
            raise SettingsError(
                f"line {number} of {name} is no setting",
                service="settings",
                remedy="Write KEY=VALUE, one a line; a comment begins with #.",
            )
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[key] = value
    return values


def readable_by_others(path: Path) -> bool:
    """Tell whether anybody but its owner may read the file."""
    return bool(path.stat().st_mode & 0o077)
