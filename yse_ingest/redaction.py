"""Secrets taken out of text, in every form in which they travel."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BLANK = "***"
SHORTEST = 6
"""A shorter secret is a word like any other: blanking it would spoil every text."""

USERS = ("YSE_PZ_USERNAME", "YSE_INGEST_SMTP_USERNAME")
"""Variables of user names that are sent together with a secret."""

_SECRET = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|BASIC_AUTH|_KEY)$")
_FILE = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN)_FILE$")
_IN_URL = re.compile(r"\w+://([^\s:/@]*):([^\s@]+)@")
# user:password@ in any address, also in one that is written wrongly.
_PASSWORD = re.compile(r"([\w.%+-]*):([^\s/@'\"]+)@(?=[\w\[])")
_HEADER = re.compile(r"\b(Basic|Bearer|Token)(\s+|%20)[A-Za-z0-9+/=_.-]{8,}")


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return what must stand in no text: the secrets of an environment, in all their forms.

    Variables that are named like secrets, files that such variables name, and the passwords of
    addresses.
    """
    found: set[str] = set()
    for name, value in environment.items():
        if _SECRET.search(name):
            found |= {value, *_parts(value)}
        elif _FILE.search(name):
            found.add(_content(value))
        if "://" in value:
            for user, password in _IN_URL.findall(value):
                found |= {password, f"{unquote(user)}:{unquote(password)}"}
    users = [environment.get(name) for name in USERS]
    pairs = {f"{user}:{each}" for each in found for user in users if user}
    return forms(found | pairs)


def forms(secrets: set[str]) -> tuple[str, ...]:
    """Return secrets as they are, quoted, escaped and encoded; the longest first."""
    every = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
    return tuple(sorted(every, key=lambda form: (-len(form), form)))


def redacted(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return the text without these secrets, without passwords of addresses and headers."""
    for secret in secrets:
        text = text.replace(secret, BLANK)
    text = _HEADER.sub(rf"\1\2{BLANK}", text)
    return _PASSWORD.sub(rf"\1:{BLANK}@", text) if "@" in text else text


def _parts(value: str) -> Iterator[str]:
    """Return the passwords of ``user:password,user:password``."""
    for pair in value.split(","):
        _, colon, password = pair.partition(":")
        if colon:
            yield from (pair, password)


def _content(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError):
        # Whoever needs the password says what is wrong with its file.
        return ""


def _forms(secret: str) -> set[str]:
    plain = unquote(secret)
    every = {secret, plain}
    for each in (secret, plain):
        every |= {quote(each), quote(each, safe=""), quote_plus(each), repr(each)[1:-1]}
        every |= {json.dumps(each)[1:-1], base64.b64encode(each.encode()).decode()}
        user, colon, password = each.partition(":")
        if colon:  # as SMTP sends a login
            every.add(base64.b64encode(f"\0{user}\0{password}".encode()).decode())
    return every
