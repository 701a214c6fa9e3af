"""Light-curve files in a folder: what no broker has, and who may see it.

A file belongs to the target whose name its own begins with, up to the first dot or underscore:
``2019np.csv``, ``2019np_gpc1.snana``. Each says in its head which instrument and obs_group it
is of, and ``groups: NAME, NAME`` or ``public: true``: there is no default. What it says must be
what the rules of the target say, since by those it is sent: a private file is never sent by
public rules. All of a file is read every time; a file that was corrected is a correction.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from marshmallow import ValidationError

from yse_ingest.errors import SettingsError, SourceReplyError, SourceUnavailableError
from yse_ingest.photometry import (
    MAG_PER_RELATIVE_FLUX,
    ZERO_POINT,
    Alerts,
    Limits,
)
from yse_ingest.schemas._load import faults_of, load, load_rows
from yse_ingest.schemas.light_curve_file import HeadSchema, JdRowSchema, MjdRowSchema
from yse_ingest.sources.answers import Reading, answer, of_known_bands
from yse_ingest.sources.base import Answer, Ask, Capabilities, Kind, Status
from yse_ingest.sources.file_formats import ROW_KEY, ParsedFile, parse
from yse_ingest.sources.setup import Option
from yse_ingest.targets import canonical_name
from yse_ingest.times import format_time_ms, to_time_ms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Self

    from yse_ingest.sources.setup import Setup
    from yse_ingest.targets import Rules

FOLDER = Option("YSE_INGEST_FILES", "Folder of light-curve files (csv, ecsv, SNANA).")
ENDINGS = frozenset({".csv", ".ecsv", ".dat", ".snana", ".txt"})
SIGNIFICANT = 3.0
"""A flux below so many errors has no magnitude."""
_FAINT = f"is below {SIGNIFICANT:g} sigma"
_FLAGGED = "is flagged in the file"


class FilesSource:
    """Reads the light-curve files of one folder.

    Parameters
    ----------
    folder
        Where they lie; it is looked at anew for every question.
    """

    name: ClassVar[str] = "files"
    title: ClassVar[str] = "light-curve files"
    capabilities: ClassVar[Capabilities] = Capabilities(
        batch_size=50,
        by_id=False,
        by_position=False,
        since="client",
        exposure_tolerance_s=16.0,
        bands=(),
        kinds=frozenset({Kind.DETECTION}),
    )
    options: ClassVar[tuple[Option, ...]] = (FOLDER,)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def from_setup(cls, setup: Setup) -> Self:
        """Return one, ready to be asked from any number of threads.

        Raises
        ------
        SettingsError
            When no folder is set.
        """
        folder = setup.value(FOLDER)
        if folder is None:
            raise SettingsError(
                f"{FOLDER.variable} is not set",
                service=cls.title,
                remedy="Set it to the folder in which the light-curve files lie.",
            )
        return cls(Path(folder).expanduser())

    @property
    def url(self) -> str:
        """Return where it lives."""
        return self.folder.absolute().as_uri()

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def fetch(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Return one answer per question, in their order."""
        for ask in asks:

            def read(_: bool, ask: Ask = ask) -> Reading:
                return self._read(ask)

            # A file may change anywhere: it is always read whole.
            found = answer(replace(ask, since_ms=None), read, service=self.title)
            if found.status is Status.EMPTY and not found.reason:
                reason = f"no file of it with a detection lies in {self.folder}"
                found = replace(found, reason=reason)
            yield found

    def _read(self, ask: Ask) -> Reading:
        return Reading.merged(_reading(parse(path), ask) for path in self._paths(ask))

    def _paths(self, ask: Ask) -> list[Path]:
        try:
            entries = sorted(self.folder.iterdir())
        except OSError as error:
            raise SourceUnavailableError(
                f"the folder {self.folder} cannot be read ({error.strerror})",
                service=self.title,
                remedy=f"Check {FOLDER.variable} and whether its disk is there.",
            ) from error
        return [
            path
            for path in entries
            if path.suffix.lower() in ENDINGS
            and ask.target.name in {_named(path.stem), _named(path.stem.partition("_")[0])}
        ]


def _named(text: str) -> str:
    return canonical_name(text.partition(".")[0])


def _reading(file: ParsedFile, ask: Ask) -> Reading:
    head = _head(file, ask)
    by_mjd = "mjd" in file.columns
    schema = MjdRowSchema() if by_mjd else JdRowSchema()
    loaded, refused = load_rows(schema, file.rows, id_key=ROW_KEY)
    letters = {name: letter for letter, name in ask.rules.band_map.items()}
    for each in loaded:
        each["band"] = letters.get(each["band"], each["band"])
    kept, refused_too = of_known_bands(loaded, refused, ask.rules.band_map)
    times = np.array([row["time"] for row in kept], dtype=np.float64)
    time_ms = to_time_ms(times, date_format="mjd" if by_mjd else "jd", scale=head["time_scale"])
    rows: list[Mapping[str, Any]] = []
    kept_ms: list[int] = []
    dropped: Counter[tuple[str, str]] = Counter()
    object_id = ask.target.object_id or file.path.stem
    for row, moment, date in zip(
        kept, time_ms.tolist(), format_time_ms(time_ms).tolist(), strict=True
    ):
        measured = _measured(row, head["zero_point"], file)
        why = _FLAGGED if _is_flagged(row["quality"]) else _FAINT if measured is None else ""
        if why or measured is None:
            dropped[object_id, why] += 1
            continue
        kept_ms.append(moment)
        rows.append(
            {
                **measured,
                "native_id": f"{file.path.name}:{row['band']}:{date}",
                "object_id": object_id,
                "band": row["band"],
                "ra": _place(head["ra"], ask.target.ra),
                "dec": _place(head["dec"], ask.target.dec),
                "quality": np.nan,
            }
        )
    alerts = Alerts.from_rows(rows, time_ms=np.array(kept_ms, dtype=np.int64))
    return Reading(alerts, refused_too, Limits.empty(), dropped, cut=dropped.total())


def _measured(
    row: Mapping[str, Any], zero_point: float | None, file: ParsedFile
) -> dict[str, Any] | None:
    """Return magnitude, error and sign of a row; None where it is too faint to have any."""
    flux, flux_err = row["flux"], row["flux_err"]
    if not (np.isfinite(flux) and flux_err > 0):
        return {"mag": row["mag"], "mag_err": row["mag_err"], "negative": False}
    zero = row["zero_point"] if np.isfinite(row["zero_point"]) else zero_point
    if zero is None:
        raise _wrong(
            file,
            "has fluxes, and does not say their zero point",
            remedy=f"Write `zero_point: {ZERO_POINT}` in its head, or a column of that name.",
        )
    if abs(flux) < SIGNIFICANT * flux_err:
        return None
    return {
        "mag": zero - 2.5 * np.log10(abs(flux)),
        "mag_err": MAG_PER_RELATIVE_FLUX * flux_err / abs(flux),
        "negative": flux < 0,
    }


def _is_flagged(quality: str) -> bool:
    return quality.strip().lower() not in {"", "0", "-", "none", "null", "nan", "good"}


def _place(own: float | None, target: float | None) -> float:
    value = own if own is not None else target
    return 0.0 if value is None else value  # without a place nothing is compared


def _head(file: ParsedFile, ask: Ask) -> dict[str, Any]:
    """Return the head of a file that is of this target, and may be sent by its rules."""
    try:
        head = load(HeadSchema(), file.head)
    except ValidationError as error:
        told = "; ".join(map(str, faults_of(error, file.head)))
        raise _wrong(file, f"has an unusable head: {told}") from error
    if head["name"] is not None and canonical_name(head["name"]) != ask.target.name:
        raise _wrong(file, f"says that it is of {head['name']}")
    if (head["ra"] is None) != (head["dec"] is None):
        raise _wrong(file, "says ra or dec alone")
    rules: Rules = ask.rules
    for key, said, ruled in (
        ("groups", ", ".join(sorted(head["groups"])), ", ".join(sorted(rules.groups))),
        ("instrument", head["instrument"], rules.instrument),
        ("obs_group", head["obs_group"], rules.obs_group),
    ):
        if said != ruled:
            names = [f'"{each}"' for each in sorted(head["groups"])]
            value = f"[{', '.join(names)}]" if key == "groups" else f'"{said}"'
            raise _wrong(
                file,
                f"says {key} {said or 'public'}, and the rules of the target say "
                f"{ruled or 'public'}",
                remedy=f"Nothing of it is sent. Set `{key} = {value}` under [sources.files] or "
                "for this target in the targets file, or correct the file.",
            )
    return head


def _wrong(
    file: ParsedFile, why: str, *, remedy: str = "Correct the file; nothing of it is sent."
) -> SourceReplyError:
    return SourceReplyError(f"{file.path.name} {why}", service=FilesSource.title, remedy=remedy)
