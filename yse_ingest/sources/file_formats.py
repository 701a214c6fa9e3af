"""The three formats of light-curve files, each read to a head and rows of one vocabulary.

CSV
    lines ``# key: value``, a line of column names, rows;
ECSV
    as astropy writes it; the head is its ``meta``;
SNANA
    lines ``KEY: value`` (with or without ``#``), ``VARLIST:`` with the names of the columns,
    one ``OBS:`` per row. ``FLUXCAL`` has the zero point 27.5.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yse_ingest.errors import SourceReplyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

SIZE_MAX = 16 * 2**20
"""Longest file taken [bytes]."""
ROW_KEY = "row"
"""Key of a row's name: file and number."""
SNANA_ZERO_POINT = "27.5"

_ALIASES = {
    "snid": "name",
    "obsgroup": "obs_group",
    "flt": "band",
    "filter": "band",
    "magerr": "mag_err",
    "fluxerr": "flux_err",
    "fluxcal": "flux",
    "fluxcalerr": "flux_err",
    "zp": "zero_point",
    "zeropt": "zero_point",
    "flux_zero_point": "zero_point",
    "dq": "quality",
    "data_quality": "quality",
    "decl": "dec",
}
_IMAGE_COLUMNS = frozenset({"FLUX", "FLUXERR", "FLUX_ERR", "ZP", "ZEROPT", "ZERO_POINT"})
_HEAD_LINE = re.compile(r"#?\s*(\w+)\s*:\s*(.*)")


@dataclass(frozen=True)
class ParsedFile:
    """A file as text: nothing of it is checked yet."""

    path: Path
    head: Mapping[str, Any]
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]


def parse(path: Path) -> ParsedFile:
    """Return a file's head and rows; its ending says its format (csv, ecsv, else SNANA).

    Raises
    ------
    SourceReplyError
        When it cannot be read, or is of none of these formats.
    """
    try:
        if path.stat().st_size > SIZE_MAX:
            raise _unreadable(path, f"is longer than {SIZE_MAX / 2**20:g} MB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _unreadable(path, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "is not text in UTF-8") from error
    match path.suffix.lower():
        case ".csv":
            return _csv(path, text)
        case ".ecsv":
            return _ecsv(path, text)
        case _:
            return _snana(path, text)


def _csv(path: Path, text: str) -> ParsedFile:
    lines = [line for line in text.splitlines() if line.strip()]
    head = _head(line for line in lines if line.startswith("#"))
    table = csv.reader(line for line in lines if not line.startswith("#"))
    return _parsed(path, head, next(table, []), table)


def _ecsv(path: Path, text: str) -> ParsedFile:
    from astropy.table import Table

    try:
        table = Table.read(text, format="ascii.ecsv")
        columns = [column.astype(str).tolist() for column in table.columns.values()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(path, f"is no ECSV: {str(error).splitlines()[0]}") from error
    head = {_word(str(key)): value for key, value in table.meta.items()}
    return _parsed(path, head, table.colnames, zip(*columns, strict=True))


def _snana(path: Path, text: str) -> ParsedFile:
    columns: list[str] = []
    cells: list[list[str]] = []
    head_lines: list[str] = []
    for line in text.splitlines():
        word, _, rest = line.lstrip("# ").partition(" ")
        match word.strip().upper():
            case "VARLIST:":
                columns = rest.split()
            case "OBS:":
                cells.append(rest.split())
            case "END:":
                break
            case _:
                head_lines.append(line)
    head = _head(head_lines)
    if "FLUXCAL" in columns:
        # Beside it, FLUX and its zero point are those of the image.
        columns = [f"image_{name}" if name in _IMAGE_COLUMNS else name for name in columns]
        head["zero_point"] = SNANA_ZERO_POINT
    return _parsed(path, head, columns, cells)


def _parsed(
    path: Path,
    head: dict[str, Any],
    names: Sequence[str],
    cells: Iterable[Sequence[str | None]],
) -> ParsedFile:
    columns = tuple(_word(name) for name in names)
    lacking = {"band"} - set(columns)
    if not {"mjd", "jd"} & set(columns):
        lacking.add("mjd or jd")
    if lacking:
        raise _unreadable(path, f"has no column {', '.join(sorted(lacking))}")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise _unreadable(path, f"has the column {', '.join(twice)} twice")
    rows = [
        # A row that was cut short lacks its last columns, and is refused for that.
        {ROW_KEY: f"{path.name}:{number}"}
        | {name: str(cell).strip() for name, cell in zip(columns, row, strict=False)}
        for number, row in enumerate(cells, start=1)
    ]
    return ParsedFile(path, head, columns, rows)


def _head(lines: Iterable[str]) -> dict[str, Any]:
    found = (_HEAD_LINE.fullmatch(line.strip()) for line in lines)
    return {_word(each[1]): each[2].strip() for each in found if each}


def _word(name: str) -> str:
    word = name.strip().lower().replace(" ", "_")
    return _ALIASES.get(word, word)


def _unreadable(path: Path, why: str) -> SourceReplyError:
    return SourceReplyError(
        f"{path.name} {why}", service="light-curve files", remedy="Correct the file."
    )
