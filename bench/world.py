"""The two stand-ins in a process of their own, so that their work is not counted as ours."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from yse_ingest.sandbox.mars import MarsStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.service import Service
from yse_ingest.settings import Settings
from yse_ingest.state.embedded import EmbeddedRedis
from yse_ingest.targets import Target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

USER, PASSWORD = "ingest", "sandbox-only"
FIRST_JD = 2458500.5
APART_DEG = 0.05

Server = Literal["mars", "ysepz"]


class Asked(NamedTuple):
    """One request, as a stand-in got it."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Field:
    """Targets on a grid of the sky, each with one object that is seen once a night."""

    count: int
    points: int

    def targets(self) -> list[Target]:
        """Return the targets."""
        return [Target(f"bench{number:06d}", *_place(number)) for number in range(self.count)]


def _place(number: int) -> tuple[float, float]:
    return 10.0 + APART_DEG * (number % 6000), 5.0 + APART_DEG * (number // 6000)


def _alert(mars: MarsStandIn, number: int, night: int) -> None:
    jd = FIRST_JD + night + (number % 8) / 8  # whole milliseconds, exact as a float
    candid = (number + 1) * 10_000 + night
    place = _place(number)
    band = "gr"[night % 2]
    mag = 18.0 + 0.001 * night
    mars.add_alert(
        f"ZTF18b{number:06d}", jd, band, mag, 0.05, *place, candid=candid, pid=candid
    )


class _Servers:
    """What runs in the other process: the stand-ins, and what is asked of them."""

    def __init__(self, delay: float) -> None:
        self.mars = MarsStandIn(real_cost=delay, workers=64)
        # The original speaks HTTP/1.1 with keep-alive behind its proxy.
        self.ysepz = YsePzStandIn(real_cost=delay)

    def urls(self) -> tuple[str, str]:
        return self.mars.url, self.ysepz.url

    def seed(self, field: Field, *, transients: bool) -> None:
        for number, target in enumerate(field.targets()):
            for night in range(field.points):
                _alert(self.mars, number, night)
            if transients and target.ra is not None and target.dec is not None:
                self.ysepz.add_transient(target.name, target.ra, target.dec)

    def night(self, numbers: Sequence[int], night: int) -> None:
        for number in numbers:
            _alert(self.mars, number, night)

    def cost(self, server: Server) -> tuple[float, list[tuple[str, str, float]]]:
        """Return the modelled seconds since the last look, and each request's share."""
        log = getattr(self, server).log
        if len(log) == log.maxlen:
            raise OverflowError(f"more than {log.maxlen} requests: some are not in the log")
        asked = [(each.method, each.path, each.cost) for each in log]
        log.clear()
        return sum(cost for *_, cost in asked), asked

    def spans(self) -> dict[Server, list[tuple[str, float, float]]]:
        """Return the requests since the last call, with when each began and ended [Unix s]."""
        found: dict[Server, list[tuple[str, float, float]]] = {}
        servers: tuple[Server, ...] = ("mars", "ysepz")
        for server in servers:
            log = getattr(self, server).log
            found[server] = [(each.path, each.started, each.ended) for each in log]
            log.clear()
        return found

    def forget(self) -> None:
        """Begin to count anew."""
        for stand_in in (self.mars, self.ysepz):
            stand_in.log.clear()

    def requests(self, server: Server) -> list[Asked]:
        """Return the requests since the last call."""
        log = getattr(self, server).log
        asked = [Asked(each.method, each.path, tuple(each.query), each.body) for each in log]
        log.clear()
        return asked

    def slow(self, server: Server, seconds: float) -> None:
        """Let every answer of a server take so long."""
        from yse_ingest.sandbox.faults import Fault

        stand_in = getattr(self, server)
        stand_in.faults.clear()
        if seconds:
            stand_in.faults.add(Fault(kind="slow", seconds=seconds, times=10**9))

    def rows(self, name: str) -> int:
        return len(self.ysepz.rows(name))


def _serve(pipe: Connection, delay: float) -> None:
    logging.disable(logging.CRITICAL)
    servers = _Servers(delay)
    with servers.mars, servers.ysepz:
        while True:
            call = pipe.recv()
            if call is None:
                return
            name, args, kwargs = call
            pipe.send(getattr(servers, name)(*args, **kwargs))


class World(contextlib.ExitStack):
    """The stand-ins, an embedded Redis, and services that use them.

    Parameters
    ----------
    delay
        Share of the modelled cost of each request that it really takes.
    """

    def __init__(self, *, delay: float = 0.0) -> None:
        super().__init__()
        self._delay = delay
        self._services = 0

    def __enter__(self) -> Self:
        """Start all."""
        super().__enter__()
        self.directory = Path(self.enter_context(tempfile.TemporaryDirectory()))
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve, args=(theirs, self._delay), daemon=True)
        process.start()
        self.stand_ins_pid = process.pid or 0
        self.callback(process.join)
        self.callback(self._pipe.send, None)
        self.mars_url, self.ysepz_url = self.call("urls")
        self.redis = self.enter_context(EmbeddedRedis(self.directory / "redis"))
        self.field = Field(0, 0)
        return self

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Do something in the process of the stand-ins."""
        self._pipe.send((name, args, kwargs))
        return self._pipe.recv()

    @property
    def environment(self) -> dict[str, str]:
        """Return what a worker on these servers has in its environment."""
        return {
            "MARS_URL": self.mars_url,
            "YSE_PZ_URL": self.ysepz_url,
            "YSE_PZ_USERNAME": USER,
            "YSE_PZ_PASSWORD": PASSWORD,
            "YSE_INGEST_SOURCE": "mars",
            "XDG_STATE_HOME": str(self.directory / "home"),
            "YSE_INGEST_STATE_DIR": str(self.directory / "var"),
            "YSE_INGEST_STATE_URL": self.redis.url(1),
            # What is done here in a minute is a day's work: the share is not what is measured.
            "YSE_INGEST_BUDGET": "100%",
        }

    def service(self, **environment: str) -> Service:
        """Return a service; further variables are laid over its environment."""
        return Service.from_settings(Settings.from_env({**self.environment, **environment}))

    def seed(self, count: int, points: int, *, transients: bool = True) -> list[Target]:
        """Let so many targets have so many nights behind them; return them."""
        self.field = Field(count, points)
        self.call("seed", self.field, transients=transients)
        return self.field.targets()


def cycle(service: Service, names: Sequence[str], *, batch: int = 25) -> None:
    """Fetch the targets and upload until nothing is due, as the workers would."""
    for start in range(0, len(names), batch):
        hints = service.refresh(names[start : start + batch])
        while hints:
            for hint in hints:
                service.upload(hint.name, hint.key, hint.fence, attempt=1)
            hints = service.drain()
