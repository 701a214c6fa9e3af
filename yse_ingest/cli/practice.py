"""A world to practise on: a YSE-PZ, two sources and a Redis at addresses that stay."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from yse_ingest.cli.playground import ACCOUNT, PASSWORD, REQUEST_LIMIT_S
from yse_ingest.cli.processes import free_port
from yse_ingest.errors import YseIngestError
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.alerce.forced import FORCED_PATH
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn
from yse_ingest.state.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from yse_ingest.sandbox.supernovae import Supernova

PORTS = {"YSE-PZ": 8871, "ALeRCE": 8872, "Fink": 8873, "Redis": 8874}
"""Where they listen, unless another program does."""
TAGGED = slice(1, 4)
"""Which of the supernovae have the tag YSE."""


def settings_of_practice() -> dict[str, str]:
    """Return settings that name the stand-ins, at ports that are free now."""
    port = {name: free_port(wanted) for name, wanted in PORTS.items()}
    return {
        "YSE_PZ_URL": f"http://127.0.0.1:{port['YSE-PZ']}",
        "YSE_PZ_USERNAME": ACCOUNT,
        "YSE_PZ_PASSWORD": PASSWORD,
        "YSE_PZ_REQUEST_LIMIT": f"{REQUEST_LIMIT_S:g}",
        "ALERCE_URL": f"http://127.0.0.1:{port['ALeRCE']}/ztf/v1",
        # `fetch --plot` asks for forced photometry, too: nothing may leave this machine.
        "ALERCE_FORCED_URL": f"http://127.0.0.1:{port['ALeRCE']}{FORCED_PATH}",
        "FINK_URL": f"http://127.0.0.1:{port['Fink']}/api/v1",
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{port['Redis']}/0",
        "YSE_INGEST_STATE_URL": f"redis://127.0.0.1:{port['Redis']}/1",
    }


@contextlib.contextmanager
def running(
    directory: Path, ports: Mapping[str, int]
) -> Iterator[tuple[dict[str, str], EmbeddedRedis]]:
    """Run stand-ins that keep what they hold in a folder; return their addresses, and Redis.

    Raises
    ------
    YseIngestError
        When a port is taken.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kept = directory / "ysepz.sqlite"
    is_new = not kept.exists()
    known = supernovae.load()
    with contextlib.ExitStack() as stack:
        try:
            redis = stack.enter_context(EmbeddedRedis(directory / "redis", port=ports["Redis"]))
            ysepz = stack.enter_context(
                YsePzStandIn(path=kept, port=ports["YSE-PZ"], worker_limit_s=REQUEST_LIMIT_S)
            )
            alerce = stack.enter_context(AlerceStandIn(port=ports["ALeRCE"]))
            fink = stack.enter_context(FinkStandIn(port=ports["Fink"]))
        except OSError as error:
            raise YseIngestError(
                f"one of the ports {', '.join(map(str, ports.values()))} is taken",
                service="sandbox",
                remedy="Change them in yse-ingest.env, or make another folder.",
            ) from error
        supernovae.fill_alerce(alerce, known)
        supernovae.fill_fink(fink, known)
        if is_new:
            _fill(ysepz, known)
        addresses = {
            "YSE-PZ": f"{ysepz.url}/",
            "ALeRCE": alerce.api_url,
            "Fink": fink.api_url,
            "Redis": redis.url(),
        }
        yield addresses, redis


def _fill(ysepz: YsePzStandIn, known: tuple[Supernova, ...]) -> None:
    tagged = known[TAGGED]
    for each in known:
        tags = ["YSE"] if each in tagged else []
        ysepz.add_transient(
            each.name, each.ra, each.dec, status="Following", tags=tags, best_spec_class="SN Ia"
        )
