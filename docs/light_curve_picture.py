"""Draw docs/pictures/light-curve.png: `yse-ingest fetch --plot` on the sandbox's stand-ins.

The supernova is real; YSE-PZ holds what the source had until 18 days after its first detection.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from yse_ingest.cli import main
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.alerce import AlerceStandIn
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn

NAME = "ZTF19abxiqve"
KNOWN_DAYS = 18
PICTURE = Path(__file__).parent / "pictures" / "light-curve.png"


def draw(path: Path, source: str = "alerce") -> None:
    """Push the beginning of a light curve, then draw all of it."""
    (supernova,) = (each for each in supernovae.load() if each.name == NAME)
    end = supernova.alerts[0].jd + KNOWN_DAYS
    early = tuple(alert for alert in supernova.alerts if alert.jd <= end)
    parts = [
        replace(supernova, alerts=early, limits=()),
        replace(supernova, alerts=supernova.alerts[len(early) :]),
    ]
    with (
        AlerceStandIn() as alerce,
        FinkStandIn() as fink,
        YsePzStandIn() as ysepz,
        tempfile.TemporaryDirectory() as home,
    ):
        ysepz.add_transient(NAME, supernova.ra, supernova.dec, status="Following")
        environment = {
            "ALERCE_URL": alerce.api_url,
            "ALERCE_FORCED_URL": f"{alerce.url}/v2/lightcurve",
            "FINK_URL": fink.api_url,
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "YSE_INGEST_STATE_DIR": home,
            "XDG_STATE_HOME": home,
        }
        commands = (["push", NAME], ["fetch", NAME, "--plot", str(path)])
        for part, command in zip(parts, commands, strict=True):
            supernovae.fill_alerce(alerce, [part])
            supernovae.fill_fink(fink, [part])
            result = CliRunner().invoke(main, [*command, "--source", source], env=environment)
            if result.exit_code != 0:
                raise SystemExit(result.output)


if __name__ == "__main__":
    draw(PICTURE)
