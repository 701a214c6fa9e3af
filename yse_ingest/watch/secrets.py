"""No secret in a message, nor in the environment of the operator's command."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from yse_ingest.redaction import redacted, secrets_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|BASIC_AUTH|_KEY)$")


def blanked(text: str, environment: Mapping[str, str]) -> str:
    """Return the text without the environment's secrets and without passwords of addresses."""
    return redacted(text, secrets_of(environment))


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what is secret."""
    secrets = secrets_of(environment)
    return {
        name: value
        for name, value in environment.items()
        if not _SECRET.search(name) and redacted(value, secrets) == value
    }
