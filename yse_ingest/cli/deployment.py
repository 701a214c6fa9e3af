"""The files of a deployment folder, from the templates beside this module."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from yse_ingest.cli.flower import new_password
from yse_ingest.envfile import ENV_FILE
from yse_ingest.errors import SettingsError, YseIngestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECRET_MODE = 0o600
SECOND_FLOWER_PORT = 5556
_PROCESS = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):\s*(\S.*)")


@dataclass(frozen=True)
class _File:
    name: str
    text: str
    mode: int = 0o644


def write_deployment(
    folder: Path,
    *,
    force: bool = False,
    namespace: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the files of a deployment into a folder, which is made where it is missing.

    Parameters
    ----------
    force
        Overwrite what is there.
    namespace
        Of the state, the queues and the units, where this is not the only deployment.
    settings
        What its env file says instead of the usual.

    Raises
    ------
    YseIngestError
        When files are there already (all are named, none is written), or cannot be written.
    """
    files = list(_files(folder.absolute(), namespace, settings or {}))
    present = [file.name for file in files if (folder / file.name).exists()]
    if present and not force:
        raise YseIngestError(
            f"{folder} has {', '.join(present)} already",
            service="init",
            remedy="Nothing was written. Choose another folder, or overwrite with --force.",
        )
    try:
        return [_write(folder, file) for file in files]
    except OSError as error:
        raise YseIngestError(
            f"{error.filename or folder} cannot be written ({error.strerror})",
            service="init",
            remedy="Choose a folder that this user may write to.",
        ) from error


def _write(folder: Path, file: _File) -> Path:
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    # The mode is there before the text is: it may soon hold a password.
    path.unlink(missing_ok=True)
    path.touch(mode=file.mode)
    path.write_text(file.text, encoding="utf-8")
    return path


def _files(folder: Path, namespace: str | None, settings: Mapping[str, str]) -> Iterator[_File]:
    procfile = template("Procfile")
    group_name = "yse-ingest" if namespace is None else f"yse-ingest-{namespace}"
    readme = template("README.txt").replace("yse-ingest.target", f"{group_name}.target")
    yield _File("README.txt", readme)
    yield _File("celeryconfig.py", template("celeryconfig.py"))
    yield _File("Procfile", procfile)
    yield _File("targets.toml", template("targets.toml"))
    env = template(ENV_FILE).replace("FLOWER_PASSWORD", new_password())
    if namespace is not None:
        # Two deployments on one host and one Redis share neither keys nor ports.
        second = {"YSE_INGEST_NAMESPACE": namespace, "FLOWER_PORT": str(SECOND_FLOWER_PORT)}
        settings = {**second, **settings}
    yield _File(ENV_FILE, _with_values(env, settings), SECRET_MODE)
    unit = Template(template("process.service"))
    names = []
    for name, command in processes(procfile):
        names.append(f"{group_name}-{name}.service")
        text = unit.substitute(
            name=name,
            group=group_name,
            folder=folder,
            command=_for_systemd(command),
            env_file=ENV_FILE,
        )
        yield _File(f"systemd/{names[-1]}", text)
    group = Template(template("yse-ingest.target"))
    yield _File(f"systemd/{group_name}.target", group.substitute(units=" ".join(names)))


def _with_values(env: str, values: Mapping[str, str]) -> str:
    """Return an env file with settings in their places; what has none stands at its end."""
    for name, value in values.items():
        env, found = re.subn(rf"(?m)^#?{name}=.*$", f"{name}={value}", env)
        env += "" if found else f"{name}={value}\n"
    return env


def template(name: str) -> str:
    """Return one of the files that this package ships."""
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


def processes(procfile: str) -> Iterator[tuple[str, str]]:
    """Return name and command of each process of a Procfile.

    Raises
    ------
    SettingsError
        When a line is neither a comment nor ``name: command``.
    """
    for number, line in enumerate(procfile.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _PROCESS.fullmatch(line)
        if not found:
            raise SettingsError(
                f"line {number} of the Procfile is no process",
                service="settings",
                field="Procfile",
                value=line[:80],
                remedy="Write NAME: COMMAND, one a line.",
            )
        yield found[1], found[2]


def _for_systemd(command: str) -> str:
    """Return a command with the program's full path; through a shell where it needs one."""
    program, *_ = shlex.split(command)
    here = Path(sys.executable).parent / program
    path = str(here) if here.exists() else shutil.which(program)
    if path is not None:
        command = command.replace(program, path, 1)
    if any(character in command for character in "$`|&;<>"):
        command = f"/bin/sh -c {shlex.quote('exec ' + command)}"
        # systemd expands $NAME itself unless it is doubled.
        command = command.replace("$", "$$")
    return command.replace("%", "%%")
