"""Choices: which of several sources is asked for a target, and what each of them reported."""

from __future__ import annotations

import json
import logging
import zlib
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from yse_ingest.state.keys import dumps
from yse_ingest.state.packed import PackedHash
from yse_ingest.targets import canonical_name
from yse_ingest.union import Sightings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yse_ingest.state.connection import Connection, Read
    from yse_ingest.state.keys import Keys

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """How one target stands at the sources of one survey."""

    asked: tuple[str, ...] = ()
    """Who gave usable answers in the last round, the first first."""
    since_ms: int = 0
    """Since when the first of them is the one that is asked [Unix ms]."""
    passed: Mapping[str, str] = field(default_factory=dict)
    """Who stands before it in the operator's order, and why it is passed over."""
    disagreements: tuple[str, ...] = ()
    """What two sources say differently, each as a sentence; the first one's value stands."""

    @property
    def speaks(self) -> str | None:
        """Return the source whose answers hold; None: nobody answers."""
        return self.asked[0] if self.asked else None


class Choices:
    """Choices and sightings by target and survey; all are derivable."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys
        self._looks = keys("watch", "looks")
        self._waiting = PackedHash(connection, keys("waiting"))

    def get(self, name: str) -> dict[str, Choice]:
        """Return the choices of a target by survey; a survey with one source has none."""
        return _choices(self._connection.call("HGETALL", self._key(name)))

    def all(self, names: Iterable[str]) -> dict[str, dict[str, Choice]]:
        """Return the choices of many targets in one go, by name as given."""
        wanted = list(names)
        replies = self._connection.batch([("HGETALL", self._key(name)) for name in wanted])
        return {name: _choices(raw) for name, raw in zip(wanted, replies, strict=True)}

    def put(self, name: str, survey: str, choice: Choice) -> None:
        """Keep a choice."""
        commands: list[tuple[Any, ...]] = [
            ("HSET", self._key(name), survey, dumps(asdict(choice)))
        ]
        if choice.passed or choice.disagreements:
            # Something may be to tell: `yse_ingest.state.looks`.
            commands.append(("ZADD", self._looks, "XX", 0, canonical_name(name)))
        self._connection.batch(commands)

    def wait_for(self, name: str, sources: Iterable[str]) -> None:
        """Note that a target comes before its time, to ask these sources again."""
        more = set(sources)
        self._waiting.change(
            canonical_name(name), lambda known: sorted(more.union(known or ()))
        )

    def waiting(self, name: str) -> set[str]:
        """Return the sources noted by `wait_for`, and forget them; none: all are asked."""
        name = canonical_name(name)
        if self._waiting.get(name) is None:
            return set()
        return set(self._waiting.change(name, lambda _: None) or ())

    def read_of(self, name: str) -> Read:
        """Return what `waiting` reads first: most targets wait for nobody."""
        return self._waiting.read_of(canonical_name(name))

    def sightings(self, name: str, survey: str) -> Sightings:
        """Return what the sources of a survey reported of a target."""
        key = self._keys("sightings", canonical_name(name))
        packed = self._connection.call("HGET", key, survey, binary=True)
        if packed is None:
            return Sightings.empty()
        try:
            return Sightings.from_columns(json.loads(zlib.decompress(packed)))
        # What is damaged may fail anywhere: compression, JSON, its keys, their types.
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            logger.warning(
                "sightings damaged, derived anew",
                extra={"target": name, "survey": survey, "reason": str(error)},
            )
            self._connection.call("HDEL", key, survey)
            return Sightings.empty()

    def keep_sightings(self, name: str, survey: str, sightings: Sightings) -> None:
        """Keep what the sources of a survey reported of a target."""
        packed = zlib.compress(dumps(sightings.columns()).encode())
        key = self._keys("sightings", canonical_name(name))
        self._connection.call("HSET", key, survey, packed)

    def _key(self, name: str) -> str:
        return self._keys("choice", canonical_name(name))


def _choices(raw: Mapping[str, str]) -> dict[str, Choice]:
    found = {}
    for survey, text in raw.items():
        values: dict[str, Any] = json.loads(text)
        found[survey] = Choice(
            asked=tuple(values["asked"]),
            since_ms=values["since_ms"],
            passed=values["passed"],
            disagreements=tuple(values["disagreements"]),
        )
    return found
