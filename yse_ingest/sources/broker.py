"""What the sources that live at one address have in common, and what brokers can do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from yse_ingest.sources.base import LSST, ZTF, Capabilities

if TYPE_CHECKING:
    from typing import Self

    from yse_ingest.sources.http import HttpClient
    from yse_ingest.sources.setup import Option, Setup

of_ztf = partial(
    Capabilities,
    by_id=True,
    by_position=True,
    since="client",
    exposure_tolerance_s=16.0,
    bands=("g", "r", "i"),
    survey=ZTF,
)
"""Returns the capabilities of a broker of ZTF's alerts: these, and what it is told besides."""
of_lsst = partial(
    Capabilities,
    by_id=True,
    by_position=True,
    since="client",
    exposure_tolerance_s=16.0,
    bands=tuple("ugrizy"),
    survey=LSST,
    time_scale="tai",
    time_of="middle",
)
"""Returns the capabilities of a broker of LSST's alerts, likewise."""


class HttpSource:
    """A source that lives at one address; its subclass says what it is, and how it is asked.

    Parameters
    ----------
    http
        Client of its base URL.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    options: ClassVar[tuple[Option, ...]]
    """The first is its address."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When its URL is no address.
        """
        return cls(setup.http(setup.value(cls.options[0]) or "", service=cls.title))

    @property
    def url(self) -> str:
        """Return where it lives."""
        return self.http.base_url

    def close(self) -> None:
        """Give its connections back."""
        self.http.close()
