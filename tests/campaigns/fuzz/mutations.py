"""What can be wrong with a packet: its values, its keys, its text, its bytes."""

from __future__ import annotations

import copy
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PACKETS = Path(__file__).parent / "packets"

Change = tuple[tuple[str | int, ...], Any]
"""Where in a packet, and what stands there; `DROP`: nothing."""


class _Drop:
    def __repr__(self) -> str:
        return "DROP"


DROP = _Drop()


def deep(levels: int) -> list[Any]:
    """Return a list of lists of lists."""
    inner: list[Any] = []
    for _ in range(levels):
        inner = [inner]
    return inner


_ODD: list[Any] = [
    DROP, None, True, False, 0, 1, -1, 2, 3, 0.0, -0.0, 1e-300, -1.5, 5e-324,
    float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 10**20, -(10**20), 10**400,
    2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63),
    -999, -999.0, -99999.0, 99.0, 100.0, 360.0, 359.99999999999994, 90.0, -90.0, 90.0000001,
    2400000.5, 2458451.7528472, 58451.2528472, 2488069.6, 1e-5,
    "", " ", "0", "1", "-1", "t", "f", "T", "true", "False", "g", "r", "zg", "G", "nan",
    "Infinity", "17.5", "\uff11\uff17", "null", "None", "\x00", "a\x00", "é", "★",
    "\ud800", "\u202e",
    "ZTF19aacgslb", "ZTF 19", "x" * 64, "x" * 65, "9" * 19, "9" * 20, "1e5", "2019-01-01",
    "2019-01-01T00:00:00", "2019-01-01T00:00:00.000Z", "2019-02-30T00:00:00",
    "0000-00-00T00:00:00",
    "2016-12-31T23:59:60.000", "9999-12-31T23:59:59.999Z", "0001-01-01T00:00:00",
    "2019-01-01T00:00:00+00:00", "2019-01-01 00:00:00", "http://[", "http://x/api/y/1/",
    "http://x/" + "9" * 5000 + "/", "http://x/" + "9" * 25 + "/",
    [], {}, [None], [[]], {"a": 1}, ["ingest"], [""], ["t"], deep(40), deep(700),
]  # fmt: skip
ODD: st.SearchStrategy[Any] = st.sampled_from(_ODD)
VALUES: st.SearchStrategy[Any] = (
    ODD | ODD | st.floats() | st.integers() | st.text(max_size=8) | st.floats(-40, 60)
)


def packets(name: str) -> Any:
    """Return one of the base packets."""
    return json.loads((PACKETS / name).read_text())


def changes(
    paths: Sequence[tuple[str | int, ...]], *, most: int = 3
) -> st.SearchStrategy[list[Change]]:
    """Return a strategy of up to ``most`` changes at some of these paths."""
    return st.lists(st.tuples(st.sampled_from(paths), VALUES), max_size=most)


def changed(packet: Any, made: Sequence[Change]) -> Any:
    """Return the packet with changes; one that no longer has its place is left out."""
    packet = copy.deepcopy(packet)
    for path, value in made:
        if not path:
            packet = None if value is DROP else _fresh(value)
            continue
        at = packet
        try:
            for step in path[:-1]:
                at = at[step]
            if value is DROP:
                del at[path[-1]]
            else:
                at[path[-1]] = _fresh(value)
        except (TypeError, KeyError, IndexError):
            continue
    return packet


def _fresh(value: Any) -> Any:
    """Return an odd value that later changes may spoil: the list of them stays as it is."""
    return value.copy() if isinstance(value, (dict, list)) else value


def paths_of(packet: Any, *, below: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of everything in a packet, the packet itself first."""
    found = [below]
    items: Any = ()
    if isinstance(packet, dict):
        items = packet.items()
    elif isinstance(packet, list):
        items = enumerate(packet)
    for key, value in items:
        found += paths_of(value, below=(*below, key))
    return found


def text_of(packet: Any) -> str:
    """Return a packet as JSON text, with bare NaN and Infinity as MARS prints them."""
    return json.dumps(packet, default=str)


def _raw(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _cut(text: str, where: int) -> bytes:
    raw = _raw(text)
    return raw[: where % max(1, len(raw))]


def _broken(text: str, where: int) -> bytes:
    raw = _raw(text)
    at = where % max(1, len(raw))
    return raw[:at] + b"\xff\xfe\x80" + raw[at:]


def _long_number(text: str, where: int) -> bytes:
    at = where % max(1, len(text))
    return _raw(text[:at] + "9" * 5000 + text[at:])


_SPOILERS: tuple[Callable[[str, int], bytes], ...] = (
    *(4 * (lambda text, _where: _raw(text),)),
    _cut,
    _broken,
    _long_number,
    lambda text, _where: text.encode("utf-16", errors="surrogatepass"),
    lambda text, _where: b"\xef\xbb\xbf" + _raw(text),
    lambda text, where: b"[" * (10 + where % 3000) + _raw(text),
    lambda _text, where: b'{"results": ' + b"[" * (10 + where % 3000),
    lambda text, _where: gzip.compress(_raw(text)),
    lambda _text, _where: b"<!DOCTYPE html><html><title>Welcome</title></html>",
    lambda _text, _where: b"",
    lambda text, _where: 2 * _raw(text),
    # A key twice: the last one counts.
    lambda text, _where: _raw(text.replace('"magpsf":', '"magpsf": 99, "magpsf":')),
    lambda text, _where: _raw(text.replace('"mag":', '"mag": -5, "mag":')),
    lambda text, where: _raw(text.replace("e", "\\u0065", where % 5)),
    lambda text, _where: _raw(text.replace(": 1", ": 01", 1)),
    lambda text, _where: _raw(text).replace(b" ", b"\x00", 1),
)


@dataclass(frozen=True)
class Spoiler:
    """One way to spoil a body; called with its text."""

    number: int
    where: int

    def __call__(self, text: str) -> bytes:
        """Return the bytes that arrive."""
        return _SPOILERS[self.number](text, self.where)


SPOILERS: st.SearchStrategy[Spoiler] = st.builds(
    Spoiler, st.integers(0, len(_SPOILERS) - 1), st.integers(0, 100_000)
)
"""Most leave the body as it is; the others truncate, re-encode, nest or replace it."""


def decoded(body: bytes) -> Any:
    """Return what a body says, or None where it says nothing: the oracle's own reading."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
