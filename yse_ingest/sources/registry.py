"""Every source that is installed, ours and other packages', by name.

A source is registered by an entry point of the group ``yse_ingest.sources``, in the
``pyproject.toml`` of the package that holds it::

    [project.entry-points."yse_ingest.sources"]
    fink = "yse_ingest.sources.fink:FinkSource"

A source is imported when it is first asked for: one that is broken stops only itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from yse_ingest.errors import SettingsError
from yse_ingest.sources.rates import rate_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yse_ingest.sources.base import Source
    from yse_ingest.sources.setup import Option

GROUP = "yse_ingest.sources"


class Registry(Mapping[str, "type[Source]"]):
    """Classes of sources by name, imported when they are looked up.

    Parameters
    ----------
    found
        Entry points; where two differ in their target under one name, neither can be used.
    """

    def __init__(self, found: Iterable[EntryPoint]) -> None:
        self._found: dict[str, dict[str, EntryPoint]] = {}
        for entry in found:
            self._found.setdefault(entry.name, {})[entry.value] = entry
        self._usable: dict[str, type[Source]] = {}

    @classmethod
    def installed(cls) -> Registry:
        """Return the sources of every package that is installed."""
        return cls(entry_points(group=GROUP))

    def __getitem__(self, name: str) -> type[Source]:
        """Return the class of a source.

        Raises
        ------
        KeyError
            When there is none of this name.
        SettingsError
            When its package cannot be imported, or holds no source of this name.
        """
        if name in self._usable:
            return self._usable[name]
        entry, *rivals = self._found[name].values()
        if rivals:
            raise _unusable(name, entry, f"{rivals[0].value} is registered under it, too")
        try:
            source: type[Source] = entry.load()
        except (ImportError, AttributeError) as error:
            raise _unusable(name, entry, str(error)) from error
        lacking = [
            part
            for part in ("name", "title", "capabilities", "options", "from_setup", "fetch")
            if not hasattr(source, part)
        ]
        if lacking:
            raise _unusable(name, entry, f"it has no {', '.join(lacking)}")
        if source.name != name:
            raise _unusable(name, entry, f"it calls itself {source.name!r}")
        self._usable[name] = source
        return source

    def __contains__(self, name: object) -> bool:
        """Tell whether there is one of this name, without importing it."""
        return name in self._found

    def options(self) -> Iterator[Option]:
        """Iterate over the settings of all sources that can be used."""
        for name in self:
            with contextlib.suppress(SettingsError):
                source = self[name]
                yield from source.options
                if source.capabilities.by_id or source.capabilities.by_position:
                    yield rate_option(source)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(sorted(self._found))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._found)


def _unusable(name: str, entry: EntryPoint, why: str) -> SettingsError:
    return SettingsError(
        f"the source {name!r} cannot be used: {why}",
        service="settings",
        field="source",
        value=entry.value,
        remedy="Mend or remove the package that registers it.",
    )
