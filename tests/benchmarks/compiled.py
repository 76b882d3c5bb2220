"""The kernel's way to sort and to resolve, in C: as fast with AVX-512 as without."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np

from e820pool.abi.e820 import E820_DTYPE

SOURCE = Path(__file__).with_name("sanitize.c")


class Compiled:
    """Functions of sanitize.c, on arrays of numpy."""

    def __init__(self, folder):
        library = folder / "sanitize.so"
        argv = ["gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*argv, "-o", library, SOURCE], check=True)
        self._library = ctypes.CDLL(str(library))
        self._library.sanitize.restype = ctypes.c_size_t

    def sanitize(self, table):
        """Return the table without overlaps."""
        out = np.empty(2 * table.size, E820_DTYPE)
        count = self._library.sanitize(
            table.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(table.size),
            out.ctypes.data_as(ctypes.c_void_p),
        )
        return out[:count]

    def sort(self, numbers):
        """Return 64-bit numbers, sorted."""
        done = numbers.copy()
        self._library.sort_numbers(
            done.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(done.size)
        )
        return done
