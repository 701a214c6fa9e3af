"""Draw docs/pictures/light-curve.png: `yse-ingest fetch --plot` on the sandbox's stand-ins.

The supernova is real; YSE-PZ holds what Fink had until 18 days after its first detection.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from click.testing import CliRunner

from yse_ingest.cli import main
from yse_ingest.sandbox import supernovae
from yse_ingest.sandbox.fink import FinkStandIn
from yse_ingest.sandbox.ysepz import YsePzStandIn

NAME = "ZTF19abxiqve"
PICTURE = Path(__file__).parent / "pictures" / "light-curve.png"


def draw(path: Path) -> None:
    """Push the beginning of a light curve, then draw all of it."""
    (supernova,) = (each for each in supernovae.load() if each.name == NAME)
    first = supernova.alerts[0].jd
    with FinkStandIn() as fink, YsePzStandIn() as ysepz, tempfile.TemporaryDirectory() as home:
        supernovae.fill_fink(fink, [supernova])
        ysepz.add_transient(NAME, supernova.ra, supernova.dec, status="Following")
        environment = {
            "FINK_URL": fink.api_url,
            "YSE_PZ_URL": ysepz.url,
            "YSE_PZ_USERNAME": "ingest",
            "YSE_PZ_PASSWORD": "sandbox-only",
            "YSE_INGEST_SOURCE": "fink",
            "YSE_INGEST_STATE_DIR": home,
            "XDG_STATE_HOME": home,
        }
        fink.loaded_until_jd = first + 18
        _run(["push", NAME], environment)
        fink.loaded_until_jd = float("inf")
        _run(["fetch", NAME, "--plot", str(path)], environment)


def _run(arguments: list[str], environment: dict[str, str]) -> None:
    result = CliRunner().invoke(main, arguments, env=environment)
    if result.exit_code != 0:
        raise SystemExit(result.output)


if __name__ == "__main__":
    draw(PICTURE)
