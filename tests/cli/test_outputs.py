"""The kept outputs in docs/outputs: what the terminal says when all is well, and when not.

``YSE_INGEST_KEEP_OUTPUTS=1 pytest tests/cli/test_outputs.py`` writes them anew.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from yse_ingest.sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Console

OUTPUTS = Path(__file__).parents[2] / "docs" / "outputs"
KEEP = "YSE_INGEST_KEEP_OUTPUTS"
COMMANDS = ("push 2019np", "fetch 2019np", "doctor", "status")
PLACE = "--ra 157.3415 --dec 29.5106667"

Script = list[tuple[str, dict[str, str]]]
"""Commands, each with what differs in its environment."""

# What differs from run to run, and what stands for it.
CHANGING = (
    (r"127\.0\.0\.1:\d+", "127.0.0.1:6379"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC( \(.*?\))?, Redis", "2026-01-01 00:00 UTC, Redis"),
    (r"(asked next .*: ).*", r"\g<1>2026-01-01 00:00 UTC"),
    (r"(a person +)\d{4}-\d\d-\d\d \d\d:\d\d UTC( \(.*?\))?", r"\g<1>2026-01-01 00:00 UTC"),
    (r'("since_ms": )\d+', r"\g<1>1767225600000"),
    (r"\b\d+ s ago", "1 s ago"),
    (r"\bin \d+(\.\d)? (ms|s)\b", r"in 10 \2"),
    (r"\d+\.\d ms to", "0.1 ms to"),
    (r"Valkey [\d.]+", "Valkey 9.1.2"),
)


def everything(**changes: str) -> Script:
    return [(command, changes) for command in COMMANDS]


def sandbox(console: Console) -> Script:
    console.cycle()
    return [
        *everything(),
        ("status 2019np", {}),
        ("vocab bands --like ztf", {}),
        ("targets list", {}),
        ("quarantine list", {}),
    ]


def first_push(_: Console) -> Script:
    return [("push 2019np -v", {}), ("push 2019np", {}), ("push 2019np --json", {})]


def wrong_password(console: Console) -> Script:
    console.cycle(YSE_PZ_PASSWORD="not-the-one")
    return everything(YSE_PZ_PASSWORD="not-the-one")


def unknown_band(console: Console) -> Script:
    bands = "g=g-ZTF,r=R-ztf,i=i-ZTF"
    console.cycle(YSE_INGEST_BAND_MAP=bands)
    return everything(YSE_INGEST_BAND_MAP=bands)


def dead_ysepz(console: Console) -> Script:
    url = "http://127.0.0.1:9"
    console.cycle(YSE_PZ_URL=url)
    script = everything(YSE_PZ_URL=url)
    script.append((f"push 2019np {PLACE} --json", {"YSE_PZ_URL": url}))
    return script


def dead_source(console: Console) -> Script:
    url = "http://mars.invalid/"
    console.cycle(MARS_URL=url)
    return everything(MARS_URL=url)


def dead_redis(_: Console) -> Script:
    url = "redis://127.0.0.1:9/0"
    return [("doctor", {"CELERY_BROKER_URL": url}), ("status", {"CELERY_BROKER_URL": url})]


def garbage_from_source(console: Console) -> Script:
    console.mars.faults.add(Fault("garbage"))
    console.cycle()
    return everything()


def changed_format(console: Console) -> Script:
    console.mars.faults.add(Fault("drifted", edits={'"magpsf"': '"mag_psf"'}))
    console.cycle(MARS_RATE="100/h")
    changes = {"MARS_RATE": "100/h"}
    return [
        ("sources", changes),
        ("sources show mars", changes),
        ("sources probe mars", changes),
        ("status", changes),
        ("health", changes),
    ]


def garbage_from_ysepz(console: Console) -> Script:
    console.ysepz.faults.add(Fault("garbage"))
    console.cycle()
    return everything()


def two_objects(console: Console) -> Script:
    ra, dec = 157.3415 + 2.2 / 3600, 29.5106667
    for night in range(4):
        console.mars.add_alert("ZTF18abcdefg", 2458000.5 + night, "r", 18.0, 0.1, ra, dec)
    console.cycle()
    return [*everything(), ("push 2019np --object-id ZTF19aacgslb", {})]


def two_places(_: Console) -> Script:
    # 20" from the transient that YSE-PZ has under this name.
    return [("push 2019np --ra 157.3415 --dec 29.5162", {})]


def lists(console: Console) -> Script:
    console.ysepz.add_transient("2020aa", 10.0, 5.0, status="Following")
    console.ysepz.add_transient("2020bb", 20.0, 5.0, status="New", tags=("YSE",))
    both = "--status Following --tag YSE"
    return [
        (f"targets sync {both} --dry-run", {}),
        (f"targets sync {both}", {}),
        (f"targets sync {both} --json", {}),
        ("targets sync --list", {}),
        ("targets sync --status following", {}),
        ("targets sync --tag YES", {}),
        ("targets sync --query Ours", {}),
        ("targets sync --forget --tag YES", {}),
        ("targets sync --forget --tag YSE", {}),
        ("targets resume 2020bb", {}),
        ("targets remove 2020aa", {}),
        ("targets list", {}),
    ]


def usage(_: Console) -> Script:
    return [
        ("push", {}),
        ("push 2019np --status New", {}),
        ("fetch 2019np --ra 157.3415", {}),
        ("status", {"YSE_INGEST_CADENCE": "soon"}),
        ("push nosuch", {}),
    ]


SCENES: dict[str, Callable[[Console], Script]] = {
    "sandbox": sandbox,
    "first-push": first_push,
    "wrong-password": wrong_password,
    "unknown-band": unknown_band,
    "dead-ysepz": dead_ysepz,
    "dead-source": dead_source,
    "dead-redis": dead_redis,
    "garbage-from-source": garbage_from_source,
    "changed-format": changed_format,
    "garbage-from-ysepz": garbage_from_ysepz,
    "two-objects": two_objects,
    "two-places": two_places,
    "lists": lists,
    "usage": usage,
}


def printed(console: Console, command: str, changes: dict[str, str]) -> tuple[str, int]:
    """Return what one command prints, and its exit code."""
    if command == "doctor":
        # The Celery application reads its settings once in a process.
        ended = console.start(command, **changes)
        return ended.stdout.rstrip("\n"), ended.returncode
    result = console.run(*shlex.split(command), **changes)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output.rstrip("\n"), result.exit_code


def played(console: Console, script: Script) -> str:
    """Return the commands with their outputs and exit codes, as a person would see them."""
    parts = []
    for command, changes in script:
        before = "".join(f"{name}={shlex.quote(text)} " for name, text in changes.items())
        output, code = printed(console, command, changes)
        parts.append(f"$ {before}yse-ingest {command}\n{output}\n[exit {code}]\n")
    text = "\n".join(parts)
    for pattern, constant in CHANGING:
        text = re.sub(pattern, constant, text)
    return text


def squeezed(text: str) -> list[str]:
    """Return the lines without what a table's width changes."""
    return [re.sub(r" +|─+", " ", line).strip() for line in text.splitlines()]


@pytest.mark.parametrize("scene", SCENES)
def test_outputs_are_as_kept(console: Console, scene: str) -> None:
    """What the docs show of the terminal is what it prints."""
    text = played(console, SCENES[scene](console))

    path = OUTPUTS / f"{scene}.txt"
    if os.environ.get(KEEP):
        path.write_text(text, encoding="utf-8")
    assert squeezed(text) == squeezed(path.read_text(encoding="utf-8")), (
        f"docs/outputs/{scene}.txt differs; if this is meant: {KEEP}=1 pytest {__file__}"
    )


def test_every_kept_output_is_compared_and_shows_no_password() -> None:
    """Neither a right nor a wrong password stands in anything that was printed."""
    assert {path.stem for path in OUTPUTS.glob("*.txt")} == set(SCENES)
    for scene in SCENES:
        lines = (OUTPUTS / f"{scene}.txt").read_text(encoding="utf-8").splitlines()
        printed = "\n".join(line for line in lines if not line.startswith("$ "))
        assert "sandbox-only" not in printed
        assert "not-the-one" not in printed


@pytest.mark.parametrize(
    ("scene", "service"),
    [
        ("wrong-password", "YSE-PZ"),
        ("unknown-band", "YSE-PZ"),
        ("dead-ysepz", "YSE-PZ"),
        ("dead-source", "MARS"),
        ("garbage-from-source", "MARS"),
        ("garbage-from-ysepz", "YSE-PZ"),
        ("two-objects", "MARS"),
    ],
)
def test_each_message_names_service_target_fact_and_remedy(scene: str, service: str) -> None:
    """Push and fetch say whose fault it is, of which target, and what to do about it."""
    parts = (OUTPUTS / f"{scene}.txt").read_text(encoding="utf-8").split("\n$ ")
    for command in ("push 2019np\n", "fetch 2019np\n"):
        (output,) = (part for part in parts if f"yse-ingest {command}" in part)
        message = re.search(rf"^{service}: 2019np: (\S.*)\n  (\S.*)$", output, re.MULTILINE)
        assert message, output
        assert output.rstrip().endswith("[exit 1]")
