from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.push import PushResult, push
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from yse_ingest.targets import Target

RA, DEC = 157.3415, 29.5106667


@dataclass
class House:
    """The stand-ins, a Redis, and services that use them."""

    mars: MarsStandIn
    ysepz: YsePzStandIn
    redis: EmbeddedRedis
    environment: dict[str, str]

    def service(self, *, state: bool = True, **environment: str) -> Service:
        env = {**self.environment, **environment}
        if state:
            env["YSE_INGEST_STATE_URL"] = self.redis.url(1)
        return Service.from_settings(Settings.from_env(env))

    def push(self, target: Target, **kwargs: Any) -> PushResult:
        (result,) = push(self.service(**{"state": False, **kwargs}), [target])
        return result

    def cycle(self, service: Service, *names: str) -> None:
        """Fetch the targets and upload until nothing is due."""
        hints = service.refresh(names)
        while hints:
            for hint in hints:
                service.upload(hint.name, hint.key, hint.fence, attempt=1)
            hints = service.drain()

    def alerts(self, object_id: str, count: int, *, gap_d: float = 1.0, **values: Any) -> None:
        for number in range(count):
            self.mars.add_alert(
                object_id,
                2458500.5 + number * gap_d,
                "gr"[number % 2] if "band" not in values else values["band"],
                18.0 + 0.001 * number,
                0.05,
                RA,
                DEC,
            )

    def writes(self) -> list[str]:
        return [each.path for each in self.ysepz.log if each.method != "GET"]


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def house(valkey: EmbeddedRedis, tmp_path: Path) -> Iterator[House]:
    with MarsStandIn() as mars, YsePzStandIn() as ysepz:
        ysepz.add_transient("2019np", RA, DEC, redshift=0.00452, best_spec_class="SN Ia")
        yield House(
            mars,
            ysepz,
            valkey,
            {
                "MARS_URL": mars.url,
                "YSE_PZ_URL": ysepz.url,
                "YSE_PZ_USERNAME": "ingest",
                "YSE_PZ_PASSWORD": "sandbox-only",
                "XDG_STATE_HOME": str(tmp_path / "home"),
                "YSE_INGEST_STATE_DIR": str(tmp_path / "var"),
                "YSE_INGEST_NAMESPACE": f"test-{tmp_path.name}",
                # The stand-in's server is local: its limits are short, and ours with them.
                "YSE_PZ_READ_TIMEOUT": "2",
                "YSE_PZ_REQUEST_LIMIT": "1",
                "YSE_INGEST_SETTLE_GAP": "0.2",
                "YSE_INGEST_REQUEST_SECONDS": "0.3",
                "YSE_INGEST_RETRY_WAIT": "0.1",
            },
        )
