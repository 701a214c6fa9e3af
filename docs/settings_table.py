"""Write the table of docs/settings.md anew: ``.venv/bin/python docs/settings_table.py``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from yse_ingest.schemas.targets import RULE_NAMES
from yse_ingest.settings import Settings, describe

PAGE = Path(__file__).with_name("settings.md")
MARK = "<!-- table -->"
KEYS = {
    **{item.metadata["env"]: item.name for item in fields(Settings) if item.name in RULE_NAMES},
    "YSE_INGEST_SOURCE": "source",
    "YSE_INGEST_CADENCE": "cadence",
    "YSE_INGEST_FRESHNESS": "freshness",
}
"""Variable to what the targets file calls it, where a source or a target may have its own."""


def table() -> str:
    """Return one row for each setting."""
    lines = ["| variable | key | default | unit | meaning |", "|---|---|---|---|---|"]
    for row in describe():
        default = f"`{row['default']}`" if row["default"] else ""
        key = f"`{KEYS[row['variable']]}`" if row["variable"] in KEYS else ""
        lines.append(
            f"| `{row['variable']}` | {key} | {default} | {row['unit']} | {row['meaning']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    before, _, after = PAGE.read_text(encoding="utf-8").split(MARK)
    PAGE.write_text(f"{before}{MARK}\n{table()}\n{MARK}{after}", encoding="utf-8")
