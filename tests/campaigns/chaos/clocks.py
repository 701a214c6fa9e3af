"""Host clocks that jump: each process of the service has one that can be set wrong."""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = Path(__file__).with_name("clock.c")
SLOT_BYTES = 8


class HostClocks:
    """A small library that shifts CLOCK_REALTIME, preloaded into every process."""

    def __init__(self, folder: Path, compiler: str) -> None:
        self._library = folder / "clock.so"
        subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", self._library, SOURCE, "-ldl"],
            check=True,
        )
        self._file = folder / "clocks"
        self._file.write_bytes(bytes(4096))
        self._handle = self._file.open("r+b")
        self._slots = mmap.mmap(self._handle.fileno(), 4096)

    @classmethod
    def built(cls, folder: Path) -> Self | None:
        """Return them, or None where there is no C compiler."""
        compiler = shutil.which("cc")
        return None if compiler is None else cls(folder, compiler)

    @property
    def environment(self) -> Mapping[str, str]:
        """Return what the processes are started with."""
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._file)}

    def shift(self, slot: int, seconds: float) -> None:
        """Set the clock of one slot wrong by so much [s]; 0: right again."""
        at = SLOT_BYTES * slot
        self._slots[at : at + SLOT_BYTES] = struct.pack("q", round(seconds * 1e9))

    def close(self) -> None:
        """Give the file back."""
        self._slots.close()
        self._handle.close()
