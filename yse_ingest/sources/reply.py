"""One answer of a source over HTTP, as bytes and as JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from yse_ingest.errors import FormatChangedError, SourceReplyError

_EXCERPT_LENGTH = 120


@dataclass(frozen=True)
class HttpReply:
    """One answer, whatever its status."""

    service: str
    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON; the tokens NaN and Infinity are taken.

        Raises
        ------
        SourceReplyError
            When it is none, or nested too deeply to be a reply of photometry.
        """
        try:
            return json.loads(self.body)
        except RecursionError:
            fact = f"answered JSON nested too deeply ({self.describe()})"
            cause = None
        except (
            ValueError
        ) as error:  # malformed JSON, an unknown encoding, a number of 5000 digits
            fact = f"answered something that is not JSON ({self.describe()})"
            cause = error
        raise SourceReplyError(
            fact, service=self.service, remedy="Check that its URL is the right one."
        ) from cause

    def rows(self, key: str, *, remedy: str) -> list[Any]:
        """Return the list that stands under a key of a reply.

        Parameters
        ----------
        key
            Where the rows are to stand.
        remedy
            What to do where the reply is no JSON object at all: it is of something else.

        Raises
        ------
        FormatChangedError
            When it is an object in which the key is missing, or holds no list.
        SourceReplyError
            When it is no JSON object.
        """
        content = self.json()
        found = content.get(key) if isinstance(content, dict) else None
        if isinstance(found, list):
            return found
        if not isinstance(content, dict):
            fact = f"answered no list of {key} ({self.describe()})"
            raise SourceReplyError(fact, service=self.service, remedy=remedy)
        told = "missing" if key not in content else f"is no list ({self.describe()})"
        raise FormatChangedError(
            f"format changed: field {key} {told}",
            service=self.service,
            field=key,
            remedy=f"{remedy} If it is, look for a newer yse_ingest.",
        )

    def describe(self) -> str:
        """Return status, type and beginning of the reply, for messages; HTML as its text."""
        raw = self.body[: 8 * _EXCERPT_LENGTH].decode(errors="replace")
        plain = " ".join(re.sub(r"<[^>]*>", " ", raw).split()) or " ".join(raw.split())
        return f"{self.status}, {self.content_type or 'no type'}, {plain[:_EXCERPT_LENGTH]!r}"
