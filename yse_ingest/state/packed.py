"""Small values, packed: what is known of a target would be mostly names of fields and keys.

A packed value is one byte of format, the CRC-32 of what follows (4 bytes, big-endian), and raw
deflate (RFC 1951) that begins with a dictionary of what such values are made of. The dictionary
belongs to the format: it is never changed, another one is another format. Many values stand in
one hash: a key of its own takes some 50 bytes more.
"""

from __future__ import annotations

import logging
import zlib
from typing import TYPE_CHECKING, Any, Final

from yse_ingest.state import scripts
from yse_ingest.state.connection import Read
from yse_ingest.state.keys import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from yse_ingest.state.connection import Connection

logger = logging.getLogger(__name__)

FORMAT: Final = 1
"""Of what is written; raise it with every change of the dictionary, and keep the old one."""
_HEAD = 5
_AT_ONCE = 1000

# What is met most stands last: deflate names a place by how far back it lies.
_DICTIONARY: Final = (
    # Refused rows.
    b'"field":"magpsf","reason":"not a number","raw":"{","value":"","at_ms":179,'
    b'[179,"candid","","twin of : one exposure reported twice","mars","limit","forced",'
    # Clocks: what went wrong, and the words of the adaptive rule.
    b'"no answer"," is down","pending","ambiguous","error","unreadable","refused","empty",'
    b'"lasair","antares","atlas","fink","alerce","lsst",'
    b'"told_0":"30 min, the base","told_1":"x 1: . d after discovery","told_2":"x 2: nothing '
    b'new for . d","told_3":" min apart, by the setting","told_4":" mag bright",mag a day'
    b'"every_s":"next_s":"dropped":{"negative":"dropped_lately":{"set_aside":{'
    # Receipts.
    b'"error":{"corrections":[],"counts":{"stored elsewhere":"differs":"planned":"refused":'
    b'"absent":"altered":"owed":"adopted":"corrected":"settling","moved":'
    b'"accepted":"accepted","success","success"],"T00:00:00Z","obs_date":"outcome":'
    b'"mjdmatchmin":{"i-ZTF":"g-ZTF":0.00018518518518518518,"r-ZTF":0.00018518518518518518},'
    b'{"answers":["success"],"at":"2026-1","2027-0","counts":{"verified":1},'
    b'"points":{"band":{"of":"abababab","words":["g-ZTF","r-ZTF"]},"obs_date":{"ms":[15'
    b',000]},"outcome":{"of":"aaaaaaaa","words":["verified"]}},"requests":1,"seconds":0.0'
    b'"state":"verified","target":"ZTF20","transient":"ZTF20","transient_id":'
    # Ledgers.
    b'{"ATLAS1|cyan-ATLAS":"ATLAS1|orange-ATLAS":"ZTF-Cam|i-ZTF":"ZTF-Cam|g-ZTF":'
    b'"ZTF-Cam|r-ZTF":},[["ZTF-Cam","ZTF","r-ZTF"],["ZTF-Cam","ZTF","g-ZTF"]],"ztf19a"]'
    # Look-ups.
    b'{"dec":-"disc_date":null,"name":"ZTF18a","obs_group":"ZTF","pk":1,"ra":1'
    b'"slug":"ztf18a","status":"Following","tags":["YSE"]}"tags":[]}'
    # Clocks.
    b'{"mars":["ok",{"first_ms":15,"full_read_ms":179,"kinds":["detection"],"mag":18.19.20.'
    b'"negative":0,"newest_ms":15,"news_ms":179,"object_ids":["ZTF21a"],"slope":null},179'
)


class DamagedError(ValueError):
    """A packed value is not what was written."""


def pack(data: bytes, *, known: bytes = b"") -> bytes:
    """Return bytes as a packed value.

    Parameters
    ----------
    data
        What is kept.
    known
        What whoever unpacks it knows, and is likely to stand in it.
    """
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=_DICTIONARY + known)
    body = deflate.compress(data) + deflate.flush()
    return bytes((FORMAT,)) + zlib.crc32(body).to_bytes(4) + body


def is_whole(packed: bytes) -> bool:
    """Tell whether a packed value is as it was written, without unpacking it."""
    return (
        len(packed) > _HEAD
        and packed[0] == FORMAT
        and zlib.crc32(packed[_HEAD:]) == int.from_bytes(packed[1:_HEAD])
    )


def unpack(packed: bytes, *, known: bytes = b"") -> bytes:
    """Return what `pack` was given; ``known`` is what it was given, too.

    Raises
    ------
    DamagedError
        When the value is torn or changed, or has a format that is not known.
    """
    if not is_whole(packed):
        msg = "the checksum differs" if packed[:1] == bytes((FORMAT,)) else "no such format"
        raise DamagedError(msg)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_DICTIONARY + known)
    try:
        data = inflate.decompress(packed[_HEAD:])
    except zlib.error as error:
        raise DamagedError(str(error)) from error
    if not inflate.eof or inflate.unused_data:
        msg = "it has no end"
        raise DamagedError(msg)
    return data


def pack_json(value: object, *, known: bytes = b"") -> bytes:
    """Return a JSON value, packed; see `pack`.

    Raises
    ------
    ValueError
        When a number is not finite.
    """
    return pack(dumps(value).encode(), known=known)


def unpack_json(packed: bytes, *, known: bytes = b"") -> Any:
    """Return what `pack_json` was given; see `unpack`."""
    try:
        return loads(unpack(packed, known=known).decode())
    except UnicodeDecodeError as error:
        raise DamagedError(str(error)) from error


class PackedHash:
    """Values by name in one hash, each packed with its name known. A damaged one is missing."""

    def __init__(self, connection: Connection, key: str) -> None:
        self._connection = connection
        self.key = key

    def read_of(self, name: str) -> Read:
        """Return what `get` reads."""
        return Read(("HGET", self.key, name), binary=True)

    def get(self, name: str) -> Any:
        """Return the value of a name, or None."""
        raw = self._connection.call(*self.read_of(name).command, binary=True)
        return self.value_of(name, raw)

    def many(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the values of those of these names that have one."""
        values = {
            name: self.value_of(name, raw)
            for name, raw in zip(names, self.raws(names), strict=True)
        }
        return {name: value for name, value in values.items() if value is not None}

    def raws(self, names: Sequence[str]) -> list[bytes | None]:
        """Return the packed values of these names, in order."""
        found: list[bytes | None] = []
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            found += self._connection.call("HMGET", self.key, *some, binary=True)
        return found

    def names(self) -> list[str]:
        """Return the names that have a value, sorted."""
        return sorted(self._connection.call("HKEYS", self.key))

    def put(self, values: Mapping[str, Any]) -> None:
        """Keep values by name, whatever stood there."""
        names = list(values)
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            flat = [part for name in some for part in (name, self.pack(name, values[name]))]
            self._connection.call("HSET", self.key, *flat)

    def sweep(self, count: int, *, is_over: Callable[[Any], bool]) -> None:
        """Forget values that are over, among at most so many taken at random."""
        for name in self._connection.call("HRANDFIELD", self.key, min(count, _AT_ONCE)):
            raw = self._connection.call("HGET", self.key, name, binary=True)
            if raw is not None and is_over(self.value_of(name, raw)):
                self.swap(name, raw, b"")

    def pack(self, name: str, value: object) -> bytes:
        """Return a value as it is kept under a name."""
        return pack_json(value, known=_known(name))

    def change(self, name: str, how: Callable[[Any], Any]) -> Any:
        """Change a value, whoever else does so at the same time; return what it was.

        Parameters
        ----------
        name
            Whose.
        how
            Returns the new value for the old one; None: there is none. It may be called more
            than once.
        """
        while True:
            raw = self._connection.call("HGET", self.key, name, binary=True)
            before = self.value_of(name, raw)
            after = how(before)
            new = b"" if after is None else self.pack(name, after)
            if self.swap(name, raw, new):
                return before

    def swap(self, name: str, before: bytes | None, after: bytes) -> bool:
        """Put packed bytes in the place of others; False: those stand there no more."""
        if after == (before or b""):
            return True
        args = [name, before or b"", after]
        return bool(self._connection.run(scripts.PACKED_SWAP, keys=[self.key], args=args))

    def drop(self, names: Iterable[str]) -> None:
        """Forget the values of names."""
        if wanted := list(names):
            self._connection.call("HDEL", self.key, *wanted)

    def value_of(self, name: str, raw: bytes | None) -> Any:
        """Return the value of packed bytes; None: there are none, or they are damaged."""
        if raw is None:
            return None
        try:
            return unpack_json(raw, known=_known(name))
        except ValueError as error:
            logger.warning(
                "damaged, taken as missing",
                extra={"key": self.key, "field": name, "reason": str(error)},
            )
            return None


def _known(name: str) -> bytes:
    """Return the name as it is likely to stand in its value, and as YSE-PZ's slug of it."""
    return f'"slug":"{name.lower()}","name":"{name}"'.encode()
