"""Secrets are taken out of text in every form in which they travel."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from yse_ingest.redaction import redacted, secrets_of

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "p@ss/w%41rd \"x' é"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(SECRET),
        json.dumps(SECRET)[1:-1],
        repr(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"ingest:{SECRET}".encode()).decode(),
        base64.b64encode(f"\0ingest\0{SECRET}".encode()).decode(),
    ],
)
def test_a_secret_is_blanked_in_each_form(form: str, tmp_path: Path) -> None:
    """Plain, quoted, escaped, and as HTTP Basic sends it; wherever it was configured."""
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    environments = [
        {"YSE_PZ_USERNAME": "ingest", "YSE_PZ_PASSWORD": SECRET},
        {"YSE_PZ_USERNAME": "ingest", "YSE_PZ_PASSWORD_FILE": str(file)},
        {"CELERY_BROKER_URL": f"redis://ingest:{quote(SECRET, safe='')}@host/0"},
        {"FLOWER_BASIC_AUTH": f"ingest:{SECRET}"},
        {"YSE_INGEST_SMTP_PASSWORD": SECRET, "YSE_PZ_USERNAME": "ingest"},
    ]
    for environment in environments:
        shown = redacted(f"it said {form}, twice: {form}", secrets_of(environment))
        assert form not in shown
        assert shown.count("***") >= 2


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("redis://:hunter2@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://user:pa:ss@host/1", "rediss://user:***@host/1"),
        ("http//user:hunter2@host/x", "http//user:***@host/x"),
        ("user:hunter2@host", "user:***@host"),
        ("Authorization: Basic aW5nZXN0OnNlY3JldA==", "Authorization: Basic ***"),
        ("'Bearer abcdef0123456789'", "'Bearer ***'"),
    ],
)
def test_what_looks_like_a_login_is_blanked_without_being_known(text: str, kept: str) -> None:
    """Addresses with passwords and authorisation headers lose them, whosever they are."""
    assert redacted(text) == kept


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5555/a@b and redis://host:6379/0",
        "upload@host: ready, 12:30:45 fetch@host",
        "2019-01-09T11:38:37.000 2019np g-ZTF name:2019np",
        "mail to somebody@example.org",
        "Basic auth is on",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """A port, a time, a node's name and an address without a password are no secrets."""
    assert redacted(text, secrets_of({"YSE_PZ_PASSWORD": "np"})) == text
