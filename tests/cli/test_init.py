"""`yse-ingest init`, the env file, and what every command has in common."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import pytest
from click.testing import CliRunner, Result

from yse_ingest.cli import main
from yse_ingest.cli.deployment import template
from yse_ingest.cli.processes import read_procfile
from yse_ingest.envfile import ENV_FILE, load_env_file, parse_env
from yse_ingest.errors import SettingsError
from yse_ingest.schemas.targets import parse_targets
from yse_ingest.settings import Settings

if TYPE_CHECKING:
    from tests.cli.conftest import Console

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).parent / "yse-ingest"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_init_writes_a_folder_that_works(tmp_path: Path) -> None:
    """Processes, knobs, targets, settings and a unit per process are there, and readable."""
    folder = tmp_path / "yse"

    result = run("init", str(folder))

    assert result.exit_code == 0, result.output
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    names = [process.name for process in read_procfile(folder)]
    assert written == {
        "README.txt",
        "celeryconfig.py",
        "Procfile",
        "targets.toml",
        ENV_FILE,
        "systemd/yse-ingest.target",
        *(f"systemd/yse-ingest-{name}.service" for name in names),
    }
    Settings.from_env(parse_env((folder / ENV_FILE).read_text(), name=ENV_FILE))
    file = parse_targets((folder / "targets.toml").read_text())
    assert (file.targets, file.problems) == ((), ())


def test_the_env_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It will hold a password: nobody else may read it, from its first byte on."""
    run("init", str(tmp_path / "yse"))
    mode = (tmp_path / "yse" / ENV_FILE).stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


def test_the_example_target_works_when_it_is_uncommented() -> None:
    """Whoever takes the leading # away has a valid target 2019np."""
    lines = template("targets.toml").splitlines()
    start = [number for number, line in enumerate(lines) if line == "# [[targets]]"][1]
    file = parse_targets("\n".join(line.removeprefix("# ") for line in lines[start:]))
    assert file.problems == ()
    assert [target.name for target in file.targets] == ["2019np"]


def test_the_shipped_celeryconfig_is_the_repositorys() -> None:
    """A deployment begins with the knobs that the project itself runs with."""
    assert (ROOT / "celeryconfig.py").read_text() == template("celeryconfig.py")


def test_init_overwrites_nothing_unasked(tmp_path: Path) -> None:
    """A file that is there is named, nothing is written; --force overwrites."""
    (tmp_path / "Procfile").write_text("mine: sleep 1\n")

    result = run("init", str(tmp_path))

    assert result.exit_code == 1
    assert "Procfile" in result.stderr
    assert "--force" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["Procfile"]
    assert run("init", str(tmp_path), "--force").exit_code == 0
    assert "mine" not in (tmp_path / "Procfile").read_text()


def test_a_folder_to_practise_in_names_stand_ins_alone(tmp_path: Path) -> None:
    """Every address of it is of this machine, and its YSE-PZ has an account."""
    assert run("init", str(tmp_path / "practice"), "--sandbox").exit_code == 0
    env = parse_env((tmp_path / "practice" / ENV_FILE).read_text(), name=ENV_FILE)
    addresses = [value for name, value in env.items() if name.endswith("_URL")]
    # Two of ALeRCE: a picture shows forced photometry, which has a server of its own.
    assert {"ALERCE_URL", "ALERCE_FORCED_URL"} <= env.keys()
    assert len(addresses) == 6
    assert {urlsplit(address).hostname for address in addresses} == {"127.0.0.1"}
    settings = Settings.from_env(env)
    assert settings.account() is not None
    assert settings.default_source == "alerce"


def test_the_sandbox_is_not_run_at_addresses_of_others(console: Console) -> None:
    """A folder with a real YSE-PZ is refused, and told what to do."""
    result = console.run("sandbox", YSE_PZ_URL="https://ziggy.example.org/yse")
    assert result.exit_code == 2
    assert "is no address of a sandbox" in result.stderr
    assert "yse-ingest init DIR --sandbox" in result.stderr


def test_a_command_of_targets_without_that_word_is_named() -> None:
    """Who types `pause NAME` is told `targets pause`; another word gets the usual answer."""
    result = run("pause", "2019np")
    assert result.exit_code == 2
    assert "`yse-ingest targets pause`?" in result.output
    assert "targets" not in run("pose", "2019np").output


def test_units_name_folder_program_and_env_file(tmp_path: Path) -> None:
    """Units need full paths, a shell where the command has defaults, and doubled % and $."""
    run("init", str(tmp_path / "yse"))
    unit = (tmp_path / "yse" / "systemd" / "yse-ingest-fetch.service").read_text()
    assert f"WorkingDirectory={tmp_path / 'yse'}\n" in unit
    assert f"EnvironmentFile={tmp_path / 'yse' / ENV_FILE}\n" in unit
    assert f"ExecStart=/bin/sh -c 'exec {PROGRAM.parent / 'celery'} -A workers worker" in unit
    assert "fetch@%%h" in unit
    assert "$${YSE_INGEST_FETCH_CONCURRENCY:-16}" in unit
    assert "Restart=always" in unit


def test_the_env_file_of_the_folder_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    """Commands in a deployment folder know its settings without being told."""
    path = tmp_path / ENV_FILE
    path.write_text("# mine\nMARS_URL = 'http://mars.invalid/'\nYSE_PZ_URL=http://a\n")
    env = {"YSE_PZ_URL": "http://b"}

    assert load_env_file(path, env) == path

    assert env == {"YSE_PZ_URL": "http://b", "MARS_URL": "http://mars.invalid/"}
    assert load_env_file(tmp_path / "none", env) is None


def test_a_line_of_the_env_file_that_is_none_is_named_without_its_value(tmp_path: Path) -> None:
    """The message may be pasted anywhere: it does not repeat what may be a password."""
    (tmp_path / ENV_FILE).write_text("YSE_PZ_USERNAME=me\nhunter2\n")
    with pytest.raises(SettingsError, match=f"line 2 of .*{ENV_FILE}") as caught:
        load_env_file(tmp_path / ENV_FILE, {})
    assert "hunter2" not in str(caught.value)
    ended = subprocess.run(
        [PROGRAM, "status"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "line 2" in ended.stderr
    assert "hunter2" not in ended.stderr


def test_help_needs_no_more_than_click() -> None:
    """`yse-ingest --help` answers at once: no command's libraries are imported for it."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from yse_ingest.cli import main\n"
        "assert CliRunner().invoke(main, ['--help']).exit_code == 0\n"
        "heavy = {'numpy', 'requests', 'redis', 'celery', 'astropy', 'rich', 'marshmallow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert output.strip() == "[]"


def _commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    context = click.Context(group)
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = command if isinstance(command, click.Group) else None
        found += _commands(inner, *path, name) if inner else [(*path, name)]
    return found


@pytest.mark.parametrize("command", _commands(main), ids=" ".join)
def test_every_command_has_an_example_and_json(command: tuple[str, ...]) -> None:
    """`--help` shows how a command is written, and each can answer with JSON."""
    output = run(*command, "--help").output
    examples = re.search(r"^  Examples?:\n((?:    .*\n)+)", output, re.MULTILINE)
    assert examples, output
    assert f"yse-ingest {' '.join(command)}" in examples[1]
    assert "--json" in output


def test_an_error_is_json_where_json_is_asked_for(console: Console) -> None:
    """A program that reads the output finds the error there, with its remedy."""
    result = console.run("push", "nosuch", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["error"]["target"] == "nosuch"
    assert told["error"]["remedy"]
    result = console.run("vocab", "--json", YSE_PZ_URL=None)
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["field"] == "YSE_PZ_URL"


def test_the_program_reads_its_folders_env_file(tmp_path: Path) -> None:
    """`doctor` says which file it has read, and warns when others may read it."""
    (tmp_path / ENV_FILE).write_text("MARS_URL=http://127.0.0.1:9/\n")
    (tmp_path / ENV_FILE).chmod(0o644)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ended = subprocess.run(
        [PROGRAM, "doctor", "--json"],
        cwd=tmp_path,
        env={**kept, "CELERY_BROKER_URL": "redis://127.0.0.1:9/0", "YSE_INGEST_LEASE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    first, second = json.loads(ended.stdout)["checks"]
    assert ended.returncode == 1
    assert (first["subject"], first["level"]) == ("env file", "warn")
    assert first["remedy"] == f"chmod 600 {ENV_FILE}"
    assert (second["subject"], second["level"]) == ("settings", "fail")
