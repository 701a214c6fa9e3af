"""Every error this project raises, as one tree.

::

    YseIngestError
    ├── SettingsError           what the operator configured cannot work
    ├── TargetError             a target is wrong, unknown or unclear
    │   ├── UnknownTargetError      nobody knows this name
    │   ├── AmbiguousTargetError    several objects could be meant
    │   └── PlaceTakenError         another transient stands at this place
    ├── VocabularyError         a name that YSE-PZ would store as "Unknown"
    ├── PayloadError            a request that must not be sent
    ├── SourceError             a photometry source did not do its part
    │   ├── SourceUnavailableError  no answer now; asking again may help
    │   ├── SourceHeldBackError     we did not ask: its budget is spent, or it said wait
    │   ├── SourceRefusedError      it answered, and said no
    │   └── SourceReplyError        it answered something else
    │       ├── UnreadableRowsError     no row of the reply can be read
    │       └── FormatChangedError      all rows lack a field, or have another type of it
    ├── YsePzError              YSE-PZ did not do its part
    │   ├── YsePzUnavailableError   proves that nothing was written; try again
    │   │   └── HeldBackError           we did not ask: no turn, it is down, no budget
    │   ├── OutcomeUnknownError     it may have written; read back first
    │   ├── CredentialsError        401 or 403
    │   ├── RequestTooLargeError    413
    │   ├── UploadRefusedError      it answered, and said no
    │   └── YsePzReplyError         it answered something else
    ├── StoppedError            writing waits for a person
    │   ├── SecondInstallationError  another one writes under our account
    │   └── HeldError               all uploads are held
    ├── NoticeError             a message to people could not be sent
    └── StateError              Redis did not do its part
        ├── StateUnavailableError   no answer now
        ├── StateVersionError       written by a newer version
        └── LeaseLostError          somebody else holds this transient now

Each names the service, the target and the fact, and what to do about it.
"""

from __future__ import annotations

from typing import Any, ClassVar

_CONTEXT = ("service", "target", "field", "value", "remedy", "retry_after")


class YseIngestError(Exception):
    """A fact that stops something, with its context and a remedy.

    Parameters
    ----------
    fact
        What happened, without a full stop.
    service
        Who is concerned: "MARS", "YSE-PZ", "Redis", "settings".
    target
        Name of the target, where one is concerned.
    field
        The field at fault and
    value
        what it held.
    remedy
        What the reader can do: a sentence.
    retry_after
        Seconds that the service asked us to wait.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        fact: str,
        *,
        service: str | None = None,
        target: str | None = None,
        field: str | None = None,
        value: object = None,
        remedy: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(fact)
        self.fact = fact
        self.service = service
        self.target = target
        self.field = field
        self.value = value
        self.remedy = remedy
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Return service, target, fact, field and remedy as one line."""
        where = ": ".join(part for part in (self.service, self.target) if part)
        text = f"{where}: {self.fact}" if where else self.fact
        if self.field is not None and self.field not in self.fact:
            text += f" ({self.field} = {self.value!r})"
        return f"{text}. {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the context: errors cross process boundaries."""
        return _rebuild, (type(self), self.fact, {key: getattr(self, key) for key in _CONTEXT})

    def as_dict(self) -> dict[str, object]:
        """Return the error for JSON output, without the parts that are not set."""
        parts = {key: getattr(self, key) for key in _CONTEXT}
        return {
            "error": type(self).__name__,
            "fact": self.fact,
            **{key: value for key, value in parts.items() if value is not None},
        }


def _rebuild(cls: type[YseIngestError], fact: str, context: dict[str, Any]) -> YseIngestError:
    return cls(fact, **context)


class SettingsError(YseIngestError):
    """What the operator configured cannot work."""


class TargetError(YseIngestError):
    """A target is wrong, unknown or unclear."""


class UnknownTargetError(TargetError):
    """Nobody knows this name."""


class AmbiguousTargetError(TargetError):
    """Several objects could be meant; nothing is sent until the operator says which."""


class PlaceTakenError(TargetError):
    """Another transient stands at this place; creating one here would merge or split it."""


class VocabularyError(YseIngestError):
    """A name that YSE-PZ does not know, and would silently store as ``Unknown``."""


class PayloadError(YseIngestError):
    """A request that must not be sent."""


class SourceError(YseIngestError):
    """A photometry source did not do its part."""


class SourceUnavailableError(SourceError):
    """The source gave no answer; asking again may help."""

    retryable = True


class SourceHeldBackError(SourceError):
    """We did not ask the source: its budget is spent, or it told all of us to wait."""

    retryable = True


class SourceRefusedError(SourceError):
    """The source answered, and said no: asking the same again is useless."""


class SourceReplyError(SourceError):
    """The source answered something that is not what its contract says."""


class UnreadableRowsError(SourceReplyError):
    """No row of a reply can be read; they are too few to tell why."""


class FormatChangedError(SourceReplyError):
    """All rows of a reply lack one field, or hold another type of it than was agreed."""


class YsePzError(YseIngestError):
    """YSE-PZ did not do its part."""


class YsePzUnavailableError(YsePzError):
    """YSE-PZ took nothing in, and proved it (connection refused, 429, 503)."""

    retryable = True


class HeldBackError(YsePzUnavailableError):
    """We did not ask YSE-PZ: no turn came, it is known to be down, or the budget is spent."""


class OutcomeUnknownError(YsePzError):
    """The request may or may not have been carried out: read back before anything is sent."""

    bare: bool = False
    """It failed at once, on a page that does not say why: that of a YSE-PZ without debug."""


class CredentialsError(YsePzError):
    """YSE-PZ does not accept this account."""


class RequestTooLargeError(YsePzError):
    """The request is larger than the web server in front of YSE-PZ takes (413)."""


class UploadRefusedError(YsePzError):
    """YSE-PZ answered, and said no."""

    partial: bool = False
    """Rows before the one at fault may be stored: read back before the rest is sent."""


class YsePzReplyError(YsePzError):
    """YSE-PZ answered something that is not what its contract says."""


class StoppedError(YseIngestError):
    """Writing waits for a person's word."""


class SecondInstallationError(StoppedError):
    """Rows of our account that this installation did not write: nothing is sent beside them."""


class HeldError(StoppedError):
    """All uploads are held, by hand or because YSE-PZ was set back to an older copy."""


class NoticeError(YseIngestError):
    """A message to people could not be sent; it is kept, and tried again."""


class StateError(YseIngestError):
    """Redis did not do its part."""


class StateUnavailableError(StateError):
    """Redis gave no answer."""

    retryable = True


class StateVersionError(StateError):
    """The state was written by a newer version of yse_ingest."""


class LeaseLostError(StateError):
    """Somebody else holds this transient now: not another byte is sent."""
