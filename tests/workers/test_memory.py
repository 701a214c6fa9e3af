"""The heaps of a worker with many threads, as the C library counts them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COUNT = """
import ctypes, sys, threading
from workers.memory import share_heaps

shared = sys.argv[1] == "shared" and share_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
here = threading.Barrier(17)

def work():
    libc.malloc(1000)
    here.wait()
    here.wait()

threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
here.wait()
libc.fopen.restype = ctypes.c_void_p
told = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, ctypes.c_void_p(told))
libc.fclose(ctypes.c_void_p(told))
here.wait()
print(int(shared), open(sys.argv[2]).read().count("<heap nr="))
"""


def heaps(how: str, path: str) -> tuple[int, int]:
    command = [sys.executable, "-c", COUNT, how, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shared, count = done.stdout.split()
    return int(shared), int(count)


def test_threads_share_two_heaps(tmp_path: Path) -> None:
    """Sixteen threads that hold memory have two heaps, where each had one of its own."""
    _, own = heaps("own", str(tmp_path / "own.xml"))
    shared, two = heaps("shared", str(tmp_path / "shared.xml"))
    assert own > 2
    assert (shared, two) == (1, 2)
