"""The ``celeryconfig.py`` of the working directory, if it is one of ours."""

from __future__ import annotations

import importlib
import os
import re
import runpy
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from celery.app.defaults import SETTING_KEYS
from celery.utils.imports import cwd_in_path

from yse_ingest.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "celeryconfig.py"
MARKER = "yse_ingest_config"
_MARKED = re.compile(rf"^{MARKER}\s*=", re.MULTILINE)


@dataclass(frozen=True)
class Deployment:
    """What a deployment chose: Celery's settings by their lower-case names."""

    origin: str = ""
    """Where it was read."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """What was not used, and why."""


def read_deployment(
    directory: Path | None = None, env: Mapping[str, str] | None = None
) -> Deployment:
    """Return what ``CELERY_CONFIG_MODULE`` names, or the directory's ``celeryconfig.py``.

    A ``celeryconfig.py`` without our marker belongs to another application and is not even
    executed: Celery reads this file name from wherever it is started.

    Raises
    ------
    SettingsError
        When the file, or the module named by the variable, cannot be executed.
    """
    module = (os.environ if env is None else env).get("CELERY_CONFIG_MODULE")
    if module:
        return _checked(module, _import(module))
    path = (directory or Path.cwd()) / FILE
    if not path.is_file():
        return Deployment()
    if not _MARKED.search(path.read_text(encoding="utf-8", errors="replace")):
        foreign = (
            f"{path} belongs to another application and is ignored: it has no line "
            f"'{MARKER} = 1'. Start yse_ingest in its own folder, or add the line."
        )
        return Deployment(problems=(foreign,))
    return _checked(str(path), _execute(path))


def _execute(path: Path) -> dict[str, Any]:
    try:
        return runpy.run_path(str(path))
    except Exception as error:
        # Whatever a configuration written in Python can raise.
        raise SettingsError(
            f"{path} cannot be used: {type(error).__name__}: {error}",
            service="settings",
            remedy="Mend it, or move it away: the defaults work.",
        ) from error


def _import(module: str) -> dict[str, Any]:
    try:
        with cwd_in_path():
            return vars(importlib.import_module(module))
    except ImportError as error:
        raise SettingsError(
            f"the module {module} cannot be imported: {error}",
            service="settings",
            field="CELERY_CONFIG_MODULE",
            value=module,
            remedy="Name an importable module, or unset the variable.",
        ) from error


def _checked(origin: str, names: Mapping[str, Any]) -> Deployment:
    choices: dict[str, Any] = {}
    problems = []
    for name, value in names.items():
        if name == MARKER or name.startswith("_") or isinstance(value, ModuleType | type):
            continue
        if name in SETTING_KEYS:
            choices[name] = value
        elif not callable(value) and name != "annotations":
            near = get_close_matches(name, SETTING_KEYS, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            problems.append(f"{origin}: Celery has no setting '{name}'; it is ignored.{hint}")
    return Deployment(origin=origin, choices=choices, problems=tuple(problems))
