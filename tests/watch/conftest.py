from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.watch.smtp import SmtpStandIn
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKS = ("queue:fetch", "queue:upload", "queue:control", "dispatch", "drain", "sweep", "watch")


@dataclass
class Deployment:
    """A service beside stand-ins of MARS, YSE-PZ and a mail server; nothing runs by itself."""

    mars: MarsStandIn
    ysepz: YsePzStandIn
    mail: SmtpStandIn
    folder: Path
    environment: dict[str, str]
    services: list[Service] = field(default_factory=list)

    def service(self, **changes: str) -> Service:
        service = Service.from_settings(Settings.from_env({**self.environment, **changes}))
        self.services.append(service)
        return service

    def work(self, service: Service) -> None:
        """Do what running workers prove all the time."""
        for work in WORKS:
            service.state.heartbeats.beat(work)

    def follow(self, service: Service, *names: str, **fields: Any) -> None:
        for name in names:
            service.enqueue(Target(name, **fields))

    def cycle(self, service: Service, *names: str) -> None:
        """Fetch, and upload what is owed once."""
        for hint in service.refresh(names):
            service.upload(hint.name, hint.key, hint.fence, attempt=1)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def smtp() -> Iterator[SmtpStandIn]:
    with SmtpStandIn() as server:
        yield server


@pytest.fixture
def deployment(
    valkey: EmbeddedRedis, smtp: SmtpStandIn, tmp_path: Path
) -> Iterator[Deployment]:
    every = supernovae.load()[:6]
    with MarsStandIn() as mars, YsePzStandIn() as ysepz:
        supernovae.fill_mars(mars, every)
        for each in every:
            ysepz.add_transient(each.name, each.ra, each.dec)
        found = Deployment(
            mars,
            ysepz,
            smtp,
            tmp_path,
            {
                "MARS_URL": mars.url,
                "YSE_PZ_URL": ysepz.url,
                "YSE_PZ_USERNAME": "ingest",
                "YSE_PZ_PASSWORD": "sandbox-only",
                "CELERY_BROKER_URL": valkey.url(),
                "YSE_INGEST_NAMESPACE": f"watch-{tmp_path.name}"[:90],
                "YSE_INGEST_STATE_DIR": str(tmp_path / "var"),
                "YSE_INGEST_RETRY_WAIT": "0.05",
                "YSE_INGEST_NOTIFY_AFTER": "0.01",
                "YSE_INGEST_NOTIFY_TIMEOUT": "2",
                "YSE_INGEST_NOTIFY_TO": "observer@example.org",
                "YSE_INGEST_SMTP_SECURITY": "none",
                "YSE_INGEST_SMTP_PORT": str(smtp.port),
                "YSE_INGEST_LIMIT_YSE_PZ": "0.01",
            },
        )
        yield found
        for service in found.services:
            service.state.close()
