"""What is installed is what was locked: each file by its hash, from no particular place."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
_ENTRY = re.compile(
    r"^(?P<name>[a-z0-9-]+)(?:\[[a-z,-]+\])?==(?P<version>[^\s;\\]+)(?P<rest>(?:[^\n]*\\\n)*[^\n]*)",
    re.MULTILINE,
)


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_every_locked_package_is_pinned_with_its_hashes() -> None:
    """`pip install --require-hashes` refuses a file that is not the one that was locked."""
    entries = list(_ENTRY.finditer(LOCK))
    starts = [line for line in LOCK.splitlines() if line and not line.startswith((" ", "#"))]

    assert len(entries) == len(starts) > 50
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry["rest"]), entry["name"]
    assert LOCK.count("--hash=") == len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", LOCK))


def test_the_lock_names_no_place_and_no_file() -> None:
    """No index, address, path or editable package stands in it."""
    for word in ("://", "--index", "--extra-index", "--find-links", "--trusted", " @ ", "-e "):
        assert word not in LOCK, word


def test_everything_that_is_asked_for_is_locked() -> None:
    """Each dependency of the project, its extras and its tools stands in the lock."""
    project = _project()
    asked = [
        *project["project"]["dependencies"],
        *(
            each
            for extra in project["project"]["optional-dependencies"].values()
            for each in extra
        ),
        *project["dependency-groups"]["dev"],
        *project["build-system"]["requires"],
    ]
    locked = {entry["name"] for entry in _ENTRY.finditer(LOCK)}

    assert {_name(each) for each in asked} - locked == set()


def test_every_install_checks_the_hashes() -> None:
    """Wherever the lock is installed, it is installed with its hashes."""
    for file in ("Makefile", ".ci/run"):
        text = (ROOT / file).read_text()
        installs = re.findall(r"pip\"? install [^\n]*requirements\.lock", text)
        assert installs, file
        assert all("--require-hashes" in line for line in installs), file
