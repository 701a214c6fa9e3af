"""What can go wrong between a client and a stand-in, switched on and off while it runs."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FaultKind = Literal[
    "down",
    "refuse",
    "slow",
    "hang",
    "status",
    "error_before",
    "error_after",
    "drop_before",
    "drop_after",
    "garbage",
    "truncated",
    "cut",
    "drifted",
]

KINDS: Final[tuple[str, ...]] = get_args(FaultKind)

GARBAGE: Final = (
    "<!DOCTYPE html><html><head><title>Welcome</title></head>"
    "<body><h1>It works!</h1></body></html>"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, and for which requests.

    Attributes
    ----------
    kind
        ``down``: the connection is closed at once without a reply.
        ``refuse``: the listening socket itself is closed until the fault is cleared, or for
        `seconds`; the operating system refuses the connection.
        ``slow``: `seconds` pass before the request is handled, while it occupies a worker.
        ``hang``: a worker is occupied and says nothing for `seconds` (0: until the worker
        limit), then the connection is closed; nothing is executed.
        ``status``: the answer is `status`, `headers` and `body`; nothing is executed.
        ``error_before``: the server's own 500, nothing is executed.
        ``error_after``: the request is executed, the answer is the server's own 500.
        ``drop_before``: the connection is reset, nothing is executed.
        ``drop_after``: the request is executed, then the connection is reset without a reply.
        ``garbage``: 200 with a page of HTML (or `body`), nothing is executed.
        ``truncated``: the request is executed, the answer ends after its first half, and its
        Content-Length agrees with that.
        ``cut``: the request is executed, the connection is lost in the middle of the answer.
        ``drifted``: the request is executed, the answer has another shape: see `edits`.
    path
        Regular expression searched in the decoded path; None means every path.
    method
        HTTP method; None means every method.
    times
        How many requests suffer; None means all until the fault is cleared.
    after_skip
        How many matching requests are left alone first.
    seconds
        Length of ``slow``, ``hang`` and ``refuse`` [s].
    status, body, headers
        The answer of ``status``; `body` also replaces the page of ``garbage``.
    edits
        Of ``drifted``: regular expression to what its matches in the answer's text become.
    """

    kind: FaultKind
    path: str | None = None
    method: str | None = None
    times: int | None = None
    after_skip: int = 0
    seconds: float = 0.0
    status: int = 503
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    edits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a kind that does not exist and a pattern that does not compile."""
        if self.kind not in KINDS:
            message = f"unknown fault {self.kind!r}; known are {', '.join(KINDS)}"
            raise ValueError(message)
        if self.path is not None:
            re.compile(self.path)
        for pattern in self.edits:
            re.compile(pattern)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the fault that a JSON object describes; ValueError names what is wrong."""
        try:
            return cls(**fields)
        except (TypeError, re.error) as error:
            raise ValueError(str(error)) from error

    def to_json(self) -> dict[str, Any]:
        """Return the fault as plain JSON values."""
        return {**asdict(self), "headers": dict(self.headers), "edits": dict(self.edits)}

    def edited(self, body: bytes) -> bytes:
        """Return the text of an answer in its other shape."""
        text = body.decode()
        for pattern, text_then in self.edits.items():
            text = re.sub(pattern, text_then, text)
        return text.encode()

    def concerns(self, method: str, path: str) -> bool:
        """Say whether a request of this method and path can suffer this fault."""
        return (self.method is None or self.method.upper() == method) and (
            self.path is None or re.search(self.path, path) is not None
        )


@dataclass(slots=True)
class _Armed:
    fault: Fault
    skip: int
    left: int | None
    until: float


class FaultPlan:
    """The faults of one stand-in, in the order in which they were added; safe between threads.

    Parameters
    ----------
    on_change
        Called, outside the lock, after every change.
    """

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._on_change = on_change

    def add(self, *faults: Fault) -> None:
        """Switch faults on, behind those that are on already."""
        now = time.monotonic()
        with self._lock:
            for fault in faults:
                until = now + fault.seconds if fault.seconds else float("inf")
                self._armed.append(_Armed(fault, fault.after_skip, fault.times, until))
        self._on_change()

    def clear(self) -> None:
        """Switch every fault off."""
        with self._lock:
            self._armed.clear()
        self._on_change()

    def take(self, method: str, path: str) -> Fault | None:
        """Return the first fault that strikes this request, and count it as used."""
        with self._lock:
            for armed in self._armed:
                if armed.fault.kind == "refuse" or not armed.fault.concerns(method, path):
                    continue
                if armed.skip:
                    armed.skip -= 1
                    continue
                if armed.left is not None:
                    armed.left -= 1
                    if armed.left <= 0:
                        self._armed.remove(armed)
                return armed.fault
        return None

    def refused_until(self) -> float:
        """Return when refusing ends, on the monotonic clock [s]; 0 if nothing is refused."""
        now = time.monotonic()
        with self._lock:
            ends = [armed.until for armed in self._armed if armed.fault.kind == "refuse"]
            end = max(ends, default=0.0)
            if end <= now:
                self._armed = [one for one in self._armed if one.fault.kind != "refuse"]
                end = 0.0
        return end

    def __iter__(self) -> Iterator[Fault]:
        """Iterate over the faults that are on."""
        with self._lock:
            return iter([armed.fault for armed in self._armed])

    def __len__(self) -> int:
        """Return how many faults are on."""
        with self._lock:
            return len(self._armed)
