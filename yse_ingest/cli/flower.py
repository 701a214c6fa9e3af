"""Who may look at Flower: a login of its own, which stands in no command line."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOGIN = "FLOWER_BASIC_AUTH"
"""Flower's own variable: ``user:password``, several joined by commas."""
USER = "yse-ingest"
FILE = "flower-login"
"""Where a login that nobody configured is kept, in the state folder."""


def new_password() -> str:
    """Return a random password that needs no quoting anywhere, least of all at a comma."""
    return secrets.token_urlsafe(18)


def with_login(
    env: Mapping[str, str], *, state_dir: Path, sandbox: bool
) -> tuple[dict[str, str], str]:
    """Return the environment for Flower, and how to log in, without the password.

    Parameters
    ----------
    env
        What is configured stays.
    state_dir
        Where a login is kept that had to be made, readable by its owner alone.
    sandbox
        Nothing there is private, and nothing can be changed: nobody is asked.
    """
    if configured := env.get(LOGIN):
        return dict(env), f"log in as {configured.partition(':')[0]}, password in {LOGIN}"
    if sandbox:
        return dict(env), "no login in the sandbox"
    path = state_dir / FILE
    if not path.exists():
        state_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{USER}:{new_password()}\n")
    login = path.read_text(encoding="utf-8").strip()
    return {**env, LOGIN: login}, f"log in as {login.partition(':')[0]}, password in {path}"
