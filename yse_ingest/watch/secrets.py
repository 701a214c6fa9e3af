"""No secret in a message, nor in the environment of the operator's command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET = re.compile(r"(PASSWORD|SECRET|TOKEN|BASIC_AUTH)$")
_IN_ADDRESS = re.compile(r"(\w+://[^\s:/@]*):[^\s/@]+@")


def redacted(text: str, environment: Mapping[str, str]) -> str:
    """Return the text without the environment's secrets and without passwords of addresses."""
    for name, value in environment.items():
        if value and _SECRET.search(name):
            text = text.replace(value, "***")
    return _IN_ADDRESS.sub(r"\1:***@", text)


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what is secret."""
    return {
        name: value
        for name, value in environment.items()
        if not _SECRET.search(name) and not _IN_ADDRESS.search(value)
    }
