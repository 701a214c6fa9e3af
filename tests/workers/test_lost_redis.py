"""Redis is emptied in mid-service, or left behind on another host: nothing is forgotten."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

from yse_ingest.sandbox.faults import Fault
from yse_ingest.state import State, side_connection
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.workers.conftest import Service

QUICK = """\
yse_ingest_config = 1
beat_schedule = {
    "dispatch": {"schedule": 0.5}, "drain": {"schedule": 0.5}, "sweep": {"schedule": 1.0},
}
beat_max_loop_interval = 1
"""
FROM_FILE, BY_HAND = 3, 3
"""Numbers of supernovae: followed by the targets file, and by hand."""


class Deployment:
    """A service whose people have decided something of every kind."""

    def __init__(self, service: Service) -> None:
        self.service = service
        names = list(service.supernovae)
        self.file, self.hand = names[4 : 4 + FROM_FILE], names[-BY_HAND:]
        self.paused, self.slowed, self.reduced = self.hand
        supernova = service.supernovae[self.reduced]
        self.rejected = next(a.candid for a in supernova.alerts if a.isdiffpos == "t")
        service.know(*self.file, *self.hand)
        targets = service.folder / "targets.toml"
        targets.write_text("".join(f'[[targets]]\nname = "{name}"\n' for name in self.file))
        (service.folder / "celeryconfig.py").write_text(QUICK)
        service.env |= {"YSE_INGEST_TARGETS": str(targets), "YSE_INGEST_CADENCE": "6"}

    def decide(self) -> None:
        """Pause one, give one a cadence of its own, reject a point of one; then follow all."""
        self.service.python(
            "from workers import enqueue_target\n"
            "from workers.resources import service\n"
            "state = service().state\n"
            f"state.targets.pause({self.paused!r}, 'wrong host')\n"
            f"state.targets.set_cadence({self.slowed!r}, 77.0)\n"
            f"state.quarantine.reject({self.reduced!r}, '{self.rejected}', 'a satellite')\n"
            f"for name in {self.hand!r}: enqueue_target(name)\n"
        )

    def start(self) -> None:
        for name, queue in (("fetch", "fetch,control"), ("upload", "upload")):
            self.service.worker(name, *queue.split(","))
        self.service.celery("beat")

    def wanted(self, name: str) -> int:
        return self.service.published(name) - (name == self.reduced)

    def complete(self) -> bool:
        names = [*self.file, self.slowed, self.reduced]
        return all(self.service.stored(name) >= self.wanted(name) for name in names)

    def check(self, redis_url: str, decisions: Path) -> None:
        """Every published point stands once, and every decision holds."""
        for name in (*self.file, *self.hand):
            rows = self.service.ysepz.rows(name)
            at = Counter((row["band"], row["obs_date"]) for row in rows)
            assert set(at.values()) <= {1}, name
            if name != self.paused:
                assert len(rows) == self.wanted(name), name
        with State.connect(redis_url, namespace="yse_ingest", decisions=decisions) as state:
            origins = {target.name: origin for target, origin in state.targets.all()}
            by_hand = dict.fromkeys(self.hand, "adhoc")
            assert origins == {**dict.fromkeys(self.file, "file"), **by_hand}
            assert state.targets.paused() == {self.paused: "wrong host"}
            assert state.targets.cadences() == {self.slowed: 77.0}
            kept = {self.reduced: {str(self.rejected): "a satellite"}}
            assert state.quarantine.rejections() == kept
            assert state.outbox.counts()["points"] == 0


def test_flushall_in_mid_service_heals(service: Service, until: Callable[..., float]) -> None:
    """Everything is stored once, and no target, pause, cadence or rejected point forgotten."""
    deployment = Deployment(service)
    deployment.decide()
    # Carried out, while nobody remembers it: its points come though Redis is empty.
    service.ysepz.faults.add(Fault("slow", path="^/add_transient_phot", times=2, seconds=1.5))
    deployment.start()
    until(lambda: service.ysepz.state()["faults"] == 0, what="an upload is under way")
    connection = side_connection(service.redis.url())
    connection.call("FLUSHALL")
    connection.close()

    until(deployment.complete, within=40)

    state_url = service.redis.url(1)
    with State.connect(state_url, namespace="yse_ingest", decisions=None) as state:
        until(lambda: sum(state.outbox.counts().values()) == 0, within=30)
        until(lambda: len(state.targets.names()) == FROM_FILE + BY_HAND, within=30)
    deployment.check(state_url, service.folder / "var" / "decisions.jsonl")


def test_two_files_are_the_whole_backup(
    service: Service, until: Callable[..., float], tmp_path: Path
) -> None:
    """On another host, with an empty Redis, the service goes on where it was."""
    deployment = Deployment(service)
    deployment.decide()
    deployment.start()
    until(deployment.complete, within=40)
    old = service.redis
    before = {
        name: service.ysepz.rows(name)
        for name in service.supernovae
        if name in {*deployment.file, *deployment.hand}
    }
    service.stop_everything()
    new_dir = tmp_path / "new-host"
    new_dir.mkdir()
    shutil.copy(service.folder / "var" / "decisions.jsonl", new_dir)
    old.stop()
    with EmbeddedRedis(tmp_path / "new-redis") as redis:
        service.env |= {
            "CELERY_BROKER_URL": redis.url(),
            "YSE_INGEST_STATE_DIR": str(new_dir),
        }
        deployment.start()
        with State.connect(redis.url(1), namespace="yse_ingest", decisions=None) as state:
            asked = [*deployment.file, deployment.slowed, deployment.reduced]
            until(
                lambda: (
                    all(state.clocks.get(name) for name in asked)
                    and sum(state.outbox.counts().values()) == 0
                    and state.ledgers.count() == len(asked)
                ),
                within=90,
            )
        deployment.check(redis.url(1), new_dir / "decisions.jsonl")
        assert {name: service.ysepz.rows(name) for name in before} == before
        service.stop_everything()
