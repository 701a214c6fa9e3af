"""Write the table of docs/settings.md anew: ``.venv/bin/python docs/settings_table.py``."""

from __future__ import annotations

from pathlib import Path

from yse_ingest.settings import describe

PAGE = Path(__file__).with_name("settings.md")
MARK = "<!-- table -->"


def table() -> str:
    """Return one row for each setting."""
    lines = ["| variable | default | unit | meaning |", "|---|---|---|---|"]
    for row in describe():
        default = f"`{row['default']}`" if row["default"] else ""
        lines.append(f"| `{row['variable']}` | {default} | {row['unit']} | {row['meaning']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    before, _, after = PAGE.read_text(encoding="utf-8").split(MARK)
    PAGE.write_text(f"{before}{MARK}\n{table()}\n{MARK}{after}", encoding="utf-8")
