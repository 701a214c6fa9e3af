"""A second YSE-PZ is a second folder and namespace: on one Redis, neither sees the other."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from tests.cli.conftest import PROGRAM
from yse_ingest.cli import main
from yse_ingest.envfile import ENV_FILE, parse_env
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state import side_connection
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Console


class Deployment:
    """A folder as `init` writes it, for one YSE-PZ."""

    def __init__(self, console: Console, name: str, ysepz: YsePzStandIn) -> None:
        self.folder = console.folder / name
        self.ysepz = ysepz
        made = CliRunner().invoke(main, ["init", str(self.folder), "--namespace", name])
        assert made.exit_code == 0, made.output
        written = parse_env((self.folder / ENV_FILE).read_text(), name=ENV_FILE)
        assert written["YSE_INGEST_NAMESPACE"] == name
        redis = console.environment["CELERY_BROKER_URL"]
        self.environment: dict[str, str] = {
            **console.environment,
            **written,
            "CELERY_BROKER_URL": redis,
            "YSE_INGEST_STATE_URL": redis.rpartition("/")[0] + "/1",
            "YSE_INGEST_TARGETS": str(self.folder / "targets.toml"),
            "YSE_INGEST_STATE_DIR": str(self.folder / "var"),
            "YSE_PZ_URL": ysepz.url,
        }
        self.service = Service.from_settings(Settings.from_env(self.environment))

    def run(self, *words: str) -> Any:
        """Run a command of this deployment; return its JSON."""
        result = CliRunner().invoke(main, [*words, "--json"], env=self.environment)
        return json.loads(result.stdout)

    def start(self, *words: str) -> Any:
        """Run a command as a process of its own: Celery knows one broker per process."""
        done = subprocess.run(
            [PROGRAM, *words, "--json"],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return json.loads(done.stdout)

    def queued(self) -> int:
        """Return how many messages wait for fetch workers, as Redis has them."""
        broker = side_connection(self.environment["CELERY_BROKER_URL"])
        length = broker.call("LLEN", f"yse_ingest:{self.service.settings.namespace}:fetch")
        broker.close()
        return int(length)

    def cycle(self) -> list[str]:
        """Do what the workers would with what is due; return who was asked for."""
        names = [name for batch in self.service.dispatch() for name in batch.names]
        for hint in self.service.refresh(names) if names else []:
            self.service.upload(hint.name, hint.key, hint.fence, attempt=1)
        return names


@pytest.fixture
def both(console: Console) -> Iterator[tuple[Deployment, Deployment]]:
    first = supernovae.load()[0]
    with YsePzStandIn() as test_server:
        test_server.add_transient(first.name, first.ra, first.dec, status="Following")
        one = Deployment(console, "production", console.ysepz)
        two = Deployment(console, "test-server", test_server)
        yield one, two
        for each in (one, two):
            each.service.state.close()


def test_nothing_of_one_is_seen_by_the_other(both: tuple[Deployment, Deployment]) -> None:
    """Targets, pauses, ledgers, what is owed, decisions and photometry are each one's own."""
    one, two = both
    one.service.enqueue(Target("2019np"))
    assert two.service.state.targets.names() == []
    assert two.cycle() == []
    assert one.cycle() == ["2019np"]
    assert len(one.ysepz.rows("2019np")) == 33
    assert two.ysepz.rows("2019np") == []
    assert two.service.state.ledgers.count() == 0
    assert [row["target"] for row in one.run("targets", "list")] == ["2019np"]
    assert two.run("targets", "list") == []

    # The same name in both: a pause and a hold of one do not stop the other.
    one.run("targets", "pause", "2019np")
    one.run("hold", "maintenance")
    two.service.enqueue(Target("2019np"))
    assert two.cycle() == ["2019np"]
    assert len(two.ysepz.rows("2019np")) == 33
    assert two.run("status", "2019np")["state"] == "idle"
    assert one.run("status", "2019np")["state"] == "paused"
    assert not (two.folder / "var" / "decisions.jsonl").read_text().count("paused")

    connection = side_connection(one.environment["YSE_INGEST_STATE_URL"])
    for name in ("production", "test-server"):
        assert connection.call("EXISTS", f"yse_ingest:{name}:targets") == 1
    connection.close()


def test_their_messages_lie_in_queues_of_their_own(both: tuple[Deployment, Deployment]) -> None:
    """On one broker: what one is to be asked for never reaches a worker of the other."""
    one, two = both
    assert one.start("enqueue", "2019np")["hinted"] is True
    assert (one.queued(), two.queued()) == (1, 0)
    assert one.run("status")["machinery"]["queues"]["fetch"] == 1
    assert two.run("status")["machinery"]["queues"]["fetch"] == 0


def test_their_units_and_ports_do_not_collide(both: tuple[Deployment, Deployment]) -> None:
    """Linked into one systemd they are two groups; Flower of the second has its own port."""
    one, _ = both
    units = sorted(path.name for path in (one.folder / "systemd").iterdir())
    assert "yse-ingest-production.target" in units
    assert all(name.startswith("yse-ingest-production") for name in units)
    for path in (one.folder / "systemd").glob("*.service"):
        assert "PartOf=yse-ingest-production.target" in path.read_text()
    assert one.environment["FLOWER_PORT"] == "5556"
    refused = CliRunner().invoke(main, ["init", str(one.folder / "x"), "--namespace", "a:b"])
    assert refused.exit_code == 2
    assert not (one.folder / "x").exists()
