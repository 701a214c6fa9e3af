"""The sandbox of ``up --sandbox``: stand-ins with real supernovae, and a Redis where needed."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Self

from yse_ingest.errors import SettingsError
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.settings import describe
from yse_ingest.state import side_connection
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from yse_ingest.sandbox.supernovae import Supernova

ACCOUNT, PASSWORD = "ingest", "sandbox-only"
NAMESPACE = "sandbox"
MARK = ".yse-ingest-sandbox"
REQUEST_LIMIT_S = 5.0
CADENCE_S = 30.0
FROM_ALERCE = 3
"""So many of the supernovae come from the stand-ins ALeRCE and Fink, the others from MARS."""

_KEPT = {
    "CELERY_BROKER_URL",
    "YSE_INGEST_LOG",
    "YSE_INGEST_LOG_LEVEL",
    "YSE_INGEST_SHADOW",
}
_SECRETS = {"YSE_PZ_USERNAME", "YSE_PZ_PASSWORD", "YSE_PZ_PASSWORD_FILE"}


class Playground:
    """Stand-in MARS, ALeRCE, Fink and YSE-PZ over HTTP, from `__enter__` to `__exit__`.

    Parameters
    ----------
    directory
        Folder of the sandbox's state: emptied at each start.
    env
        Settings of the real service do not reach into the sandbox; a configured broker is
        used, in a namespace of its own.
    count
        How many of the 31 supernovae.
    """

    def __init__(
        self, directory: Path, env: Mapping[str, str], *, count: int | None = None
    ) -> None:
        self.directory = directory
        self.supernovae: tuple[Supernova, ...] = supernovae.load()[:count]
        self.mars = MarsStandIn()
        self.alerce = AlerceStandIn()
        self.fink = FinkStandIn()
        self.ysepz = YsePzStandIn(worker_limit_s=REQUEST_LIMIT_S)
        self.beneath: tuple[int, ...] = ()
        """The process of the embedded Redis, where there is one."""
        self._broker_url = env.get("CELERY_BROKER_URL")
        self._env = env
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Start everything, filled."""
        with self._stack as stack:
            _emptied(self.directory)
            if self._broker_url is None:
                redis = stack.enter_context(EmbeddedRedis(self.directory / "redis"))
                self._broker_url = redis.url()
                self.beneath = (redis.pid,) if redis.pid else ()
            else:
                _forget(self._broker_url)
            for stand_in in (self.mars, self.alerce, self.fink, self.ysepz):
                stack.enter_context(stand_in)
            self._fill()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self._stack.close()

    def _fill(self) -> None:
        supernovae.fill_mars(self.mars, self.supernovae)
        supernovae.fill_alerce(self.alerce, self.supernovae)
        supernovae.fill_fink(self.fink, self.supernovae)
        for each in self.supernovae:
            self.ysepz.add_transient(
                each.name, each.ra, each.dec, status="Following", best_spec_class="SN Ia"
            )

    def targets(self) -> list[Target]:
        """Return what is followed: the transients by name; YSE-PZ knows where they are."""
        first_from_alerce = max(1, len(self.supernovae) - FROM_ALERCE)
        return [
            Target(each.name, source="alerce,fink" if row >= first_from_alerce else "mars")
            for row, each in enumerate(self.supernovae)
        ]

    def environment(self) -> dict[str, str]:
        """Return the environment of the processes: it points at the stand-ins."""
        foreign = {row["variable"] for row in describe()} - _KEPT | _SECRETS
        return {
            **{name: value for name, value in self._env.items() if name not in foreign},
            "YSE_PZ_URL": self.ysepz.url,
            "YSE_PZ_USERNAME": ACCOUNT,
            "YSE_PZ_PASSWORD": PASSWORD,
            "YSE_PZ_REQUEST_LIMIT": f"{REQUEST_LIMIT_S:g}",
            "MARS_URL": self.mars.url,
            "ALERCE_URL": self.alerce.api_url,
            "ALERCE_FORCED_URL": self.alerce.forced_url,
            "FINK_URL": self.fink.api_url,
            "CELERY_BROKER_URL": self._broker_url or "",
            "YSE_INGEST_NAMESPACE": NAMESPACE,
            "YSE_INGEST_STATE_DIR": str(self.directory),
            "YSE_INGEST_CADENCE": f"{CADENCE_S:g}",
        }


def _emptied(directory: Path) -> None:
    """Empty the sandbox's folder; touch no other."""
    if directory.exists() and any(directory.iterdir()) and not (directory / MARK).exists():
        raise SettingsError(
            f"{directory} is not a folder of the sandbox",
            service="sandbox",
            remedy="Move it away, or start the sandbox elsewhere.",
        )
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / MARK).touch()


def _forget(broker_url: str) -> None:
    """Remove what an earlier sandbox left on a broker that is not ours: its keys alone."""
    from yse_ingest.settings import Settings

    settings = Settings.from_env({"CELERY_BROKER_URL": broker_url})
    for url in (settings.broker_url, settings.service_state_url):
        connection = side_connection(url)
        cursor = "0"
        while True:
            cursor, keys = connection.call(
                "SCAN", cursor, "MATCH", f"yse_ingest:{NAMESPACE}:*", "COUNT", 1000
            )
            if keys:
                connection.call("UNLINK", *keys)
            if str(cursor) == "0":
                break
        connection.close()
