"""The directory: what TNS says of a name, asked once and kept for all workers.

It fills in where a target is that has neither position nor object id and that YSE-PZ does not
know. Without a key of TNS nothing is asked. Nothing of it is written to YSE-PZ but the position
of a transient that is to be created.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from yse_ingest.errors import SettingsError
from yse_ingest.sources.tns import KEY, Tns, TnsObject
from yse_ingest.targets import canonical_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yse_ingest.targets import Target

KNOWN_S = 7 * 86_400.0
"""How long an object is believed [s]: names are added to it, and it is classified."""
UNKNOWN_S = 3600.0
"""How long it is believed that TNS does not know a name [s]: the report may be on its way."""


class Shelf(Protocol):
    """Where answers are kept."""

    def put(self, name: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer."""

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the answer for a name; None: it was not asked for."""


class LocalShelf:
    """A shelf for one process."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[str, Any]] = {}

    def put(self, name: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer."""
        self._answers[name] = dict(answer)

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the answer for a name; None: it was not asked for."""
        return self._answers.get(name)


@dataclass(frozen=True)
class Entry:
    """What TNS answered for a name."""

    found: TnsObject | None
    """None: it does not know the name."""
    asked_s: float
    """When it was asked, Unix time [s]."""

    def __str__(self) -> str:
        """Return what TNS does, to be read after its name."""
        if self.found is None:
            return "does not know the name"
        found = self.found
        return f"has it as {found.prefix}{found.name} at {found.ra:.5f}, {found.dec:+.5f}"


class Directory:
    """Names, as TNS has them.

    Parameters
    ----------
    tns
        Returns the client; None: no key is configured.
    shelf
        Returns where answers are kept.
    clock
        Unix time [s].
    """

    def __init__(
        self,
        tns: Callable[[], Tns | None],
        shelf: Callable[[], Shelf],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._tns = tns
        self._shelf = shelf
        self._clock = clock

    def look_up(self, name: str, *, max_age_s: float | None = None) -> Entry | None:
        """Return what TNS says of a name, kept or asked now; None: it is not configured.

        Parameters
        ----------
        max_age_s
            Oldest answer that is taken [s]; None: `KNOWN_S`, or `UNKNOWN_S`.

        Raises
        ------
        SettingsError
            The key is configured, but not its bot.
        AmbiguousTargetError
            Several objects have this name.
        SourceError
            TNS did not do its part, or its quota is spent.
        """
        tns = self._tns()
        if tns is None:
            return None
        kept = self.kept(name)
        if kept is not None:
            believed_s = UNKNOWN_S if kept.found is None else KNOWN_S
            if self._clock() - kept.asked_s <= (believed_s if max_age_s is None else max_age_s):
                return kept
        entry = Entry(tns.find(name), self._clock())
        found = None if entry.found is None else entry.found.as_dict()
        self._shelf().put(_key(name), {"asked_s": entry.asked_s, "found": found})
        return entry

    def kept(self, name: str) -> Entry | None:
        """Return what TNS said of a name when it was last asked; None: it never was."""
        answer = self._shelf().get(_key(name))
        if answer is None:
            return None
        found = answer["found"]
        return Entry(None if found is None else TnsObject.from_dict(found), answer["asked_s"])


def not_configured() -> SettingsError:
    """Return the error of who wants to ask TNS without a key."""
    return SettingsError(
        "TNS is not asked without a key",
        service="settings",
        field=KEY.variable,
        remedy="Make a bot at TNS, and set TNS_API_KEY, TNS_BOT_ID and TNS_BOT_NAME.",
    )


def located(target: Target, found: TnsObject, *, survey: str | None) -> Target:
    """Return a target with the place that TNS gives, and with its object id in one survey.

    Parameters
    ----------
    survey
        The only one that the target is asked of; None: there are several.
    """
    object_id = {"ZTF": found.ztf_id, "LSST": found.lsst_id}.get(survey or "")
    return replace(target, ra=found.ra, dec=found.dec, object_id=object_id)


def needs_place(target: Target) -> bool:
    """Tell whether nothing but its name says which object a target is."""
    return not target.has_position and target.object_id is None


def _key(name: str) -> str:
    return canonical_name(name.strip()).casefold()
