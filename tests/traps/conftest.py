"""The stand-ins, a Redis, and the product's service between them."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from yse_ingest.push import PushResult, push
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from yse_ingest.targets import Target

RA, DEC = 157.3415, 29.5106667
FIRST_JD = 2458500.5
REST_S = 30.0


@dataclass
class House:
    """A source, a YSE-PZ, and services that join them."""

    mars: MarsStandIn
    ysepz: YsePzStandIn
    environment: dict[str, str]
    state_url: str
    services: list[Service] = field(default_factory=list)

    def service(self, **environment: str) -> Service:
        """Return a service with its state in Redis."""
        env = {**self.environment, "YSE_INGEST_STATE_URL": self.state_url, **environment}
        service = Service.from_settings(Settings.from_env(env))
        self.services.append(service)
        return service

    def push(self, target: Target, **environment: str) -> PushResult:
        """Push one target, without Redis."""
        service = Service.from_settings(Settings.from_env({**self.environment, **environment}))
        self.services.append(service)
        (result,) = push(service, [target])
        return result

    def cycle(self, service: Service, *names: str) -> list[str]:
        """Fetch, upload, retry and drain as the workers do, until nothing is due any more."""
        states: list[str] = []
        hints = service.refresh(names)
        end = time.monotonic() + REST_S
        while hints and time.monotonic() < end:
            for hint in hints:
                for attempt in range(1, 6):
                    outcome = service.upload(hint.name, hint.key, hint.fence, attempt=attempt)
                    states.append(outcome.state)
                    if outcome.retry_in is None:
                        break
                    time.sleep(min(outcome.retry_in, 0.05))
            hints = service.drain()
            while not hints and self._settling(service) and time.monotonic() < end:
                time.sleep(0.02)
                hints = service.drain()
        return states

    @staticmethod
    def _settling(service: Service) -> bool:
        return any(row.settle is not None for row in service.state.outbox.rows(10))

    def alert(self, days: float, *, object_id: str = "ZTF19aacgslb", **values: Any) -> int:
        """Add one alert at the place of SN 2019np, so many days after the first."""
        facts = {"band": "g", "mag": 18.0, "ra": RA, "dec": DEC, **values}
        facts["filter"] = facts.pop("band")
        facts["magpsf"] = facts.pop("mag")
        return self.mars.add_alert(object_id, FIRST_JD + days, sigmapsf=0.05, **facts)

    def close(self) -> None:
        """Close the connections of its services."""
        for service in self.services:
            service.ysepz.close()

    def writes(self) -> list[str]:
        """Return the paths of the requests that write."""
        return [each.path for each in self.ysepz.log if each.method != "GET"]

    def posted(self) -> list[dict[str, Any]]:
        """Return the points of every upload request, in order."""
        fixed = {"header", "transient", "photheader"}
        return [
            point
            for each in self.ysepz.log
            if each.method == "POST"
            for key, point in json.loads(each.body).items()
            if key not in fixed
        ]


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def build(valkey: EmbeddedRedis, tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Return a function that opens a house around stand-ins of one's own."""
    with contextlib.ExitStack() as stack:

        def make(
            mars: MarsStandIn | None = None, ysepz: YsePzStandIn | None = None, **env: str
        ) -> House:
            mars = stack.enter_context(mars or MarsStandIn())
            ysepz = stack.enter_context(ysepz or YsePzStandIn())
            ysepz.add_transient("2019np", RA, DEC, redshift=0.00452, best_spec_class="SN Ia")
            environment = {
                "MARS_URL": mars.url,
                "YSE_PZ_URL": ysepz.url,
                "YSE_PZ_USERNAME": "ingest",
                "YSE_PZ_PASSWORD": "sandbox-only",
                "XDG_STATE_HOME": str(tmp_path / "home"),
                "YSE_INGEST_STATE_DIR": str(tmp_path / "var"),
                "YSE_INGEST_NAMESPACE": f"trap-{tmp_path.name}",
                "YSE_PZ_READ_TIMEOUT": "2",
                "YSE_PZ_REQUEST_LIMIT": "0.3",
                "YSE_INGEST_SETTLE_GAP": "0.05",
                "YSE_INGEST_RETRY_WAIT": "0.05",
                **env,
            }
            house = House(mars, ysepz, environment, valkey.url(1))
            stack.callback(house.close)
            return house

        yield make


@pytest.fixture
def house(build: Callable[..., House]) -> House:
    return build()
